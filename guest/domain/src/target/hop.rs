//! The subject of a token of ours at a further hop: what the directory said when the token was minted has to hold still. Only a subject
//! outside the directory's names (`ext:…`) has nothing to look up.

use super::{Resolved, descriptor};
use crate::caller::directory_failed;
use crate::error::{Problem, TargetError};
use crate::id;
use crate::own::Kind;
use crate::ports::{Account, AccountKey, Client, MachineKey, Ports, State, UserKey};

/// The subject, if it could still be named by a descriptor, or by its issuer; with no more scope than the directory gives it now.
pub(super) fn still_live(ports: &impl Ports, client: &Client, resolved: Resolved) -> Result<Resolved, Problem> {
    let account = resolved.account.as_ref().and_then(|account| account.account_id.as_deref());
    let known = if resolved.kind == Kind::Provisional.name() {
        check_account(ports, &resolved.tenant, account.ok_or_else(gone)?)?;
        None
    } else if let Some(host) = &resolved.host {
        let machine = ports.find_machine(&MachineKey::Id(host.id.clone())).map_err(directory_failed)?;
        let machine =
            machine.filter(|machine| account == Some(machine.account.id.as_str()) && machine.account.tenant == resolved.tenant);
        descriptor::live_user_of(ports, client, &machine.ok_or_else(gone)?)?.scopes
    } else if resolved.id.starts_with("user:") {
        user(ports, client, &resolved, account)?
    } else if account.is_some() {
        return Err(gone());
    } else {
        None
    };
    let scopes = match (resolved.scopes, known) {
        (Some(scopes), Some(known)) => Some(scopes.into_iter().filter(|scope| known.contains(scope)).collect()),
        (scopes, None) | (None, scopes) => scopes,
    };
    Ok(Resolved { scopes, ..resolved })
}

/// The scopes of a user. One that its issuer alone knew when the token was minted, and knows alone still, has no account; once the
/// directory knows it, what the directory says counts.
fn user(ports: &impl Ports, client: &Client, resolved: &Resolved, account: Option<&str>) -> Result<Option<Vec<String>>, Problem> {
    let id = id::user_id(&resolved.id, &resolved.tenant).ok_or_else(gone)?;
    let Some(user) = ports.find_user(&UserKey::Id(id)).map_err(directory_failed)? else {
        return if account.is_some() { Err(gone()) } else { Ok(None) };
    };
    let is_meant = |member: &Account| is_live(member, &resolved.tenant, account.unwrap_or(&member.id));
    if !user.accounts.iter().any(is_meant) {
        return Err(gone());
    }
    descriptor::check_user(client, &user)?;
    Ok(user.scopes)
}

fn check_account(ports: &impl Ports, tenant: &str, account: &str) -> Result<(), Problem> {
    let found = ports.find_account(&AccountKey::Id(account.to_owned())).map_err(directory_failed)?;
    if found.is_some_and(|found| is_live(&found, tenant, account)) { Ok(()) } else { Err(gone()) }
}

fn is_live(account: &Account, tenant: &str, id: &str) -> bool {
    account.id == id && account.tenant == tenant && account.state == State::Active
}

fn gone() -> Problem {
    Problem::from(TargetError::NotFound).because("the subject of the token is no longer what it was when the token was minted")
}
