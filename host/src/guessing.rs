//! Callers that fail to show who they are: counted by the client they name, and slowed by pair of that client and the peer.
//!
//! Nobody else is slowed: not the client from elsewhere, and not another client from there. Names that nobody is registered under are
//! treated in every way as the others, so that nobody learns which there are, and only the counts are kept apart.

mod asker;
mod counts;
mod pairs;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use self::asker::Asker;
use self::counts::Counts;
pub(crate) use self::counts::Summary;
use self::pairs::Pairs;
use crate::clock::Clock;
use crate::peer::Peer;

/// The failures of all callers.
pub(crate) struct Guessing {
    clock: Arc<dyn Clock>,
    pairs: Mutex<Pairs>,
    counts: Mutex<Counts>,
}

impl Guessing {
    /// A pair is slowed after so many failures; after 0 of them none ever is.
    pub(crate) fn new(after: u32, clock: Arc<dyn Clock>) -> Self {
        Self { clock, pairs: Mutex::new(Pairs::new(after)), counts: Mutex::default() }
    }

    /// Whether what this peer shows for this client is looked at now.
    ///
    /// # Errors
    /// After how many seconds it will be. The attempt is counted.
    pub(crate) fn admit(&self, client: &str, registered: bool, peer: Option<Peer>) -> Result<(), u32> {
        let Some(peer) = peer else { return Ok(()) };
        let rest = lock(&self.pairs).rest(client, peer, self.clock.monotonic());
        let Some(rest) = rest else { return Ok(()) };
        self.count(client, registered, Some(peer), false);
        metrics::counter!("standin_callers_throttled_total").increment(1);
        let seconds = rest.as_secs() + u64::from(rest.subsec_nanos() > 0);
        Err(u32::try_from(seconds).unwrap_or(u32::MAX).max(1))
    }

    /// Whether anybody is slowed now; where nobody is, there is nothing to look for.
    pub(crate) fn slows_anybody(&self) -> bool {
        lock(&self.pairs).slows_anybody(self.clock.monotonic())
    }

    /// What it showed was wrong. Whoever embeds us answers for its own callers: they are counted and not slowed.
    pub(crate) fn failed(&self, client: &str, registered: bool, peer: Option<Peer>) {
        if let Some(peer) = peer {
            lock(&self.pairs).failed(client, peer, self.clock.monotonic());
        }
        self.count(client, registered, peer, true);
    }

    /// What it showed was right.
    pub(crate) fn succeeded(&self, client: &str, peer: Option<Peer>) {
        if let Some(peer) = peer {
            lock(&self.pairs).succeeded(client, peer);
        }
    }

    fn count(&self, client: &str, registered: bool, peer: Option<Peer>, heard: bool) {
        let name = if registered { client } else { "" };
        metrics::counter!("standin_caller_failures_total", "client" => name.to_owned()).increment(1);
        lock(&self.counts).count(name, peer, heard, self.clock.now());
    }

    /// What is to be recorded now, or all of it. Whatever cannot be is to be given back.
    pub(crate) fn take(&self, all: bool) -> Vec<Summary> {
        lock(&self.counts).take(self.clock.now(), all)
    }

    /// Takes back what could not be recorded.
    pub(crate) fn put_back(&self, summary: Summary) {
        lock(&self.counts).put_back(summary);
    }

    /// How long until there may be something to record; none where nothing is counted.
    pub(crate) fn due(&self) -> Option<Duration> {
        lock(&self.counts).due(self.clock.now())
    }
}

/// Nothing panics while it holds one of these; were it to, what is counted would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
