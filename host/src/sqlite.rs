//! The embedded database that directory and store share: its url, its file, its schema, and a bounded pool of read connections.
//!
//! Where this process cannot write the file, or not beside it, as on a volume that is mounted read-only, the database is read as it lies
//! there, without locks. Another file that is put in its place is taken up, and so is what is written into it from elsewhere, once whoever
//! does has closed it.

mod media;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use self::media::Access;
use crate::guard;

/// The most read connections of one database. Reads never wait for anything but the disk, so more than there are threads is waste.
pub const MAX_READERS: usize = 16;
/// How long a connection waits for a lock, and a read for a connection, unless told otherwise.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Marks a file as ours (`Stnd`): somebody else's database is not written to by mistake.
const APPLICATION_ID: i64 = 0x5374_6e64;
/// Each takes the schema from its place in the list to the next. Released ones never change.
const MIGRATIONS: [&str; 2] = [include_str!("sqlite/schema.sql"), include_str!("sqlite/policy_floor.sql")];

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// There is no such file.
    #[error("the database file does not exist")]
    Missing,
    /// Others than the owner may read or write the file.
    #[error("the database file has mode {mode:04o}, but only its owner may have access (0600), or a group read it (0440)")]
    Permissions {
        /// The file's permission bits.
        mode: u32,
    },
    /// The file is another user's, who can make it say anything.
    #[error("the database file belongs to user {0}, who is neither root nor the user this runs as")]
    Owner(u32),
    /// The file is some other program's database.
    #[error("the database belongs to another program")]
    Foreign,
    /// The schema is one this version does not know.
    #[error("the database has schema version {found}, this program knows versions up to {known}")]
    Newer {
        /// The file's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is no longer the one that was opened.
    #[error("the database file was moved, deleted or replaced while in use")]
    Moved,
    /// It has to be written, and cannot be.
    #[error("the database file, or the folder it lies in, is read-only")]
    ReadOnly,
    /// It cannot be written here, and is being written elsewhere.
    #[error("the database was written while it was read")]
    Changed,
    /// It cannot be written, and its last changes lie in a file beside it.
    #[error(
        "the database is read-only, and its last changes are still in the `-wal` file beside it: close it where it is written"
    )]
    Unsettled,
    /// All read connections stayed in use.
    #[error("no read connection became free in time")]
    Exhausted,
    /// The file cannot be created or looked at.
    #[error("the database file cannot be accessed")]
    File(#[source] io::Error),
    /// What SQLite says.
    #[error("the database failed: {0}")]
    Query(#[from] rusqlite::Error),
}

/// The path in `sqlite:<path>`; a relative one is taken from `base`, the folder of the configuration. Parameters, authorities and
/// names that SQLite does not take as a file, or takes as a URI of another file, are refused, not ignored: that would be a database that
/// is gone after a restart, or one here and another there.
pub(crate) fn path_of_url(url: &str, base: &Path) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let uri = path.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
    let refused = uri || path.is_empty() || path.starts_with("//") || path.starts_with(':') || path.contains(['?', '#', '\0']);
    (!refused).then(|| base.join(path))
}

/// One database file, its read connections, and the way to get a connection that writes.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    access: Access,
    busy_timeout: Duration,
    readers: Mutex<Readers>,
    freed: Condvar,
}

#[derive(Debug)]
struct Readers {
    /// The file that they read.
    file: FileId,
    idle: Vec<Connection>,
    open: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    /// When it was last written, in seconds and nanoseconds, and its length. Where it is read without locks, nothing else tells that
    /// somebody has written it.
    written: Option<(i64, i64, u64)>,
}

