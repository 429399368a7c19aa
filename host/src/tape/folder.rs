//! The folder of tapes: nobody else may enter it, a tape appears in it whole, and the oldest go.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::guard::{self, NotOurOwn};

/// Mode of a tape.
const TAPE_MODE: u32 = 0o600;
/// How the name of a tape ends.
const SUFFIX: &str = ".tape";
/// How the name of a stranger's tape ends. Behind the random part, so that no correlation id can end a name so.
const STRANGERS: &str = ".anonymous.tape";
/// How the name of one that is being written ends.
const PART: &str = ".part";
/// Digits of the time in a name: until the year 2286.
const DIGITS: usize = 13;

/// Why tapes cannot be kept in a folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or looked at.
    #[error("the folder of tapes {path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else owns it.
    #[error("the folder of tapes {0} belongs to another user")]
    Owner(PathBuf),
    /// Others may reach into it.
    #[error("the folder of tapes {path} has mode {mode:04o}; it has to be 0700")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl FolderError {
    fn of(path: &Path, why: NotOurOwn) -> Self {
        let path = path.to_owned();
        match why {
            NotOurOwn::Io(errno) => Self::Io { path, source: errno.into() },
            NotOurOwn::Owner => Self::Owner(path),
            NotOurOwn::Mode(mode) => Self::Mode { path, mode },
        }
    }
}

/// Of the tapes of known callers, the part that those of strangers may have besides: whoever is nobody must not push out what
/// others did.
const STRANGERS_PART: usize = 10;

/// Whose request a tape is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A caller who was authenticated.
    Known,
    /// Anybody.
    Stranger,
}

/// The folder, and the tapes in it.
pub(super) struct Folder {
    fd: OwnedFd,
    known: Shelf,
    strangers: Shelf,
    age: Duration,
}

/// Tapes of one kind from the oldest to the newest.
struct Shelf {
    tapes: VecDeque<String>,
    most: usize,
}

impl Folder {
    /// Opens the folder, or makes it.
    pub(super) fn open(path: &Path, most: usize, age: Duration) -> Result<Self, FolderError> {
        let failed = |errno: Errno| FolderError::Io { path: path.to_owned(), source: errno.into() };
        let fd = guard::make_own_folder(path).map_err(|why| FolderError::of(path, why))?;
        let (mut tapes, parts) = list(&fd).map_err(failed)?;
        // What a crash left half written is nobody's.
        for part in parts {
            rustix::fs::unlinkat(&fd, part, AtFlags::empty()).map_err(failed)?;
        }
        tapes.sort_unstable();
        let (strangers, known): (VecDeque<_>, VecDeque<_>) = tapes.into_iter().partition(|name| name.ends_with(STRANGERS));
        let strangers = Shelf { tapes: strangers, most: (most / STRANGERS_PART).max(1) };
        Ok(Self { fd, known: Shelf { tapes: known, most }, strangers, age })
    }

    /// Whether tapes could be kept here, without making or changing anything.
    pub(super) fn check(path: &Path) -> Result<(), FolderError> {
        match guard::open_own_folder(path) {
            Ok(_) | Err(NotOurOwn::Io(Errno::NOENT)) => Ok(()),
            Err(why) => Err(FolderError::of(path, why)),
        }
    }

    /// Writes a tape of this time, whole or not at all.
    pub(super) fn write(&mut self, of: Of, time: u64, correlation_id: &str, random: &str, bytes: &[u8]) -> io::Result<()> {
        let name = name(of, time, correlation_id, random);
        let part = format!("{name}{PART}");
        let written = self.write_new(&part, bytes);
        // A tape in place of another would be a tape lost without a word.
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        let done = written.and_then(|()| Ok(rustix::fs::renameat_with(&self.fd, &*part, &self.fd, &*name, flags)?));
        if done.is_err() {
            // What is left behind is only space; the cause of the failure is what matters.
            rustix::fs::unlinkat(&self.fd, &*part, AtFlags::empty()).ok();
            return done;
        }
        let shelf = match of {
            Of::Known => &mut self.known,
            Of::Stranger => &mut self.strangers,
        };
        // The newest, but for the clock having gone back. Of one millisecond the last that was written, whatever its name; after a
        // start their names have to do.
        let at = shelf.tapes.partition_point(|known| time_of(known) <= Some(time));
        shelf.tapes.insert(at, name);
        Ok(())
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(TAPE_MODE))?);
        file.write_all(bytes)?;
        // A crash must not leave a whole name on half a tape.
        file.sync_data()
    }

    /// Deletes the oldest tapes that are too many or too old, those of strangers apart from the others.
    pub(super) fn prune(&mut self, now: Duration) -> Pruned {
        let oldest = now.saturating_sub(self.age).as_millis();
        let mut pruned = Pruned::default();
        for shelf in [&mut self.known, &mut self.strangers] {
            shelf.prune(&self.fd, oldest, &mut pruned);
        }
        pruned
    }
}

