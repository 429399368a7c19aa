//! Reading a log back, all its files: finds the first line that was changed, removed, moved or added, a file that is missing or in another's
//! place, a log that was cut off, and a checkpoint that nobody of ours signed; and says what it could not check.

mod jws;
mod walk;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::head::{self, Found, SealKey};
use super::series::{self, NoLog};
use crate::bounded;

/// What a log is checked against. The less is given, the more a clever forger could have done unseen; [`Report::unchecked`] lists it.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// Whether a compact JWS is signed with one of our keys.
    pub signature: Option<&'a (dyn Fn(&str) -> bool + Sync)>,
    /// The key that seals the head.
    pub seal: Option<&'a SealKey>,
    /// The `jws` of a checkpoint that was kept elsewhere: the log must still have its line.
    pub known_checkpoint: Option<&'a str>,
    /// No more lines than this may go without a checkpoint.
    pub checkpoint_every: Option<u64>,
}

/// Why a log could not be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file could not be read.
    #[error("the audit log could not be read: {0}")]
    Read(#[from] io::Error),
    /// There is something other than a file.
    #[error("the audit log is not a regular file")]
    NotAFile,
    /// There is no log there, or there are several.
    #[error(transparent)]
    NoLog(#[from] NoLog),
    /// Files are closed or removed faster than they can be opened.
    #[error("the audit log's files change while they are opened: try again")]
    Restless,
    /// The checkpoint that was kept elsewhere is not one.
    #[error("the known checkpoint is not a checkpoint of an audit log")]
    KnownCheckpoint,
    /// The checkpoint that was kept elsewhere is not signed by one of our keys.
    #[error("the known checkpoint is not signed with one of the keys")]
    KnownCheckpointSignature,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Wrong {
    /// No line of an audit log, or over 1 MiB.
    Malformed,
    /// Other than it was written.
    Changed,
    /// Before it, lines are missing.
    Missing {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// In another place than it was written.
    Reordered,
    /// There already is a line of this number.
    Repeated,
    /// The log ends before it.
    CutOff {
        /// The line that the log should reach.
        reach: u64,
    },
    /// Added after the log was closed in good order.
    Appended,
    /// Bytes after the last line: a write that did not finish. The next start sets it right.
    TornTail {
        /// How many.
        bytes: u64,
    },
    /// Zeros after the last line: the log was cut off there, and is as long as before again.
    Padded {
        /// How many bytes follow the last line.
        bytes: u64,
    },
    /// A checkpoint without a line to speak of, or without a JWS.
    CheckpointMalformed,
    /// A checkpoint that speaks of another line than the log has.
    CheckpointMismatch,
    /// A checkpoint that is not signed with one of the keys, and no later one that is vouches for it.
    CheckpointSignature,
    /// Too many lines since the last checkpoint.
    CheckpointMissing,
    /// One of the two entries of the head is spoiled: whether anything followed the last line cannot be told.
    HeadSpoiled,
    /// There is no head file.
    HeadMissing,
    /// The head file is damaged or sealed with another key.
    HeadInvalid,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a line of an audit log"),
            Self::Changed => f.write_str("was changed"),
            Self::Missing { from, to } if from == to => write!(f, "line {from} before it is missing"),
            Self::Missing { from, to } => write!(f, "lines {from} to {to} before it are missing"),
            Self::Reordered => f.write_str("is not where it was written"),
            Self::Repeated => f.write_str("its number stands in the log already"),
            Self::CutOff { reach } => write!(f, "the log is cut off here; it reached line {reach}"),
            Self::Appended => f.write_str("was added after the log was closed"),
            Self::TornTail { bytes } => write!(f, "{bytes} bytes of an unfinished line"),
            Self::Padded { bytes } => write!(f, "the log is cut off here, and filled up to {bytes} bytes more with zeros"),
            Self::CheckpointMalformed => f.write_str("a checkpoint that cannot be read"),
            Self::CheckpointMismatch => f.write_str("a checkpoint of another line than the log has"),
            Self::CheckpointSignature => f.write_str("a checkpoint that is not signed with one of the keys"),
            Self::CheckpointMissing => f.write_str("a checkpoint should have come before it"),
            Self::HeadSpoiled => f.write_str("one entry of the head is spoiled: whether anything followed cannot be told"),
            Self::HeadMissing => f.write_str("there is no head file"),
            Self::HeadInvalid => f.write_str("the head file is damaged or sealed with another key"),
        }
    }
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, where the log has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file, counted from 1; `None` where it is not a line's fault.
    pub line: Option<u64>,
    /// What is wrong with it.
    #[serde(flatten)]
    pub wrong: Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file} ")?;
        }
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.wrong),
            None => self.wrong.fmt(f),
        }
    }
}

