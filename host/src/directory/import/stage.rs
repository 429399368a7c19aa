//! Rows of a document on their way into temporary tables.

use rusqlite::{Transaction, params};

use crate::directory::document::{AccountRow, HostRow, List, Row, UserRow};
use crate::directory::value::{Opaque, Scope};

/// The temporary tables of one import.
pub(super) struct Stage<'a> {
    transaction: &'a Transaction<'a>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>) -> Self {
        Self { transaction }
    }

    pub(super) fn row(&self, index: u64, row: &Row) -> rusqlite::Result<()> {
        let index = number(index)?;
        match row {
            Row::Account(account) => self.account(index, account),
            Row::User(user) => self.user(index, user),
            Row::Host(host) => self.host(index, host),
        }
    }

    /// Remembers that there is a row of this id, if a bad one: what refers to it is not blamed as well.
    pub(super) fn bad(&self, list: List, id: &str) -> rusqlite::Result<()> {
        self.insert("INSERT INTO bad VALUES (?1, ?2)", params![list.name(), id])
    }

    fn account(&self, index: i64, row: &AccountRow) -> rusqlite::Result<()> {
        self.insert(
            "INSERT INTO in_accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                index,
                row.id.as_str(),
                row.tenant.as_str(),
                row.csp_id,
                row.sfdc_account_id.as_ref().map(Opaque::as_str),
                row.state.as_str(),
                row.attributes.as_text()
            ],
        )
    }

    fn user(&self, index: i64, row: &UserRow) -> rusqlite::Result<()> {
        let id = row.id.as_str();
        let scopes = row.scopes.as_deref().map(scopes_text).transpose()?;
        self.insert(
            "INSERT INTO in_users VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                index,
                id,
                row.email.as_str(),
                row.primary_account.as_ref().map(Opaque::as_str),
                row.state.as_str(),
                row.protected,
                scopes,
                row.attributes.as_text()
            ],
        )?;
        for (item, account) in (0i64..).zip(&row.accounts) {
            let values = params![index, item, id, account.as_str()];
            self.insert("INSERT INTO in_memberships VALUES (?1, ?2, ?3, ?4)", values)?;
        }
        for (item, name) in (0i64..).zip(&row.external) {
            let values = params![index, item, id, name.issuer.as_str(), name.value.as_str()];
            self.insert("INSERT INTO in_external VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
        }
        Ok(())
    }

    fn host(&self, index: i64, row: &HostRow) -> rusqlite::Result<()> {
        let id = row.id.as_str();
        let ophid = row.ophid.as_ref().map(Opaque::as_str);
        self.insert(
            "INSERT INTO in_machines VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![index, id, ophid, row.account.as_str(), row.state.as_str(), row.attributes.as_text()],
        )?;
        for (item, key) in (0i64..).zip(&row.api_keys) {
            let values = params![index, item, id, key.id.as_str(), key.user.as_str(), key.state.as_str()];
            self.insert("INSERT INTO in_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6)", values)?;
        }
        Ok(())
    }

    fn insert(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }
}

fn number(index: u64) -> rusqlite::Result<i64> {
    i64::try_from(index).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn scopes_text(scopes: &[Scope]) -> rusqlite::Result<String> {
    serde_json::to_string(scopes).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
