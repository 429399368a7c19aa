//! Ports that stand still or fail, for tests of just that; the names of tests that use them say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use standin::audit::{Audit, AuditError};
use standin::clock::{Clock, Entropy, EntropyError};
use standin::directory::{Account, AccountKey, Directory, DirectoryError, Machine, MachineKey, User, UserKey};
use standin::record::Event;
use standin::store::{Entry, Space, Store, StoreError, Swap};

/// A clock that stands until it is set.
#[derive(Debug)]
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// At this second.
    pub fn at(seconds: u64) -> Self {
        Self(AtomicU64::new(seconds))
    }

    /// Sets it.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.now()
    }
}

/// Bytes that count.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.iter_mut().zip(next).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

/// No bytes.
#[derive(Debug, Default)]
pub struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, _bytes: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

/// A directory that cannot be asked.
#[derive(Debug, Default)]
pub struct NoDirectory;

#[async_trait]
impl Directory for NoDirectory {
    async fn find_account(&self, _key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        Err(DirectoryError::Unavailable)
    }

    async fn find_user(&self, _key: &UserKey) -> Result<Option<User>, DirectoryError> {
        Err(DirectoryError::Unavailable)
    }

    async fn find_machine(&self, _key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        Err(DirectoryError::Unavailable)
    }

    async fn ready(&self) -> Result<(), DirectoryError> {
        Err(DirectoryError::Unavailable)
    }
}

/// A store that cannot be asked; it counts how often it was asked whether it is ready, which takes it a moment.
#[derive(Debug, Default)]
pub struct NoStore {
    /// How often.
    pub asked: AtomicU64,
}

#[async_trait]
impl Store for NoStore {
    async fn get_many(&self, _space: Space, _keys: &[Vec<u8>]) -> Result<Vec<Option<Entry>>, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn compare_and_swap(&self, _: Space, _: &[u8], _: Option<u64>, _: &[u8], _: u64) -> Result<Swap, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn delete(&self, _space: Space, _key: &[u8], _expected: Option<u64>) -> Result<bool, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(StoreError::Unavailable)
    }
}

/// A log that cannot be written.
#[derive(Debug, Default)]
pub struct NoAudit;

#[async_trait]
impl Audit for NoAudit {
    async fn append(&self, _event: Event) -> Result<(), AuditError> {
        Err(AuditError::Closed)
    }

    async fn ready(&self) -> Result<(), AuditError> {
        Err(AuditError::Closed)
    }

    async fn close(&self) -> Result<(), AuditError> {
        Err(AuditError::Closed)
    }
}