/// Files that are not kept any more: what the log says of them, and what is left begins where they end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The last line that is gone.
    pub last: u64,
    /// The line in its file that says so, counted from 1,
    pub line: u64,
    /// and its file.
    pub file: Option<String>,
}

/// Damage that an operator let the log go on after; see [`super::accept_damage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedDamage {
    /// The file, where the log has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file that says so, counted from 1. What was lost stood before it.
    pub line: u64,
    /// When.
    pub time: String,
    /// What was wrong.
    pub damage: String,
}

/// What nobody could check, because something was not given or is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchecked {
    /// No keys were given: a forged checkpoint would not be noticed.
    Signatures,
    /// Some checkpoints were not signed with the keys that were given; a later one that was vouches for what they say.
    OtherKeys,
    /// There is no checkpoint yet: who wrote the log cannot be told.
    NoCheckpoint,
    /// There are checkpoints, but only where the log is not in order any more.
    NoCheckpointInOrder,
    /// Lines after the last checkpoint are not signed.
    AfterCheckpoint,
    /// There is no head file: a log that is cut off would not be noticed.
    NoHead,
    /// No seal key was given: a forged head would not be noticed.
    Seal,
    /// Lines after the head are not sealed; the log is in use, or a crash left it so.
    AfterHead,
    /// No checkpoint kept elsewhere was given: an older log put back with its older head would not be noticed.
    Rollback,
    /// The checkpoint kept elsewhere speaks of a line in a file that is not kept any more.
    KnownGone,
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signatures => "checkpoint signatures: no keys were given",
            Self::OtherKeys => "checkpoints of keys that were not given; a later checkpoint vouches for them",
            Self::NoCheckpoint => "who wrote the log: it has no checkpoint yet",
            Self::NoCheckpointInOrder => "who wrote the log: its checkpoints come after what is wrong",
            Self::AfterCheckpoint => "who wrote the lines after the last checkpoint",
            Self::NoHead => "whether the log is cut off: there is no head file",
            Self::Seal => "whether the head is genuine: no seal key was given",
            Self::AfterHead => "who wrote the lines after the head",
            Self::Rollback => "whether an older log was put back: no checkpoint kept elsewhere was given",
            Self::KnownGone => "the checkpoint kept elsewhere: its line is in a file that is not kept any more",
        })
    }
}

/// A line's number and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The number.
    pub seq: u64,
    /// The time, RFC 3339.
    pub time: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is wrong, as far as it could be checked, and no damage was ever accepted.
    pub ok: bool,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// Damage that was accepted, as far as the log is in order.
    pub accepted: Vec<AcceptedDamage>,
    /// How many files the log has.
    pub files: u64,
    /// What was removed before the first of them, where the log says so.
    pub removed: Option<Removed>,
    /// Lines in the files.
    pub lines: u64,
    /// Lines of checkpoints among those in order.
    pub checkpoints: u64,
    /// Checkpoints whose signature was checked and right.
    pub signed: u64,
    /// The first line in order.
    pub first: Option<Place>,
    /// The last line in order.
    pub last: Option<Place>,
    /// Lines in order after the last that a checkpoint covers.
    pub after_checkpoint: u64,
    /// Lines in order after the last that the head covers.
    pub after_head: u64,
    /// What could not be checked.
    pub unchecked: Vec<Unchecked>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            None if self.accepted.is_empty() => writeln!(f, "ok: nothing wrong was found")?,
            None => writeln!(f, "damaged: what was accepted stays lost; nothing else wrong was found")?,
            Some(fault) => writeln!(f, "wrong: {fault}")?,
        }
        for AcceptedDamage { file, line, time, damage } in &self.accepted {
            let file = file.as_ref().map(|file| format!("{file} ")).unwrap_or_default();
            writeln!(f, "accepted: {file}line {line} ({time}): {damage}")?;
        }
        if let Some(Removed { last, line, file }) = &self.removed {
            let file = file.as_ref().map(|file| format!("{file} ")).unwrap_or_default();
            writeln!(f, "removed: lines 1 to {last}, which are not kept any more ({file}line {line} says so)")?;
        }
        write!(f, "lines: {} ({} checkpoints, {} with a signature that was checked)", self.lines, self.checkpoints, self.signed)?;
        writeln!(f, "{}", if self.files > 1 { format!(" in {} files", self.files) } else { String::new() })?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            writeln!(f, "in order: {} ({}) to {} ({})", first.seq, first.time, last.seq, last.time)?;
        }
        writeln!(f, "after the last checkpoint: {}; after the head: {}", self.after_checkpoint, self.after_head)?;
        self.unchecked.iter().try_for_each(|unchecked| writeln!(f, "not checked: {unchecked}"))
    }
}

