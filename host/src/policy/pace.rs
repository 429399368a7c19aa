//! Keeps a slow module from taking the threads that answer everybody's requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::bindings::decision_point::JudgeError;
use crate::clock::Clock;

/// What takes longer is slow. Policies take microseconds.
const SLOW: Duration = Duration::from_millis(5);
/// So many evaluations in a row have to be quick before a module that was slow counts as quick again: it may be slow for some questions
/// and not for others.
const QUICK: u32 = 16;

/// How one module has behaved lately.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    /// How many evaluations have to be quick before it is.
    slow: AtomicU32,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, slow: AtomicU32::new(0) }
    }

    /// Whether the next evaluation may take long.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) > 0
    }

    /// Evaluates. Where it may take long, a runtime's worker hands its other work to another thread first, which costs some microseconds. How
    /// many do so at once is bounded where they come from: see [`crate::decision_point`].
    pub(super) fn evaluate<T>(&self, evaluate: impl FnOnce() -> Result<T, JudgeError>) -> Result<T, JudgeError> {
        let begun = self.clock.monotonic();
        let answer = if self.is_slow() { aside(evaluate) } else { evaluate() };
        if self.clock.monotonic().saturating_sub(begun) > SLOW {
            self.slow.store(QUICK, Ordering::Relaxed);
        } else if !matches!(answer, Err(JudgeError::Unavailable)) {
            // Two at once may count as one: it is slow for a little longer then.
            self.slow.store(self.slow.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
        answer
    }
}

fn aside<T>(evaluate: impl FnOnce() -> T) -> T {
    let has_other_threads = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_other_threads { tokio::task::block_in_place(evaluate) } else { evaluate() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn pace() -> Arc<Pace> {
        Arc::new(Pace::new(Arc::new(SystemClock::default())))
    }

    fn nap(milliseconds: u64) -> Result<(), JudgeError> {
        std::thread::sleep(Duration::from_millis(milliseconds));
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_slow_module_leaves_the_thread_to_others() {
        let pace = pace();
        assert!(pace.evaluate(|| nap(10)).is_ok());
        let slow = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.evaluate(|| nap(2_000)) }
        });
        // The only worker of this runtime is busy with it, and yet others get their turn.
        let begun = SystemClock::default();
        tokio::spawn(tokio::time::sleep(Duration::from_millis(50))).await.unwrap();
        assert!(begun.monotonic() < Duration::from_millis(1_500));
        assert!(slow.await.unwrap().is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_quick_answer_does_not_make_a_slow_module_quick() {
        let pace = pace();
        assert!(pace.evaluate(|| nap(10)).is_ok());
        for _ in 0..QUICK {
            assert!(pace.is_slow());
            assert!(pace.evaluate(|| Ok(())).is_ok());
        }
        assert!(!pace.is_slow());
        assert!(pace.evaluate::<()>(|| Err(JudgeError::Unavailable)).is_err());
        assert!(!pace.is_slow(), "what was not asked says nothing");
    }
}
