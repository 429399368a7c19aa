//! A subject named by a descriptor: `user`, `host` or `envoy`, looked up in the directory.
//!
//! *Absent*, *not a member* and *not yours* give the same answer.

use super::{AccountClaims, HostClaim, Resolved, account};
use crate::caller::{Caller, directory_failed, keys_failed};
use crate::error::{Problem, RequestError, TargetError};
use crate::facts::Authentication;
use crate::id::{self, Email};
use crate::ports::{Account, AccountKey, Client, Descriptor, IdType, KeyError, Machine, MachineKey, Ports, State, User, UserKey};
use crate::tenant::{Aliases, Match, Reach};

/// Finds the subject of a descriptor.
pub(super) fn resolve(ports: &impl Ports, caller: &Caller, descriptor: &Descriptor) -> Result<Resolved, Problem> {
    account::check(&Aliases::of(descriptor))?;
    let client = caller.client();
    match descriptor.id_type {
        IdType::User => user(ports, client, descriptor),
        IdType::Host => host(ports, client, descriptor),
        IdType::Envoy => envoy(ports, client, descriptor),
    }
}

fn user(ports: &impl Ports, client: &Client, descriptor: &Descriptor) -> Result<Resolved, Problem> {
    let email = email(descriptor)?;
    let found = ports.find_user(&UserKey::Email(email.into_string())).map_err(directory_failed)?;
    let user = found.ok_or_else(|| not_found("no such user"))?;
    let account = account::choose(client, &user, None, &Aliases::of(descriptor))?;
    check_user(client, &user)?;
    Ok(directory_user("user", &user, account))
}

/// Host -> its live API key's user -> that user's primary account, which must be the host's.
fn host(ports: &impl Ports, client: &Client, descriptor: &Descriptor) -> Result<Resolved, Problem> {
    let key = machine_key(descriptor)?;
    let found = ports.find_machine(&key).map_err(directory_failed)?;
    let machine = found
        .filter(|machine| Reach::of(client).contains(&machine.account.tenant))
        .ok_or_else(|| not_found("no such host within reach"))?;
    match Aliases::of(descriptor).of_account(&machine.account) {
        Match::All => {}
        Match::Some => return Err(TargetError::ContradictoryAccount.into()),
        Match::None => return Err(not_found("the host is in another account")),
    }
    let user = live_user_of(ports, client, &machine)?;
    let host = described("host", id::host(&machine.account.tenant, &machine.id), &machine.account);
    Ok(Resolved { scopes: user.scopes, host: Some(HostClaim { id: machine.id, ophid: machine.ophid }), ..host })
}

/// The user whom a live host acts as.
pub(super) fn live_user_of(ports: &impl Ports, client: &Client, machine: &Machine) -> Result<User, Problem> {
    if machine.state != State::Active || machine.account.state != State::Active {
        return Err(Problem::from(TargetError::Inactive).because("the host or its account is not active"));
    }
    let user = live_key_user(ports, machine)?;
    check_user(client, &user)?;
    if user.primary_account.as_ref() != Some(&machine.account.id) {
        return Err(TargetError::HostAccount.into());
    }
    Ok(user)
}

fn live_key_user(ports: &impl Ports, machine: &Machine) -> Result<User, Problem> {
    let mut users: Vec<&String> = machine.api_keys.iter().filter(|key| key.state == State::Active).map(|key| &key.user).collect();
    users.sort_unstable();
    users.dedup();
    match users.as_slice() {
        [] => Err(TargetError::NoLiveKey.into()),
        [only] => {
            let user = ports.find_user(&UserKey::Id((*only).clone())).map_err(directory_failed)?;
            user.ok_or_else(|| Problem::from(TargetError::NoLiveKey).because("the API key's user does not exist"))
        }
        [_, _, ..] => Err(TargetError::AmbiguousUser.into()),
    }
}

