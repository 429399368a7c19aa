//! Records how many failures each client had: soon after they happen, and off the path of any answer, so that nobody learns from the time an
//! answer takes whether its client exists.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Shared;
use crate::audit::{Audit, AuditError, time};
use crate::guessing::{Guessing, Summary};
use crate::record::Event;

/// Between two looks at what is counted.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a log may take at most to say whether it has written something; ours says so sooner.
const LONGEST: Duration = Duration::from_secs(60);

/// Records what is counted from now on; ends with what it watches. Runs within a tokio runtime.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let (shared, guessing) = (Arc::downgrade(shared), Arc::downgrade(&shared.guessing));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PAUSE).await;
            // What holds the log open is taken only where there is something for it.
            let Some(due) = guessing.upgrade().map(|guessing| guessing.due()) else { return };
            if due.is_none_or(|due| !due.is_zero()) {
                continue;
            }
            let Some(shared) = shared.upgrade() else { return };
            shared.record_failures(false).await;
        }
    });
}

impl Shared {
    /// Records what is counted and due, or all of it.
    pub(crate) async fn record_failures(&self, all: bool) {
        for summary in self.guessing.take(all) {
            let (log, guessing) = (Arc::clone(&self.audit), Arc::clone(&self.guessing));
            // In a task of its own: what is not waited for any more may be written all the same.
            let recording = tokio::spawn(record(log, guessing, summary));
            match tokio::time::timeout(self.limits.audit, recording).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "recording the failures of a caller"),
                Err(_elapsed) => tracing::error!("failures of a caller were not recorded yet"),
            }
        }
    }
}

/// Records one; what certainly was not written is counted on.
async fn record(log: Arc<dyn Audit>, guessing: Arc<Guessing>, summary: Summary) {
    let event = Event { json: event(&summary).to_string(), anonymous: None };
    let written = tokio::time::timeout(LONGEST, log.append(event)).await.unwrap_or(Err(AuditError::TimedOut));
    let (client, count) = (&summary.client, summary.count);
    match written {
        Ok(()) => {}
        Err(error @ AuditError::TimedOut) => {
            tracing::error!(client, count, %error, "failures of a caller may not be recorded");
        }
        Err(error) => {
            tracing::error!(client, count, %error, "failures of a caller were not recorded yet");
            guessing.put_back(summary);
        }
    }
}

fn event(summary: &Summary) -> serde_json::Value {
    let Summary { client, count, unheard, since, until, peers } = summary;
    json!({
        "event": "caller_failures",
        "client": Some(client).filter(|client| !client.is_empty()),
        "count": count,
        "throttled": unheard,
        "peers": peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "since": time(*since),
        "until": time(*until),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::clock::SystemClock;

    /// Fails as told; whether it has written nevertheless, it does not say.
    #[derive(Default)]
    struct Doubtful {
        times_out: AtomicBool,
        asked: Mutex<u32>,
    }

    #[async_trait]
    impl Audit for Doubtful {
        async fn append(&self, _event: Event) -> Result<(), AuditError> {
            *self.asked.lock().unwrap() += 1;
            if self.times_out.load(Ordering::Relaxed) { Err(AuditError::TimedOut) } else { Err(AuditError::Closed) }
        }

        async fn ready(&self) -> Result<(), AuditError> {
            Ok(())
        }

        async fn close(&self) -> Result<(), AuditError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn only_what_certainly_was_not_written_is_counted_again() {
        let (log, guessing) = (Arc::new(Doubtful::default()), Arc::new(Guessing::new(10, Arc::new(SystemClock::default()))));
        guessing.failed("svc", true, None);
        let taken = |guessing: &Guessing| guessing.take(true).pop();
        let summary = taken(&guessing).unwrap();
        record(Arc::clone(&log) as _, Arc::clone(&guessing), summary.clone()).await;
        assert_eq!(taken(&guessing), Some(summary.clone()));
        log.times_out.store(true, Ordering::Relaxed);
        record(Arc::clone(&log) as _, Arc::clone(&guessing), summary).await;
        assert_eq!((taken(&guessing), *log.asked.lock().unwrap()), (None, 2));
    }
}
