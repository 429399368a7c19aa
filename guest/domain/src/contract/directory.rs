//! Interface `directory`.

use super::{Attribute, causes, enumerations};

/// Why nothing was found out.
#[derive(Clone)]
pub enum DirectoryError {
    /// The directory cannot be reached.
    Unavailable,
    /// What a later contract names.
    Other(Option<String>),
}

causes!(DirectoryError { Unavailable; Other });

/// Whether an entry may be acted for; only `Active` may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// It may.
    Active,
    /// Not any more.
    Disabled,
    /// Not yet.
    Pending,
}

enumerations!(State { Active = 0, Disabled = 1; Pending });

/// An account and the tenant it belongs to.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// The canonical tenant.
    pub tenant: String,
    /// Its id at the cloud service provider.
    pub csp_id: Option<i64>,
    /// Its id at Salesforce.
    pub sfdc_account_id: Option<String>,
    /// Whether it may be acted for.
    pub state: State,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A user with every account it is a member of.
#[derive(Debug, Clone)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its address.
    pub email: String,
    /// Every account it is a member of.
    pub accounts: Vec<Account>,
    /// The account that is meant where none is named.
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
pub struct Machine {
    /// Its id.
    pub id: String,
    /// Its on-premises host id.
    pub ophid: Option<String>,
    /// Its account.
    pub account: Account,
    /// Its API keys.
    pub api_keys: Vec<ApiKey>,
    /// Whether it may be acted for.
    pub state: State,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// What names an account.
#[derive(Debug, Clone)]
pub enum AccountKey {
    /// Its id.
    Id(String),
    /// Its id at the cloud service provider.
    CspId(i64),
    /// Its id at Salesforce.
    Sfdc(String),
}

/// What names a user.
#[derive(Debug, Clone)]
pub enum UserKey {
    /// Its id.
    Id(String),
    /// Its address, trimmed, with its ASCII letters in lowercase; the normal form (RFC 6531) is the host's to make.
    Email(String),
    /// An issuer's name and the value of its joining claim.
    External((String, String)),
}

/// What names a machine.
#[derive(Debug, Clone)]
pub enum MachineKey {
    /// Its id.
    Id(String),
    /// Its on-premises host id.
    Ophid(String),
}
