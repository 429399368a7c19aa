//! Keeps a slow module from taking the threads that answer everybody's requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::bindings::decision_point::JudgeError;
use crate::clock::Clock;

/// What takes longer is slow. Policies take microseconds.
const SLOW: Duration = Duration::from_millis(5);
/// Evaluations of one slow module at once; the next one has no verdict.
const AT_ONCE: usize = 8;

/// How one module has behaved lately.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    slow: AtomicBool,
    running: AtomicUsize,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, slow: AtomicBool::new(false), running: AtomicUsize::new(0) }
    }

    /// Evaluates. Where the last one was slow, this thread's other work goes to another thread first, which costs some
    /// microseconds, and only a few may be under way.
    pub(super) fn evaluate<T>(&self, evaluate: impl FnOnce() -> Result<T, JudgeError>) -> Result<T, JudgeError> {
        let begun = self.clock.monotonic();
        let answer = if self.slow.load(Ordering::Relaxed) { self.aside(evaluate) } else { evaluate() };
        if !matches!(answer, Err(JudgeError::Unavailable)) {
            self.slow.store(self.clock.monotonic().saturating_sub(begun) > SLOW, Ordering::Relaxed);
        }
        answer
    }

    fn aside<T>(&self, evaluate: impl FnOnce() -> Result<T, JudgeError>) -> Result<T, JudgeError> {
        let more = |running| (running < AT_ONCE).then_some(running + 1);
        if self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return Err(JudgeError::Unavailable);
        }
        let has_other_threads = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let answer = if has_other_threads { tokio::task::block_in_place(evaluate) } else { evaluate() };
        self.running.fetch_sub(1, Ordering::Relaxed);
        answer
    }
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
    async fn only_so_many_slow_ones_run_at_once() {
        let pace = pace();
        pace.slow.store(true, Ordering::Relaxed);
        let many: Vec<_> = (0..=AT_ONCE)
            .map(|_| {
                let pace = Arc::clone(&pace);
                std::thread::spawn(move || pace.evaluate(|| nap(500)))
            })
            .collect();
        let answers: Vec<_> = many.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(JudgeError::Unavailable))).count(), 1);
        pace.slow.store(true, Ordering::Relaxed);
        assert!(pace.evaluate(|| Ok(())).is_ok());
        assert!(!pace.slow.load(Ordering::Relaxed));
    }
}
