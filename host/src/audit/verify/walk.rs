//! One pass over the files. It stops trusting at the first thing that is wrong, and reads on only to count and to tell what that was.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::Duration;

use super::jws::{self, Claims};
use super::{AcceptedDamage, Fault, Place, Removed, Report, VerifyOptions, Wrong};
use crate::audit::head::{Found, Head};
use crate::audit::line::{self, CHECKPOINT, CONTINUED, Checkpoint, DAMAGE_ACCEPTED, GENESIS, Hash, Line, REMOVED};
use crate::audit::log::CHECKPOINT_REACH;
use crate::audit::tail::{Lines, Piece};
use crate::hex;
use crate::json;

/// How often, and how long each time, a writer is waited for that is in the middle of a line.
const WAITS: u32 = 50;
const WAIT: Duration = Duration::from_millis(20);

/// Where a line stands.
#[derive(Debug, Clone, Default)]
struct Spot {
    file: Option<Arc<str>>,
    line: u64,
}

impl Spot {
    fn fault(&self, wrong: Wrong) -> Fault {
        Fault { file: self.file(), line: Some(self.line), wrong }
    }

    fn file(&self) -> Option<String> {
        self.file.as_deref().map(str::to_owned)
    }
}

/// A line that does not continue the chain. What happened shows in the lines after it.
struct Break {
    here: Spot,
    /// The line before it, if there is one.
    before: Option<Spot>,
    seq: u64,
    hash: Hash,
    expected: u64,
    /// The number of the next line and the hash it holds.
    next: Option<(u64, Hash)>,
    /// The expected line comes later.
    expected_later: bool,
}

impl Break {
    fn follow(&mut self, line: &Line) {
        self.next.get_or_insert((line.seq, line.prev));
        self.expected_later |= line.seq == self.expected;
    }

    fn fault(&self) -> Fault {
        let changed_number = !self.expected_later && self.next.is_some_and(|(seq, _)| seq == self.expected.saturating_add(1));
        let (spot, wrong) = match (self.seq.cmp(&self.expected), &self.before) {
            // The hash it holds is not that of the line before. The next line witnesses which of the two was changed.
            (std::cmp::Ordering::Equal, Some(before)) if self.next.is_none_or(|(_, prev)| prev == self.hash) => {
                (before, Wrong::Changed)
            }
            (std::cmp::Ordering::Equal, _) => (&self.here, Wrong::Changed),
            _ if changed_number => (&self.here, Wrong::Changed),
            (std::cmp::Ordering::Greater, _) if self.expected_later => (&self.here, Wrong::Reordered),
            (std::cmp::Ordering::Greater, _) => (&self.here, Wrong::Missing { from: self.expected, to: self.seq - 1 }),
            (std::cmp::Ordering::Less, _) => (&self.here, Wrong::Repeated),
        };
        spot.fault(wrong)
    }
}

/// What the first line that is there follows: lines that are gone.
struct Begins {
    spot: Spot,
    seq: u64,
    hash: Hash,
    /// Some of them stand further on.
    elsewhere: bool,
}

