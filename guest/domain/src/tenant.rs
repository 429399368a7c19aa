//! Tenants a caller may act in, and the account aliases that name them.

use crate::ports::{Account, Client, Descriptor};

/// The tenants a client may act in: its own, and those it may cross into.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    client: &'a Client,
}

impl<'a> Reach<'a> {
    /// Of this client.
    pub fn of(client: &'a Client) -> Self {
        Self { client }
    }

    /// Whether `tenant` is one of the client's own.
    pub fn owns(self, tenant: &str) -> bool {
        self.client.tenants.iter().any(|own| own == tenant)
    }

    /// Whether it may act there, at home or by crossing. Crossing is directed and starts at one of its own tenants.
    pub fn contains(self, tenant: &str) -> bool {
        self.owns(tenant) || self.client.cross_tenant.iter().any(|(from, to)| to == tenant && self.owns(from))
    }
}

/// The ids that say which account is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// `account_id`.
    pub account_id: Option<String>,
    /// `csp_id`.
    pub csp_id: Option<i64>,
    /// `sfdc_account_id`.
    pub sfdc_account_id: Option<String>,
}

/// Two ids of the same kind that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction;

/// How many of the given aliases an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// All of them, also when none is given.
    All,
    /// Some but not all.
    Some,
    /// None of them.
    None,
}

impl Aliases {
    /// Of this descriptor.
    pub fn of(descriptor: &Descriptor) -> Self {
        let Descriptor { account_id, account_csp_id, sfdc_account_id, .. } = descriptor;
        Self { account_id: account_id.clone(), csp_id: *account_csp_id, sfdc_account_id: sfdc_account_id.clone() }
    }

    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These and those.
    ///
    /// # Errors
    /// Where they contradict each other.
    pub fn and(self, other: Self) -> Result<Self, Contradiction> {
        Ok(Self {
            account_id: both(self.account_id, other.account_id)?,
            csp_id: both(self.csp_id, other.csp_id)?,
            sfdc_account_id: both(self.sfdc_account_id, other.sfdc_account_id)?,
        })
    }

    /// Holds the aliases against an account.
    pub fn of_account(&self, account: &Account) -> Match {
        let id = Some(account.id.as_str());
        self.matching(id, account.csp_id, account.sfdc_account_id.as_deref())
    }

    /// Holds the aliases against the names of an account.
    pub fn matching(&self, account_id: Option<&str>, csp_id: Option<i64>, sfdc_account_id: Option<&str>) -> Match {
        let checks = [
            self.account_id.as_deref().map(|id| account_id == Some(id)),
            self.csp_id.map(|id| csp_id == Some(id)),
            self.sfdc_account_id.as_deref().map(|id| sfdc_account_id == Some(id)),
        ];
        let given = checks.iter().flatten().count();
        let agreeing = checks.iter().flatten().filter(|agrees| **agrees).count();
        match agreeing {
            _ if agreeing == given => Match::All,
            0 => Match::None,
            _ => Match::Some,
        }
    }
}

fn both<T: PartialEq>(one: Option<T>, other: Option<T>) -> Result<Option<T>, Contradiction> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(Contradiction),
        (Some(one), _) => Ok(Some(one)),
        (None, other) => Ok(other),
    }
}
