//! The log's file and head behind their locks, and the thread that writes batches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Body, Mark, Opened};
use crate::audit::AuditError;
use crate::audit::head::HeadFile;
use crate::audit::writer::{Fault, Writer};
use crate::clock::Clock;

/// How many appends may wait for the writing thread.
const QUEUE: usize = 4_096;
/// A batch ends with this many appends.
const MAX_BATCH: usize = 1_024;
/// No further append joins a batch of more bytes than this.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// An event and the time it carries.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) time: Duration,
    pub(super) body: Body,
}

/// Why a batch was not written.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Closed,
    Fault(Fault),
}

impl From<Refused> for AuditError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Closed => Self::Closed,
            Refused::Fault(fault) => Self::Write(fault.into()),
        }
    }
}

/// What can be asked without waiting for a write.
#[derive(Debug)]
struct Status {
    at: Mark,
    log: Option<Fault>,
    head: Option<Fault>,
}

/// The log's files. Whoever needs both locks takes the head's first.
#[derive(Debug)]
pub(super) struct Files {
    head: Mutex<HeadFile>,
    /// `None` once closed.
    writer: Mutex<Option<Writer>>,
    status: Mutex<Status>,
}

impl Files {
    pub(super) fn new(opened: Opened) -> Self {
        let status = Status { at: opened.writer.at(), log: None, head: None };
        Self { head: Mutex::new(opened.head), writer: Mutex::new(Some(opened.writer)), status: Mutex::new(status) }
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the last line that counts as written.
    pub(super) fn at(&self) -> Mark {
        self.status().at
    }

    /// Whether the next append has a chance.
    pub(super) fn ready(&self) -> Result<(), AuditError> {
        let status = self.status();
        status.log.or(status.head).map_or(Ok(()), |fault| Err(AuditError::Write(fault.into())))
    }

    /// Writes a batch.
    pub(super) fn commit<'a>(
        &self,
        now: Duration,
        batch: impl Iterator<Item = (Duration, &'a Body)>,
    ) -> Result<Mark, AuditError> {
        Ok(self.try_commit(now, batch)?)
    }

    fn try_commit<'a>(&self, now: Duration, batch: impl Iterator<Item = (Duration, &'a Body)>) -> Result<Mark, Refused> {
        // A writer that panicked may have left anything behind: closed is what remains.
        let mut guard = self.writer.lock().map_err(|_| Refused::Closed)?;
        let writer = guard.as_mut().ok_or(Refused::Closed)?;
        let result = writer.commit(now, batch);
        let mut status = self.status();
        (status.at, status.log) = (writer.at(), writer.fault());
        result.map(|()| status.at).map_err(Refused::Fault)
    }

    /// Tries to set a failed log right, and, where appends do not sync, makes what was written durable and moves the head after it. The head
    /// never names a line that a crash could still take away.
    pub(super) fn settle(&self, now: Duration, sync: bool) {
        let failed = self.status().log.is_some();
        if failed && self.try_commit(now, std::iter::empty()).is_err() {
            return;
        }
        if sync || failed || self.status().head.is_some() {
            self.store_head(sync);
        }
    }

    /// Writes the head, after a sync of the log if that is not known to be synced.
    fn store_head(&self, sync: bool) {
        let Ok(mut head) = self.head.lock() else { return };
        let (sink, at) = {
            let Ok(writer) = self.writer.lock() else { return };
            let Some(writer) = writer.as_ref() else { return };
            (writer.sink(), writer.at())
        };
        if head.at() == Some(at) {
            return;
        }
        let result = if sync { sink.sync() } else { Ok(()) }.and_then(|()| head.store(at, false));
        let mut status = self.status();
        if let (Err(error), None) = (&result, status.head) {
            tracing::error!(%error, "the audit log's head cannot be written");
        }
        status.head = result.err().as_ref().map(Fault::from);
    }

    /// Syncs, writes the last head, and lets the file go.
    pub(super) fn close(&self, in_order: bool) -> Result<(), AuditError> {
        let mut head = self.head.lock().map_err(|_| AuditError::Closed)?;
        let writer = self.writer.lock().map_err(|_| AuditError::Closed)?.take().ok_or(AuditError::Closed)?;
        if let Some(fault) = writer.fault() {
            return Err(AuditError::Write(fault.into()));
        }
        writer.sink().sync()?;
        head.store(writer.at(), in_order)?;
        head.sync()?;
        Ok(())
    }
}

struct Job {
    lines: Vec<Stamped>,
    done: oneshot::Sender<Result<Mark, Refused>>,
}

/// The way to the thread that writes batches. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    limit: Duration,
}

impl Queue {
    pub(super) fn start(files: Arc<Files>, clock: Arc<dyn Clock>, limit: Duration) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || lead(&files, &*clock, waiting))?;
        Ok(Self { jobs, limit })
    }

    /// Writes lines with the next batch.
    pub(super) async fn write(&self, lines: Vec<Stamped>) -> Result<Mark, AuditError> {
        let (done, result) = oneshot::channel();
        let written = async {
            self.jobs.send(Job { lines, done }).await.map_err(|_| Refused::Closed)?;
            result.await.map_err(|_| Refused::Closed)?
        };
        Ok(timeout(self.limit, written).await.map_err(|_| AuditError::TimedOut)??)
    }
}

/// Group commit: whatever queued up during one write and sync goes into the next.
fn lead(files: &Files, clock: &dyn Clock, mut waiting: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = size(&first);
        batch.push(first);
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Ok(job) = waiting.try_recv() else { break };
            bytes += size(&job);
            batch.push(job);
        }
        let lines = batch.iter().flat_map(|job| &job.lines).map(|line| (line.time, &line.body));
        let result = files.try_commit(clock.now(), lines);
        for job in batch.drain(..) {
            let _no_longer_waiting = job.done.send(result);
        }
        if result.is_ok() {
            files.store_head(false);
        }
    }
}

fn size(job: &Job) -> usize {
    job.lines.iter().map(|line| line.body.len()).sum()
}
