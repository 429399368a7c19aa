//! Room for requests and for the memory of their bodies, so that nobody takes all of it: in all, for requests whose caller shows no
//! `authorization`, for each peer, and for each connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::peer::Peer;

/// Requests at once, from when their headers are there until they are answered; far above what the component serves at once, it
/// only bounds the waiting room. Of one peer an eighth.
const REQUESTS: u32 = 16_384;
const REQUESTS_OF_PEER: u32 = REQUESTS / 8;

/// What bodies are charged in, in bytes: as many pieces as they come in, so many of these.
const BLOCK: usize = 1024;
/// For all bodies, in blocks: 64 MiB.
const BODIES: u32 = 64 * 1024;
/// For those of requests without `authorization`: what they show may still be in the form, or nothing.
const BODIES_OF_STRANGERS: u32 = BODIES / 4;
/// For those of one peer.
const BODIES_OF_PEER: u32 = BODIES / 8;
/// For those of one connection: 1 MiB, as long as the longest body.
const BODIES_OF_CONNECTION: u32 = BODIES / 64;

/// The room there is.
pub(super) struct Room {
    requests: Arc<Semaphore>,
    bodies: Share,
    strangers: Share,
    peers: Mutex<HashMap<Peer, Weak<Corner>>>,
}

/// The part of the room that one peer may take. It stays while anything of the peer does: whoever hangs up and comes again has
/// what is left of it.
struct Corner {
    peer: Peer,
    room: Weak<Room>,
    requests: Arc<Semaphore>,
    bodies: Share,
}

/// Memory that several bodies share.
#[derive(Clone)]
struct Share {
    blocks: Arc<Semaphore>,
    /// Bodies that hold some of it and wait for more would wait for each other forever: one of them at a time goes on uncharged.
    spare: Arc<Semaphore>,
}

/// What one connection may take.
pub(super) struct Allowance {
    room: Arc<Room>,
    corner: Arc<Corner>,
    bodies: Share,
}

/// Room for a request, until this goes.
pub(super) struct Admitted {
    _all: OwnedSemaphorePermit,
    _of_peer: OwnedSemaphorePermit,
    _corner: Arc<Corner>,
}

/// The memory of one body, until this goes.
pub(super) struct Memory {
    blocks: u32,
    shares: Vec<Part>,
    _corner: Arc<Corner>,
}

/// What a body holds of a share.
struct Part {
    share: Share,
    held: Option<OwnedSemaphorePermit>,
    spare: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            requests: semaphore(REQUESTS),
            bodies: Share::of(BODIES),
            strangers: Share::of(BODIES_OF_STRANGERS),
            peers: Mutex::default(),
        })
    }

    /// For a connection of this peer.
    pub(super) fn allowance(self: &Arc<Self>, peer: Peer) -> Allowance {
        let mut peers = self.peers();
        let known = peers.get(&peer).and_then(Weak::upgrade);
        let corner = known.unwrap_or_else(|| {
            let (requests, bodies) = (semaphore(REQUESTS_OF_PEER), Share::of(BODIES_OF_PEER));
            let corner = Arc::new(Corner { peer, room: Arc::downgrade(self), requests, bodies });
            peers.insert(peer, Arc::downgrade(&corner));
            corner
        });
        Allowance { room: Arc::clone(self), corner, bodies: Share::of(BODIES_OF_CONNECTION) }
    }

    /// Waits until no request is left.
    pub(super) async fn emptied(&self) {
        // Closed it never is; if it were, no request would be left either.
        let _all = self.requests.acquire_many(REQUESTS).await;
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<Peer, Weak<Corner>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        let Some(room) = self.room.upgrade() else { return };
        let mut peers = room.peers();
        // The peer may have come again since, and have another.
        if peers.get(&self.peer).is_some_and(|corner| corner.strong_count() == 0) {
            peers.remove(&self.peer);
        }
    }
}

impl Allowance {
    /// Room for one more request.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn admit(&self) -> Result<Admitted, TryAcquireError> {
        let of_peer = Arc::clone(&self.corner.requests).try_acquire_owned()?;
        let all = Arc::clone(&self.room.requests).try_acquire_owned()?;
        Ok(Admitted { _all: all, _of_peer: of_peer, _corner: Arc::clone(&self.corner) })
    }

    /// Memory for a body, of which nothing has come yet.
    pub(super) fn memory(&self, stranger: bool) -> Memory {
        let strangers = stranger.then(|| self.room.strangers.clone());
        // Whoever waits for a share has the narrower ones already, and holds up nobody but itself.
        let shares = [Some(self.bodies.clone()), Some(self.corner.bodies.clone()), strangers, Some(self.room.bodies.clone())];
        let shares = shares.into_iter().flatten().map(Part::of).collect();
        Memory { blocks: 0, shares, _corner: Arc::clone(&self.corner) }
    }
}

impl Memory {
    /// Waits until there is room for so many bytes in all.
    ///
    /// # Errors
    /// Never while the server runs.
    pub(super) async fn grow(&mut self, bytes: usize) -> Result<(), AcquireError> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        let more = blocks.saturating_sub(self.blocks);
        if more == 0 {
            return Ok(());
        }
        for part in &mut self.shares {
            part.grow(more).await?;
        }
        self.blocks = blocks;
        Ok(())
    }
}

impl Part {
    fn of(share: Share) -> Self {
        Self { share, held: None, spare: None }
    }

    async fn grow(&mut self, more: u32) -> Result<(), AcquireError> {
        if self.spare.is_some() {
            return Ok(());
        }
        let blocks = Arc::clone(&self.share.blocks).acquire_many_owned(more);
        let Some(held) = &mut self.held else {
            self.held = Some(blocks.await?);
            return Ok(());
        };
        tokio::select! {
            biased;
            more = blocks => held.merge(more?),
            spare = Arc::clone(&self.share.spare).acquire_owned() => self.spare = Some(spare?),
        }
        Ok(())
    }
}

impl Share {
    fn of(blocks: u32) -> Self {
        Self { blocks: semaphore(blocks), spare: semaphore(1) }
    }
}

fn semaphore(permits: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests;
