//! Who asks, as far as the host knows: its turns, where it comes from, and what came of earlier attempts.

use std::sync::Arc;

use super::Guessing;
use crate::door::Turn;
use crate::peer::Peer;

/// The asker of one request; by default one whom nobody counts, and whose turn it always is.
#[derive(Clone, Default)]
pub(crate) struct Asker {
    pub(crate) turn: Turn,
    pub(crate) peer: Option<Peer>,
    pub(crate) guessing: Option<Arc<Guessing>>,
}

impl Asker {
    /// Whether anybody is slowed now.
    pub(crate) fn slows_anybody(&self) -> bool {
        self.guessing.as_ref().is_some_and(|guessing| guessing.slows_anybody())
    }

    /// Whether what it shows for this client is looked at now.
    ///
    /// # Errors
    /// After how many seconds it will be.
    pub(crate) fn admit(&self, client: &str, registered: bool) -> Result<(), u32> {
        self.guessing.as_ref().map_or(Ok(()), |guessing| guessing.admit(client, registered, self.peer))
    }

    /// What it showed for this client was wrong.
    pub(crate) fn failed(&self, client: &str, registered: bool) {
        if let Some(guessing) = &self.guessing {
            guessing.failed(client, registered, self.peer);
        }
    }

    /// It is this client.
    pub(crate) fn succeeded(&self, client: &str) {
        if let Some(guessing) = &self.guessing {
            guessing.succeeded(client, self.peer);
        }
    }
}