impl Database {
    /// Opens an existing database and brings its schema up to date.
    ///
    /// # Errors
    /// Where the file is missing, open to others, not ours, or broken.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        checked_file(path, Access::Writes)?;
        Self::open_for(path, media::access(path).map_err(SqliteError::File)?)
    }

    fn open_for(path: &Path, access: Access) -> Result<Self, SqliteError> {
        let file = checked_file(path, access)?;
        let readers = Mutex::new(Readers { file, idle: Vec::new(), open: 0 });
        let database = Self { path: path.to_owned(), access, busy_timeout: BUSY_TIMEOUT, readers, freed: Condvar::new() };
        match access {
            Access::Writes => migrate(&mut database.connect()?)?,
            Access::Reads => database.check_settled()?,
        }
        Ok(database)
    }

    /// The same, but makes the file (mode 0600) where there is none.
    ///
    /// # Errors
    /// As [`Database::open`], and where the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, SqliteError> {
        // Made here and not by SQLite, which would use the process's umask; its `-wal` and `-shm` files take their mode from this one.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SqliteError::File(error)),
        }
        Self::open(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for locks, and for a free read connection, at most this long.
    #[cfg(test)]
    pub(crate) fn with_busy_timeout(mut self, busy_timeout: Duration) -> Self {
        self.busy_timeout = busy_timeout;
        self
    }

    /// A new connection that may write.
    pub(crate) fn connect(&self) -> Result<Connection, SqliteError> {
        if self.access == Access::Reads {
            return Err(SqliteError::ReadOnly);
        }
        self.check_file()?;
        let connection = self.connection()?;
        // NORMAL could forget the last commits when the power fails, and with them a `jti` that was already used.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
        Ok(connection)
    }

    /// Runs `job` on a read connection, in one transaction: all its queries see the same state.
    ///
    /// A connection on which something failed is closed; the next read opens another.
    pub(crate) fn read<T, E: From<SqliteError>>(&self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        self.ask(|connection| {
            execute(connection, "BEGIN")?;
            let answer = job(connection);
            execute(connection, "COMMIT")?;
            answer
        })
    }

    /// The same for a single statement, which is a transaction by itself.
    pub(crate) fn ask<T, E: From<SqliteError>>(&self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        self.check_file()?;
        let (file, idle) = self.reserve()?;
        let mut lease = Lease { database: self, file, connection: None };
        let connection = match idle {
            Some(connection) => connection,
            None => self.reader()?,
        };
        let answer = job(&connection);
        if self.access == Access::Reads && (self.found()? != file || media::has_log(&self.path)) {
            return Err(SqliteError::Changed.into());
        }
        let answer = answer?;
        lease.connection = Some(connection);
        Ok(answer)
    }

    /// Whether the file is still the one that was opened. SQLite itself would go on with a deleted one, and what it writes would be lost.
    pub(crate) fn check_file(&self) -> Result<(), SqliteError> {
        let is_same = self.found()? == self.readers().file;
        match self.access {
            Access::Writes if is_same => Ok(()),
            Access::Writes => Err(SqliteError::Moved),
            Access::Reads if is_same && !media::has_log(&self.path) => Ok(()),
            Access::Reads => self.follow(),
        }
    }

    /// The file as it is now.
    fn found(&self) -> Result<FileId, SqliteError> {
        let found = fs::metadata(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SqliteError::Moved,
            _ => SqliteError::File(error),
        })?;
        Ok(FileId::of(&found, self.access))
    }

    /// Goes over to the file that was put in the place of the one before, or to what was written into it.
    fn follow(&self) -> Result<(), SqliteError> {
        let file = checked_file(&self.path, self.access)?;
        self.check_settled()?;
        let mut readers = self.readers();
        if readers.file != file {
            readers.file = file;
            readers.open = readers.open.saturating_sub(readers.idle.len());
            readers.idle.clear();
        }
        Ok(())
    }

    /// Whether the file by itself is the whole database, of a schema that we know.
    fn check_settled(&self) -> Result<(), SqliteError> {
        if media::has_log(&self.path) {
            return Err(SqliteError::Unsettled);
        }
        if pending(&self.connection()?)?.is_empty() { Ok(()) } else { Err(SqliteError::ReadOnly) }
    }

    /// Reserves a place among the open read connections of the file; `None` where the caller has to open one.
    fn reserve(&self) -> Result<(FileId, Option<Connection>), SqliteError> {
        let full = |readers: &mut Readers| readers.idle.is_empty() && readers.open >= MAX_READERS;
        let (mut readers, waited) =
            self.freed.wait_timeout_while(self.readers(), self.busy_timeout, full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && full(&mut readers) {
            return Err(SqliteError::Exhausted);
        }
        let idle = readers.idle.pop();
        if idle.is_none() {
            readers.open += 1;
        }
        Ok((readers.file, idle))
    }

    fn reader(&self) -> Result<Connection, SqliteError> {
        let connection = self.connection()?;
        connection.pragma_update(None, "query_only", true)?;
        // 2 MiB of pages a connection hold the inner nodes of the indexes of millions of rows.
        connection.pragma_update(None, "cache_size", -2048)?;
        Ok(connection)
    }

    fn connection(&self) -> Result<Connection, SqliteError> {
        // Without SQLITE_OPEN_CREATE: the file is there. The library that is built in reads a name that begins with `file:` as a URI
        // also without SQLITE_OPEN_URI; one that begins with a folder does not.
        let connection = match self.access {
            Access::Writes => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(Path::new(".").join(&self.path), flags)?
            }
            Access::Reads => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(media::immutable(&self.path), flags)?
            }
        };
        connection.busy_timeout(self.busy_timeout)?;
        prepare(&connection)?;
        Ok(connection)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the open read connections; gives back the connection, or where there is none, only the place.
