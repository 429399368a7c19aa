//! The file under the log: that it is still the one at its path and as long as it was left, and that nobody else can write it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::line::Mark;
use super::tail::{self, Rest};
use super::writer::Sink;
use crate::guard::{self, GuardError};

/// How the file at the log's path is not the one that is written, or not as it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Displaced {
    /// It was removed or moved, or its folder was.
    #[error("there is no file at its path any more")]
    Gone,
    /// There is a file, and it is not the one that was opened.
    #[error("another file is at its path")]
    Another,
    /// Somebody else wrote to it or cut it off.
    #[error("it was left with {left} bytes and has {found}")]
    Length {
        /// How long it was left.
        left: u64,
        /// How long it is.
        found: u64,
    },
    /// Its path cannot be looked at.
    #[error("its path cannot be looked at: {0}")]
    Unseen(io::ErrorKind),
    /// It came back, and what stands in it is not what was written.
    #[error("it came back with other lines than were written")]
    Altered,
}

/// Why nobody should keep a log in this place.
#[derive(Debug, thiserror::Error)]
#[error("{} can be written by others: {source}{}", path.display(), remedy(source))]
pub struct UnsafePlace {
    /// The folder or the file.
    pub path: PathBuf,
    /// How.
    pub source: GuardError,
}

fn remedy(fault: &GuardError) -> &'static str {
    if matches!(fault, GuardError::Writable { .. }) { "; take that away with `chmod go-w`" } else { "" }
}

/// What a log is written to: a file and where it was opened.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl LogFile {
    /// A file that was opened at `path`.
    pub(super) fn new(file: File, path: &Path) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { file, path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Where it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at its path is this one; its length if it is. A link that leads here is not.
    fn length_in_place(&self) -> Result<u64, Displaced> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(found.len()),
            Ok(_) => Err(Displaced::Another),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Displaced::Gone),
            Err(error) => Err(Displaced::Unseen(error.kind())),
        }
    }

    /// Whether the file at its path is this one, whatever its length.
    pub(super) fn is_in_place(&self) -> Result<(), Displaced> {
        self.length_in_place().map(|_| ())
    }
}

impl Sink for LogFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &self.file, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn stands(&self, left: u64) -> Result<(), Displaced> {
        let found = self.length_in_place()?;
        if found == left { Ok(()) } else { Err(Displaced::Length { left, found }) }
    }

    fn holds(&self, base: Mark, at: Mark) -> io::Result<bool> {
        // Each line holds the hash of the one before: who comes to the same end has read the same bytes.
        let reader = File::open(&self.path)?;
        let found = reader.metadata()?;
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Ok(false);
        }
        Ok(tail::follow(&reader, base)? == (at, Rest::Nothing))
    }

    fn put_back(&self) -> io::Result<Option<()>> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) if !there.is_file() || there.len() > 0 => return Ok(None),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        for entry in std::fs::read_dir(folder(&self.path))? {
            let entry = entry?;
            let found = entry.path().symlink_metadata();
            if found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode)) {
                tracing::warn!(from = %entry.path().display(), "the audit log's file was renamed, and gets its name back");
                std::fs::rename(entry.path(), &self.path)?;
                sync_folder(&self.path)?;
                return Ok(Some(()));
            }
        }
        Ok(None)
    }
}

/// Opens a log's file to be read and written at its end; never through a link.
pub(super) fn open(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    if new {
        options.create_new(true)
    } else {
        options.create(true)
    };
    options.open(path)
}

/// The folder in which a log lies.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes what was renamed or made in the folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// Beside the log, under its name with this behind it.
pub(super) fn beside(log: &Path, suffix: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether nobody but the owner, who is us or root, can write in the log's folder.
pub(super) fn check_folder(path: &Path) -> Result<(), UnsafePlace> {
    let folder = folder(path);
    let checked = guard::open_folder(folder).and_then(|opened| guard::check_private_folder(opened.as_fd()));
    checked.map_err(|source| UnsafePlace { path: folder.to_owned(), source })
}

/// The same of an opened file.
pub(super) fn check_file(path: &Path, file: &File) -> Result<(), UnsafePlace> {
    guard::check_file(file.as_fd()).map_err(|source| UnsafePlace { path: path.to_owned(), source })
}
