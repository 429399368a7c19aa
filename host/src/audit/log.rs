//! The audit log on disk: a JSON line an event, each with the hash of the one before, and now and then a signed checkpoint.
//!
//! With [`Durability::Fsync`] appends queue up for one thread, which writes and syncs them a batch at a time. With [`Durability::Os`] the
//! appender writes itself, one at a time; the others wait without a thread, so that a write that hangs takes the appender's thread and no
//! more. On a runtime with one worker only threads set apart from it do so: for everybody else the thread writes. Checkpoints, the head of
//! an `Os` log, counts of anonymous failures and attempts to set a failed log right are the business of a background task.

mod files;
mod rotation;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{Mutex, Notify, RwLock as Gate};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, timeout};

use self::files::{Files, Queue, Stamped, stamped};
use super::anonymous::{Counter, Taken};
use super::head::SealKey;
use super::line::{self, Body, Mark};
use super::open::{self, OpenError, Opened};
use super::{Audit, AuditError};
use crate::clock::Clock;
use crate::hex;
use crate::keys::Keys;
use crate::record::Event;
use crate::threads;

pub use self::rotation::Rotated;

/// The `typ` of a checkpoint's JWS.
pub const CHECKPOINT_TYP: &str = "standin-audit+jws";
/// How far a checkpoint's line may stand behind the line it speaks of; whoever verifies remembers that many hashes.
pub(super) const CHECKPOINT_REACH: u64 = 1 << 17;
/// How often the background task looks after the log.
const TICK: Duration = Duration::from_millis(200);
/// How long signing a checkpoint may take.
const SIGN_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after a checkpoint that could not be made.
const SIGN_RETRY: Duration = Duration::from_secs(5);

/// What an `Ok` of an append promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The event survives a crash of the machine.
    #[default]
    Fsync,
    /// The event survives a crash of the process; after one of the machine the last second may be gone.
    Os,
}

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// What an append promises.
    pub durability: Durability,
    /// A checkpoint comes after this many lines,
    pub checkpoint_lines: u64,
    /// or when the oldest line without one is this old.
    pub checkpoint_interval: Duration,
    /// How long a batch may take before the appends in it give up, but for an appender that is writing itself: it has to wait.
    pub write_limit: Duration,
    /// A file of this many bytes is closed, and the next one begun.
    pub max_size: Option<u64>,
    /// How many closed files stay; the oldest go, and that is recorded.
    pub keep: Option<u32>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            checkpoint_lines: 1_000,
            checkpoint_interval: Duration::from_secs(60),
            write_limit: Duration::from_secs(30),
            max_size: None,
            keep: None,
        }
    }
}

/// The log. One process at a time writes it; dropping it without [`Audit::close`] is to it as a crash.
#[derive(Debug)]
pub struct AuditLog {
    inner: Arc<Inner>,
    ticker: AbortHandle,
}

impl AuditLog {
    /// Opens the log at `path`, or makes it, and sets a torn tail right. Blocks for a moment; call it within a tokio runtime.
    ///
    /// # Errors
    /// Where the log cannot be opened, another process has it, or it is not as it was left: see [`OpenError`].
    pub fn open(
        path: &Path,
        seal: &SealKey,
        keys: Arc<dyn Keys>,
        clock: Arc<dyn Clock>,
        options: LogOptions,
    ) -> Result<Self, OpenError> {
        let opened = open::open(path, seal, clock.now(), options.durability == Durability::Fsync)?;
        Self::start(opened, keys, clock, options)
    }

    fn start(opened: Opened, keys: Arc<dyn Keys>, clock: Arc<dyn Clock>, options: LogOptions) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let at = opened.writer.at();
        // What a crash left without a checkpoint is as good as one line: the next checkpoint covers it, after the interval at the latest.
        let covered = Covered::new(at.seq.saturating_sub(u64::from(!opened.clean)), clock.monotonic());
        let files = Arc::new(Files::new(opened));
        let durable = options.durability == Durability::Fsync;
        let takes_a_thread = durable || runtime.metrics().num_workers() < 2;
        let queue = takes_a_thread.then(|| Queue::start(Arc::clone(&files), Arc::clone(&clock), durable)).transpose()?;
        let inner = Arc::new(Inner {
            files,
            queue,
            clock,
            keys: RwLock::new(keys),
            options,
            anonymous: Counter::default(),
            covered: std::sync::Mutex::new(covered),
            checkpointing: Mutex::new(()),
            pen: Arc::default(),
            gate: Gate::new(()),
            rotate_after: std::sync::Mutex::new(Duration::ZERO),
            wake: Arc::new(Notify::new()),
            closing: AtomicBool::new(false),
        });
        let ticker = runtime.spawn(look_after(Arc::downgrade(&inner), Arc::clone(&inner.wake))).abort_handle();
        Ok(Self { inner, ticker })
    }

    /// Signs later checkpoints with this key set.
    pub fn replace_keys(&self, keys: Arc<dyn Keys>) {
        *self.inner.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.ticker.abort();
        self.inner.files.let_go();
    }
}

