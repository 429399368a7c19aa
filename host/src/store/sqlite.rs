//! The store in the embedded database.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{Mutex, Semaphore};

use super::{Entry, MAX_ENTRIES, SWEEP, Space, Store, StoreError, Swap, check_read, check_write, full};
use crate::clock::Clock;
use crate::sqlite::{Database, SqliteError};

/// The most writes that wait for the writing connection; more are refused at once.
pub(super) const MAX_QUEUE: usize = 256;

/// A store in SQLite.
///
/// Reads are done on the calling thread, as the directory's are. A write waits for the disk, so it runs on a blocking thread, one at a time.
/// Once it runs it runs to its end, also where the caller has gone.
pub struct SqliteStore {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    writer: Arc<Mutex<Connection>>,
    queue: Arc<Semaphore>,
    max_entries: u64,
}

impl SqliteStore {
    /// The store in this database, which expires by `clock`.
    ///
    /// # Errors
    /// Where the database gives no connection that writes.
    pub fn new(database: Arc<Database>, clock: Arc<dyn Clock>) -> Result<Self, SqliteError> {
        let writer = Arc::new(Mutex::new(database.connect()?));
        Ok(Self { database, clock, writer, queue: Arc::new(Semaphore::new(MAX_QUEUE)), max_entries: MAX_ENTRIES })
    }

    /// Takes at most this many entries a space.
    #[must_use]
    pub fn with_max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// Runs `job` in a transaction that holds the database's write lock from its beginning.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(_place) = self.queue.try_acquire() else { return Err(self.report(&Fault::QueueFull)) };
        let mut connection = Arc::clone(&self.writer).lock_owned().await;
        let database = Arc::clone(&self.database);
        let written = tokio::task::spawn_blocking(move || {
            database.check_file()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = job(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        });
        match written.await {
            Ok(answer) => answer.map_err(|fault| self.report(&fault)),
            Err(error) => Err(self.report(&Fault::Task(error))),
        }
    }

    fn report(&self, fault: &Fault) -> StoreError {
        tracing::warn!(file = %self.database.path().display(), %fault, "the store did not do as it was asked");
        match fault {
            Fault::Full => full(),
            Fault::Late => StoreError::Refused,
            Fault::Database(_) | Fault::QueueFull | Fault::Number(_) | Fault::Task(_) => StoreError::Unavailable,
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get_many(&self, space: Space, keys: &[Vec<u8>]) -> Result<Vec<Option<Entry>>, StoreError> {
        check_read(keys)?;
        let now = self.clock.now().as_secs();
        let live =
            |tx: &Connection, key: &[u8]| -> Result<_, Fault> { Ok(found(tx, space, key)?.filter(|e| e.expires_at > now)) };
        let answer = match keys {
            [key] => self.database.ask(|tx| Ok(vec![live(tx, key)?])),
            keys => self.database.read(|tx| keys.iter().map(|key| live(tx, key)).collect()),
        };
        answer.map_err(|fault: Fault| self.report(&fault))
    }

    async fn compare_and_swap(
        &self,
        space: Space,
        key: &[u8],
        expected: Option<u64>,
        value: &[u8],
        expires_at: u64,
    ) -> Result<Swap, StoreError> {
        check_write(space, key, expected, value, expires_at, self.clock.now().as_secs())?;
        let (key, value) = (key.to_vec(), value.to_vec());
        let (clock, max_entries) = (Arc::clone(&self.clock), self.max_entries);
        self.write(move |tx| {
            // The time is taken under the lock: what has waited for it must not see an entry that expired meanwhile as live.
            let now = clock.now().as_secs();
            if expires_at <= now {
                return Err(Fault::Late);
            }
            let there = found(tx, space, &key)?;
            let absent = there.is_none();
            let live = there.filter(|entry| entry.expires_at > now);
            if live.as_ref().map(|entry| entry.revision) != expected {
                return Ok(Swap::Conflict(live));
            }
            if absent {
                make_room(tx, space, max_entries, now)?;
            }
            let revision = next_revision(tx)?;
            tx.prepare_cached(
                "INSERT INTO entries (space, key, value, revision, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET value = excluded.value, revision = excluded.revision, expires_at = excluded.expires_at",
            )?
            .execute(params![space.name(), key, value, revision, signed(expires_at)?])?;
            Ok(Swap::Stored(revision.unsigned_abs()))
        })
        .await
    }

    async fn delete(&self, space: Space, key: &[u8], expected: Option<u64>) -> Result<bool, StoreError> {
        if space.insert_only() {
            return Err(StoreError::Refused);
        }
        let (key, clock) = (key.to_vec(), Arc::clone(&self.clock));
        self.write(move |tx| {
            let now = signed(clock.now().as_secs())?;
            let sql = "DELETE FROM entries WHERE space = ?1 AND key = ?2 AND expires_at > ?3 AND (?4 IS NULL OR revision = ?4)";
            let expected = expected.map(signed).transpose()?;
            Ok(tx.prepare_cached(sql)?.execute(params![space.name(), key, now, expected])? > 0)
        })
        .await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.write(move |tx| sweep(tx, clock.now().as_secs())).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // Takes the write lock and gives it back: a full or read-only disk, or a lock somebody holds, shows here.
        self.write(|tx| Ok(tx.prepare_cached("SELECT 1 FROM entries LIMIT 1")?.exists([])?)).await.map(drop)
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Database(#[from] SqliteError),
    #[error("a space of the store is full")]
    Full,
    #[error("too many writes wait for the store")]
    QueueFull,
    #[error("the entry would have expired before it was written")]
    Late,
    #[error("a number does not fit into the database")]
    Number(#[from] std::num::TryFromIntError),
    #[error("a write to the store was broken off")]
    Task(#[source] tokio::task::JoinError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

fn signed(number: u64) -> Result<i64, Fault> {
    Ok(i64::try_from(number)?)
}

/// The entry, expired or not.
fn found(connection: &Connection, space: Space, key: &[u8]) -> Result<Option<Entry>, Fault> {
    let sql = "SELECT value, revision, expires_at FROM entries WHERE space = ?1 AND key = ?2";
    let row = connection
        .prepare_cached(sql)?
        .query_row(params![space.name(), key], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        .optional()?;
    let entry = |(value, revision, expires_at): (Vec<u8>, i64, i64)| {
        Ok(Entry { value, revision: u64::try_from(revision)?, expires_at: u64::try_from(expires_at)? })
    };
    row.map(entry).transpose()
}

fn make_room(transaction: &Transaction<'_>, space: Space, max_entries: u64, now: u64) -> Result<(), Fault> {
    let max_entries = signed(max_entries)?;
    let full = || -> Result<bool, Fault> {
        let sql = "SELECT entries >= ?2 FROM spaces WHERE name = ?1";
        Ok(transaction.prepare_cached(sql)?.query_row(params![space.name(), max_entries], |row| row.get(0))?)
    };
    if full()? {
        sweep(transaction, now)?;
        if full()? {
            return Err(Fault::Full);
        }
    }
    Ok(())
}

fn sweep(transaction: &Transaction<'_>, now: u64) -> Result<u64, Fault> {
    let sql = "DELETE FROM entries WHERE (space, key) IN \
               (SELECT space, key FROM entries WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
    Ok(transaction.prepare_cached(sql)?.execute(params![signed(now)?, SWEEP as i64])? as u64)
}

fn next_revision(transaction: &Transaction<'_>) -> Result<i64, Fault> {
    let sql = "UPDATE revisions SET last = last + 1 RETURNING last";
    Ok(transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}
