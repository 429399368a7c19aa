//! The most that could be granted before any policy is asked: every term of scope, audience and lifetime, and who set it.

use serde::Serialize;

use super::Resolved;
use crate::error::{GrantError, Problem, SubjectError, TargetError};
use crate::flow::Flow;
use crate::id;
use crate::ports::{Audience, Client, Ports, Request, ScopeMode, Step, System};
use crate::scope::ScopeSet;

/// The most audiences in one request.
const MAX_AUDIENCES: usize = 16;

/// One term of an intersection, of the scope's or of the audience's; `None` limits nothing.
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
    /// What the scope starts from: what was asked for, or what the step or else the client has by default.
    pub asked: ScopeSet,
    /// Whether the request named scopes.
    pub explicit: bool,
    /// What is left of it.
    pub scope: ScopeSet,
    /// The terms that were applied.
    pub terms: Vec<Term>,
    /// What they dropped.
    pub dropped: Vec<Dropped>,
    /// The audiences that were asked for, all of them the client's.
    pub asked_audience: Vec<String>,
    /// What is left of them.
    pub audience: Vec<String>,
    /// Who limits them.
    pub audience_terms: Vec<Term>,
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

    /// Applies one more term to the audiences.
    pub(crate) fn narrow_audience(&mut self, by: &'static str, allows: Option<Vec<String>>) {
        if let Some(allows) = &allows {
            self.audience.retain(|name| allows.contains(name));
        }
        self.audience_terms.push(Term { by, allows });
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

/// The ceiling of a request, which is not held against it yet.
pub(super) fn of(
    ports: &impl Ports,
    settings: &System,
    now: u64,
    client: &Client,
    resolved: &Resolved,
    request: &Request,
) -> Result<Ceiling, Problem> {
    let step = step(client, request)?;
    let audiences = audiences(ports, client, step, &resolved.tenant, request)?;
    if let Some(audience) = audiences.iter().find(|audience| resolved.bound && !audience.unbound) {
        return Err(Problem::from(SubjectError::Bound).because(format!("{} is not registered as unbound", audience.id)));
    }
    let explicit = !request.scope.is_empty();
    let asked = if explicit { &request.scope } else { step.map_or(&client.default_scopes, |step| &step.scopes) };
    let asked = ScopeSet::new(asked.iter().cloned()).map_err(|_| Problem::at(GrantError::ScopeInvalid, "scope"))?;
    let ttl = request.requested_ttl.unwrap_or(settings.default_ttl);
    let names: Vec<String> = audiences.iter().map(|audience| audience.id.clone()).collect();
    let mut ceiling = Ceiling {
        scope: asked.clone(),
        asked,
        explicit,
        terms: Vec::new(),
        dropped: Vec::new(),
        asked_audience: names.clone(),
        audience: names,
        audience_terms: Vec::new(),
        caps: vec![Cap { by: if request.requested_ttl.is_some() { "request" } else { "default" }, seconds: ttl }],
        ttl,
    };
    ceiling.narrow(resolved.scopes_by, resolved.scopes.clone());
    ceiling.narrow("client", Some(client.scopes.clone()));
    ceiling.narrow_audience("client", Some(client.audiences.clone()));
    if let Some(step) = step {
        ceiling.narrow("step", Some(step.scopes.clone()));
        ceiling.narrow_audience("step", step.audiences.clone());
    }
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
    Ok(ceiling)
}

/// The step that the request names, if it names one. What a step may ask for stands in the client's registration alone: a subject
/// token that was minted in a step hands none on.
fn step<'a>(client: &'a Client, request: &Request) -> Result<Option<&'a Step>, Problem> {
    let Some(name) = &request.step else { return Ok(None) };
    let step = client.steps.iter().find(|step| step.name == *name);
    step.map(Some).ok_or_else(|| Problem::at(GrantError::StepUnknown, "step"))
}

