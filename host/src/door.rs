//! The door every request passes before it computes.
//!
//! As many requests compute at once as the runtime has workers; the others wait here, not in a queue of tasks, and whoever has had the
//! least of the time comes next: between clients once they are known, between peers before. A request that waits for anything gives its
//! turn up and waits for another one behind it. Each wait has an end and each queue a bound.

mod book;
mod lanes;
mod ticket;
mod turn;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use self::book::{Book, Wakes};
use self::lanes::{Entrance, Lane};
use self::ticket::Places;
pub(crate) use self::turn::{Crowded, Place, Turn};
use crate::clock::Clock;
use crate::peer::Peer;

/// Requests that wait for other servers, at most: each has a sandbox beside those of the requests in flight.
const MAX_AWAY: u32 = 256;
/// Requests that have not begun, for each that may be in flight.
const QUEUE: usize = 4;
/// So many may always wait.
const MIN_QUEUE: usize = 1_024;
/// How often it is looked after those who were called and do not come.
const LOOK: Duration = Duration::from_millis(50);

/// How many requests may wait for other servers where so many may be in flight.
pub(crate) fn away(slots: u32) -> u32 {
    slots.min(MAX_AWAY)
}

/// Where a request came in, and whom it claims to come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Nobody knows whom from.
    Stranger { peer: Option<Peer>, claim: Option<&'a str> },
    /// The embedding program vouches for this client.
    Vouched(&'a str),
}

/// The door. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    book: Mutex<Book>,
    clock: Arc<dyn Clock>,
    names: RandomState,
}

impl Door {
    /// A door for so many requests in flight. Called within the runtime that serves them: it has as many runners as that has workers.
    pub(crate) fn new(slots: u32, clock: Arc<dyn Clock>) -> Self {
        let runtime = Handle::try_current();
        let workers = runtime.as_ref().map_or(1, |runtime| runtime.metrics().num_workers()).max(1);
        let slots_at_once = usize::try_from(slots).unwrap_or(usize::MAX);
        let places = Places {
            runners: workers,
            // A slow evaluation has a deadline by the clock: more at once than there are processors would only make each miss it.
            seats: workers,
            slots: slots_at_once,
            away: usize::try_from(away(slots)).unwrap_or(usize::MAX),
            queue: slots_at_once.saturating_mul(QUEUE).max(MIN_QUEUE),
        };
        let inner = Arc::new(Inner { book: Mutex::new(Book::new(places)), clock, names: RandomState::new() });
        if let Ok(runtime) = runtime {
            runtime.spawn(look_after(Arc::downgrade(&inner)));
        }
        Self(inner)
    }

    /// How many compute at once, at most, however slow some of them are.
    pub(crate) fn computing_at_once(&self) -> usize {
        self.0.write(|book, _now, _wakes| book.computing_at_once())
    }

    /// A place at the end of the right queue, from this call on.
    pub(crate) fn place(&self, origin: Origin<'_>) -> Place {
        let inner = &self.0;
        let name = |name: &str| inner.names.hash_one(name);
        let (entrance, lane) = match origin {
            Origin::Stranger { peer, claim } => {
                let entrance = Entrance { peer, claim: claim.map_or(0, name) };
                (entrance, Lane::Stranger(entrance))
            }
            Origin::Vouched(client) => (Entrance { peer: None, claim: name(client) }, Lane::Client(name(client))),
        };
        let ticket = inner.write(|book, _now, wakes| book.ticket(entrance, lane, wakes));
        Place::new(Turn::of(self.clone(), ticket))
    }
}

impl Inner {
    /// Writes into the book; whoever's turn it has become is woken once it is closed.
    fn write<T>(&self, change: impl FnOnce(&mut Book, Duration, &mut Wakes) -> T) -> T {
        let now = self.clock.monotonic();
        let mut wakes = Wakes::new();
        let answer = {
            // Nothing panics while it holds the book; were it to, the book would still be whole.
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut book, now, &mut wakes)
        };
        wakes.into_iter().for_each(std::task::Waker::wake);
        answer
    }
}

/// Ends with the door.
async fn look_after(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.write(|book, _now, wakes| book.look(wakes));
    }
}
