//! The most that could be granted before any policy is asked: every term of scope, audience and lifetime, and who set it.

use serde::Serialize;

use super::Resolved;
use crate::error::{GrantError, Problem, TargetError};
use crate::id;
use crate::ports::{Audience, Client, Ports, Request, ScopeMode, System};
use crate::scope::ScopeSet;

/// The most audiences in one request.
const MAX_AUDIENCES: usize = 16;

/// One term of the scope's intersection; `None` limits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    /// Who set it.
    pub by: &'static str,
    /// What it allows.
    pub allows: Option<Vec<String>>,
}

/// One upper bound of the lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cap {
    /// Who set it.
    pub by: &'static str,
    /// Seconds.
    pub seconds: u32,
}

/// A scope that was asked for and will not be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The scope.
    pub scope: String,
    /// Whose term lacks it.
    pub by: &'static str,
}

/// What was asked for and how far it could go.
#[derive(Debug, Clone)]
pub struct Ceiling {
    /// What the scope starts from: what was asked for, or the client's default.
    pub asked: ScopeSet,
    /// Whether the request named scopes.
    pub explicit: bool,
    /// What is left of it.
    pub scope: ScopeSet,
    /// The terms that were applied.
    pub terms: Vec<Term>,
    /// What they dropped.
    pub dropped: Vec<Dropped>,
    /// The audiences, all of them allowed.
    pub audience: Vec<String>,
    /// The bounds of the lifetime.
    pub caps: Vec<Cap>,
    /// The least of them.
    pub ttl: u32,
}

impl Ceiling {
    /// Applies one more term.
    pub(crate) fn narrow(&mut self, by: &'static str, allows: Option<Vec<String>>) {
        let narrowed = self.scope.narrowed_by(allows.as_deref());
        self.dropped.extend(self.scope.without(&narrowed).into_iter().map(|scope| Dropped { scope, by }));
        self.scope = narrowed;
        self.terms.push(Term { by, allows });
    }

    /// Applies one more bound.
    pub(crate) fn cap(&mut self, by: &'static str, seconds: u32) {
        self.ttl = self.ttl.min(seconds);
        self.caps.push(Cap { by, seconds });
    }

    /// Holds what is left against what was asked: `strict` refuses what was dropped, and an empty result of a non-empty request
    /// is refused in both modes.
    pub(crate) fn check(&self, mode: ScopeMode) -> Result<(), Problem> {
        if self.ttl == 0 {
            return Err(GrantError::NoLifetime.into());
        }
        if !self.explicit || self.dropped.is_empty() {
            return Ok(());
        }
        let whose =
            || self.dropped.iter().map(|dropped| format!("{} by {}", dropped.scope, dropped.by)).collect::<Vec<_>>().join(", ");
        match mode {
            ScopeMode::Strict => Err(Problem::at(GrantError::ScopeNotAllowed, "scope").because(whose())),
            ScopeMode::Narrow if self.scope.is_empty() => Err(Problem::at(GrantError::ScopeEmpty, "scope").because(whose())),
            ScopeMode::Narrow => Ok(()),
        }
    }
}

/// The ceiling of a request.
pub(super) fn of(
    ports: &impl Ports,
    settings: &System,
    now: u64,
    client: &Client,
    resolved: &Resolved,
    request: &Request,
) -> Result<Ceiling, Problem> {
    let audiences = audiences(ports, client, &resolved.tenant, request)?;
    let explicit = !request.scope.is_empty();
    let asked = if explicit { request.scope.clone() } else { client.default_scopes.clone() };
    let asked = ScopeSet::new(asked).map_err(|_| Problem::at(GrantError::ScopeInvalid, "scope"))?;
    let ttl = request.requested_ttl.unwrap_or(settings.default_ttl);
    let mut ceiling = Ceiling {
        scope: asked.clone(),
        asked,
        explicit,
        terms: Vec::new(),
        dropped: Vec::new(),
        audience: audiences.iter().map(|audience| audience.id.clone()).collect(),
        caps: vec![Cap { by: if request.requested_ttl.is_some() { "request" } else { "default" }, seconds: ttl }],
        ttl,
    };
    ceiling.narrow(resolved.scopes_by, resolved.scopes.clone());
    ceiling.narrow("client", Some(client.scopes.clone()));
    ceiling.cap("client", client.max_ttl);
    for audience in audiences {
        ceiling.narrow("audience", audience.scopes);
        if let Some(seconds) = audience.max_ttl {
            ceiling.cap("audience", seconds);
        }
    }
    ceiling.cap("system", settings.max_ttl);
    if let Some(expires_at) = resolved.expires_at {
        ceiling.cap("subject", u32::try_from(expires_at.saturating_sub(now)).unwrap_or(u32::MAX));
    }
    ceiling.check(client.scope_mode)?;
    Ok(ceiling)
}

/// The audiences asked for (RFC 8693 §2.1, RFC 8707 §2); a client with one audience need not name it.
fn audiences(ports: &impl Ports, client: &Client, tenant: &str, request: &Request) -> Result<Vec<Audience>, Problem> {
    if request.resource.iter().any(|resource| !id::is_resource_uri(resource)) {
        return Err(Problem::at(GrantError::AudienceInvalid, "resource"));
    }
    if request.audience.iter().any(|audience| !id::is_audience(audience)) {
        return Err(Problem::at(GrantError::AudienceInvalid, "audience"));
    }
    let mut names: Vec<&String> = Vec::new();
    for name in request.audience.iter().chain(&request.resource) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        match client.audiences.as_slice() {
            [only] => names.push(only),
            _ => return Err(Problem::at(GrantError::AudienceMissing, "audience")),
        }
    }
    if names.len() > MAX_AUDIENCES {
        return Err(Problem::at(GrantError::AudienceInvalid, "audience"));
    }
    names.into_iter().map(|name| audience(ports, client, tenant, name)).collect()
}

/// An unknown audience, one that is not the client's and one that does not serve the tenant get the same answer.
fn audience(ports: &impl Ports, client: &Client, tenant: &str, name: &String) -> Result<Audience, Problem> {
    let refused = |cause: &str| Problem::at(GrantError::AudienceNotAllowed, "audience").because(cause);
    if !client.audiences.contains(name) {
        return Err(refused("not an audience of this client"));
    }
    let audience = ports.find_audience(name).ok_or_else(|| refused("not registered"))?;
    if audience.tenants.as_ref().is_some_and(|tenants| !tenants.iter().any(|served| served == tenant)) {
        return Err(refused("does not serve this tenant"));
    }
    crate::mint::Flow::named(&audience.flow).ok_or_else(|| Problem::at(GrantError::FlowUnsupported, "audience"))?;
    Ok(audience)
}

/// A tenant outside the caller's reach.
pub(super) fn out_of_reach() -> Problem {
    TargetError::Tenant.into()
}
