//! Who calls, and between which tenants: from evidence and registrations alone.

use std::sync::Arc;

use serde_json::Value;
use standin_domain::caller::accepts_type;
use standin_domain::id;

use super::claims::{self, Claims};
use super::proof::Unproven;
use crate::evidence::{Evidence, SeenToken, TokenRole};
use crate::registry::{Client, IssuerRole, Registry};

/// The registered client of this name, if it has proven itself in this request.
pub(super) fn prove(name: &str, evidence: &Evidence, registry: &dyn Registry, now: u64) -> Result<Arc<Client>, Unproven> {
    let named = |known: &&String| id::client(known) == name;
    if let Some(id) = evidence.callers.iter().find(named) {
        return registry.find_client(id).ok_or(Unproven::CallerUnregistered);
    }
    if let Some(id) = evidence.attested.iter().find(named) {
        let client = registry.find_client(id).ok_or(Unproven::CallerUnregistered)?;
        return if client.attested { Ok(client) } else { Err(Unproven::CallerNotAttestable) };
    }
    let mut why = Unproven::Caller;
    for token in evidence.tokens.iter().filter(|token| token.role == TokenRole::Caller) {
        match by_token(token, registry, now) {
            Ok(client) if id::client(&client.id) == name => return Ok(client),
            Ok(_another) => {}
            Err(refusal) => why = refusal,
        }
    }
    Err(why)
}

/// The registered client that names this issuer and `sub`, if a token of this request that authenticates it says the same. A signature
/// alone says neither that the token is live, nor that it is meant for us, nor that whoever shows it may.
pub fn identified(issuer: &str, sub: &str, evidence: &Evidence, registry: &dyn Registry, now: u64) -> Option<Arc<Client>> {
    let says_so = |token: &&SeenToken| {
        token.role == TokenRole::Caller && token.issuer == issuer && token.claims.get("sub").and_then(Value::as_str) == Some(sub)
    };
    evidence.tokens.iter().filter(says_so).find_map(|token| by_token(token, registry, now).ok())
}

/// A bearer JWT authenticates the client that names its issuer and `sub` exactly, if it is meant for us (RFC 7519 §4.1.3).
fn by_token(token: &SeenToken, registry: &dyn Registry, now: u64) -> Result<Arc<Client>, Unproven> {
    let settings = registry.settings();
    let issuer = registry.find_issuer(&token.issuer).ok_or(Unproven::CallerToken)?;
    match issuer.role {
        IssuerRole::Caller => {}
        IssuerRole::Subject => return Err(Unproven::CallerToken),
    }
    if !accepts_type(&issuer.types, token.typ.as_deref()) {
        return Err(Unproven::CallerToken);
    }
    let claims = Claims(&token.claims);
    if claims.are_bound() {
        return Err(Unproven::CallerTokenBound);
    }
    let text = |name| claims.text(name).ok().flatten().ok_or(Unproven::CallerToken);
    if text("iss")? != issuer.issuer {
        return Err(Unproven::CallerToken);
    }
    if !claims.audience().is_ok_and(|aud| aud.contains(&settings.issuer.as_str())) {
        return Err(Unproven::CallerTokenAudience);
    }
    match claims.remaining(now, u64::from(settings.leeway)) {
        Ok(_seconds) => {}
        Err(claims::TimeFault::Malformed) => return Err(Unproven::CallerToken),
        Err(claims::TimeFault::Expired | claims::TimeFault::NotYet) => return Err(Unproven::CallerTokenTime),
    }
    registry.find_client_by_identity(&issuer.issuer, text("sub")?).ok_or(Unproven::CallerUnregistered)
}

/// Where the caller may reach this tenant only by crossing: from which of its own.
pub(super) fn origin(client: &Client, tenant: &str) -> Result<Option<String>, Unproven> {
    if client.tenants.iter().any(|own| own == tenant) {
        return Ok(None);
    }
    let crossing = client.cross_tenant.iter().find(|(from, to)| to == tenant && client.tenants.contains(from));
    crossing.map(|(from, _)| Some(from.clone())).ok_or(Unproven::Tenant)
}
