//! Opening a log: the lock, the comparison with its head, a torn tail set right, a rotation that a crash cut short finished.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use serde_json::{Value, json};

use super::file::{self, LogFile, UnsafePlace, beside, sync_folder};
use super::head::{self, Found, Head, HeadFile, SealKey};
use super::line::{self, Body, Mark};
use super::tail::{self, Rest};
use super::writer::Writer;
use super::{rotate, series};
use crate::clock::Clock;
use crate::guard::GuardError;

/// How many torn tails of one log may lie about.
const MAX_TORN: u32 = 1_000;
/// How often, and how long each time, to wait for the lock.
const LOCK_TRIES: u32 = 5;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Why a log was not opened. What is wrong with the log itself stays so until an operator has looked at it and called [`accept_damage`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file could not be read or written.
    #[error("the audit log could not be opened: {0}")]
    Io(#[from] io::Error),
    /// There is something other than a file, or a link to one.
    #[error("the audit log is not a regular file")]
    NotAFile,
    /// Others may write there: what they do to the log would be found too late.
    #[error("the audit log is not safe: {0}")]
    Unsafe(#[source] UnsafePlace),
    /// Another writer has it open.
    #[error("the audit log is in use by another writer")]
    Locked,
    /// There is a log, but no head beside it.
    #[error("the audit log has no head file, so that nobody can tell whether it is complete")]
    HeadMissing,
    /// The head was not sealed with this key.
    #[error("the audit log's head file is damaged or sealed with another key")]
    HeadInvalid,
    /// The log ends before the place that its head names.
    #[error("the audit log is cut off: it should reach line {seq}, and {missing} bytes are missing")]
    Truncated {
        /// The line that it should reach.
        seq: u64,
        /// How many bytes are missing.
        missing: u64,
    },
    /// The line that the head names is another one.
    #[error("the audit log was changed: line {seq} is not the one that was written")]
    Changed {
        /// The line.
        seq: u64,
    },
    /// One entry of the head is spoiled: how far the log reached cannot be told any more, and no crash leaves that.
    #[error("one entry of the audit log's head is spoiled: whether anything followed line {seq}, the last one, cannot be told")]
    HeadSpoiled {
        /// The last line.
        seq: u64,
    },
    /// After a line something stands that no write leaves: a file that was cut off and is as long as before again.
    #[error("the audit log is filled up with zeros after line {seq}: it was cut off there")]
    Padded {
        /// The last line in order.
        seq: u64,
    },
    /// After a line something follows that does not continue the chain.
    #[error("the audit log is broken: what follows line {seq} does not continue it")]
    Broken {
        /// The last line in order.
        seq: u64,
    },
    /// The log was closed in good order, and something was added since.
    #[error("the audit log has {bytes} bytes more than when it was closed")]
    AppendedAfterClose {
        /// How many bytes.
        bytes: u64,
    },
    /// Too many torn tails lie beside the log.
    #[error("there are too many torn tails beside the audit log")]
    TooManyTorn,
    /// A log needs a tokio runtime for what it does in the background.
    #[error("the audit log was opened outside a tokio runtime")]
    NoRuntime,
}

impl OpenError {
    /// Whether something is wrong with the log itself, so that only [`accept_damage`] lets it go on.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::HeadMissing
            | Self::HeadInvalid
            | Self::Truncated { .. }
            | Self::Changed { .. }
            | Self::HeadSpoiled { .. }
            | Self::Padded { .. }
            | Self::Broken { .. }
            | Self::AppendedAfterClose { .. } => true,
            Self::Io(_) | Self::NotAFile | Self::Unsafe(_) | Self::Locked | Self::TooManyTorn | Self::NoRuntime => false,
        }
    }
}

impl From<UnsafePlace> for OpenError {
    fn from(place: UnsafePlace) -> Self {
        match place.source {
            GuardError::Io(errno) => Self::Io(errno.into()),
            GuardError::NoFile | GuardError::Owner(_) | GuardError::Writable { .. } | GuardError::Folder { .. } => {
                Self::Unsafe(place)
            }
        }
    }
}

/// What [`accept_damage`] did.
#[derive(Debug)]
pub struct Accepted {
    /// What was wrong; nothing, if the log could have been opened as it was.
    pub damage: Option<OpenError>,
    /// The line after which the log goes on.
    pub seq: u64,
    /// Bytes that were moved to a file `<log>.torn-<n>`.
    pub moved: u64,
}

/// Lets a damaged log be opened again, by an operator's decision: the log goes on from its last whole line, what stands after that is kept
/// in a file of its own, and a line in the log says that and why. What is missing stays missing, and `verify` goes on to report it.
///
/// # Errors
/// Where the log cannot be read, locked or written.
pub fn accept_damage(path: &Path, seal: &SealKey, clock: &dyn Clock) -> Result<Accepted, OpenError> {
    let (_opened, accepted) = open_with(path, seal, clock.now(), true, true)?;
    Ok(accepted)
}

/// A log that is ready to be written.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) head: HeadFile,
    pub(super) path: PathBuf,
    /// It was new, or had been closed in good order.
    pub(super) clean: bool,
}

