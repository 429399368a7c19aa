//! When a module that keeps failing is no longer asked: it denies as fast as it can, and the machine's time is left to others.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::bindings::decision_point::JudgeError;
use crate::clock::Clock;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many failures
    pub failures: usize,
    /// within this time open it;
    pub window: Duration,
    /// after this time one question is let through.
    pub rest: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 10, window: Duration::from_secs(10), rest: Duration::from_secs(5) }
    }
}

/// Clients whose breakers are kept apart; those beyond share the one for everybody.
const CLIENTS: usize = 1_024;
/// So many clients with open breakers open it for everybody: it is the module then, and not what one of them asks.
const FOR_ALL: usize = 3;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Every question is asked.
    Closed,
    /// Those of some clients are not.
    OpenForSome,
    /// None is.
    Open,
    /// The next one, or the one being asked now, decides.
    HalfOpen,
}

/// One module's breaker. What one client asks may make a module fail that serves everybody else: so each has its own, and only
/// several of them open it for all.
pub(super) struct Breaker {
    options: BreakerOptions,
    clock: Arc<dyn Clock>,
    /// Whether `trips` has to be looked at: a sound module's questions take no lock.
    tripped: AtomicBool,
    trips: Mutex<Trips>,
}

#[derive(Debug, Default)]
struct Trips {
    all: Trip,
    clients: HashMap<String, Trip>,
}

#[derive(Debug, Default)]
struct Trip {
    /// When it failed, within the window; as many as open it at most.
    failures: VecDeque<Duration>,
    /// Since when it is open.
    since: Option<Duration>,
    probing: bool,
}

/// Leave to ask once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// As always.
    Closed,
    /// The one question that decides whether it closes for this client.
    Probe,
    /// The one that decides whether it closes for everybody.
    ProbeForAll,
}

