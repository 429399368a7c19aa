//! Failures of callers that nobody knows: the first few of a kind are written, the rest are counted, so that a flood of them neither fills
//! the disk nor slows anyone down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::line;

/// How long failures are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// How many of a code are written in a window.
const WRITTEN: u32 = 10;
/// How many codes are told apart.
const MAX_CODES: usize = 64;
/// Codes longer than this are not told apart.
const MAX_CODE: usize = 64;
/// The code of those that are not told apart.
const OTHER: &str = "other";

#[derive(Debug, Clone, Copy)]
struct Window {
    start: Duration,
    written: u32,
    counted: Option<Counted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    count: u64,
    since: Duration,
    until: Duration,
}

impl Counted {
    fn join(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            since: self.since.min(other.since),
            until: self.until.max(other.until),
        }
    }
}

/// What was only counted in a window that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    code: String,
    counted: Counted,
}

impl Summary {
    pub(super) fn event(&self) -> Value {
        json!({
            "event": "anonymous_failures",
            "code": self.code,
            "count": self.counted.count,
            "since": line::time(self.counted.since),
            "until": line::time(self.counted.until),
        })
    }
}

/// The counts, bounded.
#[derive(Debug)]
pub(super) struct Counter {
    windows: Mutex<HashMap<String, Window>>,
    /// Microseconds at which the first window ends, so that an append need not take the lock to learn that none has.
    next_end: AtomicU64,
}

impl Default for Counter {
    fn default() -> Self {
        Self { windows: Mutex::default(), next_end: AtomicU64::new(u64::MAX) }
    }
}

impl Counter {
    /// Whether a failure is to be written; otherwise it has been counted.
    pub(super) fn admit(&self, code: &str, now: Duration) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = windows.contains_key(code);
        let code = if known || (windows.len() < MAX_CODES && code.len() <= MAX_CODE) { code } else { OTHER };
        let window = windows.entry(code.to_owned()).or_insert(Window { start: now, written: 0, counted: None });
        self.next_end.fetch_min(micros(window.start.saturating_add(WINDOW)), Ordering::Relaxed);
        if window.written < WRITTEN {
            window.written += 1;
            return true;
        }
        let one = Counted { count: 1, since: now, until: now };
        window.counted = Some(window.counted.map_or(one, |before| before.join(one)));
        false
    }

    /// Whether a window may have ended. Cheap.
    pub(super) fn due(&self, now: Duration) -> bool {
        micros(now) >= self.next_end.load(Ordering::Relaxed)
    }

    /// Takes out the windows that have ended (or all) and says what was counted in them.
    pub(super) fn take(&self, now: Duration, all: bool) -> Vec<Summary> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries = Vec::new();
        windows.retain(|code, window| {
            // A clock that was set back must not keep a window open.
            let ended = all || now < window.start || now >= window.start.saturating_add(WINDOW);
            if let (true, Some(counted)) = (ended, window.counted) {
                summaries.push(Summary { code: code.clone(), counted });
            }
            !ended
        });
        let next = windows.values().map(|window| micros(window.start.saturating_add(WINDOW))).min();
        self.next_end.store(next.unwrap_or(u64::MAX), Ordering::Relaxed);
        summaries
    }

    /// Takes back what could not be written; it is due again at once.
    pub(super) fn put_back(&self, summaries: Vec<Summary>) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for Summary { code, counted } in summaries {
            // The bound holds: at most as many codes come back as were taken out, and new ones fall under `other` meanwhile.
            let code = if windows.len() < MAX_CODES || windows.contains_key(&code) { code } else { OTHER.to_owned() };
            let window = windows.entry(code).or_insert(Window { start: counted.since, written: WRITTEN, counted: None });
            window.counted = Some(window.counted.map_or(counted, |before| before.join(counted)));
            self.next_end.fetch_min(micros(window.start.saturating_add(WINDOW)), Ordering::Relaxed);
        }
    }
}

/// What was taken out to be written. It is counted on when this goes, unless it may stand in the log.
pub(super) struct Taken<'a> {
    counter: &'a Counter,
    pub(super) summaries: Vec<Summary>,
    pub(super) may_stand: bool,
}

impl<'a> Taken<'a> {
    /// The windows that have ended, or all.
    pub(super) fn out_of(counter: &'a Counter, now: Duration, all: bool) -> Self {
        Self { counter, summaries: counter.take(now, all), may_stand: false }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.may_stand {
            self.counter.put_back(std::mem::take(&mut self.summaries));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn writes_ten_and_counts_the_rest_of_a_window() {
        let counter = Counter::default();
        let written = (0..25).filter(|_| counter.admit("caller.unknown", at(100))).count();
        assert_eq!(written, 10);
        assert!(counter.admit("caller.other", at(101)), "codes have windows of their own");
        assert!(!counter.admit("caller.unknown", at(130)));
        assert!(!counter.due(at(159)));
        assert!(counter.take(at(159), false).is_empty());
        assert!(counter.due(at(160)));
        let counted = Counted { count: 16, since: at(100), until: at(130) };
        assert_eq!(counter.take(at(160), false), [Summary { code: "caller.unknown".to_owned(), counted }]);
        assert!(counter.admit("caller.unknown", at(160)), "a new window");
    }

    #[test]
    fn keeps_a_bounded_number_of_codes() {
        let counter = Counter::default();
        for code in 0..10_000 {
            counter.admit(&format!("code-{code}"), at(1));
        }
        counter.admit(&"x".repeat(1_000), at(1));
        assert!(counter.windows.lock().unwrap().len() <= MAX_CODES + 1);
        let summaries = counter.take(at(2), true);
        let [other] = summaries.as_slice() else { panic!("{summaries:?}") };
        assert_eq!((other.code.as_str(), other.counted.count), ("other", 10_001 - MAX_CODES as u64 - u64::from(WRITTEN)));
    }

    #[test]
    fn loses_no_count_that_could_not_be_written() {
        let counter = Counter::default();
        for _ in 0..15 {
            counter.admit("a", at(1));
        }
        let summaries = counter.take(at(70), false);
        counter.put_back(summaries.clone());
        assert!(counter.due(at(70)));
        assert!(!counter.admit("a", at(71)), "still the window that was not written");
        let again = counter.take(at(71), true);
        assert_eq!(again[0].counted.count, summaries[0].counted.count + 1);
    }

    #[test]
    fn a_clock_set_back_ends_a_window() {
        let counter = Counter::default();
        for _ in 0..11 {
            counter.admit("a", at(1_000));
        }
        assert_eq!(counter.take(at(10), false).len(), 1);
    }
}
