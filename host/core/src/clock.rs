//! Time and randomness as ports, so that a request can be made reproducible.

use std::time::Duration;

/// Where the time comes from. Everything that stamps, expires or measures asks this.
pub trait Clock: Send + Sync + 'static {
    /// Time since the Unix epoch.
    fn now(&self) -> Duration;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The operating system has no random bytes to give.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system's random source failed")]
pub struct EntropyError;

/// Where random bytes come from.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random ones.
    ///
    /// # Errors
    /// Where the source has none; nothing is minted then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}
