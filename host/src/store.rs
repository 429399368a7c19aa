//! Import `store`: small shared state with expiry. The port, and its link to the component.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker};

use crate::approval::{Revocations, RevocationsAway};
pub use crate::bindings::store::{Entry, StoreError, Swap};
use crate::evidence::Evidence;
use crate::tape::Taped;

mod memory;
mod sqlite;

pub use self::memory::MemoryStore;
pub use self::sqlite::SqliteStore;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// The most keys in one question.
pub const MAX_KEYS: usize = 64;
/// The most entries in a space, unless told otherwise; a full one takes nothing new.
pub const MAX_ENTRIES: u64 = 1_000_000;
/// The most entries one sweep deletes.
pub const SWEEP: usize = 1_000;

/// The closed set of spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Values that may be used once, such as the `jti` of an assertion. Insert-only.
    SingleUse,
    /// The names of revoked tokens, as `lineage` has them: the `jti` of ours, [`foreign_name`](crate::keys::foreign_name) of those of
    /// trusted issuers. Insert-only.
    Revocation,
    /// Free for the component's own small state.
    State,
}

impl Space {
    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleUse => "single-use",
            Self::Revocation => "revocation",
            Self::State => "state",
        }
    }

    /// The space of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::SingleUse, Self::Revocation, Self::State].into_iter().find(|space| space.name() == name)
    }

    /// Whether the component may read it. No flow of this version needs more.
    pub fn component_reads(self) -> bool {
        match self {
            Self::Revocation => true,
            Self::SingleUse | Self::State => false,
        }
    }

    /// Whether the component may write it. No flow of this version writes: what outlives a request could carry one caller's
    /// credential into another's sandbox.
    pub fn component_writes(self) -> bool {
        match self {
            Self::SingleUse | Self::Revocation | Self::State => false,
        }
    }

    /// Whether what was once written stays until it expires.
    pub fn insert_only(self) -> bool {
        match self {
            Self::SingleUse | Self::Revocation => true,
            Self::State => false,
        }
    }
}

/// Where small shared state lives. Expired entries count as absent.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The live entries of `keys`, in their order.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    async fn get_many(&self, space: Space, keys: &[Vec<u8>]) -> Result<Vec<Option<Entry>>, StoreError>;
    /// Writes if the live entry's revision is `expected` (`None`: if there is none). `expires_at` is in Unix seconds.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    async fn compare_and_swap(
        &self,
        space: Space,
        key: &[u8],
        expected: Option<u64>,
        value: &[u8],
        expires_at: u64,
    ) -> Result<Swap, StoreError>;
    /// Deletes the live entry if its revision is `expected` (`None`: whatever it is); answers whether it did.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    async fn delete(&self, space: Space, key: &[u8], expected: Option<u64>) -> Result<bool, StoreError>;
    /// Deletes what has expired; answers how many entries that were. At most a bounded number a call.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    async fn sweep(&self) -> Result<u64, StoreError>;
    /// Whether it can be asked now; for `/readyz`.
    ///
    /// # Errors
    /// Where it cannot.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// What every store refuses, so that none takes what another would not.
fn check_write(
    space: Space,
    key: &[u8],
    expected: Option<u64>,
    value: &[u8],
    expires_at: u64,
    now: u64,
) -> Result<(), StoreError> {
    if key.len() > MAX_KEY || value.len() > MAX_VALUE {
        return Err(StoreError::TooLarge);
    }
    // An entry that is absent at once would let a value pass for unused that was not; one past `i64::MAX` fits no database.
    let lives = expires_at > now && i64::try_from(expires_at).is_ok();
    if !lives || (space.insert_only() && expected.is_some()) {
        return Err(StoreError::Refused);
    }
    Ok(())
}

fn check_read(keys: &[Vec<u8>]) -> Result<(), StoreError> {
    if keys.len() > MAX_KEYS || keys.iter().any(|key| key.len() > MAX_KEY) { Err(StoreError::TooLarge) } else { Ok(()) }
}

fn full() -> StoreError {
    StoreError::Other(Some("full".into()))
}

/// What the import needs of one request.
pub struct StoreCtx {
    store: Arc<dyn Store>,
    timeout: Duration,
}

impl StoreCtx {
    /// Asks `store`, each question for at most `timeout`.
    pub fn new(store: Arc<dyn Store>, timeout: Duration) -> Self {
        Self { store, timeout }
    }
}

/// The context, ready to serve a call.
pub struct StoreView<'a> {
    /// The import's own context.
    pub ctx: &'a StoreCtx,
    /// Where questions are counted.
    pub evidence: &'a mut Evidence,
}

impl StoreCtx {
    async fn ask<T>(&self, question: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, question).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(StoreError::Unavailable),
        }
    }
}

#[async_trait]
impl Revocations for StoreCtx {
    async fn any_revoked(&self, names: &[String]) -> Result<bool, RevocationsAway> {
        let keys: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        check_read(&keys).map_err(|_too_large| RevocationsAway)?;
        let found = self.ask(self.store.get_many(Space::Revocation, &keys)).await.map_err(|_| RevocationsAway)?;
        // An answer that leaves one out is none.
        if found.len() == keys.len() { Ok(found.iter().any(Option::is_some)) } else { Err(RevocationsAway) }
    }
}

impl StoreView<'_> {
    fn spend(&mut self) -> Result<(), StoreError> {
        self.evidence.spend_lookup().map_err(|why| StoreError::Other(Some(why.to_string())))
    }
}

impl crate::bindings::store::Host for StoreView<'_> {
    async fn get_many(&mut self, space: String, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Entry>>, StoreError> {
        self.spend()?;
        let space = Space::named(&space).filter(|space| space.component_reads()).ok_or(StoreError::Refused)?;
        check_read(&keys)?;
        self.ctx.ask(self.ctx.store.get_many(space, &keys)).await
    }

    async fn compare_and_swap(
        &mut self,
        space: String,
        key: Vec<u8>,
        expected: Option<u64>,
        value: Vec<u8>,
        expires_at: u64,
    ) -> Result<Swap, StoreError> {
        self.spend()?;
        let space = Space::named(&space).filter(|space| space.component_writes()).ok_or(StoreError::Refused)?;
        if space.insert_only() && expected.is_some() {
            return Err(StoreError::Refused);
        }
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(StoreError::TooLarge);
        }
        self.ctx.ask(self.ctx.store.compare_and_swap(space, &key, expected, &value, expires_at)).await
    }

    async fn delete(&mut self, space: String, key: Vec<u8>, expected: Option<u64>) -> Result<bool, StoreError> {
        self.spend()?;
        let space = Space::named(&space).filter(|space| space.component_writes()).ok_or(StoreError::Refused)?;
        if space.insert_only() {
            return Err(StoreError::Refused);
        }
        self.ctx.ask(self.ctx.store.delete(space, &key, expected)).await
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<StoreView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Taped<StoreView<'_>>,
) -> wasmtime::Result<()> {
    crate::bindings::store::add_to_linker::<T, Import>(linker, view)
}

#[cfg(test)]
mod tests;
