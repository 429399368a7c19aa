//! The log's file and head behind their locks, and the thread that writes batches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Body, Mark, Opened};
use crate::audit::AuditError;
use crate::audit::file::{Displaced, sync_folder};
use crate::audit::head::HeadFile;
use crate::audit::rotate::{self, Follower, Leaving, Observer, Step};
use crate::audit::series;
use crate::audit::writer::{Fault, Writer};
use crate::clock::Clock;

/// How many appends may wait for the writing thread.
const QUEUE: usize = 4_096;
/// A batch ends with this many appends.
const MAX_BATCH: usize = 1_024;
/// No further append joins a batch of more bytes than this.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// A write that takes longer hangs.
const HANGS: Duration = Duration::from_secs(2);

/// An event and the time it carries.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) time: Duration,
    pub(super) body: Body,
}

/// As the writer takes them.
pub(super) fn stamped(lines: &[Stamped]) -> impl Iterator<Item = (Duration, &Body)> {
    lines.iter().map(|line| (line.time, &line.body))
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
            Refused::Fault(fault) => fault.into(),
        }
    }
}

/// A file that was closed.
#[derive(Debug)]
pub(super) struct ClosedFile {
    pub(super) file: String,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Why the log goes on in the same file.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRotated {
    /// Something was written after what the closing line speaks of.
    #[error("something was written meanwhile")]
    Overtaken,
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What can be asked without waiting for a write.
#[derive(Debug)]
struct Status {
    at: Mark,
    log: Option<Fault>,
    head: Option<Fault>,
    /// Since when somebody is at the file.
    busy: Option<Duration>,
}

/// The log's files. Whoever needs both locks takes the head's first.
#[derive(Debug)]
pub(super) struct Files {
    head: Mutex<HeadFile>,
    /// `None` once closed.
    writer: Mutex<Option<Writer>>,
    status: Mutex<Status>,
    path: PathBuf,
}

impl Files {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { writer, head, path, clean: _ } = opened;
        let status = Status { at: writer.at(), log: None, head: None, busy: None };
        Self { head: Mutex::new(head), writer: Mutex::new(Some(writer)), status: Mutex::new(status), path }
    }

    /// Where the log is.
    pub(super) fn path(&self) -> &Path {
        &self.path
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
        status.log.or(status.head).map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Whether somebody is at the file and does not come back.
    pub(super) fn hangs(&self, now: Duration) -> bool {
        self.status().busy.is_some_and(|since| now.saturating_sub(since) >= HANGS)
    }

    fn busy(&self, now: Duration) -> Busy<'_> {
        let mut status = self.status();
        let first = status.busy.is_none();
        status.busy.get_or_insert(now);
        Busy { files: self, first }
    }

    /// Writes a batch.
    pub(super) fn commit<'a>(
        &self,
        now: Duration,
        batch: impl Iterator<Item = (Duration, &'a Body)>,
    ) -> Result<Mark, AuditError> {
        Ok(self.try_commit(now, batch)?)
    }

    /// The same where nobody else has the file at this moment; `None` where somebody does.
    pub(super) fn commit_at_once<'a>(
        &self,
        now: Duration,
        batch: impl Iterator<Item = (Duration, &'a Body)>,
    ) -> Option<Result<Mark, AuditError>> {
        let mut guard = match self.writer.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Poisoned(_)) => return Some(Err(AuditError::Closed)),
        };
        Some(self.commit_with(&mut guard, now, batch).map_err(AuditError::from))
    }

    fn try_commit<'a>(&self, now: Duration, batch: impl Iterator<Item = (Duration, &'a Body)>) -> Result<Mark, Refused> {
        // A writer that panicked may have left anything behind: closed is what remains.
        let mut guard = self.writer.lock().map_err(|_| Refused::Closed)?;
        self.commit_with(&mut guard, now, batch)
    }

    fn commit_with<'a>(
        &self,
        writer: &mut Option<Writer>,
        now: Duration,
        batch: impl Iterator<Item = (Duration, &'a Body)>,
    ) -> Result<Mark, Refused> {
        let _busy = self.busy(now);
        let writer = writer.as_mut().ok_or(Refused::Closed)?;
        let result = writer.commit(now, batch);
        self.noted(writer);
        result.map(|()| writer.at()).map_err(Refused::Fault)
    }

    fn noted(&self, writer: &Writer) {
        let mut status = self.status();
        (status.at, status.log) = (writer.at(), writer.fault());
    }

    /// Tries to set a failed log right, and, where appends do not sync, makes what was written durable and moves the head after it. The head
    /// never names a line that a crash could still take away.
    pub(super) fn settle(&self, now: Duration, sync: bool) {
        self.look(now);
        let failed = self.status().log.is_some();
        if failed {
            self.regain();
        }
        if failed {
            let _still_failed = self.try_commit(now, std::iter::empty());
        }
        // Also of a log that is not where it was left: so that the next start misses what was written.
        self.store_head(sync);
    }

    /// Where the log was not as it was left and now is: reads all of it, and lets it be written again if every byte is what was written.
    fn regain(&self) {
        let Ok(guard) = self.writer.lock() else { return };
        let Some(writer) = guard.as_ref() else { return };
        let (sink, base, at) = (writer.sink(), writer.base(), writer.at());
        let back = match writer.fault() {
            Some(Fault::Displaced(Displaced::Altered) | Fault::Io { .. }) | None => false,
            Some(Fault::Displaced(_)) => sink.stands(at.len).is_ok(),
        };
        drop(guard);
        // Not under the lock: it may take as long as the log is.
        let holds = if back { sink.holds(base, at).ok() } else { None };
        let (Some(holds), Ok(mut guard)) = (holds, self.writer.lock()) else { return };
        let Some(writer) = guard.as_mut() else { return };
        if holds {
            writer.regained();
        } else {
            writer.altered();
            self.noted(writer);
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
        let mut stored = || -> Result<(), Fault> {
            if head.at() != Some(at) {
                if sync {
                    sink.sync()?;
                }
                head.store(at, false)?;
            }
            // One that is not where a reader looks for it says nothing.
            Ok(head.is_in_place()?)
        };
        let result = stored();
        let mut status = self.status();
        if let (Err(fault), None) = (result, status.head) {
            tracing::error!(error = %io::Error::from(fault), "the audit log's head cannot be written");
        }
        status.head = result.err();
    }

    /// Closes the file with this line, which speaks of `at`, and goes on in a new one. Nothing is written meanwhile.
    pub(super) fn rotate(
        &self,
        at: Mark,
        now: Duration,
        closing: &Body,
        observer: Observer<'_>,
    ) -> Result<ClosedFile, NotRotated> {
        let mut head = self.head.lock().map_err(|_| AuditError::Closed)?;
        let mut guard = self.writer.lock().map_err(|_| AuditError::Closed)?;
        let writer = guard.as_mut().ok_or(AuditError::Closed)?;
        if writer.at() != at {
            return Err(NotRotated::Overtaken);
        }
        let committed = writer.commit(now, std::iter::once((now, closing)));
        self.noted(writer);
        committed.map_err(AuditError::from)?;
        let end = writer.at();
        let followed = (|| -> io::Result<Follower> {
            writer.sink().sync()?;
            observer(Step::Closed);
            head.is_in_place().map_err(io::Error::other)?;
            head.store(end, false)?;
            head.sync()?;
            observer(Step::Sealed);
            rotate::follow(&self.path, &mut head, end, None, now, observer)
        })();
        let Follower { file, base, at, closed } = followed.map_err(AuditError::Write)?;
        let first = writer.base().seq.saturating_add(1);
        *writer = Writer::new(Arc::new(file), writer.is_durable(), base, at);
        self.noted(writer);
        Ok(ClosedFile { file: series::name(&closed), first, last: end.seq })
    }

    /// Records which closed files go, and removes them.
    pub(super) fn thin_out(&self, keep: usize, now: Duration) -> Result<Vec<String>, AuditError> {
        let Some(Leaving { paths, body }) = rotate::leaving(&self.path, keep)? else { return Ok(Vec::new()) };
        self.commit(now, std::iter::once((now, &body)))?;
        self.store_head(true);
        for path in &paths {
            std::fs::remove_file(path)?;
        }
        sync_folder(&self.path)?;
        Ok(paths.iter().map(|path| series::name(path)).collect())
    }

    /// Where somebody renamed the log's file within its folder and nothing else was done to it: gives it its name back, so that the log can
    /// go on in it. What is at its place may only be an empty file.
    pub(super) fn put_back(&self, now: Duration) -> Result<(), AuditError> {
        self.look(now);
        let Some(Fault::Displaced(displaced)) = self.status().log else { return Ok(()) };
        let sink = {
            let guard = self.writer.lock().map_err(|_| AuditError::Closed)?;
            guard.as_ref().ok_or(AuditError::Closed)?.sink()
        };
        if sink.stands(self.at().len).is_err() {
            sink.put_back()?.ok_or(displaced)?;
        }
        self.regain();
        self.commit(now, std::iter::empty()).map(|_| ())
    }

    /// Whether the log is as it was left, also while nobody writes.
    fn look(&self, now: Duration) {
        let Ok(mut guard) = self.writer.lock() else { return };
        let _busy = self.busy(now);
        let Some(writer) = guard.as_mut() else { return };
        writer.look(now);
        self.noted(writer);
    }

    /// Lets the file go as it is, so that it can be opened again at once. Whoever is at it at this moment does so at the end.
    pub(super) fn let_go(&self) {
        if let Ok(mut writer) = self.writer.try_lock() {
            *writer = None;
        }
    }

    /// Syncs, writes the last head, and lets the file go.
    pub(super) fn close(&self, in_order: bool) -> Result<(), AuditError> {
        let mut head = self.head.lock().map_err(|_| AuditError::Closed)?;
        let writer = self.writer.lock().map_err(|_| AuditError::Closed)?.take().ok_or(AuditError::Closed)?;
        if let Some(fault) = writer.fault() {
            // The next start is to miss what was written and is not there any more.
            if head.at() != Some(writer.at()) && writer.sink().sync().is_ok() {
                head.store(writer.at(), false)?;
            }
            return Err(fault.into());
        }
        writer.sink().sync()?;
        head.store(writer.at(), in_order)?;
        head.sync()?;
        Ok(())
    }
}