/// What came of pruning.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    /// How many tapes went.
    pub(super) deleted: u64,
    /// Those that cannot be deleted, and why. They are not tried again until the folder is opened again.
    pub(super) stuck: Vec<(String, io::Error)>,
}

impl Shelf {
    fn prune(&mut self, fd: &OwnedFd, oldest: u128, pruned: &mut Pruned) {
        while let Some(name) = self.tapes.front() {
            let surplus = self.tapes.len() > self.most;
            let aged = time_of(name).is_some_and(|time| u128::from(time) < oldest);
            if !surplus && !aged {
                break;
            }
            let unlinked = rustix::fs::unlinkat(fd, &**name, AtFlags::empty());
            let Some(name) = self.tapes.pop_front() else { break };
            match unlinked {
                // Somebody took it away already.
                Ok(()) | Err(Errno::NOENT) => pruned.deleted += 1,
                // One that stays must not keep all others.
                Err(errno) => pruned.stuck.push((name, errno.into())),
            }
        }
    }
}

/// The tapes in the folder, and the half-written ones. What has another name is not ours to count or to delete.
fn list(fd: &OwnedFd) -> Result<(Vec<String>, Vec<String>), Errno> {
    let (mut tapes, mut parts) = (Vec::new(), Vec::new());
    for entry in rustix::fs::Dir::read_from(fd)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if time_of(name).is_some() {
            tapes.push(name.to_owned());
        } else if name.strip_suffix(PART).is_some_and(|whole| time_of(whole).is_some()) {
            parts.push(name.to_owned());
        }
    }
    Ok((tapes, parts))
}

/// Names sort by time. A correlation id is `A-Z a-z 0-9 . _ : -`, of which a colon is not everywhere a character of names.
fn name(of: Of, time: u64, correlation_id: &str, random: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' };
    let correlation_id: String = correlation_id.chars().take(128).map(plain).collect();
    let suffix = match of {
        Of::Known => SUFFIX,
        Of::Stranger => STRANGERS,
    };
    format!("{time:0DIGITS$}-{correlation_id}-{random}{suffix}")
}

