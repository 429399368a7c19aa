//! The one place where lines reach the file. Either a whole batch stands in the log or nothing of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::AuditError;
use super::file::Displaced;
use super::line::{self, Body, Mark};

/// A buffer that grew beyond this is not kept.
const KEEP_BUFFER: usize = 1 << 20;

/// What a log is written to: a file, or in tests something that fails.
pub(super) trait Sink: Send + Sync + std::fmt::Debug {
    /// Writes some of `bytes` at the end.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts everything after `len` off.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Waits until what was written survives a crash of the machine.
    fn sync(&self) -> io::Result<()>;
    /// How long it is.
    fn len(&self) -> io::Result<u64>;
    /// Whether it is still where it was opened, and has this length.
    fn stands(&self, len: u64) -> Result<(), Displaced>;
    /// Whether what stands between `base` and `at` is byte for byte what was written, and nothing follows. Reads all of it.
    fn holds(&self, base: Mark, at: Mark) -> io::Result<bool>;
    /// Gives it its name back where somebody renamed it within its folder; `None` where that is not what happened.
    fn put_back(&self) -> io::Result<Option<()>> {
        Ok(None)
    }
}

/// Why a write failed, in a form that every waiting append can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The system says so.
    Io { kind: io::ErrorKind, os: Option<i32> },
    /// The file is not as it was left.
    Displaced(Displaced),
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        Self::Io { kind: error.kind(), os: error.raw_os_error() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<Displaced> for Fault {
    fn from(displaced: Displaced) -> Self {
        Self::Displaced(displaced)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io { kind, os } => os.map_or_else(|| kind.into(), Self::from_raw_os_error),
            Fault::Displaced(displaced) => Self::other(displaced),
        }
    }
}

impl From<Fault> for AuditError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io { .. } => Self::Write(fault.into()),
            Fault::Displaced(displaced) => Self::Displaced(displaced),
        }
    }
}

/// A failure that has not been set right.
#[derive(Debug, Clone, Copy)]
struct Failure {
    fault: Fault,
    since: Duration,
    lost: u64,
}

/// Appends lines to a sink.
#[derive(Debug)]
pub(super) struct Writer {
    sink: Arc<dyn Sink>,
    /// Whether a batch counts as written only when it is synced.
    durable: bool,
    /// Before the sink's first line.
    base: Mark,
    at: Mark,
    failure: Option<Failure>,
    /// The most bytes of ours that may stand behind `at`: of a write that failed.
    unsure: u64,
    buffer: Vec<u8>,
}

impl Writer {
    /// Goes on from `at`, which is the sink's end; its first line follows `base`.
    pub(super) fn new(sink: Arc<dyn Sink>, durable: bool, base: Mark, at: Mark) -> Self {
        Self { sink, durable, base, at, failure: None, unsure: 0, buffer: Vec::new() }
    }

    /// The end of the last line that counts as written.
    pub(super) fn at(&self) -> Mark {
        self.at
    }

    /// Whether a batch counts as written only when it is synced.
    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    /// Before the first line of what is written to.
    pub(super) fn base(&self) -> Mark {
        self.base
    }

