//! The import document `{"accounts": […], "users": […], "hosts": […]}`, read a row at a time: a document may be larger than memory,
//! and a bad row does not hide the next.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::MAX_RELATED;
use super::value::{Attributes, Email, HostId, Id, Opaque, Scope, StateName};
use crate::json::{self, Objects};

/// The longest row, in bytes.
const MAX_ROW: usize = 256 * 1024;
const MAX_EXTERNAL: usize = 16;
const MAX_SCOPES: usize = 256;

/// The lists of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum List {
    /// `accounts`
    Accounts,
    /// `users`
    Users,
    /// `hosts`
    Hosts,
}

impl List {
    pub(super) const ALL: [Self; 3] = [Self::Accounts, Self::Users, Self::Hosts];

    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Users => "users",
            Self::Hosts => "hosts",
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One row of a list, checked by itself.
#[derive(Debug)]
pub(super) enum Row {
    Account(AccountRow),
    User(UserRow),
    Host(HostRow),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an account")]
pub(super) struct AccountRow {
    pub(super) id: Opaque,
    pub(super) tenant: Id,
    #[serde(default)]
    pub(super) csp_id: Option<i64>,
    #[serde(default)]
    pub(super) sfdc_account_id: Option<Opaque>,
    #[serde(default)]
    pub(super) state: StateName,
    #[serde(default)]
    pub(super) attributes: Attributes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a user")]
pub(super) struct UserRow {
    pub(super) id: Id,
    pub(super) email: Email,
    #[serde(default)]
    pub(super) accounts: Vec<Opaque>,
    #[serde(default)]
    pub(super) primary_account: Option<Opaque>,
    #[serde(default)]
    pub(super) external: Vec<External>,
    #[serde(default)]
    pub(super) scopes: Option<Vec<Scope>>,
    #[serde(default)]
    pub(super) protected: bool,
    #[serde(default)]
    pub(super) state: StateName,
    #[serde(default)]
    pub(super) attributes: Attributes,
}

/// The user's name at an issuer whose tokens are joined with the directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an external name")]
pub(super) struct External {
    pub(super) issuer: Id,
    pub(super) value: Id,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a host")]
pub(super) struct HostRow {
    pub(super) id: HostId,
    #[serde(default)]
    pub(super) ophid: Option<Opaque>,
    pub(super) account: Opaque,
    #[serde(default)]
    pub(super) api_keys: Vec<KeyRow>,
    #[serde(default)]
    pub(super) state: StateName,
    #[serde(default)]
    pub(super) attributes: Attributes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an API key")]
pub(super) struct KeyRow {
    pub(super) id: Id,
    pub(super) user: Id,
    #[serde(default)]
    pub(super) state: StateName,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field is missing, unknown, twice there, or not of its kind.
    #[error("{0}")]
    Form(String),
    /// The row is too long.
    #[error("the row is longer than 256 KiB")]
    TooLong,
    /// A list in the row is too long.
    #[error("more than {0} entries")]
    TooMany(usize),
    /// A list in the row has an entry twice.
    #[error("listed twice")]
    Twice,
    /// The primary account is not one of the user's accounts.
    #[error("not one of the user's accounts")]
    NotMember,
    /// An earlier row of the document has this already.
    #[error("already used by an earlier row of the document")]
    Repeated,
    /// A row of the directory that the document does not name has this already.
    #[error("already used by another row of the directory")]
    Taken,
    /// What the row refers to is neither in the document nor in the directory.
    #[error("does not exist")]
    Dangling,
}

/// A fault and its place within the row, such as `.accounts[2]`.
pub(super) type Fault = (String, Problem);

/// What is done with the rows as they come.
pub(super) trait Sink {
    type Error;
    /// The document has this list.
    fn list(&mut self, list: List);
    /// A row that is right by itself.
    fn row(&mut self, index: u64, row: Row) -> Result<(), Self::Error>;
    /// A row that is not, and its id where it has one.
    fn bad(&mut self, list: List, index: u64, id: Option<String>, faults: Vec<Fault>) -> Result<(), Self::Error>;
}

/// Why the reading stopped.
#[derive(Debug)]
pub(super) enum Stop<E> {
    /// The document is not JSON, or not of this form.
    Document(serde_json::Error),
    /// The sink failed.
    Sink(E),
}

/// Reads a whole document into `sink`.
pub(super) fn read<S: Sink>(document: impl Read, sink: &mut S) -> Result<(), Stop<S::Error>> {
    let mut failed = None;
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(64 * 1024, document));
    let visitor = DocumentVisitor { sink, failed: &mut failed };
    let ended = json.deserialize_map(visitor).and_then(|()| json.end());
    match (failed, ended) {
        (Some(error), _) => Err(Stop::Sink(error)),
        (None, Err(error)) => Err(Stop::Document(error)),
        (None, Ok(())) => Ok(()),
    }
}

struct DocumentVisitor<'a, S: Sink> {
    sink: &'a mut S,
    failed: &'a mut Option<S::Error>,
}

impl<'de, S: Sink> Visitor<'de> for DocumentVisitor<'_, S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the lists `accounts`, `users`, `hosts`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let list = List::ALL
                .into_iter()
                .find(|list| list.name() == name)
                .ok_or_else(|| A::Error::unknown_field(&name, &["accounts", "users", "hosts"]))?;
            if !seen.insert(list) {
                return Err(A::Error::duplicate_field(list.name()));
            }
            self.sink.list(list);
            map.next_value_seed(Rows { list, sink: self.sink, failed: self.failed })?;
        }
        Ok(())
    }
}

