//! One file of the log is closed and the next begins with its hash. The order of the steps is such that a crash between any two of them
//! leaves something that [`super::open`] finishes: the closing line is sealed in the head before any file is renamed.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::file::{self, LogFile, sync_folder};
use super::head::HeadFile;
use super::line::{self, Body, Line, Mark};
use super::series::{self, closed_path, name, next_path};
use super::tail;
use crate::hex;
use crate::json;

/// What was done, for tests that look at the folder after each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The closing line is written and durable.
    Closed,
    /// The head names it.
    Sealed,
    /// The next file is there, under another name.
    Begun,
    /// The old file has its number.
    Numbered,
    /// The next file is where the log is.
    InPlace,
    /// The head names its first line.
    Done,
}

/// Looks on.
pub(super) type Observer<'a> = &'a mut dyn FnMut(Step);

/// The file that follows.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) file: LogFile,
    pub(super) base: Mark,
    pub(super) at: Mark,
    /// What the file before it is called now.
    pub(super) closed: PathBuf,
}

/// Whether a line closes its file.
pub(super) fn closes(bytes: &[u8]) -> bool {
    json::from_slice(bytes).is_ok_and(|checkpoint: line::Checkpoint| checkpoint.closes.is_some())
}

/// Whether the file ends with this line, and the line closes it.
pub(super) fn is_closed_at(file: &File, at: Mark) -> io::Result<bool> {
    if at.seq == 0 || file.metadata()?.len() != at.len {
        return Ok(false);
    }
    Ok(tail::line_ending_at(file, at.len)?.is_some_and(|bytes| line::hash(&bytes) == at.hash && closes(&bytes)))
}

/// The number that the file at the log's path gets when it is closed.
pub(super) fn number(log: &Path, first: Option<&Line>) -> io::Result<u64> {
    let taken = series::closed(log)?.last().map_or(0, |closed| closed.number);
    Ok(series::number_of(first).max(taken.saturating_add(1)))
}

/// From the closing line, which the head names, to the next file in the log's place, which it then names. Where the closed file has its
/// number already, `numbered` is its path.
pub(super) fn follow(
    log: &Path,
    head: &mut HeadFile,
    end: Mark,
    numbered: Option<PathBuf>,
    now: Duration,
    observer: Observer<'_>,
) -> io::Result<Follower> {
    let first = match &numbered {
        Some(closed) => series::base(&File::open(closed)?)?,
        None => series::base(&File::open(log)?)?,
    };
    let number = match &numbered {
        Some(_) => series::closed(log)?.last().map_or(1, |closed| closed.number),
        None => number(log, first.as_ref().map(|(_, line)| line))?,
    };
    let closed = numbered.clone().unwrap_or_else(|| closed_path(log, number));
    let next = next_path(log);
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let begun = json!({ "event": line::CONTINUED, "file": number.saturating_add(1), "after": name(&closed) });
    let body = Body::own(&begun).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut bytes = Vec::new();
    let base = Mark { len: 0, ..end };
    let at = line::push(&mut bytes, base, now, &body);
    let made = (|| -> io::Result<File> {
        let mut file = file::open(&next, true)?;
        file.try_lock().map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(file)
    })();
    let file = made.inspect_err(|_| drop(std::fs::remove_file(&next)))?;
    observer(Step::Begun);
    if numbered.is_none() {
        if std::fs::symlink_metadata(&closed).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(log, &closed).inspect_err(|_| drop(std::fs::remove_file(&next)))?;
    }
    let placed = sync_folder(log).and_then(|()| {
        observer(Step::Numbered);
        std::fs::rename(&next, log)
    });
    if let Err(error) = placed {
        // Back to where it was, so that it can be written on.
        if numbered.is_none() {
            std::fs::rename(&closed, log)?;
        }
        return Err(error);
    }
    sync_folder(log)?;
    observer(Step::InPlace);
    head.store(at, false)?;
    head.sync()?;
    observer(Step::Done);
    Ok(Follower { file: LogFile::new(file, log)?, base, at, closed })
}

/// A closed file that may go.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) paths: Vec<PathBuf>,
    /// What the log says of it.
    pub(super) body: Body,
}

/// Most files that go at once: their names stand on one line.
const MAX_LEAVING: usize = 1_000;

/// The closed files beyond `keep`, the oldest, and what is to be recorded before they go. Each has to be followed by the one after it: what
/// was changed is not thrown away.
pub(super) fn leaving(log: &Path, keep: usize) -> io::Result<Option<Leaving>> {
    let mut paths: Vec<PathBuf> = series::closed(log)?.into_iter().map(|closed| closed.path).collect();
    let count = paths.len().saturating_sub(keep).min(MAX_LEAVING);
    paths.push(log.to_owned());
    let Some(oldest) = paths.first().filter(|_| count > 0) else { return Ok(None) };
    let first = series::base(&File::open(oldest)?)?.map_or(1, |(base, _)| base.seq.saturating_add(1));
    let mut last = None;
    for (this, after) in paths.iter().zip(paths.iter().skip(1)).take(count) {
        last = match joined(this, after)? {
            Some(end) => Some(end),
            None => {
                tracing::error!(file = %this.display(), "stays: it does not end where the next file of the audit log begins");
                return Ok(None);
            }
        };
    }
    paths.truncate(count);
    let Some(last) = last else { return Ok(None) };
    let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
    let event =
        json!({ "event": line::REMOVED, "files": names, "first": first, "last": last.seq, "hash": hex::encode(&last.hash) });
    let body = Body::own(&event).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some(Leaving { paths, body }))
}

/// The end of a file, if the other one follows it.
fn joined(this: &Path, after: &Path) -> io::Result<Option<Mark>> {
    let file = File::open(this)?;
    let Some((base, _)) = series::base(&File::open(after)?)? else { return Ok(None) };
    let end = tail::line_ending_at(&file, file.metadata()?.len())?;
    Ok(end.filter(|bytes| line::hash(bytes) == base.hash).map(|_| base))
}
