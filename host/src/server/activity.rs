//! Whether anything is asked on a connection. Pings keep a connection alive; only requests keep its slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The requests of one connection.
#[derive(Default)]
pub(super) struct Activity {
    open: AtomicUsize,
    begun: AtomicU64,
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Activity>);

impl Activity {
    /// A request begins; it ends when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Resolves once nothing has been asked for `idle` to twice that long.
    pub(super) async fn rests(&self, idle: Duration) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(idle).await;
            if self.open.load(Ordering::Relaxed) == 0 && self.begun.load(Ordering::Relaxed) == begun {
                return;
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    const IDLE: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn rests_only_where_nothing_is_asked() {
        let activity = Arc::new(Activity::default());
        let answering = activity.begin();
        assert!(timeout(6 * IDLE, activity.rests(IDLE)).await.is_err());
        drop(answering);
        assert!(timeout(LONG, activity.rests(IDLE)).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_in_between_counts() {
        let activity = Arc::new(Activity::default());
        let rests = activity.rests(10 * IDLE);
        let asking = async {
            for _ in 0..30 {
                sleep(IDLE).await;
                drop(activity.begin());
            }
        };
        tokio::select! {
            () = rests => panic!("it was asked all the time"),
            () = asking => {}
        }
    }
}