/// Opens a log, or makes it.
pub(super) fn open(path: &Path, seal: &SealKey, now: Duration, durable: bool) -> Result<Opened, OpenError> {
    open_with(path, seal, now, durable, false).map(|(opened, _)| opened)
}

/// Whether a log could be opened here, without doing it: nobody else may write its folder, or what is there of it.
///
/// # Errors
/// Where others may.
pub fn check_place(path: &Path) -> Result<(), OpenError> {
    file::check_folder(path)?;
    for path in [path.to_owned(), head::path_of(path)] {
        match File::open(&path) {
            Ok(file) => file::check_file(&path, &file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(OpenError::Io(error)),
        }
    }
    Ok(())
}

fn open_with(path: &Path, seal: &SealKey, now: Duration, durable: bool, accept: bool) -> Result<(Opened, Accepted), OpenError> {
    file::check_folder(path)?;
    let Locked { file, mut head, found, mut damage } = locked(path, seal, now, accept)?;
    let len = file.metadata()?.len();
    let first = series::base(&file)?.map(|(base, _)| base);
    let (at, base) = match damage {
        Some(_) => (last_line(path, &file, len)?, first),
        None => match inspect(&file, len, first, found, path) {
            Ok(at) => (at, first),
            Err(error) if error.is_damage() && accept => {
                damage = Some(error);
                (last_line(path, &file, len)?, first)
            }
            Err(error) => return Err(error),
        },
    };
    let moved = len.saturating_sub(at.len);
    let torn = if moved > 0 { Some(set_aside(path, &file, at.len)?) } else { None };
    let clean = damage.is_none() && torn.is_none() && (len == 0 || matches!(found, Found::Valid(head) if head.closed));
    if found == Found::Invalid {
        head.clear()?;
    }
    let base = base.filter(|_| at.len > 0).unwrap_or(Mark { len: 0, ..at });
    let mut writer = Writer::new(Arc::new(LogFile::new(file, path)?), durable, base, at);
    for event in [damage.as_ref().map(accepted), torn.map(|name| recovered(moved, &name))].into_iter().flatten() {
        let body = Body::own(&event).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        writer.commit(now, std::iter::once((now, &body))).map_err(io::Error::from)?;
    }
    writer.sink().sync()?;
    head.store(writer.at(), false)?;
    head.sync()?;
    sync_folder(path)?;
    Ok((Opened { writer, head, path: path.to_owned(), clean }, Accepted { damage, seq: at.seq, moved }))
}

/// The file at the log's path, with the lock.
struct Locked {
    file: File,
    head: HeadFile,
    found: Found,
    /// What is wrong that the file itself does not show.
    damage: Option<OpenError>,
}

/// Opens and locks; where a crash cut a rotation short, finishes it first.
fn locked(path: &Path, seal: &SealKey, now: Duration, accept: bool) -> Result<Locked, OpenError> {
    for _ in 0..LOCK_TRIES {
        let found = head::read(path, Some(seal))?;
        let file = match open_file(path, false) {
            Ok(Some(file)) => file,
            Ok(None) => {
                if let Found::Valid(Head { at, alone: false, .. }) = found
                    && let Some(closed) = closed_last(path, at)?
                {
                    lock(&closed.file)?;
                    if std::fs::symlink_metadata(path).is_ok() {
                        continue;
                    }
                    let (mut head, _) = open_head(path, seal)?;
                    rotate::follow(path, &mut head, closed.at, Some(closed.path), now, &mut |_| {})?;
                    continue;
                }
                let missing = match found {
                    // Not made anew: whoever has the file may want to put it back.
                    Found::Valid(Head { at, .. }) if at.seq > 0 => Some(OpenError::Truncated { seq: at.seq, missing: at.len }),
                    Found::Invalid => Some(OpenError::HeadInvalid),
                    Found::Missing if !series::closed(path)?.is_empty() => Some(OpenError::HeadMissing),
                    Found::Valid(_) | Found::Missing => None,
                };
                match missing {
                    Some(damage) if !accept => return Err(damage),
                    damage => {
                        let Some(file) = open_file(path, true)? else { continue };
                        lock(&file)?;
                        let (head, found) = open_head(path, seal)?;
                        return Ok(Locked { file, head, found, damage });
                    }
                }
            }
            Err(error) => return Err(error),
        };
        file::check_file(path, &file)?;
        lock(&file)?;
        // Whoever had the lock may have put another file in this one's place.
        let (there, ours) = (std::fs::symlink_metadata(path).ok(), file.metadata()?);
        if there.is_none_or(|there| (there.dev(), there.ino()) != (ours.dev(), ours.ino())) {
            continue;
        }
        let (mut head, found) = open_head(path, seal)?;
        if let Found::Valid(Head { at, alone: false, .. }) = found
            && rotate::is_closed_at(&file, at)?
        {
            let follower = rotate::follow(path, &mut head, at, None, now, &mut |_| {})?;
            drop((file, follower));
            continue;
        }
        return Ok(Locked { file, head, found, damage: None });
    }
    Err(OpenError::Locked)
}

fn open_head(path: &Path, seal: &SealKey) -> Result<(HeadFile, Found), OpenError> {
    let (head, found) = HeadFile::open(path, seal)?;
    head.check()?;
    Ok((head, found))
}

/// The file at the log's path; `None` where there is none and none is to be made.
fn open_file(path: &Path, make: bool) -> Result<Option<File>, OpenError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(OpenError::NotAFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    match file::open(path, make) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Err(OpenError::NotAFile),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Err(OpenError::NotAFile),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) && folder_is_there(path) => {
            Ok(None)
        }
        Err(error) => Err(OpenError::Io(error)),
    }
}