/// Checks the log that `path` means, a line at a time, also while it is being written: the log with the files that were closed before it,
/// whether its folder is named, the log, or one of those.
///
/// # Errors
/// Where it cannot be read. What is wrong with it stands in the report.
pub fn verify(path: &Path, options: &VerifyOptions<'_>) -> Result<Report, VerifyError> {
    let known = options.known_checkpoint.map(|jws| known_checkpoint(jws, options)).transpose()?;
    let log = series::log_of(path)?;
    // The head first: a log that is being written only grows after it.
    let head = head::read(&log, options.seal)?;
    let files = open_all(&log)?;
    let mut walk = walk::Walk::new(options, head, known);
    let several = files.len() > 1;
    for (path, file) in &files {
        walk.file(several.then(|| series::name(path)), file)?;
    }
    let has_checkpoints = walk.has_checkpoints();
    let begins = walk.begins();
    let mut report = walk.finish();
    report.unchecked = unchecked(&report, head, has_checkpoints, options);
    if known.is_some_and(|known| known.seq <= begins) {
        report.unchecked.push(Unchecked::KnownGone);
    }
    report.ok = report.fault.is_none() && report.accepted.is_empty();
    Ok(report)
}

/// How often to begin anew where a file is closed or removed while they are opened.
const LOOKS: u32 = 10;

/// Every file of the log, open: from then on none can be renamed or removed under the reader.
fn open_all(log: &Path) -> Result<Vec<(PathBuf, File)>, VerifyError> {
    for _ in 0..LOOKS {
        let paths = series::files(log)?;
        let opened: io::Result<Vec<_>> = paths.iter().map(|path| Ok((path.clone(), bounded::open_regular(path)?))).collect();
        let again = series::files(log)?;
        match opened {
            Ok(opened) if again == paths => {
                let regular = opened.into_iter().map(|(path, file)| Some((path, file?))).collect::<Option<_>>();
                return regular.ok_or(VerifyError::NotAFile);
            }
            Err(error) if again == paths => return Err(VerifyError::Read(error)),
            Ok(_) | Err(_) => {}
        }
    }
    Err(VerifyError::Restless)
}

fn known_checkpoint(jws: &str, options: &VerifyOptions<'_>) -> Result<jws::Claims, VerifyError> {
    let claims = jws::claims(jws).ok_or(VerifyError::KnownCheckpoint)?;
    match options.signature {
        Some(signature) if !signature(jws) => Err(VerifyError::KnownCheckpointSignature),
        Some(_) | None => Ok(claims),
    }
}

fn unchecked(report: &Report, head: Found, has_checkpoints: bool, options: &VerifyOptions<'_>) -> Vec<Unchecked> {
    let with_head = matches!(head, Found::Valid(_));
    [
        (options.signature.is_none(), Unchecked::Signatures),
        (options.signature.is_some() && report.signed < report.checkpoints, Unchecked::OtherKeys),
        (!has_checkpoints, Unchecked::NoCheckpoint),
        (has_checkpoints && report.checkpoints == 0, Unchecked::NoCheckpointInOrder),
        (report.checkpoints > 0 && report.after_checkpoint > 0, Unchecked::AfterCheckpoint),
        (!with_head, Unchecked::NoHead),
        (options.seal.is_none(), Unchecked::Seal),
        (with_head && report.after_head > 0, Unchecked::AfterHead),
        (options.known_checkpoint.is_none(), Unchecked::Rollback),
    ]
    .into_iter()
    .filter_map(|(applies, unchecked)| applies.then_some(unchecked))
    .collect()
}

#[cfg(test)]
mod tests;
