//! Reading whole what has a longest length: what is longer is an error, and never its first part.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

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

/// Reads a whole file. What is none is refused, and a pipe in its place holds nobody up.
///
/// # Errors
/// Where it cannot be read, is no regular file ([`ErrorKind::InvalidInput`]), or is too long.
pub fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    read(file, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_too_many_is_an_error() {
        assert_eq!(read(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read(&b"abcd"[..], 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_file(folder.path(), 3).unwrap_err().kind(), ErrorKind::InvalidInput);
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_file(&pipe, 3).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(read(io::repeat(0), 1_000).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
