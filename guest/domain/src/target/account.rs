//! Which account of a user is meant: a user acts in one. Where several are possible, the request or the token has to say which.

use serde_json::Value;

use super::AccountClaims;
use crate::caller::directory_failed;
use crate::claims::Claims;
use crate::error::{Problem, RequestError, TargetError};
use crate::id;
use crate::ports::{Account, AccountKey, Attribute, Client, Ports, Request, State, User};
use crate::tenant::{Aliases, Match, Reach};

/// The account meant, among the user's accounts within reach and, where a token speaks for some tenants only, within these. Own tenants
/// come before those reached by crossing.
pub(super) fn choose<'u>(
    client: &Client,
    user: &'u User,
    tenants: Option<&[String]>,
    aliases: &Aliases,
) -> Result<&'u Account, Problem> {
    let reach = Reach::of(client);
    let spoken_for = |account: &&Account| tenants.is_none_or(|tenants| tenants.contains(&account.tenant));
    let reachable: Vec<&Account> =
        user.accounts.iter().filter(spoken_for).filter(|account| reach.contains(&account.tenant)).collect();
    let own: Vec<&Account> = reachable.iter().copied().filter(|account| reach.owns(&account.tenant)).collect();
    let partly = reachable.iter().any(|account| aliases.of_account(account) == Match::Some);
    let matching = |accounts: Vec<&'u Account>| {
        accounts.into_iter().filter(|account| aliases.of_account(account) == Match::All).collect::<Vec<_>>()
    };
    let mut candidates = matching(own);
    if candidates.is_empty() {
        candidates = matching(reachable);
    }
    let active: Vec<&Account> = candidates.iter().copied().filter(|account| account.state == State::Active).collect();
    match (active.as_slice(), candidates.is_empty()) {
        ([account], _) => Ok(account),
        ([], false) => Err(Problem::from(TargetError::Inactive).because("the account is not active")),
        ([], true) if partly => Err(TargetError::ContradictoryAccount.into()),
        ([], true) => Err(Problem::from(TargetError::NotFound).because("not a member of an account within reach")),
        ([_, ..], _) => Err(TargetError::AmbiguousAccount.into()),
    }
}

/// The account that a request beside a subject token names: facts of the names that a descriptor has for it.
pub(super) fn asked(request: &Request) -> Result<Aliases, Problem> {
    let fact = |name: &'static str| {
        let found = request.attributes.iter().find(|attribute| attribute.name == name);
        let read = |Attribute { value, .. }: &Attribute| serde_json::from_str::<Value>(value).map_err(|_| invalid(name));
        found.map(read).transpose()
    };
    let text = |name: &'static str| {
        let read = |value: Value| value.as_str().map(str::to_owned).ok_or_else(|| invalid(name));
        fact(name)?.map(read).transpose()
    };
    let csp_id = fact("account_csp_id")?.map(|value| value.as_i64().ok_or_else(|| invalid("account_csp_id"))).transpose()?;
    let aliases = Aliases { account_id: text("account_id")?, csp_id, sfdc_account_id: text("sfdc_account_id")? };
    check(&aliases)?;
    Ok(aliases)
}

/// What cannot be an account's id is refused before anybody is asked for it.
pub(super) fn check(aliases: &Aliases) -> Result<(), Problem> {
    if aliases.account_id.as_deref().is_some_and(|id| !id::is_opaque(id)) {
        return Err(invalid("account_id"));
    }
    if aliases.csp_id.is_some_and(|id| id < 0) {
        return Err(invalid("account_csp_id"));
    }
    // Salesforce record ids are 15 or 18 alphanumeric characters; other systems of record reuse the field.
    if aliases.sfdc_account_id.as_deref().is_some_and(|id| !id::is_opaque(id)) {
        return Err(invalid("sfdc_account_id"));
    }
    Ok(())
}

/// The account that a foreign token names in claims of the names that our own tokens have for it. A claim that names no account of these
/// tenants means something else to its issuer.
pub(super) fn claimed(ports: &impl Ports, claims: &Claims, user: &User, tenants: &[String]) -> Result<Aliases, Problem> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|id| id::is_opaque(id)).map(str::to_owned);
    let only = [
        Aliases { account_id: text("account_id"), ..Aliases::default() },
        Aliases { csp_id: claims.get("csp_id").and_then(Value::as_i64), ..Aliases::default() },
        Aliases { sfdc_account_id: text("sfdc_account_id"), ..Aliases::default() },
    ];
    let mut meant = Aliases::default();
    for alias in only {
        if names_one_of_ours(ports, &alias, user, tenants)? {
            meant = meant.and(alias).map_err(|_| TargetError::ContradictoryAccount)?;
        }
    }
    Ok(meant)
}

/// Whether this one alias names an account of these tenants, the user's or another's.
fn names_one_of_ours(ports: &impl Ports, alias: &Aliases, user: &User, tenants: &[String]) -> Result<bool, Problem> {
    let within = |account: &Account| tenants.contains(&account.tenant);
    let Aliases { account_id, csp_id, sfdc_account_id } = alias;
    let key = match (account_id, csp_id, sfdc_account_id) {
        (Some(id), _, _) => AccountKey::Id(id.clone()),
        (None, Some(id), _) => AccountKey::CspId(*id),
        (None, None, Some(id)) => AccountKey::Sfdc(id.clone()),
        (None, None, None) => return Ok(false),
    };
    if user.accounts.iter().any(|account| within(account) && alias.of_account(account) == Match::All) {
        return Ok(true);
    }
    let known = ports.find_account(&key).map_err(directory_failed)?;
    Ok(known.is_some_and(|account| within(&account)))
}

/// Holds what the request names against the account that is in the token already, or against none.
pub(super) fn confirm(account: Option<&AccountClaims>, asked: &Aliases) -> Result<(), Problem> {
    let none = AccountClaims { account_id: None, csp_id: None, sfdc_account_id: None };
    let AccountClaims { account_id, csp_id, sfdc_account_id } = account.unwrap_or(&none);
    match asked.matching(account_id.as_deref(), *csp_id, sfdc_account_id.as_deref()) {
        Match::All => Ok(()),
        Match::Some => Err(TargetError::ContradictoryAccount.into()),
        Match::None => {
            Err(Problem::from(TargetError::NotFound).because("the token's subject is not in the account that is asked for"))
        }
    }
}

fn invalid(field: &'static str) -> Problem {
    Problem::at(RequestError::InvalidField, field)
}