pub(super) struct Walk<'a> {
    options: &'a VerifyOptions<'a>,
    head: Option<Head>,
    head_fault: Option<Wrong>,
    known: Option<Claims>,
    report: Report,
    broken: Option<Break>,
    /// Set where the first line is not the first that was written.
    begins: Option<Begins>,
    /// The line that is looked at, and the one before it.
    spot: Spot,
    before: Option<Spot>,
    seq: u64,
    hash: Hash,
    bytes: u64,
    covered: u64,
    /// There is a checkpoint somewhere, be it where the log is not in order.
    has_checkpoints: bool,
    /// The first checkpoint that the keys did not sign and that no later one they did sign vouches for: a signature covers the whole log
    /// before it, so that the key of an earlier one need not be at hand any more.
    unsigned: Option<Spot>,
    /// Hashes of the last lines, for the checkpoints that speak of them.
    recent: VecDeque<Hash>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(options: &'a VerifyOptions<'a>, found: Found, known: Option<Claims>) -> Self {
        let (head, head_fault) = match found {
            Found::Valid(head) => (Some(head), None),
            Found::Invalid => (None, Some(Wrong::HeadInvalid)),
            Found::Missing => (None, options.seal.map(|_| Wrong::HeadMissing)),
        };
        Self {
            options,
            head,
            head_fault,
            known,
            report: Report::default(),
            broken: None,
            begins: None,
            spot: Spot::default(),
            before: None,
            seq: 0,
            hash: GENESIS,
            bytes: 0,
            covered: 0,
            has_checkpoints: false,
            unsigned: None,
            // Before the first line stands what that line holds: a log may be closed before anything was written.
            recent: VecDeque::from([GENESIS]),
        }
    }

    pub(super) fn has_checkpoints(&self) -> bool {
        self.has_checkpoints
    }

    /// After which line the first one comes that is there.
    pub(super) fn begins(&self) -> u64 {
        self.begins.as_ref().map_or(0, |begins| begins.seq)
    }

    /// The next file; `name` where there are several.
    pub(super) fn file(&mut self, name: Option<String>, file: &File) -> io::Result<()> {
        self.report.files += 1;
        if self.spot.line > 0 {
            self.before = Some(self.spot.clone());
        }
        self.spot = Spot { file: name.map(Arc::from), line: 0 };
        self.bytes = 0;
        let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file));
        let mut waits = 0;
        while let Some(piece) = lines.next()? {
            match piece {
                Piece::Whole(bytes) => {
                    self.step();
                    self.line(bytes);
                }
                Piece::Long(_) => {
                    self.step();
                    self.fault(Wrong::Malformed);
                }
                Piece::Torn(bytes) => {
                    if waits == WAITS || !in_use(file)? {
                        self.spot.line += 1;
                        self.fault(if lines.has_zeros() { Wrong::Padded { bytes } } else { Wrong::TornTail { bytes } });
                        self.spot.line -= 1;
                        return Ok(());
                    }
                    waits += 1;
                    std::thread::sleep(WAIT);
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) {
        if self.spot.line > 0 {
            self.before = Some(self.spot.clone());
        }
        self.report.lines += 1;
        self.spot.line += 1;
    }

    fn line(&mut self, bytes: &[u8]) {
        let Some(line) = Line::read(bytes) else { return self.fault(Wrong::Malformed) };
        self.has_checkpoints |= line.event.as_deref() == Some(CHECKPOINT);
        if let Some(begins) = &mut self.begins {
            begins.elsewhere |= line.seq <= begins.seq;
        }
        if let Some(broken) = &mut self.broken {
            return broken.follow(&line);
        }
        if self.report.fault.is_some() {
            return;
        }
        let hash = line::hash(bytes);
        self.begin(&line);
        let expected = self.seq.saturating_add(1);
        if line.seq != expected || line.prev != self.hash {
            let (here, before) = (self.spot.clone(), self.before.clone());
            self.broken = Some(Break { here, before, seq: line.seq, hash, expected, next: None, expected_later: false });
            return;
        }
        (self.seq, self.hash) = (line.seq, hash);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64).saturating_add(1);
        if let Some(wrong) = self.check(&line, bytes) {
            return self.fault(wrong);
        }
        if self.recent.len() as u64 > CHECKPOINT_REACH {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        self.note(&line, bytes);
        let place = Place { seq: line.seq, time: line.time };
        self.report.first.get_or_insert_with(|| place.clone());
        self.report.last = Some(place);
    }

    /// A log whose first files are gone begins with the line that begins a file. Whether they may be gone, a later line tells.
    fn begin(&mut self, line: &Line) {
        let begins_a_file = matches!(line.event.as_deref(), Some(CONTINUED | DAMAGE_ACCEPTED));
        if self.report.lines > 1 || line.seq <= 1 || !begins_a_file {
            return;
        }
        (self.seq, self.hash, self.covered) = (line.seq - 1, line.prev, line.seq - 1);
        self.recent = VecDeque::from([line.prev]);
        self.begins = Some(Begins { spot: self.spot.clone(), seq: self.seq, hash: self.hash, elsewhere: false });
    }

    /// What the log says of itself.
    fn note(&mut self, line: &Line, bytes: &[u8]) {
        match line.event.as_deref() {
            Some(DAMAGE_ACCEPTED) => {
                let (damage, time) = (line::damage(bytes), line.time.clone());
                self.report.accepted.push(AcceptedDamage { file: self.spot.file(), line: self.spot.line, time, damage });
            }
            // It says no more than the line before it, which closes the other file.
            Some(CONTINUED) if self.covered.saturating_add(1) == self.seq => self.covered = self.seq,
            Some(REMOVED) => {
                let begins = self.begins.as_ref().map(|begins| (begins.seq, begins.hash));
                if let Some((last, _)) = line::removed(bytes).filter(|removed| begins == Some(*removed)) {
                    self.report.removed.get_or_insert(Removed { last, line: self.spot.line, file: self.spot.file() });
                }
            }
            Some(_) | None => {}
        }
    }

    /// What else is known of a line that continues the chain.
    fn check(&mut self, line: &Line, bytes: &[u8]) -> Option<Wrong> {
        let rewritten = |head: Head| head.at.seq == self.seq && (head.at.hash != self.hash || head.at.len != self.bytes);
        if self.head.is_some_and(rewritten) {
            return Some(Wrong::Changed);
        }
        if self.known.is_some_and(|known| known.seq == self.seq && known.hash != self.hash) {
            return Some(Wrong::Changed);
        }
        if self.head.is_some_and(|head| head.closed && self.seq > head.at.seq) {
            return Some(Wrong::Appended);
        }
        if line.event.as_deref() == Some(CHECKPOINT) {
            return self.checkpoint(bytes).err();
        }
        let open = self.seq.saturating_sub(self.covered);
        self.options.checkpoint_every.filter(|limit| open > *limit).map(|_| Wrong::CheckpointMissing)
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let checkpoint: Checkpoint = json::from_slice(bytes).map_err(|_| Wrong::CheckpointMalformed)?;
        let said = hex::decode(&checkpoint.head.hash).ok_or(Wrong::CheckpointMalformed)?;
        let said = Claims { seq: checkpoint.head.seq, hash: said };
        let signed = jws::claims(&checkpoint.jws).ok_or(Wrong::CheckpointMalformed)?;
        // This line itself is not among the recent ones yet, so the last of them is the line before.
        let back = self.seq.checked_sub(said.seq).and_then(|back| usize::try_from(back).ok());
        let index = back.and_then(|back| self.recent.len().checked_sub(back));
        let stands = index.and_then(|index| self.recent.get(index));
        if signed != said || stands != Some(&said.hash) {
            return Err(Wrong::CheckpointMismatch);
        }
        if let Some(signature) = self.options.signature {
            if signature(&checkpoint.jws) {
                self.report.signed += 1;
                self.unsigned = None;
            } else {
                self.unsigned.get_or_insert(self.spot.clone());
            }
        }
        self.report.checkpoints += 1;
        self.covered = said.seq.saturating_add(1);
        Ok(())
    }

    /// Keeps the first fault, in the order of the files.
    fn fault(&mut self, wrong: Wrong) {
        if self.broken.is_none() && self.report.fault.is_none() {
            self.report.fault = Some(self.spot.fault(wrong));
        }
    }

    /// What is wrong with where the log begins: nothing, where it says itself that what came before was removed.
    fn begun(&self) -> Option<Fault> {
        let begins = self.begins.as_ref().filter(|_| self.report.removed.is_none())?;
        let wrong = if begins.elsewhere { Wrong::Reordered } else { Wrong::Missing { from: 1, to: begins.seq } };
        Some(begins.spot.fault(wrong))
    }

    pub(super) fn finish(mut self) -> Report {
        let reach = self.head.map_or(0, |head| head.at.seq).max(self.known.map_or(0, |known| known.seq));
        let broken = self.broken.as_ref().map(Break::fault);
        let after = Spot { line: self.spot.line + 1, ..self.spot.clone() };
        let cut = (self.seq < reach).then(|| after.fault(Wrong::CutOff { reach }));
        let torn = matches!(self.report.fault, Some(Fault { wrong: Wrong::TornTail { .. }, .. }));
        // A log cut off within a line is cut off; only beyond its head is that an unfinished write.
        let found = if torn && cut.is_some() { cut.clone() } else { self.report.fault.take().or(broken) };
        let unsigned = self.unsigned.take().map(|spot| spot.fault(Wrong::CheckpointSignature));
        let spoiled = self.head.is_some_and(|head| head.alone);
        let spoiled = spoiled.then(|| self.spot.fault(Wrong::HeadSpoiled));
        let missing_head = self.head_fault.take().filter(|wrong| *wrong == Wrong::HeadInvalid || self.report.lines > 0);
        let missing_head = missing_head.map(|wrong| Fault { file: None, line: None, wrong });
        self.report.fault = self.begun().or(found).or(cut).or(spoiled).or(unsigned).or(missing_head);
        self.report.after_checkpoint = self.seq.saturating_sub(self.covered);
        self.report.after_head = self.seq.saturating_sub(self.head.map_or(0, |head| head.at.seq));
        self.report
    }
}

fn in_use(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
