//! Which requests are recorded, and where their tapes go.

use std::sync::Arc;
use std::time::Duration;

use super::Tape;
use super::file::Header;
use super::folder::{Folder, FolderError};
use super::key::{KeyError, TapeKey};
use super::writer::{Desk, Writer};
use crate::clock::{Clock, Entropy};
use crate::config;

/// How long the end waits for tapes that are being written.
const LAST: Duration = Duration::from_secs(5);

/// Why requests cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The key.
    #[error("the key of tapes: {0}")]
    Key(#[from] KeyError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No thread for the writer.
    #[error("the thread that writes tapes cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Records requests.
pub struct Recorder {
    desk: Desk,
    /// Of 2^32 requests, so many are recorded.
    share: u64,
    most: usize,
    component: String,
    memory: usize,
    cpu: Duration,
    key: String,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// The sandboxes that are recorded.
pub(crate) struct Recorded {
    /// Lowercase hex SHA-256 of the component.
    pub(crate) component: String,
    /// Their memory, in bytes.
    pub(crate) memory: usize,
    /// What they may compute.
    pub(crate) cpu: Duration,
}

impl Recorder {
    /// Opens the folder, reads the key, starts the thread that writes.
    pub(crate) fn open(
        record: &config::Record,
        recorded: Recorded,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RecordError> {
        let Recorded { component, memory, cpu } = recorded;
        let key = TapeKey::read(&record.key)?;
        let id = key.id();
        let tapes = usize::try_from(record.max_tapes).unwrap_or(usize::MAX);
        let folder = Folder::open(&record.dir, tapes, record.max_age)?;
        let writer = Writer { folder, key, clock: Arc::clone(&clock), entropy: Arc::clone(&entropy) };
        let desk = writer.start().map_err(RecordError::Thread)?;
        // A float-to-integer cast saturates; the configuration has nothing but 0 to 1.
        let share = (record.sample * f64::from(u32::MAX)).round() as u64;
        let share = if record.sample > 0.0 { share.max(1) + u64::from(record.sample >= 1.0) } else { 0 };
        let most = usize::try_from(record.max_tape).unwrap_or(usize::MAX);
        Ok(Self { desk, share, most, component, memory, cpu, key: id, clock, entropy })
    }

    /// Whether requests could be recorded so, without making or changing anything.
    pub(crate) fn check(record: &config::Record) -> Result<(), RecordError> {
        TapeKey::read(&record.key)?;
        Ok(Folder::check(&record.dir)?)
    }

    /// A tape for this request, or none.
    pub(crate) fn tape(&self, correlation_id: &str) -> Tape {
        if !self.is_chosen() {
            return Tape::default();
        }
        let header = Header {
            standin: env!("CARGO_PKG_VERSION").to_owned(),
            component: self.component.clone(),
            correlation_id: correlation_id.to_owned(),
            time: u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX),
            call: String::new(),
            memory: u64::try_from(self.memory).unwrap_or(u64::MAX),
            cpu: u64::try_from(self.cpu.as_millis()).unwrap_or(u64::MAX),
            key: self.key.clone(),
        };
        Tape::begin(header, self.most, self.desk.clone())
    }

    fn is_chosen(&self) -> bool {
        if self.share == 0 {
            return false;
        }
        let mut drawn = [0; 4];
        // Without randomness nothing can be sealed either.
        self.entropy.fill(&mut drawn).is_ok() && u64::from(u32::from_be_bytes(drawn)) < self.share
    }

    /// Waits until the tapes of requests that have ended are written, for a few seconds at most. Blocks.
    pub(crate) fn flush(&self) {
        self.desk.flush(LAST);
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").field("share", &self.share).field("key", &self.key).finish_non_exhaustive()
    }
}
