//! The head: a small file beside the log that says how far the log reaches, so that a log cut off at its end is noticed.
//!
//! It has two slots of one sector each, written in turn and sealed with HMAC-SHA256. From the first write on both are there, and the older
//! one is that of the write before. A crash leaves nothing else: a process is not killed within a write of one sector, and a disk writes a
//! sector whole or not at all, so that a slot that was being written holds what it held before, or what it was to hold; both lie in one
//! block. So beside a slot that is spoiled nobody knows how far the log reached, and that is damage. What remains is a loss of power in the
//! very moment in which the system hands a slot to the disk: it may leave half of it, and has to pass for damage, because nothing tells the
//! two apart.
//!
//! It says nothing about someone who puts back an older log together with its older head; only a checkpoint kept elsewhere does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::hmac;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::file::{Displaced, LogFile, UnsafePlace, beside};
use super::line::Mark;
use crate::hex;

const MAGIC: &str = "standin-audit-head/1";
const SLOT: usize = 512;
/// How often, and how long after each other, to look at a head that is not whole.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// The key that seals the head: 32 bytes that whoever may write the log's folder does not know.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// Takes the key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice())
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey([redacted])")
    }
}

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The log has this line and these bytes, and more only if the head is not closed.
    pub(super) at: Mark,
    /// The log was closed in good order here.
    pub(super) closed: bool,
    /// The other slot is not that of the write before: what this one says may not be the newest.
    pub(super) alone: bool,
    generation: u64,
}

/// What stands in the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no such file, or it is empty.
    Missing,
    /// No slot of it holds a head with the right seal.
    Invalid,
    /// The newest head that can be read.
    Valid(Head),
}

/// `<log>.head`.
pub(super) fn path_of(log: &Path) -> PathBuf {
    beside(log, ".head")
}

/// The log whose head this is.
pub(super) fn log_of(head: &Path) -> Option<PathBuf> {
    let log = head.file_name()?.to_str()?.strip_suffix(".head").filter(|log| !log.is_empty())?;
    Some(head.with_file_name(log))
}

/// Reads the sidecar of `log`. Without a key the seals are not checked.
pub(super) fn read(log: &Path, seal: Option<&SealKey>) -> io::Result<Found> {
    let mut looks = 0;
    loop {
        let found = match File::open(path_of(log)) {
            Ok(file) => read_file(file, seal)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => return Err(error),
        };
        // A slot that looks spoiled may only be in the middle of being written.
        looks += 1;
        match found {
            Found::Valid(Head { alone: true, .. }) | Found::Invalid if looks < LOOKS => std::thread::sleep(BETWEEN_LOOKS),
            Found::Valid(_) | Found::Invalid | Found::Missing => return Ok(found),
        }
    }
}

fn read_file(file: impl Read, seal: Option<&SealKey>) -> io::Result<Found> {
    let mut bytes = Vec::with_capacity(2 * SLOT);
    file.take(2 * SLOT as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(Found::Missing);
    }
    let key = seal.map(SealKey::hmac);
    let slots: Vec<Head> = bytes.chunks_exact(SLOT).filter_map(|slot| parse(slot, key.as_ref())).collect();
    let Some(newest) = slots.iter().max_by_key(|head| head.generation) else { return Ok(Found::Invalid) };
    let alone = !slots.iter().any(|other| other.generation.checked_add(1) == Some(newest.generation));
    Ok(Found::Valid(Head { alone, ..*newest }))
}

fn parse(slot: &[u8], key: Option<&hmac::Key>) -> Option<Head> {
    let text = std::str::from_utf8(slot).ok()?;
    let (said, seal) = text.trim_end().rsplit_once(' ')?;
    let seal = hex::decode(seal)?;
    if let Some(key) = key {
        hmac::verify(key, said.as_bytes(), &seal).ok()?;
    }
    let fields: Vec<&str> = said.split(' ').collect();
    let [magic, state, generation, seq, hash, len] = fields.as_slice() else { return None };
    let closed = match *state {
        "open" => false,
        "closed" => true,
        _ => return None,
    };
    let at = Mark { seq: seq.parse().ok()?, hash: hex::decode(hash)?, len: len.parse().ok()? };
    (*magic == MAGIC).then_some(Head { at, closed, alone: false, generation: generation.parse().ok()? })
}

/// The sidecar, open for writing.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    placed: LogFile,
    key: hmac::Key,
    generation: u64,
    at: Option<Mark>,
}