#[async_trait]
impl Audit for AuditLog {
    async fn append(&self, event: Event) -> Result<(), AuditError> {
        let inner = &*self.inner;
        if inner.closing.load(Ordering::Acquire) {
            return Err(AuditError::Closed);
        }
        let now = inner.clock.now();
        if inner.anonymous.due(now) {
            inner.write_counts(now, false).await?;
        }
        if let Some(code) = &event.anonymous
            && !inner.anonymous.admit(code, now)
        {
            return Ok(());
        }
        let body = Body::new(event.json)?;
        let at = inner.write(vec![Stamped { time: now, body }], || {}).await?;
        inner.wake_at(at);
        Ok(())
    }

    async fn ready(&self) -> Result<(), AuditError> {
        let inner = &*self.inner;
        if inner.closing.load(Ordering::Acquire) {
            return Err(AuditError::Closed);
        }
        if inner.files.hangs(inner.clock.now()) { Err(AuditError::TimedOut) } else { inner.files.ready() }
    }

    async fn close(&self) -> Result<(), AuditError> {
        if self.inner.closing.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let counts = self.inner.write_counts(self.inner.clock.now(), true).await;
        let limit = self.inner.options.write_limit;
        let checkpoint = timeout(limit.saturating_add(SIGN_LIMIT), self.inner.checkpoint()).await;
        let checkpoint = checkpoint.unwrap_or(Err(AuditError::TimedOut));
        // Even if those failed the file is let go; its head then does not say that it was closed in good order.
        let in_order = counts.is_ok() && checkpoint.is_ok();
        let files = Arc::clone(&self.inner.files);
        let closed = timeout(limit, tokio::task::spawn_blocking(move || files.close(in_order))).await;
        let closed = closed.map_err(|_elapsed| AuditError::TimedOut)?.map_err(|_| AuditError::Closed)?;
        counts.and(checkpoint).and(closed)
    }
}

#[derive(Debug, Clone, Copy)]
struct Covered {
    /// Lines up to here need no further checkpoint.
    seq: u64,
    /// Since when that is so, by the monotonic clock.
    since: Duration,
    /// No further attempt before this.
    retry: Duration,
    /// The background task has been called to the next one.
    called: bool,
}

impl Covered {
    fn new(seq: u64, since: Duration) -> Self {
        Self { seq, since, retry: Duration::ZERO, called: false }
    }
}

struct Inner {
    files: Arc<Files>,
    /// The thread that writes batches; `None` where all appenders write themselves.
    queue: Option<Queue>,
    clock: Arc<dyn Clock>,
    keys: RwLock<Arc<dyn Keys>>,
    options: LogOptions,
    anonymous: Counter,
    covered: std::sync::Mutex<Covered>,
    checkpointing: Mutex<()>,
    /// Whoever writes itself has it; nobody keeps a thread waiting for it.
    pen: Arc<Mutex<()>>,
    /// Writers pass; while a file is closed and the next begun they wait.
    gate: Gate<()>,
    /// No further attempt to close a file for its size before this.
    rotate_after: std::sync::Mutex<Duration>,
    wake: Arc<Notify>,
    closing: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("files", &self.files).field("options", &self.options).finish_non_exhaustive()
    }
}

/// The background task.
async fn look_after(inner: Weak<Inner>, wake: Arc<Notify>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = wake.notified() => {}
        }
        match inner.upgrade() {
            Some(inner) if !inner.closing.load(Ordering::Acquire) => inner.tick().await,
            Some(_) | None => return,
        }
    }
}

impl Inner {
    /// Writes lines, for so long as a write may take; from when they are `handed_over` on they may be written, whatever this answers.
    async fn write(&self, lines: Vec<Stamped>, handed_over: impl FnOnce() + Send) -> Result<Mark, AuditError> {
        let written = async {
            let _open = self.gate.read().await;
            let alone = self.options.durability == Durability::Os && threads::is_apart();
            match self.queue.as_ref().filter(|_| !alone) {
                Some(queue) => queue.write(lines, handed_over).await,
                None => self.write_here(lines, handed_over).await,
            }
        };
        timeout(self.options.write_limit, written).await.map_err(|_elapsed| AuditError::TimedOut)?
    }

