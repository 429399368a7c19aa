//! The file under the log: that it is still the one at its path and as long as it was left, and that nobody else can write it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::line::Mark;
use super::tail::{self, Rest};
use super::writer::Sink;

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
pub enum UnsafePlace {
    /// Others than the owner may write there.
    #[error("{} can be written by others (mode {mode:04o}); take that away with `chmod go-w`", path.display())]
    Mode {
        /// The folder or the file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else may do with it as he likes.
    #[error("{} belongs to another user (uid {uid})", path.display())]
    Owner {
        /// The folder or the file.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
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

/// Whether nobody but the owner, who is us or root, can write in the log's folder.
pub(super) fn check_folder(path: &Path) -> Result<(), CheckError> {
    let folder = folder(path);
    check(folder, &std::fs::metadata(folder)?)
}

/// The same of an opened file.
pub(super) fn check_file(path: &Path, file: &File) -> Result<(), CheckError> {
    check(path, &file.metadata()?)
}

/// Why a place is not known to be safe.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Unsafe(#[from] UnsafePlace),
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn check(path: &Path, found: &Metadata) -> Result<(), CheckError> {
    let (mode, uid) = (found.mode() & 0o7777, found.uid());
    if mode & 0o022 != 0 {
        return Err(UnsafePlace::Mode { path: path.to_owned(), mode }.into());
    }
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(UnsafePlace::Owner { path: path.to_owned(), uid }.into());
    }
    Ok(())
}
