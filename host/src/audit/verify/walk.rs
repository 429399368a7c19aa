//! One pass over the file. It stops trusting at the first thing that is wrong, and reads on only to count and to tell what that was.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, BufReader};
use std::time::Duration;

use super::jws::{self, Claims};
use super::{Fault, Place, Report, VerifyOptions, Wrong};
use crate::audit::head::{Found, Head};
use crate::audit::line::{self, Checkpoint, GENESIS, Hash, Line};
use crate::audit::log::CHECKPOINT_REACH;
use crate::audit::tail::{Lines, Piece};
use crate::hex;

/// How often, and how long each time, a writer is waited for that is in the middle of a line.
const WAITS: u32 = 50;
const WAIT: Duration = Duration::from_millis(20);

/// A line that does not continue the chain. What happened shows in the lines after it.
struct Break {
    line: u64,
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
        let (line, wrong) = match self.seq.cmp(&self.expected) {
            // The hash it holds is not that of the line before. The next line witnesses which of the two was changed.
            std::cmp::Ordering::Equal => {
                let itself = self.line == 1 || self.next.is_some_and(|(_, prev)| prev != self.hash);
                (if itself { self.line } else { self.line - 1 }, Wrong::Changed)
            }
            _ if changed_number => (self.line, Wrong::Changed),
            std::cmp::Ordering::Greater if self.expected_later => (self.line, Wrong::Reordered),
            std::cmp::Ordering::Greater => (self.line, Wrong::Missing { from: self.expected, to: self.seq - 1 }),
            std::cmp::Ordering::Less => (self.line, Wrong::Repeated),
        };
        Fault { line: Some(line), wrong }
    }
}

pub(super) struct Walk<'a> {
    options: &'a VerifyOptions<'a>,
    head: Option<Head>,
    head_fault: Option<Wrong>,
    known: Option<Claims>,
    report: Report,
    broken: Option<Break>,
    seq: u64,
    hash: Hash,
    bytes: u64,
    covered: u64,
    /// The first checkpoint that the keys did not sign and that no later one they did sign vouches for: a signature covers the whole log
    /// before it, so that the key of an earlier one need not be at hand any more.
    unsigned: Option<u64>,
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
        let report = Report {
            ok: false,
            fault: None,
            lines: 0,
            checkpoints: 0,
            signed: 0,
            first: None,
            last: None,
            after_checkpoint: 0,
            after_head: 0,
            unchecked: Vec::new(),
        };
        let (broken, recent) = (None, VecDeque::new());
        let (seq, hash, bytes, covered, unsigned) = (0, GENESIS, 0, 0, None);
        Self { options, head, head_fault, known, report, broken, seq, hash, bytes, covered, unsigned, recent }
    }

    pub(super) fn lines(&mut self, file: &File) -> io::Result<()> {
        let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file));
        let mut waits = 0;
        while let Some(piece) = lines.next()? {
            match piece {
                Piece::Whole(bytes) => self.line(bytes),
                Piece::Long(_) => {
                    self.report.lines += 1;
                    self.fault(self.report.lines, Wrong::Malformed);
                }
                Piece::Torn(bytes) => {
                    if waits == WAITS || !in_use(file)? {
                        self.fault(self.report.lines + 1, Wrong::TornTail { bytes });
                        return Ok(());
                    }
                    waits += 1;
                    std::thread::sleep(WAIT);
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) {
        self.report.lines += 1;
        let number = self.report.lines;
        let Some(line) = Line::read(bytes) else { return self.fault(number, Wrong::Malformed) };
        if let Some(broken) = &mut self.broken {
            return broken.follow(&line);
        }
        if self.report.fault.is_some() {
            return;
        }
        let hash = line::hash(bytes);
        let expected = self.seq.saturating_add(1);
        if line.seq != expected || line.prev != self.hash {
            self.broken = Some(Break { line: number, seq: line.seq, hash, expected, next: None, expected_later: false });
            return;
        }
        (self.seq, self.hash) = (line.seq, hash);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64).saturating_add(1);
        if let Some(wrong) = self.check(&line, bytes) {
            return self.fault(number, wrong);
        }
        if self.recent.len() as u64 > CHECKPOINT_REACH {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        let place = Place { seq: line.seq, time: line.time };
        self.report.first.get_or_insert_with(|| place.clone());
        self.report.last = Some(place);
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
        if line.event.as_deref() == Some("checkpoint") {
            return self.checkpoint(bytes).err();
        }
        let open = self.seq.saturating_sub(self.covered);
        self.options.checkpoint_every.filter(|limit| open > *limit).map(|_| Wrong::CheckpointMissing)
    }

    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let checkpoint: Checkpoint = serde_json::from_slice(bytes).map_err(|_| Wrong::CheckpointMalformed)?;
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
                self.unsigned.get_or_insert(self.report.lines);
            }
        }
        self.report.checkpoints += 1;
        self.covered = said.seq.saturating_add(1);
        Ok(())
    }

    /// Keeps the first fault, in the order of the file.
    fn fault(&mut self, line: u64, wrong: Wrong) {
        if self.broken.is_none() && self.report.fault.is_none() {
            self.report.fault = Some(Fault { line: Some(line), wrong });
        }
    }

    pub(super) fn finish(mut self) -> Report {
        let reach = self.head.map_or(0, |head| head.at.seq).max(self.known.map_or(0, |known| known.seq));
        let broken = self.broken.as_ref().map(Break::fault);
        let cut = (self.seq < reach).then(|| Fault { line: Some(self.report.lines + 1), wrong: Wrong::CutOff { reach } });
        let torn = matches!(self.report.fault, Some(Fault { wrong: Wrong::TornTail { .. }, .. }));
        // A log cut off within a line is cut off; only beyond its head is that an unfinished write.
        let found = if torn && cut.is_some() { cut.clone() } else { self.report.fault.take().or(broken) };
        let unsigned = self.unsigned.map(|line| Fault { line: Some(line), wrong: Wrong::CheckpointSignature });
        let missing_head = self.head_fault.take().filter(|wrong| *wrong == Wrong::HeadInvalid || self.report.lines > 0);
        self.report.fault = found.or(cut).or(unsigned).or(missing_head.map(|wrong| Fault { line: None, wrong }));
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
