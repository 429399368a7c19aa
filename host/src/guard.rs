//! Whose a file is. What somebody else may write decides nothing: not who is trusted, not which keys count.
//!
//! "Somebody else" is everybody but root and the user this process runs as, a group included. That a file system is mounted read-only
//! here says nothing of who writes it: the same one may be mounted elsewhere too.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::bounded;

/// Others may enter names here, but not replace or remove those of somebody else.
const STICKY: u32 = 0o1000;
/// Mode of a folder of our own.
pub(crate) const OWN_FOLDER: u32 = 0o700;

/// Why a file or folder is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// It cannot be opened or looked at.
    #[error("{0}")]
    Io(#[from] Errno),
    /// It is something else than a regular file.
    #[error("it is no regular file")]
    NoFile,
    /// It is another user's, who can write it.
    #[error("it belongs to user {0}, who is neither root nor the user this runs as")]
    Owner(u32),
    /// Its mode lets others write.
    #[error("mode {mode:04o} lets others write it")]
    Writable {
        /// Its mode.
        mode: u32,
    },
    /// It lies in a folder in which others could put another in its place.
    #[error("the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Self>,
    },
}

/// Why a folder is not our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOurOwn {
    /// It cannot be made, opened or looked at.
    Io(Errno),
    /// It is another user's.
    Owner,
    /// Others may enter it.
    Mode(u32),
}

