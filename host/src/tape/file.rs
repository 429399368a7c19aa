//! A tape on disk: a line that says what it is, a header anybody may read, and the rest sealed.
//!
//! ```text
//! standin-tape 1\n
//! {"standin":"0.1.0",…}\n      the header; the seal covers it
//! 12 bytes nonce
//! pieces, sealed with AES-256-GCM, and the tag
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Bytes;
use super::entry::{Call, Completed, Import, Kind, Outcome, Piece, decode};
use super::key::{NONCE, TAG, TapeKey};
use crate::{bounded, json};

/// The format of this version.
const FORMAT: &str = "1";
/// What every tape begins with.
const MAGIC: &str = "standin-tape ";
/// The longest tape that is written, and that is looked at.
pub const MAX_TAPE: usize = 16 << 20;
/// The longest header, in bytes.
const MAX_HEADER: usize = 4 * 1024;

/// What anybody may know of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version that recorded it.
    pub standin: String,
    /// Lowercase hex SHA-256 of the component.
    pub component: String,
    /// The request's correlation id.
    pub correlation_id: String,
    /// When it began, in milliseconds since the epoch.
    pub time: u64,
    /// The first call, as [`Call::name`] has it.
    pub call: String,
    /// Linear memory of the sandbox, in bytes.
    pub memory: u64,
    /// What the component could compute, in milliseconds.
    pub cpu: u64,
    /// The id of the key that seals it.
    pub key: String,
}

/// Why a tape cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not begin like one.
    #[error("this is no tape")]
    NoTape,
    /// It is of another version's format.
    #[error("the tape is in format {0:?}; this version reads format {FORMAT}")]
    Format(String),
    /// It was sealed with another key.
    #[error("the tape was sealed with key {sealed}, not with key {given}")]
    OtherKey {
        /// The id of the key it was sealed with.
        sealed: String,
        /// The id of the key that was given.
        given: String,
    },
    /// Its seal is broken: somebody altered it, or it is not whole.
    #[error("the tape was altered, or it is not whole: its seal is broken")]
    Altered,
    /// The seal is right and what is under it is not.
    #[error("the tape cannot be read: {0}")]
    Malformed(&'static str),
}

/// One question of the component.
pub(crate) struct Question {
    pub(crate) import: Import,
    pub(crate) question: Bytes,
    /// `None` where none was given before the sandbox was thrown away.
    pub(crate) answer: Option<Bytes>,
    /// What the policy was asked, for `decision-point.judge`.
    pub(crate) completed: Option<Completed>,
}

/// One call of the component.
pub(crate) struct RecordedCall {
    pub(crate) call: Call<'static>,
    /// Where the questions begin that it asked.
    pub(crate) first: usize,
    /// `None` where the caller gave up before it ended.
    pub(crate) outcome: Option<Outcome>,
}

/// An opened tape.
pub struct Opened {
    pub(crate) header: Header,
    /// All of them in their order; the first may have been asked while the sandbox was made, before any call.
    pub(crate) questions: Arc<Vec<Question>>,
    pub(crate) calls: Vec<RecordedCall>,
    /// The code of the failure that the host gave instead of the component's answer.
    pub(crate) replaced: Option<String>,
}

impl std::fmt::Debug for Opened {
    /// Questions and answers carry credentials and tokens.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opened").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Opened {
    /// Reads and opens a file.
    ///
    /// # Errors
    /// Where it is no tape, another key's, altered, or cannot be read.
    pub fn read(path: &Path, key: &TapeKey) -> Result<Self, TapeError> {
        let most = (MAX_HEADER + NONCE + MAX_TAPE + TAG) as u64;
        let read = std::fs::File::open(path).and_then(|file| bounded::read(file, most));
        Self::open(&read.map_err(|source| TapeError::Unreadable { path: path.to_owned(), source })?, key)
    }

    /// Opens the bytes of a file.
    ///
    /// # Errors
    /// Where they are no tape, another key's, altered, or cannot be read.
    pub fn open(tape: &[u8], key: &TapeKey) -> Result<Self, TapeError> {
        let (header, pieces) = unseal(tape, key)?;
        arrange(header, &pieces)
    }

    /// What anybody may know of it.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// The first line, not over the length of a header, and what comes behind it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(MAX_HEADER).position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..)?))
}

