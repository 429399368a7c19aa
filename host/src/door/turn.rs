//! What a request holds of the door: its place, and turns at computing.

use std::future::poll_fn;
use std::hash::BuildHasher as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::Door;
use super::book::{Book, Wakes};
use super::ticket::{Hold, Step};

/// There was no place in time, or too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait")]
pub(crate) struct Crowded;

/// A request's place. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Turn);

/// The turns of a request, for whoever works on it. Without a door behind it, as in templates and tests, it is always its turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Option<Arc<Ticket>>);

struct Ticket {
    door: Door,
    id: u64,
    ended: AtomicBool,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn new(turn: Turn) -> Self {
        Self(turn)
    }

    /// Its turns.
    pub(crate) fn turn(&self) -> Turn {
        self.0.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = &self.0.0 {
            ticket.ended.store(true, Ordering::Release);
            ticket.write(|book, now, wakes| book.end(ticket.id, now, wakes));
        }
    }
}

impl Ticket {
    fn write<T>(&self, change: impl FnOnce(&mut Book, Duration, &mut Wakes) -> T) -> T {
        self.door.0.write(change)
    }
}

/// What a request waits for or has goes back when it stops, however it does.
struct Leaving<'a>(&'a Ticket);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.0.ended.load(Ordering::Acquire) {
            self.0.write(|book, now, wakes| book.leave(self.0.id, now, wakes));
        }
    }
}

/// What ends a wait, and which.
type Alarm = Option<(u64, Pin<Box<Sleep>>)>;

impl Turn {
    pub(super) fn of(door: Door, id: u64) -> Self {
        Self(Some(Arc::new(Ticket { door, id, ended: AtomicBool::new(false) })))
    }

    /// Works on the request, a turn at a time. What has not begun within `patience`, or waited so long for a slow evaluation, is too
    /// late for it.
    ///
    /// # Errors
    /// Where it has not begun: there was no place for it.
    pub(crate) async fn work<F: Future>(&self, patience: Duration, work: F) -> Result<F::Output, Crowded> {
        let Some(ticket) = self.0.as_deref() else { return Ok(work.await) };
        let _leaving = Leaving(ticket);
        let mut work = pin!(work);
        let mut alarm = None;
        let began = Instant::now();
        poll_fn(|context| {
            loop {
                match ticket.write(|book, now, wakes| book.step(ticket.id, context.waker(), now, wakes)) {
                    Step::Go => {
                        let polled = work.as_mut().poll(context);
                        let waits = ticket.write(|book, now, wakes| book.rest(ticket.id, now, wakes));
                        // What gave its turn up for another one does not wait for that for ever.
                        if polled.is_ready() || !waits {
                            return polled.map(Ok);
                        }
                    }
                    Step::Refused => return Poll::Ready(Err(Crowded)),
                    Step::Wait(None) => return Poll::Pending,
                    Step::Wait(Some((hold, order))) => {
                        if rings(&mut alarm, order, began + enough(hold, patience), context).is_pending() {
                            return Poll::Pending;
                        }
                        ticket.write(|book, _now, _wakes| book.late(ticket.id));
                    }
                }
            }
        })
        .await
    }

    /// It is known who asks: from here on the request takes of that client's share, and of no stranger's. Whether somebody waits who
    /// has had less.
    pub(crate) fn recognise(&self, client: &str) -> bool {
        let Some(ticket) = self.0.as_deref() else { return false };
        let client = ticket.door.0.names.hash_one(client);
        ticket.write(|book, now, wakes| book.known(ticket.id, client, now, wakes))
    }

    /// The same; then lets those go first who have had less.
    pub(crate) async fn known(&self, client: &str) {
        let Some(ticket) = self.0.as_deref() else { return };
        if self.recognise(client) {
            self.again(|book, waker, now, wakes| book.yields(ticket.id, waker, now, wakes)).await;
        }
    }

    /// Waits for a seat for what may keep a thread for long; until [`Self::swift`] the request computes beside the others.
    ///
    /// # Errors
    /// Where there was none in time.
    pub(crate) async fn slow(&self) -> Result<(), Crowded> {
        let Some(ticket) = self.0.as_deref().filter(|ticket| ticket.computes()) else { return Ok(()) };
        self.again(|book, waker, now, wakes| book.wants(ticket.id, Hold::Seat, waker, now, wakes)).await;
        if ticket.write(|book, _now, _wakes| book.was_late(ticket.id)) { Err(Crowded) } else { Ok(()) }
    }

    /// Gives the seat back and goes on as everybody does.
    pub(crate) async fn swift(&self) {
        let Some(ticket) = self.0.as_deref() else { return };
        if ticket.write(|book, _now, _wakes| book.holds(ticket.id)) == Some(Hold::Seat) {
            self.again(|book, waker, now, wakes| book.wants(ticket.id, Hold::Runner, waker, now, wakes)).await;
        }
    }

    /// Asks somebody else's server: where that takes time, the request is not in flight meanwhile. `whose` names the server, as far as
    /// that is known.
    ///
    /// # Errors
    /// Where so many wait that this one may not.
    pub(crate) async fn elsewhere<F: Future>(&self, whose: impl FnOnce() -> String, asking: F) -> Result<F::Output, Crowded> {
        let Some(ticket) = self.0.as_deref() else { return Ok(asking.await) };
        let mut asking = pin!(asking);
        // What is known already takes no time.
        let at_once = poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
        if let Poll::Ready(answer) = at_once {
            return Ok(answer);
        }
        let whose = ticket.door.0.names.hash_one(whose());
        if !ticket.write(|book, _now, wakes| book.goes_away(ticket.id, whose, wakes)) {
            return Err(Crowded);
        }
        let _away = Away(ticket);
        Ok(asking.await)
    }

    /// Asks for another turn; pending until it has come.
    async fn again(&self, ask: impl FnOnce(&mut Book, &Waker, Duration, &mut Wakes) -> Step) {
        let Some(ticket) = self.0.as_deref() else { return };
        let mut ask = Some(ask);
        poll_fn(|context| match ask.take() {
            // Whoever is polled a second time has been called: nobody is polled without.
            None => Poll::Ready(()),
            Some(ask) => match ticket.write(|book, now, wakes| ask(book, context.waker(), now, wakes)) {
                Step::Go | Step::Refused => Poll::Ready(()),
                Step::Wait(_) => Poll::Pending,
            },
        })
        .await;
    }
}

impl Ticket {
    fn computes(&self) -> bool {
        self.write(|book, _now, _wakes| book.holds(self.id).is_some())
    }
}

/// Until somebody else's server has answered.
struct Away<'a>(&'a Ticket);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.write(|book, _now, _wakes| book.comes_back(self.0.id));
    }
}

/// How much of its time a request may wait to begin, or for a slow evaluation: what comes after that takes some too.
fn enough(hold: Hold, patience: Duration) -> Duration {
    match hold {
        Hold::Runner => patience,
        Hold::Seat => patience.saturating_mul(9) / 10,
    }
}

fn rings(alarm: &mut Alarm, order: u64, until: Instant, context: &mut Context<'_>) -> Poll<()> {
    if alarm.as_ref().is_none_or(|(known, _)| *known != order) {
        *alarm = Some((order, Box::pin(tokio::time::sleep_until(until))));
    }
    match alarm {
        Some((_, sleep)) => sleep.as_mut().poll(context),
        None => Poll::Pending,
    }
}