impl From<io::Error> for GuardError {
    fn from(error: io::Error) -> Self {
        Self::Io(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Opens a regular file that nobody else can write or replace; a pipe in its place holds nobody up.
///
/// # Errors
/// Where it is not there, or somebody else can.
pub fn open(path: &Path) -> Result<File, GuardError> {
    open_of(path, is_ours)
}

/// The same for whoever edits a file for its owner, as root may: what is the owner's is ours then.
///
/// # Errors
/// As [`open`].
pub fn open_for_its_owner(path: &Path) -> Result<File, GuardError> {
    let owner = rustix::fs::stat(path)?.st_uid;
    open_of(path, |uid| uid == owner || is_ours(uid))
}

fn open_of(path: &Path, is_ours: impl Fn(u32) -> bool) -> Result<File, GuardError> {
    let file = bounded::open_regular(path)?.ok_or(GuardError::NoFile)?;
    check(file.as_fd(), 0, &is_ours)?;
    // Both where it is named and where it lies: a link is as good as what it points to.
    let real = std::fs::canonicalize(path)?;
    for folder in [path.parent(), real.parent()].into_iter().flatten() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let checked = open_folder(folder).and_then(|opened| check(opened.as_fd(), STICKY, &is_ours));
        checked.map_err(|source| GuardError::Folder { path: folder.to_owned(), source: Box::new(source) })?;
    }
    Ok(file)
}

/// Opens a folder, to be checked.
///
/// # Errors
/// Where it is none, or cannot be opened.
pub(crate) fn open_folder(folder: &Path) -> Result<OwnedFd, GuardError> {
    Ok(rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether nobody else can write this opened file.
///
/// # Errors
/// Where somebody can.
pub(crate) fn check_file(file: BorrowedFd<'_>) -> Result<(), GuardError> {
    check(file, 0, is_ours)
}

/// Whether nobody else can put something in the place of what lies in this opened folder and is not theirs.
///
/// # Errors
/// Where somebody can.
pub(crate) fn check_folder(folder: BorrowedFd<'_>) -> Result<(), GuardError> {
    check(folder, STICKY, is_ours)
}

/// Whether nobody else can put anything into this opened folder.
///
/// # Errors
/// Where somebody can.
pub(crate) fn check_private_folder(folder: BorrowedFd<'_>) -> Result<(), GuardError> {
    check(folder, 0, is_ours)
}

/// Opens a folder that nobody but the user this runs as may enter. A link in its place is not followed.
///
/// # Errors
/// Where it is none such.
pub(crate) fn open_own_folder(path: &Path) -> Result<OwnedFd, NotOurOwn> {
    // With a slash or a dot behind its name a link would be followed.
    let path: PathBuf = path.components().collect();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(&path, flags, Mode::empty()).map_err(NotOurOwn::Io)?;
    let stat = rustix::fs::fstat(&folder).map_err(NotOurOwn::Io)?;
    if !is_our_own(stat.st_uid) {
        return Err(NotOurOwn::Owner);
    }
    // The set-group-id bit, which a folder may take over from the one around it, lets nobody in.
    if stat.st_mode & 0o777 == OWN_FOLDER { Ok(folder) } else { Err(NotOurOwn::Mode(stat.st_mode & 0o7777)) }
}

/// The same, but makes it where there is none.
///
/// # Errors
/// Where that cannot be done, or what is there is none such.
pub(crate) fn make_own_folder(path: &Path) -> Result<OwnedFd, NotOurOwn> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(OWN_FOLDER)) {
        Ok(()) | Err(Errno::EXIST) => open_own_folder(path),
        Err(errno) => Err(NotOurOwn::Io(errno)),
    }
}

/// Whether this user is one whose files are ours.
pub(crate) fn is_ours(uid: u32) -> bool {
    uid == 0 || is_our_own(uid)
}

/// Whether this user is the one this runs as.
pub(crate) fn is_our_own(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw()
}

fn check(opened: BorrowedFd<'_>, excuse: u32, is_ours: impl Fn(u32) -> bool) -> Result<(), GuardError> {
    let stat = rustix::fs::fstat(opened)?;
    let mode = stat.st_mode & 0o7777;
    if !is_ours(stat.st_uid) {
        return Err(GuardError::Owner(stat.st_uid));
    }
    if mode & 0o022 != 0 && mode & excuse == 0 { Err(GuardError::Writable { mode }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use rstest::rstest;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[rstest]
    #[case::private(0o700, 0o600, true)]
    #[case::readable(0o755, 0o644, true)]
    #[case::read_only(0o555, 0o444, true)]
    #[case::of_the_group(0o700, 0o664, false)]
    #[case::of_all(0o700, 0o606, false)]
    #[case::folder_of_the_group(0o775, 0o600, false)]
    #[case::folder_of_all(0o777, 0o600, false)]
    #[case::sticky_folder(0o1777, 0o600, true)]
    #[case::sticky_file(0o700, 0o1666, false)]
    fn what_others_may_write_is_refused(#[case] folder: u32, #[case] file: u32, #[case] taken: bool) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, "text").unwrap();
        chmod(&path, file);
        chmod(home.path(), folder);
        let opened = open(&path);
        assert_eq!(opened.is_ok(), taken, "{opened:?}");
    }

    /// Only root can give files away.
    #[rstest]
    #[case::file(true)]
    #[case::folder(false)]
    fn what_is_somebody_elses_is_refused(#[case] file: bool) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, "text").unwrap();
        chmod(&path, 0o644);
        chmod(home.path(), 0o755);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(if file { &path } else { home.path() }, Some(65534), None).unwrap();
            let refused = open(&path).unwrap_err().to_string();
            assert!(refused.contains("belongs to user 65534"), "{refused}");
            // Root may edit the file for its owner, but not what lies in a third one's folder.
            assert_eq!(open_for_its_owner(&path).is_ok(), file);
        } else {
            // What is root's is ours.
            assert!(open(Path::new("/etc/passwd")).is_ok());
        }
    }

    #[test]
    fn a_link_is_as_good_as_what_it_points_to() {
        let home = tempfile::tempdir().unwrap();
        let (there, link) = (home.path().join("there"), home.path().join("link"));
        std::fs::create_dir(&there).unwrap();
        std::fs::write(there.join("file"), "text").unwrap();
        std::os::unix::fs::symlink(there.join("file"), &link).unwrap();
        assert!(open(&link).is_ok());
        chmod(&there, 0o777);
        assert!(matches!(open(&link), Err(GuardError::Folder { .. })));
        chmod(&there, 0o755);
        chmod(&there.join("file"), 0o622);
        assert!(matches!(open(&link), Err(GuardError::Writable { mode: 0o622 })));
    }

    #[test]
    fn a_folder_of_our_own_is_nobody_elses() {
        let home = tempfile::tempdir().unwrap();
        let (own, link) = (home.path().join("own"), home.path().join("link"));
        assert_eq!(open_own_folder(&own).err(), Some(NotOurOwn::Io(Errno::NOENT)));
        make_own_folder(&own).unwrap();
        open_own_folder(&own).unwrap();
        chmod(&own, 0o2700);
        make_own_folder(&own).unwrap();
        for mode in [0o750, 0o701, 0o500] {
            chmod(&own, mode);
            assert_eq!(make_own_folder(&own).err(), Some(NotOurOwn::Mode(mode)));
        }
        chmod(&own, 0o700);
        std::os::unix::fs::symlink(&own, &link).unwrap();
        for link in [link.clone(), link.join(""), link.join(".")] {
            assert!(matches!(make_own_folder(&link), Err(NotOurOwn::Io(_))), "{}", link.display());
        }
        open_own_folder(&own.join("")).unwrap();
        assert!(matches!(make_own_folder(&own.join("a").join("b")), Err(NotOurOwn::Io(Errno::NOENT))));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(open(home.path()), Err(GuardError::NoFile)));
        assert!(matches!(open(&home.path().join("none")), Err(GuardError::Io(Errno::NOENT))));
        let pipe = home.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(open(&pipe), Err(GuardError::NoFile)));
    }
}
