//! Interface `directory`.

#[cfg(feature = "wasmtime")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "wasmtime")]
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Attribute, causes, enumerations};

/// Why nothing was found out.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum DirectoryError {
    /// The directory cannot be reached.
    #[cfg_attr(feature = "wasmtime", component(name = "unavailable"))]
    Unavailable,
    /// What a later contract names.
    #[cfg_attr(feature = "wasmtime", component(name = "other"))]
    Other(Option<String>),
}

causes!(DirectoryError { Unavailable; Other });

/// Whether an entry may be acted for; only `Active` may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(enum))]
#[repr(u8)]
pub enum State {
    /// It may.
    #[cfg_attr(feature = "wasmtime", component(name = "active"))]
    Active,
    /// Not any more.
    #[cfg_attr(feature = "wasmtime", component(name = "disabled"))]
    Disabled,
    /// Not yet.
    #[cfg_attr(feature = "wasmtime", component(name = "pending"))]
    Pending,
}

enumerations!(State { Active = 0, Disabled = 1; Pending });

/// An account and the tenant it belongs to.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Account {
    /// Its id.
    pub id: String,
    /// The canonical tenant.
    pub tenant: String,
    /// Its id at the cloud service provider.
    #[cfg_attr(feature = "wasmtime", component(name = "csp-id"))]
    pub csp_id: Option<i64>,
    /// Its id at Salesforce.
    #[cfg_attr(feature = "wasmtime", component(name = "sfdc-account-id"))]
    pub sfdc_account_id: Option<String>,
    /// Whether it may be acted for.
    pub state: State,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A user with every account it is a member of.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its address.
    pub email: String,
    /// Every account it is a member of.
    pub accounts: Vec<Account>,
    /// The account that is meant where none is named.
    #[cfg_attr(feature = "wasmtime", component(name = "primary-account"))]
    pub primary_account: Option<String>,
    /// Whether it may be acted for.
    pub state: State,
    /// Whether only some clients may act for it.
    pub protected: bool,
    /// Its scopes; none means that the directory does not limit them.
    pub scopes: Option<Vec<String>>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// An API key of a machine and the id of the user it acts as.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// The user's id.
    pub user: String,
    /// Whether it may be acted for.
    pub state: State,
}

/// A machine with its account and its API keys.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Machine {
    /// Its id.
    pub id: String,
    /// Its on-premises host id.
    pub ophid: Option<String>,
    /// Its account.
    pub account: Account,
    /// Its API keys.
    #[cfg_attr(feature = "wasmtime", component(name = "api-keys"))]
    pub api_keys: Vec<ApiKey>,
    /// Whether it may be acted for.
    pub state: State,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// What names an account.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum AccountKey {
    /// Its id.
    #[cfg_attr(feature = "wasmtime", component(name = "id"))]
    Id(String),
    /// Its id at the cloud service provider.
    #[cfg_attr(feature = "wasmtime", component(name = "csp-id"))]
    CspId(i64),
    /// Its id at Salesforce.
    #[cfg_attr(feature = "wasmtime", component(name = "sfdc"))]
    Sfdc(String),
}

/// What names a user.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum UserKey {
    /// Its id.
    #[cfg_attr(feature = "wasmtime", component(name = "id"))]
    Id(String),
    /// Its address, trimmed, with its ASCII letters in lowercase; the normal form (RFC 6531) is the host's to make.
    #[cfg_attr(feature = "wasmtime", component(name = "email"))]
    Email(String),
    /// An issuer's name and the value of its joining claim.
    #[cfg_attr(feature = "wasmtime", component(name = "external"))]
    External((String, String)),
}

/// What names a machine.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum MachineKey {
    /// Its id.
    #[cfg_attr(feature = "wasmtime", component(name = "id"))]
    Id(String),
    /// Its on-premises host id.
    #[cfg_attr(feature = "wasmtime", component(name = "ophid"))]
    Ophid(String),
}
