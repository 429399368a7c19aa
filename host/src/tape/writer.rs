//! The one thread that seals tapes and writes them. Nobody who answers a request waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::entry::Piece;
use super::file::{self, Header};
use super::folder::{Folder, Of};
use super::key::{NONCE, TapeKey};
use crate::clock::{Clock, Entropy};
use crate::hex;

/// Tapes that wait to be written; one more is dropped.
const WAITING: usize = 64;
/// Of these, those of strangers: whoever is nobody must not push out what others did.
const STRANGERS: usize = WAITING / 4;
/// How often old tapes are looked for while nothing is written.
const SWEEP: Duration = Duration::from_secs(30);
/// How often a full queue is looked at by whoever waits for its end.
const STEP: Duration = Duration::from_millis(10);
/// Random bytes in a name.
const RANDOM: usize = 4;

/// Why there is no tape of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// It became too long.
    TooLong,
    /// Too many wait to be written.
    Full,
    /// It could not be written.
    Failed,
}

impl Dropped {
    fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Full => "dropped",
            Self::Failed => "failed",
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("standin_tapes_total", "outcome" => outcome).increment(1);
}

enum Job {
    Tape(Of, Header, Vec<Piece>),
    /// Everything before this is written.
    Flush(SyncSender<()>),
}

/// Where recordings are handed in. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub(super) struct Desk {
    jobs: SyncSender<Job>,
    /// How many tapes of strangers wait.
    strangers: Arc<AtomicUsize>,
}

impl Desk {
    /// Hands a recording in, and waits for nothing.
    pub(super) fn hand_in(&self, of: Of, header: Header, pieces: Vec<Piece>) {
        let stranger = of == Of::Stranger;
        if stranger && self.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS {
            self.strangers.fetch_sub(1, Ordering::Relaxed);
            return self.dropped(of, &header, Dropped::Full);
        }
        let (header, why) = match self.jobs.try_send(Job::Tape(of, header, pieces)) {
            Ok(()) | Err(TrySendError::Full(Job::Flush(_)) | TrySendError::Disconnected(Job::Flush(_))) => return,
            Err(TrySendError::Full(Job::Tape(_, header, _))) => (header, Dropped::Full),
            Err(TrySendError::Disconnected(Job::Tape(_, header, _))) => (header, Dropped::Failed),
        };
        if stranger {
            self.strangers.fetch_sub(1, Ordering::Relaxed);
        }
        self.dropped(of, &header, why);
    }

    /// Says that there is no tape of a request. Of a stranger's only the counter does: there is no bound to how many they send.
    pub(super) fn dropped(&self, of: Of, header: &Header, why: Dropped) {
        count(why.name());
        match of {
            Of::Known => tracing::warn!(correlation_id = header.correlation_id, why = why.name(), "a request has no tape"),
            Of::Stranger => {
                tracing::debug!(correlation_id = header.correlation_id, why = why.name(), "a stranger's request has no tape")
            }
        }
    }

    /// Waits until everything handed in so far is written. Blocks.
    pub(super) fn flush(&self, most: Duration) {
        let (written, wait) = sync_channel(1);
        let mut job = Job::Flush(written);
        let mut waited = Duration::ZERO;
        while let Err(TrySendError::Full(back)) = self.jobs.try_send(job) {
            job = back;
            waited += STEP;
            if waited > most {
                break;
            }
            std::thread::sleep(STEP);
        }
        if waited > most || wait.recv_timeout(most).is_err() {
            tracing::warn!("tapes were not written in time");
        }
    }
}

/// What the thread works with.
pub(super) struct Writer {
    pub(super) folder: Folder,
    pub(super) key: TapeKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(self) -> std::io::Result<Desk> {
        let (sender, jobs) = sync_channel(WAITING);
        let strangers = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::clone(&strangers);
        std::thread::Builder::new().name("standin-tapes".to_owned()).spawn(move || self.run(&jobs, &waiting))?;
        Ok(Desk { jobs: sender, strangers })
    }

    fn run(mut self, jobs: &Receiver<Job>, strangers: &AtomicUsize) {
        self.prune();
        loop {
            match jobs.recv_timeout(SWEEP) {
                Ok(Job::Tape(of, header, pieces)) => {
                    match self.write(of, &header, &pieces) {
                        Ok(()) => count("written"),
                        Err(error) => {
                            count(Dropped::Failed.name());
                            tracing::error!(correlation_id = header.correlation_id, %error, "a tape was not written");
                        }
                    }
                    if of == Of::Stranger {
                        strangers.fetch_sub(1, Ordering::Relaxed);
                    }
                    self.prune();
                }
                Ok(Job::Flush(written)) => {
                    // Whoever waited may have given up.
                    let _gone = written.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.prune(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, of: Of, header: &Header, pieces: &[Piece]) -> Result<(), Unwritten> {
        let (mut nonce, mut random) = ([0; NONCE], [0; RANDOM]);
        self.entropy.fill(&mut nonce).and_then(|()| self.entropy.fill(&mut random)).map_err(|_| Unwritten::Entropy)?;
        let bytes = file::write(header, pieces, &self.key, nonce).ok_or(Unwritten::Sealed)?;
        Ok(self.folder.write(of, header.time, &header.correlation_id, &hex::encode(&random), &bytes)?)
    }

    fn prune(&mut self) {
        let pruned = self.folder.prune(self.clock.now());
        metrics::counter!("standin_tapes_total", "outcome" => "deleted").increment(pruned.deleted);
        for (name, error) in pruned.stuck {
            tracing::error!(name, %error, "an old tape cannot be deleted");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("the system's random source failed")]
    Entropy,
    #[error("it cannot be sealed")]
    Sealed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
