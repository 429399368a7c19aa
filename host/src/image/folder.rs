//! Folders and files that only we can write.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{ImageError, Unusable};
use crate::clock::{Entropy as _, SystemEntropy};
use crate::guard::{self, NotOurOwn};

/// Mode of a file.
pub(super) const FILE_MODE: u32 = 0o600;

/// Opens a folder that is ours alone, or makes it.
pub(super) fn open(path: &Path) -> Result<OwnedFd, ImageError> {
    guard::make_own_folder(path).map_err(|why| match why {
        NotOurOwn::Io(source) => ImageError::Folder { path: path.into(), source: source.into() },
        NotOurOwn::Owner => ImageError::Owner(path.into()),
        NotOurOwn::Mode(mode) => ImageError::Mode { path: path.into(), mode },
    })
}

/// A file that is ours alone, and its length.
pub(super) fn file(folder: &OwnedFd, name: &str) -> Result<(File, u64), Unusable> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Err(Unusable::Missing),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file || !guard::is_our_own(stat.st_uid) || stat.st_mode & 0o7777 != FILE_MODE {
        return Err(Unusable::Owner);
    }
    Ok((file, u64::try_from(stat.st_size).unwrap_or(u64::MAX)))
}

/// Puts a file in its place, whole or not at all. Of two that do so at once the later one wins.
pub(super) fn replace(folder: &OwnedFd, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    place(folder, name, parts, |new| rustix::fs::renameat(folder, new, folder, name))
}

/// Puts a file where there is none, whole or not at all. Of two that do so at once the first one wins, and its file stays.
pub(super) fn put(folder: &OwnedFd, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    place(folder, name, parts, |new| match rustix::fs::linkat(folder, new, folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::EXIST) => rustix::fs::unlinkat(folder, new, AtFlags::empty()),
        Err(error) => Err(error),
    })
}

fn place(folder: &OwnedFd, name: &str, parts: &[&[u8]], done: impl FnOnce(&str) -> rustix::io::Result<()>) -> io::Result<()> {
    // A name of its own each time, also where two processes have one number each in a container of their own: nobody writes into a file
    // that somebody else has put in its place.
    let mut bits = [0; 8];
    SystemEntropy.fill(&mut bits).map_err(io::Error::other)?;
    let temporary = format!("{name}.{:016x}", u64::from_be_bytes(bits));
    let placed = write_new(folder, &temporary, parts).and_then(|()| Ok(done(&temporary)?));
    if placed.is_err() {
        // What is left behind is only space; the cause of the failure is what matters.
        rustix::fs::unlinkat(folder, &temporary, AtFlags::empty()).ok();
    }
    placed
}

/// Deletes a file; it may be missing.
pub(super) fn delete(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn write_new(folder: &OwnedFd, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(FILE_MODE))?);
    parts.iter().try_for_each(|part| file.write_all(part))?;
    // A crash must not leave a whole name on half a file; the tag would tell, but the start would be slow for nothing.
    file.sync_data()
}
