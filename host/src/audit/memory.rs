//! An audit log in memory, for an embedder's tests and for benches. It promises nothing beyond the life of the process.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Audit, AuditError};
use crate::record::Event;

/// Keeps the newest events.
#[derive(Debug)]
pub struct MemoryAudit {
    capacity: usize,
    kept: Mutex<Kept>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Event>,
    dropped: u64,
}

impl MemoryAudit {
    /// A log that keeps the newest `capacity` events.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// The events, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).events.iter().cloned().collect()
    }

    /// How many events were dropped for newer ones.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }
}

#[async_trait]
impl Audit for MemoryAudit {
    async fn append(&self, event: Event) -> Result<(), AuditError> {
        self.ready().await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.events.len() >= self.capacity {
            kept.events.pop_front();
            kept.dropped = kept.dropped.saturating_add(1);
        }
        if self.capacity > 0 {
            kept.events.push_back(event);
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), AuditError> {
        if self.closed.load(Ordering::Relaxed) { Err(AuditError::Closed) } else { Ok(()) }
    }

    async fn close(&self) -> Result<(), AuditError> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u32) -> Event {
        Event { json: format!("{{\"n\":{number}}}"), anonymous: None }
    }

    #[tokio::test]
    async fn keeps_the_newest() {
        let log = MemoryAudit::new(2);
        for number in 0..5 {
            log.append(event(number)).await.unwrap();
        }
        assert_eq!(log.events(), [event(3), event(4)]);
        assert_eq!(log.dropped(), 3);
    }

    #[tokio::test]
    async fn can_be_closed() {
        let log = MemoryAudit::new(0);
        log.append(event(0)).await.unwrap();
        assert!(log.events().is_empty());
        log.close().await.unwrap();
        assert!(matches!(log.append(event(1)).await, Err(AuditError::Closed)));
    }
}
