//! The subject of a token of ours at a further hop: what the directory said when the token was minted has to hold still. A subject
//! that a foreign issuer named has no account, and nothing to look up.

use super::{Resolved, descriptor};
use crate::caller::directory_failed;
use crate::error::{Problem, TargetError};
use crate::id;
use crate::ports::{Account, AccountKey, Client, MachineKey, Ports, State, UserKey};

/// The subject, if it could still be named by a descriptor; with no more scope than the directory gives it now.
pub(super) fn still_live(ports: &impl Ports, client: &Client, resolved: Resolved) -> Result<Resolved, Problem> {
    let Some(account) = resolved.account.as_ref().and_then(|account| account.account_id.as_deref()) else { return Ok(resolved) };
    let known = if resolved.provisional {
        check_account(ports, &resolved.tenant, account)?;
        None
    } else if let Some(host) = &resolved.host {
        let machine = ports.find_machine(&MachineKey::Id(host.id.clone())).map_err(directory_failed)?;
        let machine = machine.filter(|machine| machine.account.id == account && machine.account.tenant == resolved.tenant);
        descriptor::live_user_of(ports, client, &machine.ok_or_else(gone)?)?.scopes
    } else {
        let user = id::user_id(&resolved.id, &resolved.tenant).ok_or_else(gone)?;
        let user = ports.find_user(&UserKey::Id(user)).map_err(directory_failed)?.ok_or_else(gone)?;
        if !user.accounts.iter().any(|member| is_live(member, &resolved.tenant, account)) {
            return Err(gone());
        }
        descriptor::check_user(client, &user)?;
        user.scopes
    };
    let scopes = match (resolved.scopes, known) {
        (Some(scopes), Some(known)) => Some(scopes.into_iter().filter(|scope| known.contains(scope)).collect()),
        (scopes, None) | (None, scopes) => scopes,
    };
    Ok(Resolved { scopes, ..resolved })
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
