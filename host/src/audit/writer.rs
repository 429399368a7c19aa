//! The one place where lines reach the file. Either a whole batch stands in the log or nothing of it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

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
}

impl Sink for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Why a write failed, in a form that every waiting append can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    kind: io::ErrorKind,
    os: Option<i32>,
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        Self { kind: error.kind(), os: error.raw_os_error() }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        fault.os.map_or_else(|| fault.kind.into(), Self::from_raw_os_error)
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
    at: Mark,
    failure: Option<Failure>,
    buffer: Vec<u8>,
}

impl Writer {
    /// Goes on from `at`, which is the sink's end.
    pub(super) fn new(sink: Arc<dyn Sink>, durable: bool, at: Mark) -> Self {
        Self { sink, durable, at, failure: None, buffer: Vec::new() }
    }

    /// The end of the last line that counts as written.
    pub(super) fn at(&self) -> Mark {
        self.at
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
    /// and the first line written after it says how many events were refused meanwhile.
    pub(super) fn commit<'a>(&mut self, now: Duration, batch: impl Iterator<Item = (Duration, &'a Body)>) -> Result<(), Fault> {
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
        let result = self.write(&buffer);
        if buffer.capacity() <= KEEP_BUFFER {
            self.buffer = buffer;
        }
        match result {
            Ok(()) => {
                if let Some(failure) = self.failure.take() {
                    tracing::warn!(lost = failure.lost, "the audit log can be written again");
                }
                self.at = at;
                Ok(())
            }
            Err(error) => Err(self.fail(&error, now, events)),
        }
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        if self.failure.is_some() {
            // Also after a failed sync, when the system may have dropped pages it could not write: what follows the last synced line is
            // written anew or not at all.
            self.sink.truncate(self.at.len)?;
            self.sink.sync()?;
        }
        while !bytes.is_empty() {
            match self.sink.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.durable { self.sink.sync() } else { Ok(()) }
    }

    fn fail(&mut self, error: &io::Error, now: Duration, events: u64) -> Fault {
        let fault = Fault::from(error);
        let first = self.failure.is_none();
        if first {
            tracing::error!(%error, "the audit log cannot be written");
        }
        if let (Err(error), true) = (self.sink.truncate(self.at.len), first) {
            tracing::error!(%error, "the audit log may end with half a line");
        }
        let before = self.failure.unwrap_or(Failure { fault, since: now, lost: 0 });
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
