//! The folder where key files are. Every check is made on the descriptor that is then read, so nothing can be put in between.
//!
//! It is either a folder of its owner's (0700), or one that is filled from outside and swapped whole, as kubelet does with a Secret:
//! `..data` is a link to the folder with the files of this moment. Such a folder is read at that moment, and never written.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use zeroize::Zeroizing;

use super::files::KeyFileError;
use crate::guard;

/// The link to the files of this moment.
const DATA: &str = "..data";
/// What a file of keys may have for mode. 0440 is set by nobody by mistake: its group is the one that is to read it.
const MODES: [u32; 3] = [0o600, 0o400, 0o440];

/// An opened folder whose files nobody else may read or replace.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    is_projected: bool,
}

/// A file that was read, and when it was last written, in Unix seconds.
pub(super) struct Opened {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) written: u64,
}

impl Folder {
    /// Makes the folder if it is missing, mode 0700.
    pub(super) fn create(path: &Path) -> Result<Self, KeyFileError> {
        match std::fs::DirBuilder::new().recursive(true).mode(guard::OWN_FOLDER).create(path) {
            Ok(()) => Self::open(path),
            Err(source) => Err(KeyFileError::Io { path: path.to_owned(), source }),
        }
    }

    /// Opens the folder.
    pub(super) fn open(path: &Path) -> Result<Self, KeyFileError> {
        let fd = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| io(path, errno))?;
        match rustix::fs::readlinkat(&fd, DATA, Vec::new()) {
            Ok(target) => {
                let malformed = || KeyFileError::Malformed { path: path.join(DATA), what: "it is no link to a folder beside it" };
                let target = target.into_string().map_err(|_| malformed())?;
                if target.contains('/') || matches!(target.as_str(), "" | "." | "..") {
                    return Err(malformed());
                }
                Self::projected(&fd, path, &target)
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => Self::of_the_owner(fd, path),
            Err(errno) => Err(io(&path.join(DATA), errno)),
        }
    }

    fn of_the_owner(fd: OwnedFd, path: &Path) -> Result<Self, KeyFileError> {
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io(path, errno))?;
        // Set up by root for a group of ours: the files' own modes keep the others out.
        if stat.st_uid == 0 && !rustix::process::geteuid().is_root() {
            guard::check_folder(fd.as_fd()).map_err(|source| KeyFileError::Unguarded { path: path.to_owned(), source })?;
            return Ok(Self { fd, path: path.to_owned(), is_projected: false });
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(KeyFileError::FolderMode { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
        }
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(KeyFileError::Owner(path.to_owned()));
        }
        Ok(Self { fd, path: path.to_owned(), is_projected: false })
    }

    /// The files' own modes keep others from reading; here it counts that nobody else can put another folder or link there.
    fn projected(outer: &OwnedFd, path: &Path, target: &str) -> Result<Self, KeyFileError> {
        let guarded = |what: PathBuf, checked: Result<(), guard::GuardError>| {
            checked.map_err(|source| KeyFileError::Unguarded { path: what, source })
        };
        guarded(path.to_owned(), guard::check_folder(outer.as_fd()))?;
        let link = rustix::fs::statat(outer, DATA, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| io(&path.join(DATA), errno))?;
        if !guard::is_ours(link.st_uid) {
            return Err(KeyFileError::Owner(path.join(DATA)));
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = path.join(target);
        let fd = rustix::fs::openat(outer, target, flags, Mode::empty()).map_err(|errno| io(&within, errno))?;
        guarded(within, guard::check_folder(fd.as_fd()))?;
        Ok(Self { fd, path: path.to_owned(), is_projected: true })
    }

    /// Where a file of this name is, for messages.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps other writers out until the folder is closed. Nobody writes where somebody else swaps the whole.
    pub(super) fn lock(&self) -> Result<(), KeyFileError> {
        if self.is_projected {
            return Err(KeyFileError::Projected(self.path.clone()));
        }
        match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(KeyFileError::Busy(self.path.clone())),
            Err(errno) => Err(io(&self.path, errno)),
        }
    }

    /// Whether there is something of this name.
    pub(super) fn contains(&self, name: &str) -> Result<bool, KeyFileError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(io(&self.file(name), errno)),
        }
    }

    /// Reads a file of mode 0600, 0400 or 0440, at most `max` bytes.
    pub(super) fn read(&self, name: &str, max: usize) -> Result<Opened, KeyFileError> {
        let path = self.file(name);
        // Not blocking, so that a pipe put there does not hold us up before it is refused.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(|errno| io(&path, errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io(&path, errno))?;
        let mode = stat.st_mode & 0o7777;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !MODES.contains(&mode) {
            return Err(KeyFileError::FileMode { path, mode });
        }
        if !guard::is_ours(stat.st_uid) {
            return Err(KeyFileError::Owner(path));
        }
        // Room for all of it at once: a growing buffer would leave copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(max.saturating_add(1)));
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        File::from(fd).take(limit).read_to_end(&mut bytes).map_err(|source| KeyFileError::Io { path: path.clone(), source })?;
        if bytes.len() > max {
            return Err(KeyFileError::Malformed { path, what: "it is too long" });
        }
        Ok(Opened { bytes, written: u64::try_from(stat.st_mtime).unwrap_or(0) })
    }

    /// Writes a file of mode 0600, whole or not at all, and durably.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeyFileError> {
        let path = self.file(name);
        let part = format!(".{name}.part");
        self.remove(&part)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &*part, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| io(&path, errno))?;
        // The umask may have taken bits away.
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(|errno| io(&path, errno))?;
        let mut file = File::from(fd);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|source| KeyFileError::Io { path: path.clone(), source })?;
        rustix::fs::renameat(&self.fd, &*part, &self.fd, name).map_err(|errno| io(&path, errno))?;
        rustix::fs::fsync(&self.fd).map_err(|errno| io(&self.path, errno))
    }

    /// Removes a file; it may be missing.
    pub(super) fn remove(&self, name: &str) -> Result<(), KeyFileError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(io(&self.file(name), errno)),
        }
    }
}

fn io(path: &Path, errno: rustix::io::Errno) -> KeyFileError {
    KeyFileError::Io { path: path.to_owned(), source: errno.into() }
}
