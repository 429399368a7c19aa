//! Import of a directory from a document (its form: `docs/directory.md`): everything or nothing, and every bad row is named.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Take};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::document::{self, Fault, Row, Sink, Stop};
use crate::sqlite::{Database, SqliteError};

mod check;
mod stage;

pub use super::document::{List, Problem};
pub use super::value::ValueError;
use stage::Stage;

/// The longest document, in bytes.
pub const MAX_DOCUMENT: u64 = 512 * 1024 * 1024;
/// The most faults that are listed one by one; more are only counted.
pub const MAX_LISTED: usize = 10_000;

/// What becomes of rows that the directory has and the document does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They stay.
    Upsert,
    /// They are deleted. The document must have all three lists then: a forgotten one would delete all its rows.
    Replace,
}

/// How many rows of one list were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// New ones.
    pub inserted: u64,
    /// Ones that were there and are now as the document says.
    pub updated: u64,
    /// Ones that the document does not have.
    pub deleted: u64,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// To accounts.
    pub accounts: Counts,
    /// To users.
    pub users: Counts,
    /// To hosts.
    pub hosts: Counts,
}

/// A fault of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The list it stands in.
    pub list: List,
    /// Its place in the list, from 0.
    pub index: u64,
    /// The field, such as `.accounts[2]`; empty for the whole row.
    pub place: String,
    /// The row's id, where it has one.
    pub id: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl BadRow {
    /// The JSON path of the fault, such as `users[3].accounts[2]`.
    pub fn path(&self) -> String {
        format!("{}[{}]{}", self.list, self.index, self.place)
    }
}

impl fmt::Display for BadRow {
    /// `users[3].email ("u-17"): not a valid email address`; the id is quoted, for it may hold anything.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path())?;
        if let Some(id) = &self.id {
            write!(formatter, " ({id:?})")?;
        }
        write!(formatter, ": {}", self.problem)
    }
}

/// The faults of a document, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadRows {
    /// At most [`MAX_LISTED`].
    pub listed: Vec<BadRow>,
    /// How many more there are.
    pub unlisted: u64,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not JSON, or not an object of the three lists.
    #[error("the document is malformed: {0}")]
    Malformed(#[source] serde_json::Error),
    /// The document could not be read.
    #[error("the document cannot be read")]
    Read(#[source] io::Error),
    /// Longer than [`MAX_DOCUMENT`].
    #[error("the document is longer than 512 MiB")]
    TooLarge,
    /// A list is missing that [`Mode::Replace`] needs.
    #[error("to replace a directory the document must have the list `{0}`, be it empty")]
    MissingList(List),
    /// Rows are wrong.
    #[error("{} faults in the rows of the document", .0.listed.len() as u64 + .0.unlisted)]
    Rows(BadRows),
    /// The database failed.
    #[error("the directory cannot be written: {0}")]
    Database(#[from] SqliteError),
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Imports `document` into the directory in `database`. Takes as long as it takes: not for a thread that serves.
///
/// # Errors
/// Where the document or the database is not as it should be; nothing has been written then.
pub fn import(database: &Database, document: impl Read, mode: Mode) -> Result<Imported, ImportError> {
    import_into(&mut database.connect()?, document, mode)
}

/// The same on a connection; the temporary tables it leaves vanish with it.
pub(super) fn import_into(connection: &mut Connection, document: impl Read, mode: Mode) -> Result<Imported, ImportError> {
    import_bounded(connection, document, mode, MAX_DOCUMENT)
}

fn import_bounded(connection: &mut Connection, document: impl Read, mode: Mode, most: u64) -> Result<Imported, ImportError> {
    // First into temporary tables, for which the database itself stays unlocked; then all checks and all changes in one transaction.
    let staging = connection.transaction()?;
    let mut bad = stage_document(&staging, document.take(most + 1), mode)?;
    staging.commit()?;

    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let imported = prepare(&transaction, mode)?;
    check::all(&transaction, &mut bad)?;
    if !bad.listed.is_empty() {
        bad.listed.sort_by(|a, b| (a.list, a.index, &a.place).cmp(&(b.list, b.index, &b.place)));
        return Err(ImportError::Rows(bad));
    }
    transaction.execute_batch(include_str!("import/apply.sql"))?;
    transaction.commit()?;
    Ok(imported)
}

/// `document` ends one byte after the most that it may have.
fn stage_document<R: Read>(transaction: &Transaction<'_>, mut document: Take<R>, mode: Mode) -> Result<BadRows, ImportError> {
    transaction.execute_batch(include_str!("import/schema.sql"))?;
    let mut stager = Stager { stage: Stage::new(transaction), lists: BTreeSet::new(), bad: BadRows::default() };
    let read = document::read(&mut document, &mut stager);
    let Stager { lists, bad, .. } = stager;
    if document.limit() == 0 {
        return Err(ImportError::TooLarge);
    }
    match read {
        Ok(()) => {}
        Err(Stop::Document(error)) if error.is_io() => return Err(ImportError::Read(error.into())),
        Err(Stop::Document(error)) => return Err(ImportError::Malformed(error)),
        Err(Stop::Sink(error)) => return Err(error.into()),
    }
    if mode == Mode::Replace
        && let Some(missing) = List::ALL.into_iter().find(|list| !lists.contains(list))
    {
        return Err(ImportError::MissingList(missing));
    }
    transaction.execute_batch(include_str!("import/indexes.sql"))?;
    Ok(bad)
}

/// Finds out which rows of the directory leave, and counts.
fn prepare(transaction: &Transaction<'_>, mode: Mode) -> Result<Imported, rusqlite::Error> {
    let counts = |table: &str| -> Result<Counts, rusqlite::Error> {
        let leaving =
            format!("INSERT INTO leaving_{table} SELECT id FROM main.{table} WHERE ?1 OR id IN (SELECT id FROM in_{table})");
        let left = transaction.execute(&leaving, [mode == Mode::Replace])?;
        let count = |query: String| transaction.query_row(&query, [], |row| row.get::<_, u32>(0)).map(u64::from);
        let staged = count(format!("SELECT count(*) FROM in_{table}"))?;
        let updated = count(format!("SELECT count(*) FROM leaving_{table} WHERE id IN (SELECT id FROM in_{table})"))?;
        let deleted = (left as u64).saturating_sub(updated);
        Ok(Counts { inserted: staged.saturating_sub(updated), updated, deleted })
    };
    Ok(Imported { accounts: counts("accounts")?, users: counts("users")?, hosts: counts("machines")? })
}

impl BadRows {
    fn push(&mut self, row: BadRow) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(row);
        } else {
            self.unlisted += 1;
        }
    }
}

struct Stager<'a> {
    stage: Stage<'a>,
    lists: BTreeSet<List>,
    bad: BadRows,
}

impl Sink for Stager<'_> {
    type Error = rusqlite::Error;

    fn list(&mut self, list: List) {
        self.lists.insert(list);
    }

    fn row(&mut self, index: u64, row: Row) -> Result<(), rusqlite::Error> {
        self.stage.row(index, &row)
    }

    fn bad(&mut self, list: List, index: u64, id: Option<String>, faults: Vec<Fault>) -> Result<(), rusqlite::Error> {
        if let Some(id) = &id {
            self.stage.bad(list, id)?;
        }
        for (place, problem) in faults {
            self.bad.push(BadRow { list, index, place, id: id.clone(), problem });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
