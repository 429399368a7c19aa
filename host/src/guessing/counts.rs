//! How many failures a client had: said soon after the first, and the longer it goes on the more seldom, so that the log does not grow
//! with the attack.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::peer::Peer;

/// How many clients are told apart; the failures of more are counted with those that name none.
const MAX_CLIENTS: usize = 1_024;
/// How many peers are named.
const MAX_PEERS: usize = 4;
/// How long the first failures are counted together,
const SOON: Duration = Duration::from_millis(200);
/// and the longest that later ones are.
const SELDOM: Duration = Duration::from_secs(60);

/// Failures that were counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The registered client; empty for those that name none.
    pub(crate) client: String,
    /// How many.
    pub(crate) count: u64,
    /// How many of them were not looked at, because the pair was slowed.
    pub(crate) unheard: u64,
    /// By the wall clock.
    pub(crate) since: Duration,
    /// By the wall clock.
    pub(crate) until: Duration,
    /// Some of the peers they came from.
    pub(crate) peers: BTreeSet<Peer>,
}

#[derive(Debug)]
struct Count {
    open: Option<Summary>,
    /// When what is open is said, and how long was counted before.
    due: Duration,
    interval: Duration,
}

/// The counts of all clients.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<String, Count>);

impl Counts {
    pub(super) fn count(&mut self, client: &str, peer: Option<Peer>, heard: bool, now: Duration) {
        let client = if self.0.len() < MAX_CLIENTS || self.0.contains_key(client) { client } else { "" };
        let one = Summary {
            client: client.to_owned(),
            count: 1,
            unheard: u64::from(!heard),
            since: now,
            until: now,
            peers: peer.into_iter().collect(),
        };
        self.add(one, now);
    }

    fn add(&mut self, more: Summary, now: Duration) {
        let first = || Count { open: None, due: now.saturating_add(SOON), interval: SOON };
        let count = self.0.entry(more.client.clone()).or_insert_with(first);
        count.open = Some(match count.open.take() {
            Some(open) => open.join(more),
            None => more,
        });
    }

    /// What has been counted for long enough, or all. A client without another failure meanwhile is forgotten.
    pub(super) fn take(&mut self, now: Duration, all: bool) -> Vec<Summary> {
        let mut taken = Vec::new();
        self.0.retain(|_, count| {
            // A clock that was set back keeps nothing open.
            let since = count.open.as_ref().map_or(count.due, |open| open.since);
            if !all && now < count.due && now >= since.saturating_sub(SELDOM) {
                return true;
            }
            let Some(open) = count.open.take() else { return false };
            taken.push(open);
            count.interval = if count.interval < Duration::from_secs(1) { Duration::from_secs(1) } else { count.interval * 2 };
            count.interval = count.interval.min(SELDOM);
            count.due = now.saturating_add(count.interval);
            true
        });
        taken
    }

    pub(super) fn put_back(&mut self, summary: Summary) {
        let now = summary.until;
        self.add(summary, now);
    }

    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        self.0.values().map(|count| count.due.saturating_sub(now)).min()
    }
}

impl Summary {
    fn join(mut self, other: Self) -> Self {
        self.count = self.count.saturating_add(other.count);
        self.unheard = self.unheard.saturating_add(other.unheard);
        self.since = self.since.min(other.since);
        self.until = self.until.max(other.until);
        for peer in other.peers {
            if self.peers.len() < MAX_PEERS {
                self.peers.insert(peer);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn an_attack_is_said_soon_and_then_ever_more_seldom_and_nothing_is_lost() {
        let mut counts = Counts::default();
        let mut said = Vec::new();
        for second in 0..600_u64 {
            for tick in 0..10 {
                counts.count("a", Peer::named("192.0.2.1"), tick > 0, at(1_000_000 + second * 1_000 + tick * 100));
                said.extend(counts.take(at(1_000_000 + second * 1_000 + tick * 100), false));
            }
        }
        assert!(said.len() < 20, "{}", said.len());
        assert!(said[0].until <= at(1_000_300), "{said:?}");
        said.extend(counts.take(at(2_000_000), true));
        let sum = |of: fn(&Summary) -> u64| said.iter().map(of).sum::<u64>();
        assert_eq!((sum(|one| one.count), sum(|one| one.unheard)), (6_000, 600));
        assert!(said.iter().all(|one| one.client == "a" && one.peers.len() == 1));
    }

    #[test]
    fn few_clients_and_peers_are_told_apart() {
        let mut counts = Counts::default();
        for client in 0..10_000 {
            counts.count(&format!("c-{client}"), Peer::named(&format!("192.0.2.{}", client % 256)), true, at(1));
            counts.count("a", Peer::named(&format!("192.0.2.{}", client % 256)), true, at(1));
        }
        let all = counts.take(at(2), true);
        assert!(all.len() <= MAX_CLIENTS + 1, "{}", all.len());
        assert_eq!(all.iter().map(|one| one.count).sum::<u64>(), 20_000);
        assert!(all.iter().all(|one| one.peers.len() <= MAX_PEERS));
    }

    #[test]
    fn what_is_over_is_forgotten_and_what_is_put_back_is_not() {
        let mut counts = Counts::default();
        counts.count("a", None, true, at(1_000));
        assert_eq!(counts.due(at(1_000)), Some(SOON));
        let [one] = <[Summary; 1]>::try_from(counts.take(at(1_300), false)).unwrap();
        counts.put_back(one.clone());
        assert_eq!(counts.take(at(10_000), false), [one]);
        assert!(counts.take(at(200_000), false).is_empty());
        assert_eq!(counts.due(at(200_000)), None);
    }
}
