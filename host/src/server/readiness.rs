//! Whether every part can serve: asked once a second at most, however many want to know.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::standin::Standin;

/// How long an answer counts, a good one and a bad one.
const FRESH: Duration = Duration::from_secs(1);
/// What is named where asking itself failed.
const NOBODY_ANSWERED: &[&str] = &["host"];

type Parts = Arc<[&'static str]>;

/// Asks the parts.
pub(super) struct Readiness {
    standin: Standin,
    clock: Arc<dyn Clock>,
    last: Arc<Mutex<Option<(Duration, Parts)>>>,
}

impl Readiness {
    pub(super) fn new(standin: Standin) -> Self {
        Self { clock: standin.clock(), standin, last: Arc::default() }
    }

    /// The parts that cannot serve.
    pub(super) async fn unavailable(&self) -> Parts {
        // Whoever comes while the parts are being asked waits here for that answer.
        let mut last = Arc::clone(&self.last).lock_owned().await;
        let now = self.clock.monotonic();
        if let Some((at, parts)) = &*last
            && now.saturating_sub(*at) < FRESH
        {
            return Arc::clone(parts);
        }
        *last = Some((now, Arc::from(NOBODY_ANSWERED)));
        let standin = self.standin.clone();
        let runtime = Handle::current();
        // On a thread of its own: whoever hangs up does not make the next one ask again, and a part may keep the thread.
        let asked = tokio::task::spawn_blocking(move || {
            runtime.block_on(async move {
                let not_ready = standin.not_ready().await;
                for part in &not_ready {
                    tracing::warn!(part = part.part, cause = part.cause, "not ready");
                }
                let parts: Parts = not_ready.iter().map(|part| part.part).collect();
                *last = Some((now, Arc::clone(&parts)));
                parts
            })
        });
        asked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "asking whether the parts are ready");
            Arc::from(NOBODY_ANSWERED)
        })
    }
}
