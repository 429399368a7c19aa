//! What takes long says so on standard error for as long as it does: a terminal sees one line that changes, everybody else a new line now
//! and then.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use standin::clock::{Clock as _, SystemClock};

use super::out::tell;

/// What is done sooner than this is not worth a word.
const SOON: Duration = Duration::from_secs(1);
/// Between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Says what is being done until it is dropped.
pub(crate) struct Progress(Option<(Sender<&'static str>, JoinHandle<()>)>);

impl Progress {
    /// Says nothing, where it is to be silent.
    pub(crate) fn new(silent: bool) -> Self {
        let (sender, receiver) = channel();
        // Without a thread there is no progress to be seen, and the work goes on.
        let watch = move || watch(&receiver, SOON, if rewrites() { SOON } else { EVERY }, show);
        let thread = || std::thread::Builder::new().name("progress".to_owned()).spawn(watch).ok();
        Self(if silent { None } else { thread().map(|thread| (sender, thread)) })
    }

    /// From now on this is being done.
    pub(crate) fn begin(&self, what: &'static str) {
        if let Some((sender, _)) = &self.0 {
            // The other end goes only after this one.
            sender.send(what).ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            thread.join().ok();
        }
    }
}

/// Shows what was begun last and for how long, first after `soon`; at the end, where anything was shown, that nothing is being done.
fn watch(begun: &Receiver<&'static str>, soon: Duration, every: Duration, mut show: impl FnMut(&str)) {
    let clock = SystemClock::default();
    let (mut what, mut since, mut wait, mut shown) = ("", Duration::ZERO, soon, false);
    loop {
        match begun.recv_timeout(wait) {
            Ok(next) => (what, since, wait) = (next, clock.monotonic(), soon),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                wait = every;
                if !what.is_empty() {
                    shown = true;
                    show(&format!("{what}, {} s", clock.monotonic().saturating_sub(since).as_secs()));
                }
            }
        }
    }
    if shown {
        show("");
    }
}

/// Whether a line may take the place of the last one.
fn rewrites() -> bool {
    std::io::stderr().is_terminal()
}

fn show(line: &str) {
    if rewrites() {
        let mut out = std::io::stderr().lock();
        // Where that fails there is nobody left to tell.
        let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
    } else if !line.is_empty() {
        tell!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_said_until_it_is_done() {
        let (sender, receiver) = channel();
        sender.send("too quick to be seen").unwrap();
        sender.send("compiling").unwrap();
        let (mut said, mut sender) = (Vec::new(), Some(sender));
        watch(&receiver, Duration::from_millis(1), Duration::from_millis(1), |line| {
            said.push(line.to_owned());
            if said.len() == 2 {
                sender = None;
            }
        });
        let [first, second, last] = said.as_slice() else { panic!("{said:?}") };
        assert!(first.starts_with("compiling, ") && second.starts_with("compiling, ") && last.is_empty(), "{said:?}");
    }

    #[test]
    fn nothing_is_said_where_nothing_was_begun() {
        let (sender, receiver) = channel();
        drop(sender);
        let mut said = Vec::new();
        watch(&receiver, SOON, EVERY, |line| said.push(line.to_owned()));
        assert!(said.is_empty(), "{said:?}");
        Progress::new(true).begin("in silence");
    }
}
