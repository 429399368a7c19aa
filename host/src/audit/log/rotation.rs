//! Closing the file that is written and going on in the next one: on request, or when it is large.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::files::{ClosedFile, Files, NotRotated};
use super::{AuditError, AuditLog, Covered, Inner};
use crate::audit::rotate::{self, Step};
use crate::audit::series;

/// How long the signature of the closing line may take: everybody waits for it.
const SIGN_LIMIT: Duration = Duration::from_secs(2);
/// How often it is signed again because something was written meanwhile: by whoever gave up waiting for its write.
const TRIES: u32 = 8;
/// How long to wait after a file that could not be closed.
const RETRY: Duration = Duration::from_secs(60);

/// Looks on, for tests.
pub(super) type Look = Arc<dyn Fn(Step) + Send + Sync>;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// What the closed file is called now.
    pub file: String,
    /// Its first line.
    pub first: u64,
    /// Its last line.
    pub last: u64,
    /// Older files that are not kept any more and were removed.
    pub removed: Vec<String>,
}

impl AuditLog {
    /// Closes the file that is written, with a signed checkpoint, and goes on in a new one that begins with its hash. Where somebody renamed
    /// the file within its folder and did nothing else to it, it gets its name back first.
    ///
    /// # Errors
    /// Where that cannot be done; the log then goes on as before, if it can.
    pub async fn rotate(&self) -> Result<Rotated, AuditError> {
        self.inner.rotate(Arc::new(|_| {})).await
    }
}

impl Inner {
    /// Closes a file that has become too large. One that cannot be closed grows on.
    pub(super) async fn rotate_when_large(&self) {
        let Some(most) = self.options.max_size else { return };
        let now = self.clock.monotonic();
        let wait = *self.rotate_after.lock().unwrap_or_else(PoisonError::into_inner);
        if self.files.at().len < most || now < wait {
            return;
        }
        if let Err(error) = self.rotate(Arc::new(|_| {})).await {
            tracing::error!(%error, "the audit log's file is too large, and cannot be closed");
            *self.rotate_after.lock().unwrap_or_else(PoisonError::into_inner) = now.saturating_add(RETRY);
        }
    }

    pub(super) async fn rotate(&self, look: Look) -> Result<Rotated, AuditError> {
        // No other checkpoint until it is done.
        let _one_at_a_time = self.checkpointing.lock().await;
        if self.closing.load(Ordering::Acquire) {
            return Err(AuditError::Closed);
        }
        let now = self.clock.now();
        // Before anybody has to wait: it may read the whole file. Whoever writes meanwhile is told at once that the log is not there.
        self.aside(move |files| files.put_back(now)).await?;
        // From here on nobody writes.
        let closed = self.gate.write().await;
        if self.closing.load(Ordering::Acquire) {
            return Err(AuditError::Closed);
        }
        let ClosedFile { file, first, last } = self.close_file(now, &look).await?;
        let at = self.files.at();
        // The line that begins a file says no more than the one that closed the last.
        *self.covered() = Covered::new(at.seq, self.clock.monotonic());
        drop(closed);
        let removed = match self.options.keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX)) {
            None => Ok(Vec::new()),
            Some(keep) => self.aside(move |files| files.thin_out(keep, now)).await,
        };
        let removed = removed.unwrap_or_else(|error| {
            tracing::error!(%error, "files of the audit log that are not kept any more stay");
            Vec::new()
        });
        tracing::info!(file, first, last, ?removed, "the audit log goes on in a new file");
        Ok(Rotated { file, first, last, removed })
    }

    async fn close_file(&self, now: Duration, look: &Look) -> Result<ClosedFile, AuditError> {
        for _ in 0..TRIES {
            self.files.ready()?;
            let at = self.files.at();
            let number = self.aside(number).await?;
            let closing = self.signed(at, now, SIGN_LIMIT, Some(number)).await?;
            let look = Arc::clone(look);
            match self.aside(move |files| files.rotate(at, now, &closing, &mut |step| look(step))).await {
                Ok(closed) => return Ok(closed),
                Err(NotRotated::Overtaken) => {}
                Err(NotRotated::Audit(error)) => return Err(error),
            }
        }
        Err(AuditError::TimedOut)
    }

    /// On a thread that may wait for the disk.
    async fn aside<T: Send + 'static, E: From<AuditError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.unwrap_or_else(|_| Err(AuditError::Closed.into()))
    }
}

/// The number that the file gets.
fn number(files: &Files) -> Result<u64, AuditError> {
    let first = series::base(&std::fs::File::open(files.path())?)?;
    Ok(rotate::number(files.path(), first.as_ref().map(|(_, line)| line))?)
}

#[cfg(test)]
mod tests;