struct Lease<'a> {
    database: &'a Database,
    file: FileId,
    connection: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut readers = self.database.readers();
        match self.connection.take() {
            Some(connection) if readers.file == self.file => readers.idle.push(connection),
            Some(_) | None => readers.open = readers.open.saturating_sub(1),
        }
        drop(readers);
        self.database.freed.notify_one();
    }
}

impl FileId {
    fn of(metadata: &fs::Metadata, access: Access) -> Self {
        let written = match access {
            Access::Writes => None,
            Access::Reads => Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len())),
        };
        Self { device: metadata.dev(), inode: metadata.ino(), written }
    }
}

/// A database of its own in memory, with the schema.
pub(crate) fn in_memory() -> Result<Connection, SqliteError> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&connection)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Whether there is a file that a database may be in, open to its owner only. It is not opened.
///
/// # Errors
/// Where there is none, or one that others may read or write.
pub fn check_file(path: &Path) -> Result<(), SqliteError> {
    checked_file(path, Access::Writes).map(drop)
}

/// Whether this process can write the database. It is not opened.
///
/// # Errors
/// Where it cannot, or the file cannot be looked at.
pub fn check_writable(path: &Path) -> Result<(), SqliteError> {
    match media::access(path).map_err(SqliteError::File)? {
        Access::Writes => Ok(()),
        Access::Reads => Err(SqliteError::ReadOnly),
    }
}

fn checked_file(path: &Path, access: Access) -> Result<FileId, SqliteError> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SqliteError::Missing,
        _ => SqliteError::File(error),
    })?;
    if !guard::is_ours(found.uid()) {
        return Err(SqliteError::Owner(found.uid()));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 == 0 || mode == media::READ_BY_A_GROUP {
        Ok(FileId::of(&found, access))
    } else {
        Err(SqliteError::Permissions { mode })
    }
}

/// A statement that is parsed the first time only.
fn execute(connection: &Connection, statement: &str) -> Result<(), SqliteError> {
    let executed = connection.prepare_cached(statement).and_then(|mut statement| statement.execute([]));
    executed.map(drop).map_err(SqliteError::Query)
}

/// What every connection needs, whatever it is for.
fn prepare(connection: &Connection) -> Result<(), SqliteError> {
    connection.pragma_update(None, "foreign_keys", true)?;
    // The file is data: nothing in its schema may call functions with effects or break the file itself.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A statement is planned once, not again for each value that it is asked with.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), SqliteError> {
    if pending(connection)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been faster.
    for migration in pending(&transaction)? {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known_version())?;
    transaction.commit()?;
    Ok(())
}

fn pending(connection: &Connection) -> Result<&'static [&'static str], SqliteError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = pragma("user_version")?;
    if pragma("application_id")? != APPLICATION_ID {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if found != 0 || tables != 0 {
            return Err(SqliteError::Foreign);
        }
    }
    let newer = SqliteError::Newer { found, known: known_version() };
    usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)).ok_or(newer)
}

fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
