//! The look at what was revoked that the host takes itself, whatever the component has looked at.

use async_trait::async_trait;

/// It could not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was revoked cannot be found out")]
pub struct RevocationsAway;

/// Which tokens were revoked.
#[async_trait]
pub trait Revocations: Send + Sync + 'static {
    /// Whether a token with one of these names in `lineage` was.
    ///
    /// # Errors
    /// Where that cannot be found out; nothing is signed then.
    async fn any_revoked(&self, names: &[String]) -> Result<bool, RevocationsAway>;
}
