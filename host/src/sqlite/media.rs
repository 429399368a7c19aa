//! A database file that cannot be written where it lies.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::Access as Mode;
use rustix::io::Errno;

/// The mode of a file that root or kubelet puts there for a group to read.
pub(super) const READ_BY_A_GROUP: u32 = 0o440;

/// What this process can do with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read and write, with a log beside it.
    Writes,
    /// Read a file that nobody changes.
    Reads,
}

/// Whether the file can be written, and files beside it made.
pub(super) fn access(path: &Path) -> io::Result<Access> {
    let real = std::fs::canonicalize(path)?;
    let folder = real.parent().unwrap_or(&real);
    for place in [real.as_path(), folder] {
        match rustix::fs::access(place, Mode::WRITE_OK) {
            Ok(()) => {}
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => return Ok(Access::Reads),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Access::Writes)
}

/// Whether changes lie in a log beside the file.
pub(super) fn has_log(path: &Path) -> bool {
    let Ok(real) = std::fs::canonicalize(path) else { return false };
    let mut log = real.into_os_string();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// The URI under which SQLite reads the file without locks and without anything beside it (<https://www.sqlite.org/uri.html>).
pub(super) fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_path_in_a_uri_too() {
        assert_eq!(immutable(Path::new("/a b/c?d#e%20.db")), "file:/a%20b/c%3Fd%23e%2520.db?immutable=1");
    }
}