fn time_of(name: &str) -> Option<u64> {
    let (digits, rest) = name.split_once('-')?;
    let right = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()) && rest.ends_with(SUFFIX);
    digits.parse().ok().filter(|_| right)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn tapes_are_nobody_elses_and_appear_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("tapes");
        assert!(Folder::check(&path).is_ok());
        assert!(!path.exists());
        let mut folder = Folder::open(&path, 10, HOUR).unwrap();
        folder.write(Of::Known, 1, "a:b/../c", "00", b"tape").unwrap();
        assert_eq!(names(&path), ["0000000000001-a_b_.._c-00.tape"]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(&path.join("0000000000001-a_b_.._c-00.tape"))), (0o700, 0o600));
        // Never in place of another.
        assert!(folder.write(Of::Known, 1, "a:b/../c", "00", b"other").is_err());
        assert_eq!(std::fs::read(path.join("0000000000001-a_b_.._c-00.tape")).unwrap(), b"tape");
        assert_eq!(names(&path).len(), 1);
        assert!(Folder::check(&path).is_ok());
    }

    #[test]
    fn the_oldest_go_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("tapes");
        let mut folder = Folder::open(&path, 3, HOUR).unwrap();
        std::fs::write(path.join("notes"), "mine").unwrap();
        std::fs::write(path.join("0000000000001-x-00.tape.part"), "half").unwrap();
        for time in 1..=5_u64 {
            folder.write(Of::Known, time * 1_000, "c", "00", b"tape").unwrap();
        }
        assert_eq!(folder.prune(Duration::from_secs(6)).deleted, 2);
        assert_eq!(folder.prune(Duration::from_secs(6)).deleted, 0);
        drop(folder);
        let mut folder = Folder::open(&path, 3, HOUR).unwrap();
        let left = ["0000000003000-c-00.tape", "0000000004000-c-00.tape", "0000000005000-c-00.tape", "notes"];
        assert_eq!(names(&path), left);
        std::fs::remove_file(path.join(left[0])).unwrap();
        assert_eq!(folder.prune(HOUR + Duration::from_millis(4_500)).deleted, 2);
        assert_eq!(names(&path), ["0000000005000-c-00.tape", "notes"]);
    }

    #[test]
    fn strangers_push_out_only_strangers() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("tapes");
        let left = |folder: &mut Folder| {
            folder.prune(Duration::from_secs(6));
            let strangers = names(&path).iter().filter(|name| name.ends_with(STRANGERS)).count();
            (names(&path).len() - strangers, strangers)
        };
        for (most, strangers) in [(25, 2), (3, 1), (1, 1)] {
            let mut folder = Folder::open(&path, most, HOUR).unwrap();
            for time in 1..=30_u64 {
                folder.write(Of::Known, time, "c-00.anonymous.tape", &format!("{most:02x}"), b"tape").unwrap();
                folder.write(Of::Stranger, 1_000 + time, "c", &format!("{most:02x}"), b"tape").unwrap();
            }
            assert_eq!(left(&mut folder), (most, strangers));
            // Nor the other way round, and not after a restart either.
            for time in 1..=9 {
                folder.write(Of::Known, 2_000 + time, "c", &format!("{most:02x}"), b"tape").unwrap();
            }
            assert_eq!(left(&mut folder), (most, strangers));
            assert_eq!(left(&mut Folder::open(&path, most, HOUR).unwrap()), (most, strangers));
        }
    }

    #[test]
    fn of_one_millisecond_the_last_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("tapes");
        let mut folder = Folder::open(&path, 1, HOUR).unwrap();
        for id in ["c-9", "c-10", "c-11"] {
            folder.write(Of::Known, 1, id, "00", b"tape").unwrap();
            folder.prune(Duration::from_secs(6));
        }
        assert_eq!(names(&path), ["0000000000001-c-11-00.tape"]);
    }

    #[test]
    fn what_cannot_be_deleted_keeps_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("tapes");
        drop(Folder::open(&path, 1, HOUR).unwrap());
        let stuck = "0000000000001-x.tape";
        std::fs::create_dir(path.join(stuck)).unwrap();
        let mut folder = Folder::open(&path, 1, HOUR).unwrap();
        for time in 2..=4_u64 {
            folder.write(Of::Known, time, "c", "00", b"tape").unwrap();
        }
        let pruned = folder.prune(Duration::from_secs(6));
        let named: Vec<_> = pruned.stuck.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((pruned.deleted, named), (2, vec![stuck]));
        assert_eq!(names(&path), [stuck, "0000000000004-c-00.tape"]);
        assert!(folder.prune(Duration::from_secs(6)).stuck.is_empty());
    }

    #[test]
    fn a_folder_that_is_open_to_others_or_no_folder_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("tapes");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Folder::open(&path, 1, HOUR), Err(FolderError::Mode { mode: 0o750, .. })));
        assert!(matches!(Folder::check(&path), Err(FolderError::Mode { .. })));
        for private in [0o2700, 0o700] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(private)).unwrap();
            assert!(Folder::check(&path).is_ok() && Folder::open(&path, 1, HOUR).is_ok(), "{private:o}");
        }
        // Only root can give a folder away.
        if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() {
            assert!(matches!(Folder::open(&path, 1, HOUR), Err(FolderError::Owner(_))));
        }
        std::fs::write(parent.path().join("file"), "").unwrap();
        assert!(matches!(Folder::open(&parent.path().join("file"), 1, HOUR), Err(FolderError::Io { .. })));
        assert!(matches!(Folder::check(&parent.path().join("file")), Err(FolderError::Io { .. })));
    }
}
