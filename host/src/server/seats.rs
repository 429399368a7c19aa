//! Who is connected. There is room for so many connections in all and for so many of one peer; where it is full, the one that has
//! rested longest goes, so that whoever comes gets in. What is being asked is never cut off for that.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::peer::Peer;

/// Room for connections.
pub(super) struct Seats {
    most: usize,
    most_of_peer: usize,
    books: Mutex<Books>,
    /// A connection ended, or rests; whoever waits for that is one: it accepts, or it stops.
    changed: Notify,
}

#[derive(Default)]
struct Books {
    /// Numbers connections, and the moments at which they began to rest.
    last: u64,
    open: usize,
    leaving: usize,
    /// Since when, and which.
    resting: BTreeSet<(u64, u64)>,
    peers: HashMap<Peer, OfPeer>,
    conversations: HashMap<u64, (Peer, watch::Sender<Conversation>)>,
}

/// The connections of one peer.
#[derive(Default)]
struct OfPeer {
    open: usize,
    leaving: usize,
    resting: BTreeSet<(u64, u64)>,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, Default)]
struct Conversation {
    /// Requests that are being answered.
    open: usize,
    /// Requests that were ever begun.
    begun: u64,
    /// When it began to rest, while it rests.
    since: u64,
    /// It has been told to go: nothing begins any more.
    leaving: bool,
    /// It ends with its last answer, and somebody waits for that.
    ending: bool,
}

/// What becomes of somebody who comes.
enum Placed {
    Seated(u64, watch::Receiver<Conversation>),
    /// Somebody has to go first, and will.
    Later,
    /// The peer has as many as it may have, and all of them are being answered.
    Refused,
}

impl Seats {
    pub(super) fn new(most: u32, most_of_peer: u32) -> Arc<Self> {
        let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let (most, most_of_peer) = (count(most), count(most_of_peer));
        Arc::new(Self { most, most_of_peer, books: Mutex::default(), changed: Notify::new() })
    }

    /// A seat for a connection of this peer, as soon as there is one. None where the peer has as many as it may have and all of
    /// them are being answered: it is its own connections that it would wait for.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Option<Arc<Seat>> {
        loop {
            match self.place(peer) {
                Placed::Seated(id, conversation) => {
                    return Some(Arc::new(Seat { seats: Arc::clone(self), id, peer, conversation }));
                }
                Placed::Later => self.changed.notified().await,
                Placed::Refused => return None,
            }
        }
    }

    /// Sends away the one that has rested longest: the system has no room for more.
    pub(super) fn relieve(&self) {
        let mut books = self.books();
        if let Some(longest) = books.resting.first().copied() {
            books.send_away(longest);
        }
    }

    /// Resolves once nobody is connected.
    pub(super) async fn emptied(&self) {
        while self.books().open > 0 {
            self.changed.notified().await;
        }
    }

    fn place(&self, peer: Peer) -> Placed {
        let mut books = self.books();
        let of_peer = books.peers.entry(peer).or_default();
        // With room for as many of one peer as there are at all, whoever is too many waits like everybody.
        if of_peer.open >= self.most_of_peer && self.most_of_peer < self.most {
            let (leaving, longest) = (of_peer.leaving > 0, of_peer.resting.first().copied());
            return match longest {
                _ if leaving => Placed::Later,
                Some(longest) => {
                    books.send_away(longest);
                    Placed::Later
                }
                None => Placed::Refused,
            };
        }
        if books.open >= self.most {
            if books.leaving == 0
                && let Some(longest) = books.resting.first().copied()
            {
                books.send_away(longest);
            }
            // The entry of a peer that has none would stay.
            books.forget(peer);
            return Placed::Later;
        }
        let (id, conversation) = books.seat(peer);
        Placed::Seated(id, conversation)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn seat(&mut self, peer: Peer) -> (u64, watch::Receiver<Conversation>) {
        let id = self.next();
        let (sender, receiver) = watch::channel(Conversation { since: id, ..Conversation::default() });
        self.open += 1;
        self.peers.entry(peer).or_default().open += 1;
        self.conversations.insert(id, (peer, sender));
        self.begin_rest(peer, (id, id));
        (id, receiver)
    }

    /// From now on the connection rests.
    fn begin_rest(&mut self, peer: Peer, entry: (u64, u64)) {
        self.resting.insert(entry);
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.resting.insert(entry);
        }
    }

    fn end_rest(&mut self, peer: Peer, entry: (u64, u64)) {
        self.resting.remove(&entry);
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.resting.remove(&entry);
        }
    }

    fn send_away(&mut self, (since, id): (u64, u64)) {
        let Some((peer, conversation)) = self.conversations.get(&id) else { return };
        let peer = *peer;
        conversation.send_modify(|conversation| conversation.leaving = true);
        self.leaving += 1;
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.leaving += 1;
        }
        self.end_rest(peer, (since, id));
        metrics::counter!("standin_connections_dropped_total").increment(1);
    }

    /// Whether a request may begin on this connection.
    fn begin(&mut self, id: u64) -> bool {
        let Some((peer, conversation)) = self.conversations.get(&id) else { return false };
        let (peer, before) = (*peer, *conversation.borrow());
        if before.leaving {
            return false;
        }
        // Whoever is told is woken: only those who wait for just this are.
        conversation.send_if_modified(|conversation| {
            conversation.open += 1;
            conversation.begun += 1;
            conversation.begun == 1
        });
        if before.open == 0 {
            self.end_rest(peer, (before.since, id));
        }
        true
    }

    fn end_with_last_answer(&self, id: u64) {
        if let Some((_, conversation)) = self.conversations.get(&id) {
            conversation.send_modify(|conversation| conversation.ending = true);
        }
    }

    /// Whether the connection rests now.
    fn end(&mut self, id: u64) -> bool {
        let since = self.next();
        let Some((peer, conversation)) = self.conversations.get(&id) else { return false };
        let peer = *peer;
        conversation.send_if_modified(|conversation| {
            conversation.open = conversation.open.saturating_sub(1);
            conversation.since = since;
            conversation.ending && conversation.open == 0
        });
        let rests = conversation.borrow().open == 0;
        if rests {
            self.begin_rest(peer, (since, id));
        }
        rests
    }

    fn vacate(&mut self, id: u64) {
        let Some((peer, conversation)) = self.conversations.remove(&id) else { return };
        let Conversation { open, since, leaving, .. } = *conversation.borrow();
        if open == 0 && !leaving {
            self.end_rest(peer, (since, id));
        }
        self.open -= 1;
        self.leaving -= usize::from(leaving);
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.open -= 1;
            of_peer.leaving -= usize::from(leaving);
        }
        self.forget(peer);
    }

    fn forget(&mut self, peer: Peer) {
        if self.peers.get(&peer).is_some_and(|of_peer| of_peer.open == 0) {
            self.peers.remove(&peer);
        }
    }
}

