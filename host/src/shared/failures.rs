//! Records how many failures each client had: soon after they happen, and off the path of any answer, so that nobody learns from the time an
//! answer takes whether its client exists.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Shared;
use crate::audit::time;
use crate::guessing::Summary;
use crate::record::Event;

/// Between two looks at what is counted.
const PAUSE: Duration = Duration::from_millis(200);

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
            let event = Event { json: event(&summary).to_string(), anonymous: None };
            let error = match tokio::time::timeout(self.limits.audit, self.audit.append(event)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(elapsed) => elapsed.to_string(),
            };
            tracing::error!(client = summary.client, count = summary.count, error, "failures of a caller were not recorded yet");
            self.guessing.put_back(summary);
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