    /// Writes on this thread, unless somebody else is at the file, who may hang there.
    async fn write_here(&self, lines: Vec<Stamped>, handed_over: impl FnOnce() + Send) -> Result<Mark, AuditError> {
        let pen = Arc::clone(&self.pen).lock_owned().await;
        handed_over();
        let now = self.clock.now();
        if let Some(written) = self.files.commit_at_once(now, stamped(&lines)) {
            return written;
        }
        let files = Arc::clone(&self.files);
        // The pen goes along: however soon this one gives up, one thread waits at most.
        let written = tokio::task::spawn_blocking(move || {
            let _pen = pen;
            files.commit(now, stamped(&lines))
        });
        written.await.map_err(|_| AuditError::Closed)?
    }

    /// One look at the log. What fails here is tried again at the next one, and `ready` tells of it meanwhile.
    async fn tick(&self) {
        let now = self.clock.now();
        if self.anonymous.due(now)
            && let Err(error) = self.write_counts(now, false).await
        {
            tracing::debug!(%error, "the counts of anonymous failures wait");
        }
        let (files, ahead) = (Arc::clone(&self.files), self.options.durability == Durability::Os);
        if tokio::task::spawn_blocking(move || files.settle(now, ahead)).await.is_err() {
            tracing::error!("looking after the audit log failed");
        }
        if self.checkpoint_due()
            && let Err(error) = self.checkpoint().await
        {
            tracing::error!(%error, "no audit checkpoint");
        }
        self.rotate_when_large().await;
    }

    /// Writes what was only counted: of windows that ended, or of all.
    async fn write_counts(&self, now: Duration, all: bool) -> Result<(), AuditError> {
        let mut taken = Taken::out_of(&self.anonymous, now, all);
        if taken.summaries.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::with_capacity(taken.summaries.len());
        for summary in &taken.summaries {
            lines.push(Stamped { time: now, body: Body::own(&summary.event())? });
        }
        let written = self.write(lines, || taken.may_stand = true).await;
        // All other errors say that nothing of it is in the log.
        if let Err(error) = &written
            && !matches!(error, AuditError::TimedOut)
        {
            taken.may_stand = false;
        }
        written.map(|_| ())
    }

    fn covered(&self) -> std::sync::MutexGuard<'_, Covered> {
        self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the background task when a checkpoint has become due by the number of lines.
    fn wake_at(&self, at: Mark) {
        let mut covered = self.covered();
        if !covered.called && at.seq.saturating_sub(covered.seq) >= self.options.checkpoint_lines {
            covered.called = true;
            self.wake.notify_one();
        }
    }

    fn checkpoint_due(&self) -> bool {
        let (covered, now) = (*self.covered(), self.clock.monotonic());
        let open = self.files.at().seq.saturating_sub(covered.seq);
        let old = now.saturating_sub(covered.since) >= self.options.checkpoint_interval;
        now >= covered.retry && open > 0 && (old || open >= self.options.checkpoint_lines)
    }

    /// Signs where the log stands and writes that down, unless nothing was written since the last time.
    async fn checkpoint(&self) -> Result<(), AuditError> {
        let _one_at_a_time = self.checkpointing.lock().await;
        let at = self.files.at();
        if at.seq <= self.covered().seq {
            return Ok(());
        }
        let result = self.sign_checkpoint(at).await;
        let now = self.clock.monotonic();
        let mut covered = self.covered();
        match result {
            // Lines that came between stay uncovered; the checkpoint's own line needs none.
            Ok(()) => *covered = Covered::new(at.seq.saturating_add(1), now),
            Err(_) => covered.retry = now.saturating_add(SIGN_RETRY),
        }
        result
    }

    async fn sign_checkpoint(&self, at: Mark) -> Result<(), AuditError> {
        let now = self.clock.now();
        let body = self.signed(at, now, SIGN_LIMIT, None).await?;
        if self.files.at().seq.saturating_sub(at.seq) >= CHECKPOINT_REACH {
            return Err(AuditError::TimedOut);
        }
        self.write(vec![Stamped { time: now, body }], || {}).await.map(|_| ())
    }

    /// A signed line that says where the log stands; `closes` is the number of the file that ends with it.
    async fn signed(&self, at: Mark, now: Duration, limit: Duration, closes: Option<u64>) -> Result<Body, AuditError> {
        let hash = hex::encode(&at.hash);
        let claims = json!({ "seq": at.seq, "hash": hash, "time": line::time(now) }).to_string();
        let keys = Arc::clone(&*self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let jws = timeout(limit, keys.sign(None, CHECKPOINT_TYP, &claims)).await.map_err(|_| AuditError::TimedOut)??;
        let mut checkpoint = json!({ "event": line::CHECKPOINT, "head": { "seq": at.seq, "hash": hash }, "jws": jws });
        if let (Some(number), Some(members)) = (closes, checkpoint.as_object_mut()) {
            members.insert("closes".to_owned(), number.into());
        }
        Body::own(&checkpoint)
    }
}

#[cfg(test)]
mod tests;