/// A connection's seat; it is free again when this goes.
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    peer: Peer,
    conversation: watch::Receiver<Conversation>,
}

/// A request that is being answered; it ends when this goes.
pub(super) struct Answering(Arc<Seat>);

impl Seat {
    /// For whom the connection counts.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// A request begins. None where the connection has been told to go: the request was not begun, and may be sent again.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Answering> {
        self.seats.books().begin(self.id).then(|| Answering(Arc::clone(self)))
    }

    /// Resolves once the connection has to go.
    pub(super) async fn sent_away(&self) {
        self.until(|conversation| conversation.leaving).await;
    }

    /// Resolves once the first request began.
    pub(super) async fn asked(&self) {
        self.until(|conversation| conversation.begun > 0).await;
    }

    /// Resolves once nothing has been asked for `least` to twice that long. Pings keep a connection alive; only requests keep its
    /// seat.
    pub(super) async fn idle(&self, least: Duration) {
        loop {
            let begun = self.conversation.borrow().begun;
            tokio::time::sleep(least).await;
            let now = *self.conversation.borrow();
            if now.open == 0 && now.begun == begun {
                return;
            }
        }
    }

    /// Resolves once nothing is being answered, and what was answered has had `linger` to reach its reader.
    pub(super) async fn answered(&self, linger: Duration) {
        self.seats.books().end_with_last_answer(self.id);
        self.until(|conversation| conversation.open == 0).await;
        if self.conversation.borrow().begun > 0 {
            tokio::time::sleep(linger).await;
        }
    }

    async fn until(&self, is: impl FnMut(&Conversation) -> bool) {
        // The sender lives as long as this seat; if it did not, nothing would be left to wait for.
        let mut conversation = self.conversation.clone();
        let _ended = conversation.wait_for(is).await.is_ok();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.books().vacate(self.id);
        self.seats.changed.notify_one();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Self(seat) = self;
        if seat.seats.books().end(seat.id) {
            seat.seats.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
