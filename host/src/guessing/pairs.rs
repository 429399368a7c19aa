//! Failures by pair of client and peer, in a bounded space: where there is none left, whoever failed least is forgotten first. Where a
//! pair is kept depends on a secret of this process, so that nobody can aim at another's place.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::peer::Peer;

/// How many places there are, and how many pairs fit into one.
const PLACES: u64 = 2_048;
const PAIRS: usize = 16;
/// Without another failure a pair is forgotten after this.
const MEMORY: Duration = Duration::from_secs(600);
/// The longest a pair is slowed for one failure.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Pair {
    mark: u64,
    failures: u32,
    last: Duration,
    /// Until when nothing of it is looked at.
    until: Duration,
}

/// The pairs that failed lately.
#[derive(Debug)]
pub(super) struct Pairs {
    after: u32,
    names: RandomState,
    places: HashMap<u64, Vec<Pair>>,
    /// Until when somebody is slowed.
    until: Duration,
}

impl Pairs {
    pub(super) fn new(after: u32) -> Self {
        Self { after, names: RandomState::new(), places: HashMap::new(), until: Duration::ZERO }
    }

    /// How long the pair still has to rest, if it has to.
    pub(super) fn rest(&self, client: &str, peer: Peer, now: Duration) -> Option<Duration> {
        if !self.slows_anybody(now) {
            return None;
        }
        let mark = self.mark(client, peer);
        let pair = self.places.get(&(mark % PLACES))?.iter().find(|pair| pair.mark == mark)?;
        pair.until.checked_sub(now).filter(|rest| !rest.is_zero())
    }

    pub(super) fn slows_anybody(&self, now: Duration) -> bool {
        self.until > now
    }

    pub(super) fn failed(&mut self, client: &str, peer: Peer, now: Duration) {
        if self.after == 0 {
            return;
        }
        let mark = self.mark(client, peer);
        let place = self.places.entry(mark % PLACES).or_default();
        place.retain(|pair| now.saturating_sub(pair.last) < MEMORY);
        let known = place.iter().position(|pair| pair.mark == mark);
        let before = known.map_or(0, |at| place.swap_remove(at).failures);
        if place.len() >= PAIRS {
            let least = place.iter().enumerate().min_by_key(|(_, pair)| (pair.failures, pair.last)).map(|(at, _)| at);
            if let Some(at) = least {
                place.swap_remove(at);
            }
        }
        let failures = before.saturating_add(1);
        let until = now.saturating_add(pause(failures, self.after));
        self.until = self.until.max(until);
        place.push(Pair { mark, failures, last: now, until });
    }

    /// Somebody of the pair knows the secret: whoever else fails there has to begin anew.
    pub(super) fn succeeded(&mut self, client: &str, peer: Peer) {
        if self.places.is_empty() {
            return;
        }
        let mark = self.mark(client, peer);
        if let Some(place) = self.places.get_mut(&(mark % PLACES)) {
            place.retain(|pair| pair.mark != mark);
            if place.is_empty() {
                self.places.remove(&(mark % PLACES));
            }
        }
    }

    fn mark(&self, client: &str, peer: Peer) -> u64 {
        self.names.hash_one((client, peer))
    }
}

/// A second, and twice as long with each failure.
fn pause(failures: u32, after: u32) -> Duration {
    match failures.checked_sub(after) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1_u64 << more.min(16)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::named(&format!("192.0.2.{last}")).unwrap()
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_pair_is_slowed_for_a_growing_and_bounded_time_and_nobody_else() {
        let mut pairs = Pairs::new(3);
        let mut now = at(1_000);
        let mut rests = Vec::new();
        for _ in 0..12 {
            assert_eq!(pairs.rest("a", peer(1), now), None);
            pairs.failed("a", peer(1), now);
            let rest = pairs.rest("a", peer(1), now).unwrap_or_default();
            assert_eq!((pairs.rest("b", peer(1), now), pairs.rest("a", peer(2), now)), (None, None));
            rests.push(rest.as_secs());
            now += rest;
        }
        assert_eq!(rests, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert!(!pairs.slows_anybody(now));
    }

    #[test]
    fn a_right_secret_and_time_begin_anew() {
        let mut pairs = Pairs::new(1);
        pairs.failed("a", peer(1), at(1));
        assert!(pairs.rest("a", peer(1), at(1)).is_some());
        pairs.succeeded("a", peer(1));
        assert!(pairs.rest("a", peer(1), at(1)).is_none() && pairs.places.is_empty());
        for second in 0..20 {
            pairs.failed("a", peer(1), at(second));
        }
        pairs.failed("a", peer(1), at(20) + MEMORY);
        assert_eq!(pairs.rest("a", peer(1), at(20) + MEMORY), Some(at(1)));
    }

    #[test]
    fn nobody_is_pushed_out_by_many_names() {
        let mut pairs = Pairs::new(2);
        for _ in 0..8 {
            pairs.failed("victim", peer(1), at(1));
        }
        for name in 0..100_000 {
            pairs.failed(&format!("name-{name}"), peer(1), at(1));
        }
        assert!(pairs.rest("victim", peer(1), at(1)).is_some());
        let kept: usize = pairs.places.values().map(Vec::len).sum();
        assert!(kept <= usize::try_from(PLACES).unwrap() * PAIRS, "{kept}");
    }

    #[test]
    fn after_none_nobody_is_slowed() {
        let mut pairs = Pairs::new(0);
        for _ in 0..100 {
            pairs.failed("a", peer(1), at(1));
        }
        assert!(pairs.rest("a", peer(1), at(1)).is_none() && pairs.places.is_empty());
    }
}
