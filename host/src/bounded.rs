//! Reading whole what has a longest length: what is longer is an error, and never its first part.

use std::io::{self, ErrorKind, Read};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_too_many_is_an_error() {
        assert_eq!(read(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read(&b"abcd"[..], 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(io::repeat(0), 1_000).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