/// An edge identity in the account with this Salesforce id.
fn envoy(ports: &impl Ports, client: &Client, descriptor: &Descriptor) -> Result<Resolved, Problem> {
    let email = email(descriptor)?;
    let sfdc = descriptor.sfdc_account_id.clone().ok_or_else(|| Problem::at(RequestError::MissingField, "sfdc_account_id"))?;
    let found = ports.find_account(&AccountKey::Sfdc(sfdc)).map_err(directory_failed)?;
    let account = found
        .filter(|account| Reach::of(client).contains(&account.tenant))
        .ok_or_else(|| not_found("no such account within reach"))?;
    if Aliases::of(descriptor).of_account(&account) != Match::All {
        return Err(TargetError::ContradictoryAccount.into());
    }
    if account.state != State::Active {
        return Err(Problem::from(TargetError::Inactive).because("the account is not active"));
    }
    let found = ports.find_user(&UserKey::Email(email.as_str().to_owned())).map_err(directory_failed)?;
    match found {
        Some(user) if user.accounts.iter().any(|member| member.id == account.id) => {
            check_user(client, &user)?;
            Ok(directory_user("envoy", &user, &account))
        }
        // Taken back, or not given yet: whoever it is, there is no acting for it under another name, whatever it is a member of.
        Some(user) if user.state != State::Active => Err(not_found("a known user who is not active")),
        // Known within reach: the address is somebody's, and nobody else may pass under it.
        Some(user) if user.accounts.iter().any(|member| Reach::of(client).contains(&member.tenant)) => {
            Err(not_found("a known user who is not a member of the account"))
        }
        Some(_) | None => provisional(ports, client, &account, &email),
    }
}

/// A user the directory does not know: marked, with the client's provisional scopes only, and a `sub` no user can have.
fn provisional(ports: &impl Ports, client: &Client, account: &Account, email: &Email) -> Result<Resolved, Problem> {
    let scopes = client
        .provisional_scopes
        .clone()
        .ok_or_else(|| not_found("no such user, and the client may not name provisional ones"))?;
    let digest = ports.pseudonym(&id::provisional_domain(&account.tenant), email.as_str());
    let digest = digest.map_err(|error| match error {
        // The host makes its normal form, and it has none.
        KeyError::Malformed => Problem::at(RequestError::InvalidField, "id"),
        other => keys_failed(other),
    })?;
    let envoy = described("envoy", id::provisional(&account.tenant, &digest), account);
    Ok(Resolved { kind: "provisional", scopes: Some(scopes), scopes_by: "provisional", provisional: true, ..envoy })
}

/// What holds for every directory user: it is active, and protected ones need a client registered for them.
pub(super) fn check_user(client: &Client, user: &User) -> Result<(), Problem> {
    if user.state != State::Active {
        return Err(Problem::from(TargetError::Inactive).because("the user is not active"));
    }
    if user.protected && !client.protected {
        return Err(TargetError::Protected.into());
    }
    Ok(())
}

fn directory_user(obo_type: &'static str, user: &User, account: &Account) -> Resolved {
    let resolved = described(obo_type, id::user(&account.tenant, &user.id), account);
    Resolved { scopes: user.scopes.clone(), ..resolved }
}

/// A subject that a descriptor names, in an account: a user or host of the directory, still without scopes.
fn described(obo_type: &'static str, id: String, account: &Account) -> Resolved {
    Resolved {
        kind: obo_type,
        id,
        obo_type: obo_type.into(),
        tenant: account.tenant.clone(),
        scopes: None,
        scopes_by: "directory",
        expires_at: None,
        chain: None,
        actors: Vec::new(),
        lineage: Vec::new(),
        account: Some(AccountClaims::from(account)),
        host: None,
        provisional: false,
        authentication: Authentication::default(),
        bound: false,
    }
}

fn email(descriptor: &Descriptor) -> Result<Email, Problem> {
    let address = descriptor.id.strip_prefix("email.").and_then(Email::parse);
    address.ok_or_else(|| Problem::at(RequestError::InvalidField, "id"))
}

fn machine_key(descriptor: &Descriptor) -> Result<MachineKey, Problem> {
    let key = match descriptor.id.split_once('.') {
        Some(("ophid", ophid)) if id::is_opaque(ophid) => Some(MachineKey::Ophid(ophid.to_owned())),
        Some(("host_id", uuid)) => id::parse_uuid(uuid).map(MachineKey::Id),
        Some(_) | None => None,
    };
    key.ok_or_else(|| Problem::at(RequestError::InvalidField, "id"))
}

fn not_found(cause: &str) -> Problem {
    Problem::from(TargetError::NotFound).because(cause)
}
