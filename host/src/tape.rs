//! The tape of a request: every question the component asked and every answer it got, time and randomness included.
//!
//! [`Tape`] is the handle through which the imports of one request are recorded; off, it costs a look at an `Option`. [`Recorder`]
//! says which requests are recorded and writes their tapes, [`file`] is how a tape looks on disk, sealed. Whoever wants to hear a
//! tape again goes to [`crate::replay`].

mod entry;
pub mod file;
mod folder;
mod key;
mod outcome;
mod ports;
mod recorder;
mod taped;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use zeroize::Zeroizing;

pub use self::entry::{Call, Outcome};
pub(crate) use self::entry::{Completed, Import, JudgeAnswer, Kind, Piece, decode, encode};
pub use self::folder::FolderError;
use self::folder::Of;
pub use self::key::{KeyError, TapeKey};
pub(crate) use self::outcome::Answered;
pub(crate) use self::ports::{TapedClock, TapedEntropy};
pub(crate) use self::recorder::Recorded;
pub use self::recorder::{RecordError, Recorder};
pub use self::taped::{Completes, Taped};
use self::writer::{Desk, Dropped};

/// The recording of one request, or nothing. Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Tape(Option<Arc<Mutex<Recording>>>);

/// What was recorded so far.
struct Recording {
    header: file::Header,
    of: Of,
    pieces: Vec<Piece>,
    /// Bytes of all pieces.
    size: usize,
    most: usize,
    /// None once it is handed over.
    desk: Option<Desk>,
    too_long: bool,
}

impl Tape {
    /// Begins a recording of at most `most` bytes, which will be handed in at `desk`.
    fn begin(header: file::Header, most: usize, desk: Desk) -> Self {
        let recording =
            Recording { header, of: Of::Stranger, pieces: Vec::new(), size: 0, most, desk: Some(desk), too_long: false };
        Self(Some(Arc::new(Mutex::new(recording))))
    }

    /// Whether anything is recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The host calls the component.
    pub(crate) fn called(&self, call: &Call<'_>) {
        let Some(recording) = &self.0 else { return };
        let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
        if recording.header.call.is_empty() {
            call.name().clone_into(&mut recording.header.call);
        }
        recording.put(Kind::Called, call);
    }

    /// The call has ended.
    pub(crate) fn ended(&self, outcome: impl FnOnce() -> Outcome) {
        if self.is_on() {
            self.put(Kind::Ended, &outcome());
        }
    }

    /// The host has put a failure of this code in the place of the component's answer.
    pub(crate) fn replaced(&self, code: &str) {
        self.put(Kind::Replaced, code);
    }

    /// The component asks.
    pub(crate) fn question(&self, import: Import, question: &impl Serialize) {
        self.put(Kind::Question(import), question);
    }

    /// The host answers what was asked last.
    pub(crate) fn answer(&self, answer: &impl Serialize) {
        self.put(Kind::Answer, answer);
    }

    /// What the policy was asked, where that was the question.
    fn completed(&self, completed: &Completed) {
        self.put(Kind::Completed, completed);
    }

    fn put<T: Serialize + ?Sized>(&self, kind: Kind, value: &T) {
        let Some(recording) = &self.0 else { return };
        recording.lock().unwrap_or_else(PoisonError::into_inner).put(kind, value);
    }

    /// The caller was authenticated.
    pub(crate) fn attributed(&self) {
        let Some(recording) = &self.0 else { return };
        recording.lock().unwrap_or_else(PoisonError::into_inner).of = Of::Known;
    }

    /// Hands the recording in; what comes later is not recorded. Waits for nothing.
    pub(crate) fn finish(&self) {
        let Some(recording) = &self.0 else { return };
        recording.lock().unwrap_or_else(PoisonError::into_inner).finish();
    }
}

impl Recording {
    fn put<T: Serialize + ?Sized>(&mut self, kind: Kind, value: &T) {
        if self.too_long || self.desk.is_none() {
            return;
        }
        // Measured before it is written: a piece that does not fit is never in memory.
        let left = self.most.saturating_sub(self.size);
        match encode(value, left) {
            Some(bytes) => {
                self.size += bytes.len() + Piece::OVERHEAD;
                self.pieces.push(Piece { kind, bytes });
            }
            None => {
                self.too_long = true;
                self.pieces = Vec::new();
            }
        }
    }

    fn finish(&mut self) {
        let Some(desk) = self.desk.take() else { return };
        if self.too_long {
            desk.dropped(self.of, &self.header, Dropped::TooLong);
        } else {
            desk.hand_in(self.of, self.header.clone(), std::mem::take(&mut self.pieces));
        }
    }
}

/// Bytes of a tape: secrets and tokens are among them.
pub(crate) type Bytes = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
