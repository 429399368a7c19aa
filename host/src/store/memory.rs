//! A store in memory, for embedders with one process and for benches. What it holds ends with it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Entry, MAX_ENTRIES, SWEEP, Space, Store, StoreError, Swap, check_read, check_write, full};
use crate::clock::Clock;

/// A store in hash maps.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    max_entries: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spaces: HashMap<Space, HashMap<Vec<u8>, Entry>>,
    /// What expires when, soonest first.
    expiry: BTreeSet<(u64, Space, Vec<u8>)>,
    revision: u64,
}

impl MemoryStore {
    /// An empty store that expires by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, max_entries: MAX_ENTRIES, state: Mutex::default() }
    }

    /// Takes at most this many entries a space.
    #[must_use]
    pub fn with_max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = max_entries;
        self
    }

    fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the entry is there, expired or not.
    fn has(&self, space: Space, key: &[u8]) -> bool {
        self.spaces.get(&space).is_some_and(|entries| entries.contains_key(key))
    }

    fn live(&self, space: Space, key: &[u8], now: u64) -> Option<&Entry> {
        self.spaces.get(&space)?.get(key).filter(|entry| entry.expires_at > now)
    }

    fn remove(&mut self, space: Space, key: &[u8]) {
        if let Some(entry) = self.spaces.get_mut(&space).and_then(|entries| entries.remove(key)) {
            self.expiry.remove(&(entry.expires_at, space, key.to_vec()));
        }
    }

    fn sweep(&mut self, now: u64) -> u64 {
        let mut swept = 0;
        while swept < SWEEP as u64 {
            let Some((_, space, key)) = self.expiry.first().filter(|first| first.0 <= now).cloned() else { break };
            self.remove(space, &key);
            swept += 1;
        }
        swept
    }

    fn len(&self, space: Space) -> u64 {
        self.spaces.get(&space).map_or(0, HashMap::len) as u64
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get_many(&self, space: Space, keys: &[Vec<u8>]) -> Result<Vec<Option<Entry>>, StoreError> {
        check_read(keys)?;
        let (now, state) = (self.now(), self.state());
        Ok(keys.iter().map(|key| state.live(space, key, now).cloned()).collect())
    }

    async fn compare_and_swap(
        &self,
        space: Space,
        key: &[u8],
        expected: Option<u64>,
        value: &[u8],
        expires_at: u64,
    ) -> Result<Swap, StoreError> {
        let now = self.now();
        check_write(space, key, expected, value, expires_at, now)?;
        let mut state = self.state();
        let live = state.live(space, key, now);
        if live.map(|entry| entry.revision) != expected {
            return Ok(Swap::Conflict(live.cloned()));
        }
        if !state.has(space, key) && state.len(space) >= self.max_entries {
            state.sweep(now);
            if state.len(space) >= self.max_entries {
                return Err(full());
            }
        }
        state.remove(space, key);
        state.revision += 1;
        let entry = Entry { value: value.to_vec(), revision: state.revision, expires_at };
        state.expiry.insert((expires_at, space, key.to_vec()));
        state.spaces.entry(space).or_default().insert(key.to_vec(), entry);
        Ok(Swap::Stored(state.revision))
    }

    async fn delete(&self, space: Space, key: &[u8], expected: Option<u64>) -> Result<bool, StoreError> {
        if space.insert_only() {
            return Err(StoreError::Refused);
        }
        let (now, mut state) = (self.now(), self.state());
        let found = state.live(space, key, now).is_some_and(|entry| expected.is_none_or(|expected| entry.revision == expected));
        if found {
            state.remove(space, key);
        }
        Ok(found)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.now();
        Ok(self.state().sweep(now))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
