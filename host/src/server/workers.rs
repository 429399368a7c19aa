//! The threads on which requests compute. The runtime's own threads read sockets meanwhile, so that whoever asks is seen, and gets a
//! place in the order, before the next in turn is chosen.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

use async_task::Runnable;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::threads;

/// By how much these threads are nicer than the process: where one of them and one that reads sockets could run, the latter has three times
/// the share. Threads that the runtime starts for something that blocks are as nice as whoever asked for the first of them.
const NICER: i32 = 5;

/// Why a task has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// It panicked.
    #[error("the task panicked: {0}")]
    Panicked(String),
    /// The server has ended.
    #[error("the server has ended")]
    Ended,
}

/// The threads. Once this is gone they do nothing any more: what is left ends where it stands, and they with the last of it.
pub(super) struct Workers {
    /// What can go on. Each task stands in it once at most, and each request is one.
    ready: Sender<Runnable>,
    ended: Arc<AtomicBool>,
}

impl Workers {
    /// So many threads, in the runtime of whoever calls: timers and sockets of the tasks are its.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(threads: usize) -> std::io::Result<Self> {
        let (ready, work) = unbounded();
        let workers = Self { ready, ended: Arc::default() };
        let runtime = Handle::current();
        for number in 0..threads {
            let (work, runtime, ended) = (work.clone(), runtime.clone(), Arc::clone(&workers.ended));
            thread::Builder::new().name(format!("request-{number}")).spawn(move || run(&work, &runtime, &ended))?;
        }
        Ok(workers)
    }

    /// Works on it here, to its end, whether or not the answer is waited for.
    ///
    /// # Errors
    /// Where it ended without an answer.
    pub(super) async fn answer<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Lost> {
        let (answered, answer) = oneshot::channel();
        let ready = self.ready.clone();
        let work = async move {
            // Nobody waits for it any more: whoever asked hung up.
            let _ = answered.send(caught(work).await);
        };
        let schedule = move |runnable| {
            // The threads are there as long as a task that could be sent.
            let _ = ready.send(runnable);
        };
        let (runnable, task) = async_task::spawn(work, schedule);
        task.detach();
        runnable.schedule();
        answer.await.map_err(|_| Lost::Ended)?
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// The answer, or what it panicked with.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Lost> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(Lost::Panicked(said(&*panic)))),
    })
    .await
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}

fn run(work: &Receiver<Runnable>, runtime: &Handle, ended: &AtomicBool) {
    let _in_runtime = runtime.enter();
    threads::set_apart();
    stand_back();
    for runnable in work {
        if ended.load(Ordering::Acquire) {
            // One after the other: what it held may wake the next, which comes here too.
            drop(runnable);
        } else {
            runnable.run();
        }
    }
}

/// On Linux each thread has a niceness of its own (setpriority(2)); elsewhere it is the process's and stays.
fn stand_back() {
    if cfg!(target_os = "linux")
        && let Err(error) = getpriority_process(None).and_then(|nice| setpriority_process(None, nice + NICER))
    {
        tracing::debug!(%error, "the threads of requests are as urgent as those that read sockets");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[tokio::test]
    async fn a_panic_is_told_and_takes_no_thread_along() {
        let workers = Workers::start(1).unwrap();
        let lost = workers.answer(async { [0][std::env::args().count()] }).await.unwrap_err();
        assert!(lost.to_string().contains("index out of bounds"), "{lost}");
        assert_eq!(workers.answer(async { 7 }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn whoever_hangs_up_cuts_nothing_off() {
        let workers = Workers::start(1).unwrap();
        let (ended, ends) = oneshot::channel();
        let work = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let _ = ended.send(());
        };
        let waited = tokio::time::timeout(Duration::from_millis(10), workers.answer(work)).await;
        assert!(waited.is_err(), "it was given up");
        ends.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_runtime_goes_on_while_all_compute() {
        let workers = Arc::new(Workers::start(1).unwrap());
        let begun = SystemClock::default();
        let computing = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.answer(async { thread::sleep(Duration::from_millis(2_000)) }).await }
        });
        tokio::spawn(tokio::time::sleep(Duration::from_millis(50))).await.unwrap();
        assert!(begun.monotonic() < Duration::from_millis(1_500));
        computing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_left_ends_with_the_server() {
        let workers = Workers::start(1).unwrap();
        let (held, released) = oneshot::channel::<()>();
        let work = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = held.send(());
        };
        let waited = tokio::time::timeout(Duration::from_millis(10), workers.answer(work)).await;
        assert!(waited.is_err(), "it was given up");
        drop(workers);
        // When its time has come it is dropped, not worked on.
        assert!(tokio::time::timeout(Duration::from_secs(30), released).await.unwrap().is_err());
    }
}