/// The audiences asked for (RFC 8693 §2.1, RFC 8707 §2); where client or step has one audience only, it need not be named.
fn audiences(
    ports: &impl Ports,
    client: &Client,
    step: Option<&Step>,
    tenant: &str,
    request: &Request,
) -> Result<Vec<Audience>, Problem> {
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
        match step.and_then(|step| step.audiences.as_ref()).unwrap_or(&client.audiences).as_slice() {
            [only] => names.push(only),
            _ => return Err(Problem::at(GrantError::AudienceMissing, "audience")),
        }
    }
    if names.len() > MAX_AUDIENCES {
        return Err(Problem::at(GrantError::AudienceInvalid, "audience"));
    }
    let audiences: Vec<Audience> =
        names.into_iter().map(|name| audience(ports, client, step, tenant, name)).collect::<Result<_, _>>()?;
    // A token has one signature. The host chooses the key; here the refusal gets its name.
    let mut algorithms = audiences.iter().map(algorithm);
    let first = algorithms.next();
    match algorithms.all(|other| Some(other) == first) {
        true => Ok(audiences),
        false => Err(Problem::at(GrantError::AudienceAlgorithms, "audience")),
    }
}

/// What an audience's registration says of the signature.
fn algorithm(audience: &Audience) -> Option<&str> {
    audience.attributes.iter().find(|attribute| attribute.name == "algorithm").map(|attribute| attribute.value.as_str())
}

/// An unknown audience, one that is not the client's or the step's and one that does not serve the tenant get the same answer.
fn audience(ports: &impl Ports, client: &Client, step: Option<&Step>, tenant: &str, name: &String) -> Result<Audience, Problem> {
    let refused = |cause: &str| Problem::at(GrantError::AudienceNotAllowed, "audience").because(cause);
    if !client.audiences.contains(name) {
        return Err(refused("not an audience of this client"));
    }
    if step.and_then(|step| step.audiences.as_ref()).is_some_and(|audiences| !audiences.contains(name)) {
        return Err(refused("not an audience of this step"));
    }
    let audience = ports.find_audience(name).ok_or_else(|| refused("not registered"))?;
    if audience.tenants.as_ref().is_some_and(|tenants| !tenants.iter().any(|served| served == tenant)) {
        return Err(refused("does not serve this tenant"));
    }
    Flow::named(&audience.flow).ok_or_else(|| Problem::at(GrantError::FlowUnsupported, "audience"))?;
    Ok(audience)
}

/// A tenant outside the caller's reach.
pub(super) fn out_of_reach() -> Problem {
    TargetError::Tenant.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Credential, Subject};

    #[test]
    fn a_step_is_one_of_the_clients_own() {
        let named = |name: &str| Step { name: name.into(), scopes: vec![], audiences: None };
        let client = Client {
            id: "svc".into(),
            tenants: vec![],
            subjects: vec![],
            audiences: vec![],
            scopes: vec![],
            default_scopes: vec![],
            max_ttl: 60,
            scope_mode: ScopeMode::Strict,
            is_audience: vec![],
            cross_tenant: vec![],
            provisional_scopes: None,
            protected: false,
            attested: true,
            steps: vec![named("review"), named("approve")],
            attributes: vec![],
        };
        let request = |step: Option<&str>| Request {
            correlation_id: "c".into(),
            caller: Credential::Attested("svc".into()),
            subject: Subject::Caller,
            actor: None,
            audience: vec![],
            resource: vec![],
            scope: vec![],
            requested_token_type: None,
            requested_ttl: None,
            step: step.map(str::to_owned),
            dpop: None,
            attributes: vec![],
        };
        let found = |client: &Client, name| step(client, &request(name)).map(|step| step.map(|step| step.name.clone()));
        assert_eq!(found(&client, None).unwrap(), None);
        assert_eq!(found(&client, Some("approve")).unwrap().as_deref(), Some("approve"));
        for client in [&client, &Client { steps: vec![], ..client.clone() }] {
            for unknown in ["pay", "Review", ""] {
                let problem = found(client, Some(unknown)).unwrap_err();
                assert_eq!((problem.error, problem.field), (GrantError::StepUnknown.into(), Some("step")));
            }
        }
    }
}
