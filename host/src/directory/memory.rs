//! A directory in memory, for embedders whose directory is small and for benches. What it holds never changes.

use std::collections::HashMap;
use std::io::Read;

use async_trait::async_trait;

use super::import::{ImportError, Mode, import_into};
use super::sqlite::{Dump, Fault, dump};
use super::value::normalised;
use super::{Account, AccountKey, Directory, DirectoryError, Machine, MachineKey, User, UserKey};
use crate::sqlite::in_memory;

/// A directory in hash maps.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    accounts: HashMap<String, Account>,
    accounts_by_csp_id: HashMap<i64, String>,
    accounts_by_sfdc: HashMap<String, String>,
    users: HashMap<String, User>,
    users_by_email: HashMap<String, String>,
    users_by_name: HashMap<(String, String), String>,
    machines: HashMap<String, Machine>,
    machines_by_ophid: HashMap<String, String>,
}

impl MemoryDirectory {
    /// The directory in a document, whose form is that of an import (`docs/directory.md`).
    ///
    /// # Errors
    /// As an import.
    pub fn load(document: impl Read) -> Result<Self, ImportError> {
        // By way of an import into a database of its own: so the same documents are right, and mean the same.
        let mut connection = in_memory()?;
        import_into(&mut connection, document, Mode::Upsert)?;
        match dump(&connection) {
            Ok(dump) => Ok(Self::of(dump)),
            Err(Fault::Database(error)) => Err(error.into()),
            Err(other) => Err(rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, other.into()).into()),
        }
    }

    fn of(dump: Dump) -> Self {
        let mut all = Self::default();
        for account in dump.accounts {
            all.accounts_by_csp_id.extend(account.csp_id.map(|csp_id| (csp_id, account.id.clone())));
            all.accounts_by_sfdc.extend(account.sfdc_account_id.clone().map(|sfdc| (sfdc, account.id.clone())));
            all.accounts.insert(account.id.clone(), account);
        }
        for user in dump.users {
            all.users_by_email.insert(user.email.clone(), user.id.clone());
            all.users.insert(user.id.clone(), user);
        }
        for machine in dump.machines {
            all.machines_by_ophid.extend(machine.ophid.clone().map(|ophid| (ophid, machine.id.clone())));
            all.machines.insert(machine.id.clone(), machine);
        }
        all.users_by_name = dump.external.into_iter().map(|(issuer, value, user)| ((issuer, value), user)).collect();
        all
    }
}

#[async_trait]
impl Directory for MemoryDirectory {
    async fn find_account(&self, key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        let id = match key {
            AccountKey::Id(id) => Some(id),
            AccountKey::CspId(csp_id) => self.accounts_by_csp_id.get(csp_id),
            AccountKey::Sfdc(sfdc) => self.accounts_by_sfdc.get(sfdc),
        };
        Ok(id.and_then(|id| self.accounts.get(id)).cloned())
    }

    async fn find_user(&self, key: &UserKey) -> Result<Option<User>, DirectoryError> {
        let id = match key {
            UserKey::Id(id) => Some(id),
            UserKey::Email(email) => self.users_by_email.get(&normalised(email)),
            UserKey::External(name) => self.users_by_name.get(name),
        };
        Ok(id.and_then(|id| self.users.get(id)).cloned())
    }

    async fn find_machine(&self, key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        let machine = match key {
            MachineKey::Id(id) => self.machines.get(&id.to_ascii_lowercase()),
            MachineKey::Ophid(ophid) => self.machines_by_ophid.get(ophid).and_then(|id| self.machines.get(id)),
        };
        Ok(machine.cloned())
    }

    async fn ready(&self) -> Result<(), DirectoryError> {
        Ok(())
    }
}
