//! The directory in the embedded database.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Params, Row, params};

use super::value::{StateName, attributes_from_text, normalised};
use super::{Account, AccountKey, ApiKey, Directory, DirectoryError, MAX_RELATED, Machine, MachineKey, State, User, UserKey};
use crate::sqlite::{Database, SqliteError};

/// A directory in SQLite.
///
/// Questions are answered on the calling thread: each is a handful of searches in indexes, some ten µs, where handing it to another
/// thread and back would cost as much again and queue behind slower work. The wait for a lock or a connection is bounded by the
/// database's busy timeout, and in WAL mode a reader does not wait for a writer.
#[derive(Debug, Clone)]
pub struct SqliteDirectory {
    database: Arc<Database>,
}

impl SqliteDirectory {
    /// The directory in this database.
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, DirectoryError> {
        self.database.read(question).map_err(|fault| {
            tracing::warn!(file = %self.database.path().display(), %fault, "the directory gave no answer");
            match fault {
                Fault::TooMany => DirectoryError::Other(Some("too many related entries".into())),
                Fault::Database(_) | Fault::State | Fault::Json(_) => DirectoryError::Unavailable,
            }
        })
    }
}

#[async_trait]
impl Directory for SqliteDirectory {
    async fn find_account(&self, key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        self.ask(|tx| match key {
            AccountKey::Id(id) => account(tx, ACCOUNT_BY_ID, [id]),
            AccountKey::CspId(id) => account(tx, ACCOUNT_BY_CSP_ID, [id]),
            AccountKey::Sfdc(id) => account(tx, ACCOUNT_BY_SFDC, [id]),
        })
    }

    async fn find_user(&self, key: &UserKey) -> Result<Option<User>, DirectoryError> {
        self.ask(|tx| match key {
            UserKey::Id(id) => user(tx, USER_BY_ID, [id]),
            UserKey::Email(email) => user(tx, USER_BY_EMAIL, [normalised(email)]),
            UserKey::External((issuer, value)) => user(tx, USER_BY_EXTERNAL, [issuer, value]),
        })
    }

    async fn find_machine(&self, key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        self.ask(|tx| match key {
            MachineKey::Id(id) => machine(tx, MACHINE_BY_ID, [id.to_ascii_lowercase()]),
            MachineKey::Ophid(ophid) => machine(tx, MACHINE_BY_OPHID, [ophid.clone()]),
        })
    }

    async fn ready(&self) -> Result<(), DirectoryError> {
        self.ask(|tx| {
            for table in ["accounts", "users", "machines"] {
                tx.prepare_cached(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists([])?;
            }
            Ok(())
        })
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("more than {MAX_RELATED} related entries")]
    TooMany,
    #[error(transparent)]
    Database(#[from] SqliteError),
    #[error("an unknown state in the database")]
    State,
    #[error("malformed JSON in the database: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

const ACCOUNTS: &str = "SELECT a.id, a.tenant, a.csp_id, a.sfdc_account_id, a.state, a.attributes FROM accounts a";
const ACCOUNT_BY_ID: &str = "a.id = ?1";
const ACCOUNT_BY_CSP_ID: &str = "a.csp_id = ?1";
const ACCOUNT_BY_SFDC: &str = "a.sfdc_account_id = ?1";
const ACCOUNTS_OF: &str = "SELECT a.id, a.tenant, a.csp_id, a.sfdc_account_id, a.state, a.attributes \
    FROM memberships m JOIN accounts a ON a.id = m.account WHERE m.user = ?1 ORDER BY m.account LIMIT ?2";
const USERS: &str = "SELECT id, email, primary_account, state, protected, scopes, attributes FROM users";
const USER_BY_ID: &str = "id = ?1";
const USER_BY_EMAIL: &str = "email = ?1";
const USER_BY_EXTERNAL: &str = "id = (SELECT user FROM external_identities WHERE issuer = ?1 AND value = ?2)";
const MACHINES: &str = "SELECT a.id, a.tenant, a.csp_id, a.sfdc_account_id, a.state, a.attributes, \
    m.id, m.ophid, m.state, m.attributes FROM machines m JOIN accounts a ON a.id = m.account";
const MACHINE_BY_ID: &str = "m.id = ?1";
const MACHINE_BY_OPHID: &str = "m.ophid = ?1";
const KEYS_OF: &str = "SELECT id, user, state FROM api_keys WHERE machine = ?1 ORDER BY id LIMIT ?2";

fn account(connection: &Connection, condition: &str, key: impl Params) -> Result<Option<Account>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{ACCOUNTS} WHERE {condition}"))?;
    let mut rows = statement.query(key)?;
    rows.next()?.map(|row| account_at(row, 0)).transpose()
}

fn account_at(row: &Row<'_>, first: usize) -> Result<Account, Fault> {
    Ok(Account {
        id: row.get(first)?,
        tenant: row.get(first + 1)?,
        csp_id: row.get(first + 2)?,
        sfdc_account_id: row.get(first + 3)?,
        state: state(row, first + 4)?,
        attributes: attributes_from_text(text(row, first + 5)?)?,
    })
}

fn user(connection: &Connection, condition: &str, key: impl Params) -> Result<Option<User>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{USERS} WHERE {condition}"))?;
    let mut rows = statement.query(key)?;
    rows.next()?.map(|row| user_at(connection, row)).transpose()
}

/// A user whose own columns stand in `row`.
fn user_at(connection: &Connection, row: &Row<'_>) -> Result<User, Fault> {
    let id: String = row.get(0)?;
    let scopes: Option<String> = row.get(5)?;
    Ok(User {
        accounts: accounts_of(connection, &id)?,
        id,
        email: row.get(1)?,
        primary_account: row.get(2)?,
        state: state(row, 3)?,
        protected: row.get(4)?,
        scopes: scopes.map(|scopes| serde_json::from_str(&scopes)).transpose()?,
        attributes: attributes_from_text(text(row, 6)?)?,
    })
}

fn accounts_of(connection: &Connection, user: &str) -> Result<Vec<Account>, Fault> {
    let mut statement = connection.prepare_cached(ACCOUNTS_OF)?;
    collect(statement.query(params![user, MAX_RELATED as i64 + 1])?, |row| account_at(row, 0))
}

fn machine(connection: &Connection, condition: &str, key: impl Params) -> Result<Option<Machine>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{MACHINES} WHERE {condition}"))?;
    let mut rows = statement.query(key)?;
    rows.next()?.map(|row| machine_at(connection, row)).transpose()
}

