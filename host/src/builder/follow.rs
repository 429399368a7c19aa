//! Takes up what becomes of the key folder: another process rotates, or a Secret's volume is swapped.

use std::sync::Arc;
use std::time::Duration;

use super::BuildError;
use super::reload::{Loaded, Planned};
use crate::keys::Keys;
use crate::keys::files::FileKeys;
use crate::shared::Snapshot;
use crate::standin::{Inner, Standin};

/// How long a look at the folder holds up the request that it is made for.
const LOOK: Duration = Duration::from_secs(1);

impl Standin {
    /// Looks at the key folder where that is due, and takes up what changed there. Every request does; a server without requests
    /// does it now and then, so that it publishes what others sign with.
    pub async fn follow_keys(&self) {
        let Some(keys) = self.inner.loader.followed.load_full().filter(|keys| keys.is_due()) else { return };
        let this = self.clone();
        // To its end, whoever waits for it.
        let following = tokio::spawn(async move {
            match keys.look().await {
                Ok(true) => {}
                Ok(false) => match this.reload_keys().await {
                    Ok(()) => tracing::info!("the keys changed and were taken up"),
                    Err(error) => tracing::error!(%error, "the keys changed and were refused; the old ones serve on for a while"),
                },
                Err(error) => tracing::error!(%error, "looking at the key folder; its keys serve on for a while"),
            }
        });
        // A folder that hangs must not stop what needs no signature.
        let _late = tokio::time::timeout(LOOK, following).await;
    }

    /// Reads the key folder again.
    ///
    /// # Errors
    /// Where it cannot be used; the keys from before serve on until too long ago.
    pub async fn reload_keys(&self) -> Result<(), BuildError> {
        self.change("keys", |inner| {
            let Some(before) = inner.loader.followed.load_full() else { return Err(BuildError::Missing("a key folder")) };
            Ok(with_keys(inner, Arc::new(before.again()?)))
        })
        .await
    }

    /// Whether our keys may sign, as far as they are files.
    pub(crate) fn keys_are_fresh(&self) -> bool {
        self.inner.loader.followed.load().as_ref().is_none_or(|keys| keys.is_fresh())
    }
}

/// What is live now, with other keys.
fn with_keys(inner: &Inner, keys: Arc<FileKeys>) -> Planned {
    let live = inner.shared.snapshot.load_full();
    let snapshot = Snapshot { keys: Arc::clone(&keys) as Arc<dyn Keys>, ..Snapshot::clone(&live) };
    Planned { file_keys: Some(keys), ..Planned::of(Loaded { snapshot, issuers: Vec::new(), slots: None, refused: Vec::new() }) }
}
