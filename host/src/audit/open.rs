//! Opening a log: the lock, the comparison with its head, a torn tail set right.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::head::{Found, HeadFile, SealKey};
use super::line::{self, Body, Mark};
use super::tail::{self, Rest};
use super::writer::Writer;
use crate::clock::Clock;

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
    /// There is something other than a file.
    #[error("the audit log is not a regular file")]
    NotAFile,
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
            | Self::Broken { .. }
            | Self::AppendedAfterClose { .. } => true,
            Self::Io(_) | Self::NotAFile | Self::Locked | Self::TooManyTorn | Self::NoRuntime => false,
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
    /// It was new, or had been closed in good order.
    pub(super) clean: bool,
}

/// Opens a log, or makes it.
pub(super) fn open(path: &Path, seal: &SealKey, now: Duration, durable: bool) -> Result<Opened, OpenError> {
    open_with(path, seal, now, durable, false).map(|(opened, _)| opened)
}

fn open_with(path: &Path, seal: &SealKey, now: Duration, durable: bool, accept: bool) -> Result<(Opened, Accepted), OpenError> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(OpenError::NotAFile);
    }
    lock(&file)?;
    let len = file.metadata()?.len();
    let (mut head, found) = HeadFile::open(path, seal)?;
    let (at, damage) = match inspect(&file, len, found) {
        Ok(at) => (at, None),
        Err(error @ (OpenError::Io(_) | OpenError::NotAFile | OpenError::Locked)) => return Err(error),
        Err(damage) if accept => (tail::last_line(&file, len)?, Some(damage)),
        Err(damage) => return Err(damage),
    };
    let moved = len.saturating_sub(at.len);
    let torn = if moved > 0 { Some(set_aside(path, &file, at.len)?) } else { None };
    let clean = damage.is_none() && torn.is_none() && (len == 0 || matches!(found, Found::Valid(head) if head.closed));
    if found == Found::Invalid {
        head.clear()?;
    }
    let mut writer = Writer::new(Arc::new(file), durable, at);
    for event in [damage.as_ref().map(accepted), torn.map(|name| recovered(moved, &name))].into_iter().flatten() {
        let body = Body::own(&event).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        writer.commit(now, std::iter::once((now, &body))).map_err(io::Error::from)?;
    }
    writer.sink().sync()?;
    head.store(writer.at(), false)?;
    head.sync()?;
    sync_folder(path)?;
    Ok((Opened { writer, head, clean }, Accepted { damage, seq: at.seq, moved }))
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

/// Where the log's last good line ends.
fn inspect(file: &File, len: u64, found: Found) -> Result<Mark, OpenError> {
    let head = match found {
        Found::Missing if len == 0 => return Ok(Mark::START),
        Found::Missing => return Err(OpenError::HeadMissing),
        Found::Invalid => return Err(OpenError::HeadInvalid),
        Found::Valid(head) => head,
    };
    let Mark { seq, hash, len: reach } = head.at;
    if let Some(missing) = reach.checked_sub(len).filter(|missing| *missing > 0) {
        return Err(OpenError::Truncated { seq, missing });
    }
    if seq > 0 && tail::line_ending_at(file, reach)?.is_none_or(|bytes| line::hash(&bytes) != hash) {
        return Err(OpenError::Changed { seq });
    }
    if head.closed && len > reach {
        return Err(OpenError::AppendedAfterClose { bytes: len - reach });
    }
    match tail::follow(file, head.at)? {
        (at, Rest::Nothing | Rest::Torn) => Ok(at),
        (at, Rest::Broken) => Err(OpenError::Broken { seq: at.seq }),
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
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".torn-{number}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name) {
            Ok(file) => {
                let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Ok((name, file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(OpenError::Io(error)),
        }
    }
    Err(OpenError::TooManyTorn)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    File::open(folder)?.sync_all()
}

fn recovered(bytes: u64, file: &str) -> Value {
    json!({ "event": "recovered", "bytes": bytes, "file": file })
}

fn accepted(damage: &OpenError) -> Value {
    json!({ "event": line::DAMAGE_ACCEPTED, "damage": damage.to_string() })
}

#[cfg(test)]
mod tests;