/// A machine whose account and own columns stand in `row`.
fn machine_at(connection: &Connection, row: &Row<'_>) -> Result<Machine, Fault> {
    let id: String = row.get(6)?;
    Ok(Machine {
        account: account_at(row, 0)?,
        api_keys: keys_of(connection, &id)?,
        id,
        ophid: row.get(7)?,
        state: state(row, 8)?,
        attributes: attributes_from_text(text(row, 9)?)?,
    })
}

fn keys_of(connection: &Connection, machine: &str) -> Result<Vec<ApiKey>, Fault> {
    let mut statement = connection.prepare_cached(KEYS_OF)?;
    collect(statement.query(params![machine, MAX_RELATED as i64 + 1])?, |row| {
        Ok(ApiKey { id: row.get(0)?, user: row.get(1)?, state: state(row, 2)? })
    })
}

fn collect<T>(mut rows: rusqlite::Rows<'_>, read: impl Fn(&Row<'_>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        if all.len() == MAX_RELATED {
            return Err(Fault::TooMany);
        }
        all.push(read(row)?);
    }
    Ok(all)
}

fn state(row: &Row<'_>, column: usize) -> Result<State, Fault> {
    StateName::named(text(row, column)?).ok_or(Fault::State)
}

/// A text column without copying it.
fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, Fault> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

/// Everything in a directory, for [`super::MemoryDirectory`].
pub(super) struct Dump {
    pub(super) accounts: Vec<Account>,
    pub(super) users: Vec<User>,
    pub(super) machines: Vec<Machine>,
    /// Issuer, value, id of the user.
    pub(super) external: Vec<(String, String, String)>,
}

/// Reads everything at once.
pub(super) fn dump(connection: &Connection) -> Result<Dump, Fault> {
    let names = "SELECT issuer, value, user FROM external_identities";
    Ok(Dump {
        accounts: each(connection, ACCOUNTS, |row| account_at(row, 0))?,
        users: each(connection, USERS, |row| user_at(connection, row))?,
        machines: each(connection, MACHINES, |row| machine_at(connection, row))?,
        external: each(connection, names, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?,
    })
}

fn each<T>(connection: &Connection, query: &str, read: impl Fn(&Row<'_>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use rusqlite::params_from_iter;
    use rusqlite::types::Null;

    use super::*;

    /// So 100,000 users cost what 1,000 do.
    #[test]
    fn every_question_is_a_search_in_an_index() {
        let connection = crate::sqlite::in_memory().unwrap();
        let by = [
            (ACCOUNTS, &[ACCOUNT_BY_ID, ACCOUNT_BY_CSP_ID, ACCOUNT_BY_SFDC][..]),
            (USERS, &[USER_BY_ID, USER_BY_EMAIL, USER_BY_EXTERNAL]),
            (MACHINES, &[MACHINE_BY_ID, MACHINE_BY_OPHID]),
        ];
        let mut queries = vec![ACCOUNTS_OF.to_owned(), KEYS_OF.to_owned()];
        queries.extend(by.iter().flat_map(|(select, by)| by.iter().map(move |by| format!("{select} WHERE {by}"))));
        for query in queries {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let nulls = params_from_iter(vec![Null; statement.parameter_count()]);
            let plan: Vec<String> = statement.query_map(nulls, |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            assert!(plan.iter().all(|step| !step.starts_with("SCAN")), "{query}: {plan:?}");
        }
    }
}
