//! Looks one entry up by a key as a person writes it, for `standin directory lookup`.

use serde_json::{Map, Value, json};

use super::value::{Email, HostId, Id, Opaque, StateName, ValueError};
use super::{Account, AccountKey, ApiKey, Directory, DirectoryError, Machine, MachineKey, State, User, UserKey};
use crate::bindings::types::Attribute;
use crate::json;

/// Why nothing was looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No such kind of key.
    #[error(
        "a key is one of email.<address>, user_id.<id>, ophid.<id>, host_id.<uuid>, account_id.<id>, csp_id.<number>, sfdc.<id>"
    )]
    Key,
    /// The key's value cannot be one of its kind.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Not a number.
    #[error("a csp_id is an integer of 64 bits")]
    Number,
    /// The directory gave no answer.
    #[error("the directory cannot be asked")]
    Directory(#[from] DirectoryError),
}

/// What the directory knows under `key`; `None` where that is nothing.
///
/// # Errors
/// Where the key is none, or the directory gives no answer.
pub async fn lookup(directory: &dyn Directory, key: &str) -> Result<Option<Value>, LookupError> {
    let (kind, value) = key.split_once('.').ok_or(LookupError::Key)?;
    let opaque = || Opaque::try_from(value.to_owned()).map(|id| id.as_str().to_owned());
    let found = match kind {
        "email" => user(directory, UserKey::Email(Email::try_from(value.to_owned())?.as_str().to_owned())).await?,
        "user_id" => user(directory, UserKey::Id(Id::try_from(value.to_owned())?.as_str().to_owned())).await?,
        "ophid" => machine(directory, MachineKey::Ophid(opaque()?)).await?,
        "host_id" => machine(directory, MachineKey::Id(HostId::try_from(value.to_owned())?.as_str().to_owned())).await?,
        "account_id" => account(directory, AccountKey::Id(opaque()?)).await?,
        "csp_id" => account(directory, AccountKey::CspId(value.parse().map_err(|_| LookupError::Number)?)).await?,
        "sfdc" => account(directory, AccountKey::Sfdc(opaque()?)).await?,
        _ => return Err(LookupError::Key),
    };
    Ok(found)
}

async fn account(directory: &dyn Directory, key: AccountKey) -> Result<Option<Value>, DirectoryError> {
    Ok(directory.find_account(&key).await?.as_ref().map(account_json))
}

async fn user(directory: &dyn Directory, key: UserKey) -> Result<Option<Value>, DirectoryError> {
    Ok(directory.find_user(&key).await?.as_ref().map(user_json))
}

async fn machine(directory: &dyn Directory, key: MachineKey) -> Result<Option<Value>, DirectoryError> {
    Ok(directory.find_machine(&key).await?.as_ref().map(machine_json))
}

fn account_json(account: &Account) -> Value {
    json!({
        "id": account.id,
        "tenant": account.tenant,
        "csp_id": account.csp_id,
        "sfdc_account_id": account.sfdc_account_id,
        "state": state_json(account.state),
        "attributes": attributes_json(&account.attributes),
    })
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "accounts": user.accounts.iter().map(account_json).collect::<Vec<_>>(),
        "primary_account": user.primary_account,
        "scopes": user.scopes,
        "protected": user.protected,
        "state": state_json(user.state),
        "attributes": attributes_json(&user.attributes),
    })
}

fn machine_json(machine: &Machine) -> Value {
    let key = |key: &ApiKey| json!({ "id": key.id, "user": key.user, "state": state_json(key.state) });
    json!({
        "id": machine.id,
        "ophid": machine.ophid,
        "account": account_json(&machine.account),
        "api_keys": machine.api_keys.iter().map(key).collect::<Vec<_>>(),
        "state": state_json(machine.state),
        "attributes": attributes_json(&machine.attributes),
    })
}

fn state_json(state: State) -> &'static str {
    StateName::from(state).as_str()
}

/// An attribute of a foreign directory may hold what is not JSON; it is shown as text then.
fn attributes_json(attributes: &[Attribute]) -> Value {
    let value = |text: &str| json::value(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    Value::Object(attributes.iter().map(|attribute| (attribute.name.clone(), value(&attribute.value))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
