//! An event about what is about to be done, and the one that takes it back where it was not done.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Audit, AuditError};
use crate::record::Event;

type Appending = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send>>;

/// How many may be seen to their end at once after whoever announced them gave up; as many as can wait for a write.
const MOST: usize = 4_096;

/// How many are, and whoever waits until none is.
static GIVEN_UP: AtomicUsize = AtomicUsize::new(0);
static NONE_LEFT: Notify = Notify::const_new();

/// One that is seen to its end, until this goes.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |taken: usize| (taken < MOST).then_some(taken + 1);
        GIVEN_UP.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok().then_some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if GIVEN_UP.fetch_sub(1, Ordering::AcqRel) == 1 {
            NONE_LEFT.notify_waiters();
        }
    }
}

/// Waits until what was given up is seen to its end, also what is given up meanwhile, for this long at most: before the log is closed.
pub(crate) async fn settled(limit: Duration) {
    let none_left = async {
        loop {
            // From here on it is heard of.
            let ended = NONE_LEFT.notified();
            if GIVEN_UP.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    };
    if tokio::time::timeout(limit, none_left).await.is_err() {
        tracing::error!("the audit log closes before it says of everything that it was not done");
    }
}

/// Something that the log says, or will say, is done. Unless [`Self::done`] is called, the log is made to say that it was not: also where
/// the append timed out and is written later, and where whoever waited for it was cut short.
#[must_use = "what is not done is taken back"]
pub struct Announced {
    log: Arc<dyn Audit>,
    appending: Option<Appending>,
    otherwise: Option<Event>,
}

impl Announced {
    /// Records `event` within `limit`; `otherwise` is recorded behind it if it does not come to that.
    ///
    /// # Errors
    /// Where it was not recorded in time.
    pub async fn record(log: &Arc<dyn Audit>, event: Event, otherwise: Event, limit: Duration) -> Result<Self, AuditError> {
        let appending: Appending = {
            let log = Arc::clone(log);
            Box::pin(async move { log.append(event).await })
        };
        let mut this = Self { log: Arc::clone(log), appending: Some(appending), otherwise: Some(otherwise) };
        let Some(appending) = &mut this.appending else { return Err(AuditError::Closed) };
        let written = tokio::time::timeout(limit, appending).await.map_err(|_elapsed| AuditError::TimedOut)?;
        this.appending = None;
        if let Err(error) = written {
            // What timed out in the log may be written all the same; the rest is not.
            if !matches!(error, AuditError::TimedOut) {
                this.otherwise = None;
            }
            return Err(error);
        }
        Ok(this)
    }

    /// It was done.
    pub fn done(mut self) {
        self.otherwise = None;
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let Some(otherwise) = self.otherwise.take() else { return };
        let (log, appending) = (Arc::clone(&self.log), self.appending.take());
        let (Ok(runtime), Some(place)) = (tokio::runtime::Handle::try_current(), Place::take()) else {
            tracing::error!(event = otherwise.json, "not recorded");
            return;
        };
        runtime.spawn(async move {
            let _place = place;
            let may_stand = match appending {
                Some(appending) => matches!(appending.await, Ok(()) | Err(AuditError::TimedOut)),
                None => true,
            };
            if !may_stand {
                return;
            }
            let event = otherwise.json.clone();
            if let Err(error) = log.append(otherwise).await {
                tracing::error!(%error, event, "not recorded");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use tokio::sync::Notify;

    use super::*;
    use crate::audit::testing::event;

    /// Writes when it is let, in order.
    #[derive(Default)]
    struct Slow {
        written: Mutex<Vec<String>>,
        let_go: Notify,
        fails: bool,
    }

    #[async_trait]
    impl Audit for Slow {
        async fn append(&self, event: Event) -> Result<(), AuditError> {
            self.let_go.notified().await;
            if self.fails {
                return Err(AuditError::Closed);
            }
            self.written.lock().unwrap().push(event.json);
            Ok(())
        }

        async fn ready(&self) -> Result<(), AuditError> {
            Ok(())
        }

        async fn close(&self) -> Result<(), AuditError> {
            Ok(())
        }
    }

    async fn later(slow: &Slow) -> Vec<String> {
        for _ in 0..100 {
            slow.let_go.notify_one();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        slow.written.lock().unwrap().clone()
    }

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_is_written_too_late_is_taken_back_behind_it() {
        let slow = Arc::new(Slow::default());
        let log = Arc::clone(&slow) as Arc<dyn Audit>;
        let late = Announced::record(&log, event(1), event(2), SOON).await;
        assert!(matches!(late, Err(AuditError::TimedOut)));
        assert_eq!(later(&slow).await, [event(1).json, event(2).json]);
    }

    #[tokio::test]
    async fn whoever_is_cut_short_is_taken_back_too() {
        let slow = Arc::new(Slow::default());
        let log = Arc::clone(&slow) as Arc<dyn Audit>;
        let waiting = Announced::record(&log, event(1), event(2), Duration::from_secs(60));
        assert!(tokio::time::timeout(SOON, waiting).await.is_err());
        assert_eq!(later(&slow).await, [event(1).json, event(2).json]);
        // And whoever had it recorded and then went no further.
        slow.let_go.notify_one();
        drop(Announced::record(&log, event(3), event(4), Duration::from_secs(60)).await.unwrap());
        assert_eq!(later(&slow).await[2..], [event(3).json, event(4).json]);
    }

    #[tokio::test]
    async fn a_log_that_closes_waits_for_what_is_still_to_be_said() {
        let slow = Arc::new(Slow::default());
        let log = Arc::clone(&slow) as Arc<dyn Audit>;
        assert!(Announced::record(&log, event(1), event(2), SOON).await.is_err());
        let (closing, letting_go) = (settled(Duration::from_secs(60)), later(&slow));
        let ((), _) = tokio::join!(closing, letting_go);
        assert_eq!(slow.written.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_given_up_while_the_log_waits_to_close_is_taken_back_too() {
        let slow = Arc::new(Slow::default());
        let log = Arc::clone(&slow) as Arc<dyn Audit>;
        slow.let_go.notify_one();
        let second = Announced::record(&log, event(3), event(4), Duration::from_secs(60)).await.unwrap();
        assert!(Announced::record(&log, event(1), event(2), SOON).await.is_err());
        let closing = tokio::spawn(settled(Duration::from_secs(60)));
        tokio::time::sleep(SOON).await;
        assert!(!closing.is_finished());
        drop(second);
        let written = later(&slow).await;
        closing.await.unwrap();
        for number in 1..=4 {
            assert!(written.contains(&event(number).json), "{number}: {written:?}");
        }
    }

    #[tokio::test]
    async fn what_was_done_or_never_written_is_not_taken_back() {
        let slow = Arc::new(Slow::default());
        let log = Arc::clone(&slow) as Arc<dyn Audit>;
        slow.let_go.notify_one();
        Announced::record(&log, event(1), event(2), Duration::from_secs(60)).await.unwrap().done();
        assert_eq!(later(&slow).await, [event(1).json]);
        let broken = Arc::new(Slow { fails: true, ..Slow::default() });
        let log = Arc::clone(&broken) as Arc<dyn Audit>;
        assert!(Announced::record(&log, event(1), event(2), SOON).await.is_err());
        assert!(later(&broken).await.is_empty());
    }
}
