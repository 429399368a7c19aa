//! Reading whole what has a longest length: what is longer is an error, and never its first part. Texts begin behind the byte-order mark
//! that some editors write (RFC 8259 §8.1, Unicode 23.8).

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The byte-order mark.
pub const MARK: &str = "\u{feff}";

/// Reads to the end, which has to come after `most` bytes at the latest.
///
/// # Errors
/// Where reading fails, or there is more: [`ErrorKind::FileTooLarge`].
pub fn read(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}

/// The same of a text.
///
/// # Errors
/// As [`read`], and where it is not UTF-8: [`ErrorKind::InvalidData`].
pub fn text(from: impl Read, most: u64) -> io::Result<String> {
    let mut text = String::from_utf8(read(from, most)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}

/// The same of what is read piece by piece.
///
/// # Errors
/// Where its beginning cannot be read.
pub fn past_mark<R: Read>(mut from: R) -> io::Result<impl Read> {
    let mut begin = Vec::new();
    from.by_ref().take(MARK.len() as u64).read_to_end(&mut begin)?;
    if without_mark(&begin).is_empty() {
        begin.clear();
    }
    Ok(io::Cursor::new(begin).chain(from))
}

/// What follows a byte-order mark, or all of it.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

/// All of it but the byte-order marks, wherever they are.
pub fn without_marks(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    let mut left = Vec::with_capacity(bytes.len());
    while let [first, after @ ..] = rest {
        let unmarked = without_mark(rest);
        if unmarked.len() == rest.len() {
            left.push(*first);
            rest = after;
        } else {
            rest = unmarked;
        }
    }
    left
}

/// Opens a regular file; none where there is something else. A pipe in its place holds nobody up.
///
/// # Errors
/// Where it cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Reads a whole file. What is none is refused, and a pipe in its place holds nobody up.
///
/// # Errors
/// Where it cannot be read, is no regular file ([`ErrorKind::InvalidInput`]), or is too long.
pub fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read(regular(path)?, most)
}

/// The same of a text.
///
/// # Errors
/// As [`read_file`], and where it is not UTF-8: [`ErrorKind::InvalidData`].
pub fn text_file(path: &Path, most: u64) -> io::Result<String> {
    text(regular(path)?, most)
}

fn regular(path: &Path) -> io::Result<File> {
    open_regular(path)?.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it is no regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_begins_behind_its_mark() {
        for (bytes, expected) in
            [(&b"\xef\xbb\xbfabc"[..], "abc"), (b"abc", "abc"), (b"", ""), (b"\xef\xbb\xbf", ""), (b"a\xef\xbb\xbf", "a\u{feff}")]
        {
            assert_eq!(text(bytes, 9).unwrap(), expected);
            let mut rest = String::new();
            past_mark(bytes).unwrap().read_to_string(&mut rest).unwrap();
            assert_eq!(rest, expected);
            assert_eq!(without_mark(bytes), expected.as_bytes());
            assert_eq!(without_marks(&[bytes, bytes].concat()), expected.replace(MARK, "").repeat(2).as_bytes());
        }
        assert_eq!(text(&b"\xff"[..], 9).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(text(&b"\xef\xbb"[..], 9).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_byte_too_many_is_an_error() {
        assert_eq!(read(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read(&b"abcd"[..], 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_file(folder.path(), 3).unwrap_err().kind(), ErrorKind::InvalidInput);
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_file(&pipe, 3).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(text_file(&pipe, 3).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(read(io::repeat(0), 1_000).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
