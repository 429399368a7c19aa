//! The page of the metrics: rendered once a second at most, however many ask for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::clock::Clock;

/// How long a page counts.
const FRESH: Duration = Duration::from_secs(1);

/// Renders it.
pub(super) struct Scrape {
    render: Box<dyn Fn() -> String + Send + Sync>,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Duration, Bytes)>>,
}

impl Scrape {
    pub(super) fn new(render: impl Fn() -> String + Send + Sync + 'static, clock: Arc<dyn Clock>) -> Self {
        Self { render: Box::new(render), clock, last: Mutex::default() }
    }

    pub(super) async fn page(&self) -> Bytes {
        // Whoever comes while it is being rendered waits here for that one.
        let mut last = self.last.lock().await;
        let now = self.clock.monotonic();
        if let Some((at, page)) = &*last
            && now.saturating_sub(*at) < FRESH
        {
            return page.clone();
        }
        let page = Bytes::from((self.render)());
        *last = Some((now, page.clone()));
        page
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Moved by hand.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn monotonic(&self) -> Duration {
            self.now()
        }
    }

    #[tokio::test]
    async fn one_renders_and_the_others_share() {
        let (clock, rendered) = (Arc::new(Hand::default()), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&rendered);
        let scrape = Scrape::new(move || count.fetch_add(1, Ordering::Relaxed).to_string(), Arc::clone(&clock) as _);
        for (now, page) in [(0, "0"), (0, "0"), (999, "0"), (1_000, "1"), (1_500, "1"), (9_000, "2")] {
            clock.0.store(now, Ordering::Relaxed);
            assert_eq!(scrape.page().await, page, "{now}");
        }
        assert_eq!(rendered.load(Ordering::Relaxed), 3);
    }
}
