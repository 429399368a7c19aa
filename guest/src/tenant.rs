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

/// The account aliases of a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Aliases<'a> {
    descriptor: &'a Descriptor,
}

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

impl<'a> Aliases<'a> {
    /// Of this descriptor.
    pub fn of(descriptor: &'a Descriptor) -> Self {
        Self { descriptor }
    }

    /// Holds the aliases against an account.
    pub fn of_account(self, account: &Account) -> Match {
        let Descriptor { account_id, account_csp_id, sfdc_account_id, .. } = self.descriptor;
        let checks = [
            account_id.as_ref().map(|id| *id == account.id),
            account_csp_id.map(|id| account.csp_id == Some(id)),
            sfdc_account_id.as_ref().map(|id| account.sfdc_account_id.as_ref() == Some(id)),
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