impl HeadFile {
    /// Opens or makes the sidecar of `log`, and says what stood in it.
    pub(super) fn open(log: &Path, seal: &SealKey) -> io::Result<(Self, Found)> {
        let path = path_of(log);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path)?;
        let found = read_file(&file, Some(seal))?;
        let generation = match found {
            Found::Valid(head) => head.generation,
            Found::Missing | Found::Invalid => 0,
        };
        let placed = LogFile::new(file.try_clone()?, &path)?;
        Ok((Self { file, placed, key: seal.hmac(), generation, at: None }, found))
    }

    /// Writes a head over the older slot; the first one over both, in one piece.
    pub(super) fn store(&mut self, at: Mark, closed: bool) -> io::Result<()> {
        let generation = if self.generation == 0 {
            let both = [self.slot(1, at, closed), self.slot(2, at, closed)].concat();
            self.file.write_all_at(both.as_bytes(), 0)?;
            2
        } else {
            let next = self.generation.saturating_add(1);
            let offset = if next.is_multiple_of(2) { SLOT as u64 } else { 0 };
            self.file.write_all_at(self.slot(next, at, closed).as_bytes(), offset)?;
            next
        };
        (self.generation, self.at) = (generation, Some(at));
        Ok(())
    }

    fn slot(&self, generation: u64, at: Mark, closed: bool) -> String {
        let state = if closed { "closed" } else { "open" };
        let said = format!("{MAGIC} {state} {generation:020} {:020} {} {:020}", at.seq, hex::encode(&at.hash), at.len);
        let seal = hex::encode(hmac::sign(&self.key, said.as_bytes()).as_ref());
        format!("{:<width$}\n", format!("{said} {seal}"), width = SLOT - 1)
    }

    /// Whether it is still where it was opened.
    pub(super) fn is_in_place(&self) -> Result<(), Displaced> {
        self.placed.is_in_place()
    }

    /// Whether nobody else may write it.
    pub(super) fn check(&self) -> Result<(), UnsafePlace> {
        super::file::check_file(self.placed.path(), &self.file)
    }

    /// What was written here last.
    pub(super) fn at(&self) -> Option<Mark> {
        self.at
    }

    /// Throws away what stands there.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Makes the head itself durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seq: u64) -> Mark {
        Mark { seq, hash: crate::audit::line::hash(&seq.to_le_bytes()), len: seq * 100 }
    }

    fn found(log: &Path, seal: &SealKey) -> Head {
        let Found::Valid(head) = read(log, Some(seal)).unwrap() else { panic!("no head") };
        head
    }

    #[test]
    fn keeps_the_newest_and_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let seal = SealKey::new([7; 32]);
        let (mut head, nothing) = HeadFile::open(&log, &seal).unwrap();
        assert_eq!(nothing, Found::Missing);
        for seq in 1..=3 {
            head.store(mark(seq), seq == 3).unwrap();
            assert_eq!(std::fs::metadata(path_of(&log)).unwrap().len(), 2 * SLOT as u64, "both slots, from the first write on");
            assert!(!found(&log, &seal).alone);
        }
        let newest = found(&log, &seal);
        assert_eq!((newest.at, newest.closed), (mark(3), true));

        // The newest slot is spoiled: the one before it still stands, and it is known that it may not be the newest.
        let whole = std::fs::read(path_of(&log)).unwrap();
        for spoil in [|slot: &mut [u8]| slot[100] ^= 1, |slot: &mut [u8]| slot.fill(0)] {
            let mut bytes = whole.clone();
            spoil(&mut bytes[SLOT..]);
            std::fs::write(path_of(&log), &bytes).unwrap();
            let older = found(&log, &seal);
            assert_eq!((older.at, older.closed, older.alone), (mark(2), false, true));
        }
        std::fs::write(path_of(&log), &whole[..SLOT]).unwrap();
        assert!(found(&log, &seal).alone);
        // Whoever goes on from it writes over what was spoiled.
        let (mut head, _) = HeadFile::open(&log, &seal).unwrap();
        head.store(mark(4), false).unwrap();
        assert_eq!((found(&log, &seal).at, found(&log, &seal).alone), (mark(4), false));
    }

    #[test]
    fn refuses_another_seal() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        HeadFile::open(&log, &SealKey::new([7; 32])).unwrap().0.store(mark(1), false).unwrap();
        assert_eq!(read(&log, Some(&SealKey::new([8; 32]))).unwrap(), Found::Invalid);
        assert!(matches!(read(&log, None).unwrap(), Found::Valid(_)));
    }

    #[test]
    fn the_seal_key_does_not_print() {
        assert_eq!(format!("{:?}", SealKey::new([7; 32])), "SealKey([redacted])");
    }
}
