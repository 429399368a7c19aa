//! The files of a log: the one that is written, and those that were closed before it, numbered in the order they were written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::file::{beside, folder};
use super::head;
use super::line::{self, Line, MAX_LINE, Mark};

/// The least digits of a closed file's number.
const DIGITS: usize = 6;

/// A file that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

/// `<log>.000001`.
pub(super) fn closed_path(log: &Path, number: u64) -> PathBuf {
    beside(log, &format!(".{number:0DIGITS$}"))
}

/// `<log>.next`: the file that is to follow, while it is being made.
pub(super) fn next_path(log: &Path) -> PathBuf {
    beside(log, ".next")
}

/// The last part of a path, for people and for lines of the log.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The log that a closed file belongs to, and its number.
fn parts(path: &Path) -> Option<(PathBuf, u64)> {
    let (log, number) = path.file_name()?.to_str()?.rsplit_once('.')?;
    let all_digits = number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    if log.is_empty() || !all_digits {
        return None;
    }
    Some((path.with_file_name(log), number.parse().ok()?))
}

/// The closed files of a log, the oldest first.
pub(super) fn closed(log: &Path) -> io::Result<Vec<Closed>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder(log))? {
        // As the log is named, not as the folder is opened: `./audit.jsonl` and `audit.jsonl` are one.
        let path = log.with_file_name(entry?.file_name());
        if let Some((of, number)) = parts(&path)
            && of.file_name() == log.file_name()
        {
            found.push(Closed { number, path });
        }
    }
    found.sort_by_key(|closed| closed.number);
    Ok(found)
}

/// Before the first line of a file, as that line says; `None` where there is none that can be read.
pub(super) fn base(file: &File) -> io::Result<Option<(Mark, Line)>> {
    let mut first = Vec::new();
    let mut from_start = file;
    io::Seek::seek(&mut from_start, io::SeekFrom::Start(0))?;
    BufReader::new(from_start).take(MAX_LINE as u64).read_until(b'\n', &mut first)?;
    if first.pop() != Some(b'\n') {
        return Ok(None);
    }
    let line = Line::read(&first);
    Ok(line.and_then(|line| Some((Mark { seq: line.seq.checked_sub(1)?, hash: line.prev, len: 0 }, line))))
}

/// The number of the file that begins with this line.
pub(super) fn number_of(first: Option<&Line>) -> u64 {
    first.filter(|line| line.event.as_deref() == Some(line::CONTINUED)).and_then(|line| line.file).unwrap_or(1)
}

/// Why the files of a log cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    /// The folder or a file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no log in the folder.
    #[error("{} holds no audit log", .0.display())]
    None(PathBuf),
    /// There are several.
    #[error("{} holds several audit logs: name one of {named}", folder.display())]
    Several {
        /// The folder.
        folder: PathBuf,
        /// Their names.
        named: String,
    },
}

/// The log that a path means: its folder, the log itself, or one of its closed files.
pub(super) fn log_of(path: &Path) -> Result<PathBuf, NoLog> {
    if !path.is_dir() {
        return Ok(parts(path).map_or_else(|| path.to_owned(), |(log, _)| log));
    }
    let unreadable = |source| NoLog::Io { path: path.to_owned(), source };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        let of_head = head::log_of(&entry);
        found.extend(of_head.or_else(|| parts(&entry).map(|(log, _)| log)));
    }
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => Err(NoLog::None(path.to_owned())),
        [log] => Ok(log.clone()),
        several => {
            let named = several.iter().map(|log| name(log)).collect::<Vec<_>>().join(", ");
            Err(NoLog::Several { folder: path.to_owned(), named })
        }
    }
}

/// The files of the log that `path` means, in the order they were written: for whoever reads a log from its beginning. A closed file is
/// only itself here; its folder, and the log, mean all of them.
///
/// # Errors
/// Where there is no log, or there are several.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, NoLog> {
    if !path.is_dir() && parts(path).is_some() {
        return Ok(vec![path.to_owned()]);
    }
    let log = log_of(path)?;
    let unreadable = |source| NoLog::Io { path: path.to_owned(), source };
    let closed = match closed(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        closed => closed.map_err(unreadable)?,
    };
    let mut files: Vec<PathBuf> = closed.into_iter().map(|closed| closed.path).collect();
    // Between two renames there is none.
    if log.exists() || files.is_empty() {
        files.push(log);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_files_are_told_by_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("audit.jsonl");
        for name in ["audit.jsonl", "audit.jsonl.head", "audit.jsonl.000010", "audit.jsonl.000002", "audit.jsonl.1000000"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        for other in ["audit.jsonl.1", "audit.jsonl.torn-1", "audit.jsonl.next", "audit.jsonl.000003.gz", "other.jsonl.000004"] {
            std::fs::write(folder.path().join(other), "").unwrap();
        }
        let numbers = |log: &Path| closed(log).unwrap().into_iter().map(|closed| closed.number).collect::<Vec<_>>();
        assert_eq!(numbers(&log), [2, 10, 1_000_000]);
        assert_eq!(closed_path(&log, 2), folder.path().join("audit.jsonl.000002"));
        assert!(matches!(log_of(folder.path()), Err(NoLog::Several { named, .. }) if named == "audit.jsonl, other.jsonl"));
        std::fs::remove_file(folder.path().join("other.jsonl.000004")).unwrap();
        assert_eq!(log_of(folder.path()).unwrap(), log);
        assert_eq!(log_of(&closed_path(&log, 2)).unwrap(), log);
        let names = |path: &Path| files(path).unwrap().iter().map(|path| name(path)).collect::<Vec<_>>();
        let all = ["audit.jsonl.000002", "audit.jsonl.000010", "audit.jsonl.1000000", "audit.jsonl"];
        assert_eq!((names(folder.path()), names(&log)), (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec()));
        assert_eq!(names(&closed_path(&log, 10)), ["audit.jsonl.000010"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(files(empty.path()), Err(NoLog::None(_))));
        assert_eq!(files(&empty.path().join("none.jsonl")).unwrap(), [empty.path().join("none.jsonl")]);
    }
}