fn folder_is_there(path: &Path) -> bool {
    file::folder(path).is_dir()
}

/// The newest closed file, where the head names the line that closes it: then a crash came before the next file was in its place.
struct ClosedLast {
    file: File,
    path: PathBuf,
    at: Mark,
}

fn closed_last(path: &Path, at: Mark) -> Result<Option<ClosedLast>, OpenError> {
    let Some(last) = series::closed(path)?.pop() else { return Ok(None) };
    let file = File::open(&last.path)?;
    Ok(rotate::is_closed_at(&file, at)?.then_some(ClosedLast { file, path: last.path, at }))
}

/// The last whole line, where damage was accepted: of the file, and where that has none, of the one before it.
fn last_line(path: &Path, file: &File, len: u64) -> Result<Mark, OpenError> {
    let at = tail::last_line(file, len)?;
    if at.len > 0 {
        return Ok(at);
    }
    let Some(before) = series::closed(path)?.pop() else { return Ok(Mark::START) };
    let before = File::open(before.path)?;
    Ok(Mark { len: 0, ..tail::last_line(&before, before.metadata()?.len())? })
}

/// Takes the lock, or gives up soon: someone who verifies the log may hold it for a moment.
fn lock(file: &File) -> Result<(), OpenError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(error)) => return Err(OpenError::Io(error)),
        }
    }
    Err(OpenError::Locked)
}

/// Where the log's last good line ends. `first` is what the file's first line follows.
fn inspect(file: &File, len: u64, first: Option<Mark>, found: Found, path: &Path) -> Result<Mark, OpenError> {
    let head = match found {
        Found::Missing if len == 0 && series::closed(path)?.is_empty() => return Ok(Mark::START),
        Found::Missing => return Err(OpenError::HeadMissing),
        Found::Invalid => return Err(OpenError::HeadInvalid),
        Found::Valid(head) => head,
    };
    let Mark { seq, hash, len: reach } = head.at;
    // The head may name the closing line of the file before: then the last step of a rotation is missing.
    let follows = seq > 0 && first == Some(Mark { len: 0, ..head.at }) && closed_last(path, head.at)?.is_some();
    let from = if follows { Mark { len: 0, ..head.at } } else { head.at };
    if let Some(missing) = reach.checked_sub(len).filter(|missing| *missing > 0 && !follows) {
        return Err(OpenError::Truncated { seq, missing });
    }
    if seq > 0 && !follows && tail::line_ending_at(file, reach)?.is_none_or(|bytes| line::hash(&bytes) != hash) {
        return Err(OpenError::Changed { seq });
    }
    if head.closed && !follows && len > reach {
        return Err(OpenError::AppendedAfterClose { bytes: len - reach });
    }
    let (at, rest) = tail::follow(file, from)?;
    if head.alone {
        let seq = at.seq;
        return Err(OpenError::HeadSpoiled { seq });
    }
    match rest {
        Rest::Nothing | Rest::Torn => Ok(at),
        Rest::Padded => Err(OpenError::Padded { seq: at.seq }),
        Rest::Broken => Err(OpenError::Broken { seq: at.seq }),
    }
}

/// Moves what stands after `from` to a file of its own, and cuts it off the log. The copy is durable before the cut.
fn set_aside(path: &Path, file: &File, from: u64) -> Result<String, OpenError> {
    let (name, mut aside) = torn_file(path)?;
    let mut reader = file;
    reader.seek(SeekFrom::Start(from))?;
    let rest = file.metadata()?.len().saturating_sub(from);
    io::copy(&mut reader.take(rest), &mut aside)?;
    aside.sync_all()?;
    sync_folder(path)?;
    file.set_len(from)?;
    file.sync_all()?;
    Ok(name)
}

fn torn_file(path: &Path) -> Result<(String, File), OpenError> {
    for number in 1..=MAX_TORN {
        let aside = beside(path, &format!(".torn-{number}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
            Ok(file) => return Ok((series::name(&aside), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(OpenError::Io(error)),
        }
    }
    Err(OpenError::TooManyTorn)
}

fn recovered(bytes: u64, file: &str) -> Value {
    json!({ "event": "recovered", "bytes": bytes, "file": file })
}

fn accepted(damage: &OpenError) -> Value {
    json!({ "event": line::DAMAGE_ACCEPTED, "damage": damage.to_string() })
}

#[cfg(test)]
mod tests;