/// What anybody may know of a tape, and the pieces under its seal, secrets and tokens among them: for programs that look for faults in
/// how tapes are read. [`Opened`] shows nothing of them.
///
/// # Errors
/// Where it is no tape, another key's, or altered.
pub fn unseal(tape: &[u8], key: &TapeKey) -> Result<(Header, Bytes), TapeError> {
    let (format, rest) = line(tape).and_then(|(line, rest)| Some((line.strip_prefix(MAGIC)?, rest))).ok_or(TapeError::NoTape)?;
    if format != FORMAT {
        return Err(TapeError::Format(format.chars().take(16).collect()));
    }
    let (header, sealed) = line(rest).ok_or(TapeError::Altered)?;
    let header: Header = json::from_str(header).map_err(|_| TapeError::Altered)?;
    if header.key != key.id() {
        return Err(TapeError::OtherKey { sealed: header.key, given: key.id() });
    }
    let covered = tape.len() - sealed.len();
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(TapeError::Altered)?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = key.open(*nonce, tape.get(..covered).unwrap_or_default(), &mut bytes).ok_or(TapeError::Altered)?;
    bytes.truncate(length);
    Ok((header, bytes))
}

/// The file of a tape with these pieces. `nonce` is random, and never used twice with one key. `None` where the header is too long, or
/// nothing can be sealed.
pub fn seal(header: &Header, mut pieces: Bytes, key: &TapeKey, nonce: [u8; NONCE]) -> Option<Vec<u8>> {
    let mut file = format!("{MAGIC}{FORMAT}\n{}\n", serde_json::to_string(header).ok()?).into_bytes();
    if file.len() > MAX_HEADER {
        return None;
    }
    let tag = key.seal(nonce, &file, &mut pieces)?;
    file.reserve_exact(NONCE + pieces.len() + TAG);
    file.extend_from_slice(&nonce);
    file.extend_from_slice(&pieces);
    file.extend_from_slice(&tag);
    Some(file)
}

/// The file of a tape of one request. `nonce` is random.
pub(super) fn write(header: &Header, pieces: &[Piece], key: &TapeKey, nonce: [u8; NONCE]) -> Option<Vec<u8>> {
    // As long as it can become: what is sealed in place never lay anywhere else.
    let length = pieces.iter().map(|piece| piece.bytes.len() + Piece::OVERHEAD).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    for Piece { kind, bytes: piece } in pieces {
        let head = postcard::to_allocvec(&(kind, u32::try_from(piece.len()).ok()?)).ok()?;
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(piece);
    }
    seal(header, bytes, key, nonce)
}

/// Puts calls, questions and answers together.
fn arrange(header: Header, mut bytes: &[u8]) -> Result<Opened, TapeError> {
    let mut pieces = Pieces::default();
    while !bytes.is_empty() {
        let (kind, piece, rest) = next(bytes).ok_or(TapeError::Malformed("a piece is not whole"))?;
        bytes = rest;
        pieces.take(kind, piece)?;
    }
    let Pieces { questions, calls, replaced } = pieces;
    if calls.is_empty() {
        return Err(TapeError::Malformed("it has no call"));
    }
    Ok(Opened { header, questions: Arc::new(questions), calls, replaced })
}

fn next(bytes: &[u8]) -> Option<(Kind, &[u8], &[u8])> {
    let ((kind, length), rest) = postcard::take_from_bytes::<(Kind, u32)>(bytes).ok()?;
    let (piece, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((kind, piece, rest))
}

/// What was taken from a tape so far.
#[derive(Default)]
struct Pieces {
    questions: Vec<Question>,
    calls: Vec<RecordedCall>,
    replaced: Option<String>,
}

impl Pieces {
    fn take(&mut self, kind: Kind, piece: &[u8]) -> Result<(), TapeError> {
        let unreadable = TapeError::Malformed("a piece is not what it says it is");
        let misplaced = TapeError::Malformed("a piece stands where it cannot");
        let bytes = || Zeroizing::new(piece.to_vec());
        match kind {
            Kind::Called => {
                let call = decode(piece).ok_or(unreadable)?;
                self.calls.push(RecordedCall { call, first: self.questions.len(), outcome: None });
            }
            Kind::Question(import) => {
                self.questions.push(Question { import, question: bytes(), answer: None, completed: None });
            }
            Kind::Answer => {
                let question = self.questions.last_mut().filter(|question| question.answer.is_none());
                question.ok_or(misplaced)?.answer = Some(bytes());
            }
            Kind::Completed => {
                let question = self.questions.last_mut().filter(|question| question.import == Import::Judge);
                question.ok_or(misplaced)?.completed = Some(decode(piece).ok_or(unreadable)?);
            }
            Kind::Ended => {
                let call = self.calls.last_mut().filter(|call| call.outcome.is_none());
                call.ok_or(misplaced)?.outcome = Some(decode(piece).ok_or(unreadable)?);
            }
            Kind::Replaced => self.replaced = Some(decode(piece).ok_or(unreadable)?),
        }
        Ok(())
    }
}