struct Rows<'a, S: Sink> {
    list: List,
    sink: &'a mut S,
    failed: &'a mut Option<S::Error>,
}

impl<'de, S: Sink> DeserializeSeed<'de> for Rows<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Rows<'_, S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of {}", self.list)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(text) = seq.next_element::<Box<RawValue>>()? {
            let sunk = match checked(self.list, text.get()) {
                Ok(row) => self.sink.row(index, row),
                Err(faults) => self.sink.bad(self.list, index, id_of(text.get()), faults),
            };
            if let Err(error) = sunk {
                *self.failed = Some(error);
                return Err(A::Error::custom("stopped"));
            }
            index += 1;
        }
        Ok(())
    }
}

fn checked(list: List, text: &str) -> Result<Row, Vec<Fault>> {
    if text.len() > MAX_ROW {
        return Err(vec![(String::new(), Problem::TooLong)]);
    }
    let (row, faults) = match list {
        List::Accounts => (Row::Account(formed(text)?), Vec::new()),
        List::Users => {
            let user: UserRow = formed(text)?;
            let faults = user.faults();
            (Row::User(user), faults)
        }
        List::Hosts => {
            let host: HostRow = formed(text)?;
            let faults = host.faults();
            (Row::Host(host), faults)
        }
    };
    if faults.is_empty() { Ok(row) } else { Err(faults) }
}

fn formed<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Fault>> {
    serde_path_to_error::deserialize(Objects(&mut serde_json::Deserializer::from_str(text))).map_err(|error| {
        let place = match error.path().to_string() {
            root if root == "." => String::new(),
            path => format!(".{path}"),
        };
        // Line and column would be those within the row.
        let message = error.inner().to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        vec![(place, Problem::Form(message))]
    })
}

/// The id of a row whose form is wrong, so that it can be found.
fn id_of(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
    }
    // Whatever else is wrong with the row is reported already.
    json::from_str::<Named>(text).ok().and_then(|named| named.id).map(|id| id.chars().take(128).collect())
}

impl UserRow {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        each_once(&mut faults, ".accounts", MAX_RELATED, self.accounts.iter());
        each_once(&mut faults, ".external", MAX_EXTERNAL, self.external.iter().map(|name| (&name.issuer, &name.value)));
        each_once(&mut faults, ".scopes", MAX_SCOPES, self.scopes.iter().flatten());
        if self.primary_account.as_ref().is_some_and(|primary| !self.accounts.contains(primary)) {
            faults.push((".primary_account".to_owned(), Problem::NotMember));
        }
        faults
    }
}

impl HostRow {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        each_once(&mut faults, ".api_keys", MAX_RELATED, self.api_keys.iter().map(|key| &key.id));
        faults
    }
}

fn each_once<T: Ord>(faults: &mut Vec<Fault>, place: &str, most: usize, entries: impl Iterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for (item, entry) in entries.enumerate() {
        if item == most {
            faults.push((place.to_owned(), Problem::TooMany(most)));
            return;
        }
        if !seen.insert(entry) {
            faults.push((format!("{place}[{item}]"), Problem::Twice));
        }
    }
}