/// Somebody is at the file, until this goes.
struct Busy<'a> {
    files: &'a Files,
    /// The others are not waited for: they began later.
    first: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if self.first {
            self.files.status().busy = None;
        }
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
}

impl Queue {
    /// Where a batch counts only when it is `durable`, the head follows each.
    pub(super) fn start(files: Arc<Files>, clock: Arc<dyn Clock>, durable: bool) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || lead(&files, &*clock, durable, waiting))?;
        Ok(Self { jobs })
    }

    /// Writes lines with the next batch; from when they are `handed_over` on they may be written, also where nobody waits for it.
    pub(super) async fn write(&self, lines: Vec<Stamped>, handed_over: impl FnOnce()) -> Result<Mark, AuditError> {
        let (done, result) = oneshot::channel();
        let place = self.jobs.reserve().await.map_err(|_| AuditError::Closed)?;
        handed_over();
        place.send(Job { lines, done });
        Ok(result.await.map_err(|_| AuditError::Closed)??)
    }
}

/// Group commit: whatever queued up during one write and sync goes into the next.
fn lead(files: &Files, clock: &dyn Clock, durable: bool, mut waiting: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = size(&first);
        batch.push(first);
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Ok(job) = waiting.try_recv() else { break };
            bytes += size(&job);
            batch.push(job);
        }
        let result = files.try_commit(clock.now(), batch.iter().flat_map(|job| stamped(&job.lines)));
        for job in batch.drain(..) {
            let _no_longer_waiting = job.done.send(result);
        }
        if durable && result.is_ok() {
            files.store_head(false);
        }
    }
}

fn size(job: &Job) -> usize {
    job.lines.iter().map(|line| line.body.len()).sum()
}