    /// The failure that appends meet until it is set right.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.failure.map(|failure| failure.fault)
    }

    /// The sink, to sync it without holding the writer.
    pub(super) fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink)
    }

    /// Writes a batch. After a failure the log first has to be cut back to its last good line; until that succeeds nothing is written,
    /// and the first line written after it says how many events were refused meanwhile. A log that is not as it was left takes nothing
    /// before [`Self::regained`].
    pub(super) fn commit<'a>(&mut self, now: Duration, batch: impl Iterator<Item = (Duration, &'a Body)>) -> Result<(), Fault> {
        if let Some(Failure { fault: fault @ Fault::Displaced(_), lost, .. }) = &mut self.failure {
            *lost = lost.saturating_add(u64::try_from(batch.count()).unwrap_or(u64::MAX));
            return Err(*fault);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut at = self.at;
        if let Some(body) = self.failure.and_then(|failure| resumed(&failure)) {
            at = line::push(&mut buffer, at, now, &body);
        }
        let mut events = 0_u64;
        for (time, body) in batch {
            at = line::push(&mut buffer, at, time, body);
            events += 1;
        }
        let result = self.write(&buffer, at);
        if buffer.capacity() <= KEEP_BUFFER {
            self.buffer = buffer;
        }
        match result {
            Ok(()) => {
                if let Some(failure) = self.failure.take() {
                    tracing::warn!(lost = failure.lost, "the audit log can be written again");
                }
                (self.at, self.unsure) = (at, 0);
                Ok(())
            }
            Err(fault) => Err(self.fail(fault, now, events)),
        }
    }

    /// Looks whether the log is as it was left.
    pub(super) fn look(&mut self, now: Duration) {
        if self.failure.is_none()
            && let Err(displaced) = self.sink.stands(self.at.len)
        {
            self.fail(displaced.into(), now, 0);
        }
    }

    /// The log came back as it was left, and every byte of it was looked at: the next batch may be written.
    pub(super) fn regained(&mut self) {
        if let Some(Failure { fault: fault @ Fault::Displaced(_), .. }) = &mut self.failure {
            *fault = Fault::Io { kind: io::ErrorKind::Interrupted, os: None };
        }
    }

    /// The log came back otherwise; only a new start looks at it again.
    pub(super) fn altered(&mut self) {
        if let Some(Failure { fault: fault @ Fault::Displaced(_), .. }) = &mut self.failure {
            *fault = Fault::Displaced(Displaced::Altered);
        }
    }

    /// Two looks at the path keep what is written in the file that will be read: before, so that nothing is added to a file that was moved,
    /// replaced or cut off; and after, before it counts.
    fn write(&mut self, mut bytes: &[u8], end: Mark) -> Result<(), Fault> {
        if self.failure.is_some() {
            // Also after a failed sync, when the system may have dropped pages it could not write: what follows the last synced line is
            // written anew or not at all.
            self.cut()?;
            self.sink.sync()?;
        }
        self.sink.stands(self.at.len)?;
        self.unsure = end.len.saturating_sub(self.at.len);
        while !bytes.is_empty() {
            match self.sink.write(bytes) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.durable {
            self.sink.sync()?;
        }
        Ok(self.sink.stands(end.len)?)
    }

    /// Takes away what a write that failed may have left. A log that is shorter than it was left is not made longer: that would fill it with
    /// zeros; and one that is longer has bytes of somebody else.
    fn cut(&mut self) -> Result<(), Fault> {
        let (left, found) = (self.at.len, self.sink.len()?);
        if found < left || found > left.saturating_add(self.unsure) {
            return Err(Displaced::Length { left, found }.into());
        }
        if found > left {
            self.sink.truncate(left)?;
        }
        self.unsure = 0;
        Ok(())
    }

    fn fail(&mut self, mut fault: Fault, now: Duration, events: u64) -> Fault {
        let first = self.failure.is_none();
        match (self.cut(), fault) {
            (Ok(()), _) | (Err(_), Fault::Displaced(_)) => {}
            (Err(displaced @ Fault::Displaced(_)), Fault::Io { .. }) => fault = displaced,
            (Err(error @ Fault::Io { .. }), Fault::Io { .. }) if first => {
                tracing::error!(error = %io::Error::from(error), "the audit log may end with half a line");
            }
            (Err(Fault::Io { .. }), Fault::Io { .. }) => {}
        }
        let before = self.failure.unwrap_or(Failure { fault, since: now, lost: 0 });
        if first || before.fault != fault {
            tracing::error!(error = %io::Error::from(fault), "the audit log cannot be written");
        }
        self.failure = Some(Failure { fault, lost: before.lost.saturating_add(events), ..before });
        fault
    }
}

fn resumed(failure: &Failure) -> Option<Body> {
    let line = json!({ "event": "resumed", "refused": failure.lost, "since": line::time(failure.since) });
    Body::own(&line).ok()
}

#[cfg(test)]
mod tests;
