//! Takes up policy modules whose files change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::standin::Standin;

/// How often is asked whether files are to be looked at, while they are not.
const ASLEEP: Duration = Duration::from_secs(2);

impl Standin {
    /// Looks at the files of the policy modules as often as `policy.watch` says, and takes up what changed. A file has to look the
    /// same twice before it is read: one that is still being written is left alone. Runs until it is dropped.
    pub async fn watch_policies(&self) {
        let mut pending = BTreeMap::new();
        loop {
            let watch = self.inner.loader.rollout.configured().map(|policy| policy.watch).filter(|watch| !watch.is_zero());
            tokio::time::sleep(watch.unwrap_or(ASLEEP)).await;
            if watch.is_none() {
                continue;
            }
            let inner = Arc::clone(&self.inner);
            let looked = tokio::task::spawn_blocking(move || inner.loader.rollout.changed_files());
            let changed = match looked.await {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::error!(%error, "looking at the policy files");
                    continue;
                }
            };
            if changed.is_empty() || changed != pending {
                pending = changed;
                continue;
            }
            pending = BTreeMap::new();
            match self.reload_policy().await {
                Ok(()) => tracing::info!("the policy files changed and were taken up"),
                Err(error) => tracing::error!(%error, "the policy files changed and were refused; the old modules serve on"),
            }
        }
    }
}