impl Breaker {
    pub(super) fn new(options: BreakerOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, tripped: AtomicBool::new(false), trips: Mutex::default() }
    }

    /// Leave for this client to ask; none while it is open.
    pub(super) fn leave(&self, client: &str) -> Option<Leave> {
        if !self.tripped.load(Ordering::Acquire) {
            return Some(Leave::Closed);
        }
        let (mut trips, now) = (self.trips(), self.clock.monotonic());
        if trips.all.since.is_some() {
            return trips.all.probe(now, self.options.rest).then_some(Leave::ProbeForAll);
        }
        match trips.clients.get_mut(client).filter(|trip| trip.since.is_some()) {
            Some(trip) => trip.probe(now, self.options.rest).then_some(Leave::Probe),
            None => Some(Leave::Closed),
        }
    }

    /// What came of it. Answers whether it opened just now, for this client or for everybody.
    pub(super) fn settle<T>(&self, client: &str, leave: &Leave, answer: &Result<T, JudgeError>) -> bool {
        match answer {
            // An error is an answer too: it denies, and costs what an answer costs.
            Ok(_) | Err(JudgeError::Module(_)) => {
                if *leave != Leave::Closed {
                    self.close(client, leave);
                }
                false
            }
            Err(JudgeError::Trapped | JudgeError::TimedOut | JudgeError::TooLarge | JudgeError::Invalid) => {
                self.failed(client, leave)
            }
            // It was not asked after all.
            Err(JudgeError::Unavailable | JudgeError::Other(_)) => {
                if let Some(trip) = self.trips().of(client, leave) {
                    trip.probing = false;
                }
                false
            }
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        let trips = self.trips();
        let open = trips.clients.values().any(|trip| trip.since.is_some());
        match trips.all.since {
            Some(since) if self.clock.monotonic().saturating_sub(since) < self.options.rest => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
            None if open => BreakerState::OpenForSome,
            None => BreakerState::Closed,
        }
    }

    fn close(&self, client: &str, leave: &Leave) {
        let mut trips = self.trips();
        match leave {
            Leave::Closed => {}
            Leave::Probe => drop(trips.clients.remove(client)),
            Leave::ProbeForAll => *trips = Trips::default(),
        }
        let open = trips.all.since.is_some() || trips.clients.values().any(|trip| trip.since.is_some());
        self.tripped.store(open, Ordering::Release);
    }

    fn failed(&self, client: &str, leave: &Leave) -> bool {
        let now = self.clock.monotonic();
        let mut trips = self.trips();
        // One that began before it opened for everybody changes nothing.
        if *leave == Leave::Closed && trips.all.since.is_some() {
            return false;
        }
        let shared = *leave == Leave::ProbeForAll || (trips.clients.len() >= CLIENTS && !trips.clients.contains_key(client));
        let Trips { all, clients } = &mut *trips;
        let trip = if shared { &mut *all } else { clients.entry(client.to_owned()).or_default() };
        let opened = trip.failed(now, &self.options, *leave != Leave::Closed);
        if opened && !shared && clients.values().filter(|trip| trip.since.is_some()).count() >= FOR_ALL {
            *trips = Trips { all: Trip { since: Some(now), ..Trip::default() }, ..Trips::default() };
        } else {
            let window = self.options.window;
            // Who has not failed for a while is forgotten.
            clients.retain(|_, trip| {
                trip.since.is_some() || trip.failures.back().is_some_and(|last| now.saturating_sub(*last) <= window)
            });
        }
        if opened {
            self.tripped.store(true, Ordering::Release);
        }
        opened
    }

    fn trips(&self) -> MutexGuard<'_, Trips> {
        self.trips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trips {
    /// The one that this question decides about.
    fn of(&mut self, client: &str, leave: &Leave) -> Option<&mut Trip> {
        match leave {
            Leave::Closed => None,
            Leave::Probe => self.clients.get_mut(client),
            Leave::ProbeForAll => Some(&mut self.all),
        }
    }
}

impl Trip {
    /// Whether this question may be asked, of one that is open.
    fn probe(&mut self, now: Duration, rest: Duration) -> bool {
        let may = !self.probing && self.since.is_some_and(|since| now.saturating_sub(since) >= rest);
        self.probing |= may;
        may
    }

    /// Counts a failure; whether that opens it.
    fn failed(&mut self, now: Duration, options: &BreakerOptions, probed: bool) -> bool {
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|then| now.saturating_sub(*then) > options.window) {
            self.failures.pop_front();
        }
        let opens = probed || (self.since.is_none() && self.failures.len() >= options.failures);
        if opens {
            *self = Self { since: Some(now), ..Self::default() };
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Seconds that a test sets.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Duration {
            self.monotonic()
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    const OPTIONS: BreakerOptions = BreakerOptions { failures: 3, window: Duration::from_secs(10), rest: Duration::from_secs(5) };

    fn breaker() -> (Breaker, Arc<Hand>) {
        let hand = Arc::new(Hand::default());
        (Breaker::new(OPTIONS, Arc::clone(&hand) as Arc<dyn Clock>), hand)
    }

    fn ask(breaker: &Breaker, answer: Result<(), JudgeError>) -> bool {
        ask_as("a", breaker, answer)
    }

    fn ask_as(client: &str, breaker: &Breaker, answer: Result<(), JudgeError>) -> bool {
        let leave = breaker.leave(client).expect("leave");
        breaker.settle(client, &leave, &answer)
    }

    #[test]
    fn failures_within_the_window_open_it_and_one_question_closes_it_again() {
        let (breaker, hand) = breaker();
        assert!(!ask(&breaker, Err(JudgeError::TimedOut)) && !ask(&breaker, Err(JudgeError::Invalid)));
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(ask(&breaker, Err(JudgeError::TooLarge)));
        assert_eq!((breaker.state(), breaker.leave("a")), (BreakerState::OpenForSome, None));
        hand.0.store(5, Ordering::Relaxed);
        assert_eq!(breaker.leave("a"), Some(Leave::Probe));
        // One at a time.
        assert_eq!(breaker.leave("a"), None);
        assert!(breaker.settle("a", &Leave::Probe, &Err::<(), _>(JudgeError::Trapped)));
        assert_eq!((breaker.state(), breaker.leave("a")), (BreakerState::OpenForSome, None));
        hand.0.store(10, Ordering::Relaxed);
        assert!(!ask(&breaker, Ok(())));
        assert_eq!((breaker.state(), breaker.leave("a")), (BreakerState::Closed, Some(Leave::Closed)));
        // What was before is forgotten.
        assert!(!ask(&breaker, Err(JudgeError::TimedOut)));
    }

    #[test]
    fn one_client_closes_the_door_to_itself_alone_and_several_to_everybody() {
        let (breaker, hand) = breaker();
        for client in ["a", "b"] {
            for _ in 0..3 {
                ask_as(client, &breaker, Err(JudgeError::Trapped));
            }
            assert_eq!((breaker.leave(client), breaker.leave("honest")), (None, Some(Leave::Closed)));
        }
        assert!(!ask_as("honest", &breaker, Ok(())));
        for _ in 0..3 {
            ask_as("c", &breaker, Err(JudgeError::Trapped));
        }
        assert_eq!((breaker.state(), breaker.leave("honest")), (BreakerState::Open, None));
        hand.0.store(5, Ordering::Relaxed);
        assert_eq!((breaker.state(), breaker.leave("honest")), (BreakerState::HalfOpen, Some(Leave::ProbeForAll)));
        assert!(breaker.settle("honest", &Leave::ProbeForAll, &Err::<(), _>(JudgeError::TimedOut)));
        assert_eq!((breaker.state(), breaker.leave("a")), (BreakerState::Open, None));
        hand.0.store(10, Ordering::Relaxed);
        assert!(!ask_as("a", &breaker, Ok(())));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn many_clients_have_a_bound() {
        let (breaker, _hand) = breaker();
        for client in 0..CLIENTS {
            assert!(!ask_as(&client.to_string(), &breaker, Err(JudgeError::Trapped)));
        }
        for client in ["x", "y"] {
            assert!(!ask_as(client, &breaker, Err(JudgeError::Trapped)));
        }
        assert!(ask_as("z", &breaker, Err(JudgeError::Trapped)));
        assert_eq!(breaker.trips().clients.len(), CLIENTS);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let (breaker, hand) = breaker();
        for second in [0, 11, 22, 33, 44] {
            hand.0.store(second, Ordering::Relaxed);
            assert!(!ask(&breaker, Err(JudgeError::Trapped)), "{second}");
        }
        ask_as("b", &breaker, Err(JudgeError::Trapped));
        hand.0.store(99, Ordering::Relaxed);
        ask_as("c", &breaker, Err(JudgeError::Trapped));
        assert_eq!(breaker.trips().clients.len(), 1);
    }

    #[test]
    fn an_error_that_the_module_answers_and_a_full_machine_do_not_count() {
        let (breaker, _hand) = breaker();
        for _ in 0..100 {
            assert!(!ask(&breaker, Err(JudgeError::Module("no".into()))) && !ask(&breaker, Err(JudgeError::Unavailable)));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_was_not_asked_leaves_room_for_another() {
        let (breaker, hand) = breaker();
        for _ in 0..3 {
            ask(&breaker, Err(JudgeError::TimedOut));
        }
        hand.0.store(5, Ordering::Relaxed);
        assert!(!ask(&breaker, Err(JudgeError::Other(None))));
        assert_eq!(breaker.leave("a"), Some(Leave::Probe));
    }

    #[test]
    fn a_failure_that_began_before_it_opened_does_not_keep_it_open() {
        let (breaker, hand) = breaker();
        let late = breaker.leave("a").unwrap();
        for _ in 0..3 {
            ask(&breaker, Err(JudgeError::TimedOut));
        }
        hand.0.store(4, Ordering::Relaxed);
        assert!(!breaker.settle("a", &late, &Err::<(), _>(JudgeError::TimedOut)));
        hand.0.store(5, Ordering::Relaxed);
        assert_eq!(breaker.leave("a"), Some(Leave::Probe));
    }
}
