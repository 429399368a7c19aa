//! The examination of a question to the policy: whatever the component says, the host believes what this request's evidence and the
//! registrations bear out, and nothing else.

use std::sync::Arc;

use serde_json::Value;
use standin_domain::chain::Actor;
use standin_domain::contract::{Attribute, Input, Party};
use standin_domain::id;

use super::subject::{self, Subject};
use super::{caller, facts};
use crate::evidence::Evidence;
use crate::registry::{Algorithm, Client, Registry, Step, signing_algorithm};

/// Why the host does not approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// No client of this name has proven itself.
    #[error("the caller has not proven itself")]
    Caller,
    /// It has proven itself, but is not registered.
    #[error("the caller is not registered")]
    CallerUnregistered,
    /// The embedding program vouched for a client that is not registered for it.
    #[error("the caller's registration does not let the embedding program vouch for it")]
    CallerNotAttestable,
    /// The caller's token is not one of a registered issuer of callers.
    #[error("the caller's token is not one of a registered issuer of callers")]
    CallerToken,
    /// The caller's token is not meant for us.
    #[error("the caller's token is not addressed to us")]
    CallerTokenAudience,
    /// The caller's token is not live.
    #[error("the caller's token is not live")]
    CallerTokenTime,
    /// The caller's token is good only with the proof of a key, which was not asked for.
    #[error("the caller's token is bound to a key")]
    CallerTokenBound,
    /// The tenant is neither the caller's nor within its crossings.
    #[error("the tenant is not the caller's")]
    Tenant,
    /// Neither a token nor the directory named this subject.
    #[error("no evidence names the subject")]
    Subject,
    /// The client may not name subjects of this kind.
    #[error("the caller may not name subjects of this kind")]
    SubjectKind,
    /// The directory was not asked whether it knows the user.
    #[error("the directory was not asked for the user")]
    UserUnasked,
    /// The user is disabled or pending.
    #[error("the user is not active")]
    UserNotActive,
    /// The user has no live account in the tenant.
    #[error("the user has no active account in the tenant")]
    NotAMember,
    /// The user is protected and the client is not registered for that.
    #[error("the user is protected")]
    Protected,
    /// The machine is disabled or pending.
    #[error("the host is not active")]
    HostNotActive,
    /// The machine's account is disabled, pending, or of another tenant.
    #[error("the host's account is not an active one of the tenant")]
    HostAccount,
    /// No live key with a live user whose primary account is the machine's.
    #[error("the host has no active key of an active user of its account")]
    HostKey,
    /// The client may not name users the directory does not know.
    #[error("the caller is not registered for unknown users")]
    ProvisionalNotRegistered,
    /// The directory was not asked for the address behind the digest.
    #[error("the directory was not asked for the unknown user")]
    ProvisionalUnasked,
    /// The directory knows the address.
    #[error("the directory knows the user")]
    ProvisionalKnown,
    /// No live account of the tenant was found.
    #[error("no active account of the tenant was found")]
    ProvisionalAccount,
    /// A claim of the subject token is not what it has to be.
    #[error("a claim of the subject token is malformed")]
    TokenMalformed,
    /// The token is of another kind.
    #[error("the subject token's typ is not one of its issuer's")]
    TokenType,
    /// The token's issuer is not registered for subjects.
    #[error("the subject token's issuer is not one of subjects")]
    TokenIssuer,
    /// The token speaks for another tenant, or for none.
    #[error("the subject token speaks for another tenant")]
    TokenTenant,
    /// The token is addressed to somebody else.
    #[error("the subject token is addressed to somebody else")]
    TokenAudience,
    /// The token has expired.
    #[error("the subject token has expired")]
    TokenExpired,
    /// The token is not valid yet.
    #[error("the subject token is not valid yet")]
    TokenNotYet,
    /// The token is good only with the proof of a key, and an audience is not registered for doing without.
    #[error("the subject token is bound to a key, and an audience is not")]
    TokenBound,
    /// `may_act` names somebody else.
    #[error("the subject token lets somebody else act")]
    MayAct,
    /// `act` is not a chain of actors.
    #[error("the subject token's chain of actors is malformed")]
    ChainMalformed,
    /// `act` of a foreign token names an actor of ours.
    #[error("another issuer's token names an actor of ours")]
    ActorOurs,
    /// The chain would grow too long.
    #[error("the chain of actors is too long")]
    ChainTooLong,
    /// A scope is not the client's.
    #[error("a scope exceeds the caller's registration")]
    ClientScope,
    /// The client has no step of this name.
    #[error("the caller's registration has no such step")]
    Step,
    /// The embedding program's request names another step, or none.
    #[error("the step is not the one that the request names")]
    AnotherStep,
    /// A scope is not the step's.
    #[error("a scope exceeds the step's registration")]
    StepScope,
    /// An audience is not the step's.
    #[error("an audience exceeds the step's registration")]
    StepAudience,
    /// A scope is not the subject's.
    #[error("a scope exceeds the subject's")]
    SubjectScope,
    /// A scope is not the audience's.
    #[error("a scope exceeds the audience's registration")]
    AudienceScope,
    /// No audience, or one that is not registered.
    #[error("an audience is not registered")]
    AudienceUnregistered,
    /// An audience is not the client's.
    #[error("an audience exceeds the caller's registration")]
    ClientAudience,
    /// An audience does not serve the tenant.
    #[error("an audience does not serve the tenant")]
    AudienceTenant,
    /// An audience is registered for another flow.
    #[error("an audience is registered for another flow")]
    AudienceFlow,
    /// The audiences' tokens are signed with different algorithms, and a token has one signature; or with none that there is.
    #[error("the audiences are not registered for one algorithm")]
    AudienceAlgorithm,
    /// The lifetime is zero or exceeds a limit.
    #[error("the lifetime exceeds a limit")]
    Lifetime,
    /// The policy's allowance leaves no audience, no lifetime, or none of the scopes.
    #[error("the policy's allowance leaves nothing")]
    NothingLeft,
}

/// What a subject is proven by.
pub(super) struct Question<'a> {
    pub(super) subject: &'a Party,
    pub(super) tenant: &'a str,
    pub(super) client: &'a Client,
    pub(super) evidence: &'a Evidence,
    pub(super) registry: &'a dyn Registry,
    pub(super) now: u64,
}

/// A question whose every part was proven.
#[derive(Debug)]
pub struct Proof {
    pub(super) client: Arc<Client>,
    pub(super) subject: Subject,
    pub(super) issuer: String,
    pub(super) permit_ttl: u64,
    /// What the token is signed with; without it, with what the keys have for default.
    pub(super) algorithm: Option<Algorithm>,
    /// Where the tenant is reached by crossing: from where.
    pub origin: Option<String>,
    /// The facts that no policy is told, for they are not of their type.
    pub left_out: Vec<String>,
}

/// Replaces what the component says by what the host knows, as far as it is proven, and proves it.
pub fn examine(input: &mut Input, evidence: &Evidence, registry: &dyn Registry, now: u64) -> Result<Proof, Unproven> {
    let named = input.step.take();
    forget(input, &evidence.edge, now);
    let client = caller::prove(&input.caller.id, evidence, registry, now)?;
    input.caller = Party {
        kind: "client".to_owned(),
        id: id::client(&client.id),
        tenants: client.tenants.clone(),
        provisional: false,
        attributes: client.attributes.clone(),
    };
    let step = step(named, &client, evidence)?;
    input.step = step.map(|step| step.name.clone());
    let origin = caller::origin(&client, &input.tenant)?;
    if let Some(from) = &origin {
        let value = Value::from(from.as_str()).to_string();
        input.attributes.push(Attribute { name: "cross_tenant.from".to_owned(), value });
    }
    let question = Question { subject: &input.subject, tenant: &input.tenant, client: &client, evidence, registry, now };
    let subject = subject::prove(&question)?;
    input.subject.kind = subject.kind.name().to_owned();
    input.subject.tenants = vec![input.tenant.clone()];
    input.subject.provisional = subject.provisional;
    input.subject.attributes.clone_from(&subject.attributes);
    input.chain = subject.act.as_ref().map(|actor| names(actor, registry)).unwrap_or_default();
    let left_out = facts::settle(input);
    let settings = registry.settings();
    let permit_ttl = u64::from(settings.permit_ttl);
    if let Some(end) = subject.expires_at {
        input.ttl = remaining(input.ttl, end.saturating_sub(now), permit_ttl)?;
    }
    limit(input, &client, step, &subject, registry)?;
    let algorithm = algorithm(&input.audience, registry)?;
    Ok(Proof { client, subject, issuer: settings.issuer.clone(), permit_ttl, algorithm, origin, left_out })
}

/// The actors as policies and the audit log name them.
fn names(actor: &Actor, registry: &dyn Registry) -> Vec<String> {
    let name_of = |issuer: &str| registry.find_issuer(issuer).map(|issuer| issuer.name.clone());
    actor.names(&registry.settings().issuer, name_of)
}

/// Takes out whatever could pass for a fact of the host's.
fn forget(input: &mut Input, edge: &[Attribute], now: u64) {
    input.now = now;
    input.attributes = edge.iter().filter(|attribute| attribute.name.starts_with("edge.")).cloned().collect();
    input.chain.clear();
    input.caller.kind = "client".to_owned();
    for party in [&mut input.caller, &mut input.subject] {
        party.tenants.clear();
        party.attributes.clear();
        party.provisional = false;
    }
}

/// The step that the component says the request names. That the client is registered with it is all that the host knows of a request
/// over HTTP, whose parameters only the component reads: one that lies about the step gets no more than another step of this very
/// client, or the client itself, may have, and the token and the record say which. What the embedding program's request names the host
/// has seen itself.
fn step<'a>(named: Option<String>, client: &'a Client, evidence: &Evidence) -> Result<Option<&'a Step>, Unproven> {
    if evidence.step.as_ref().is_some_and(|seen| *seen != named) {
        return Err(Unproven::AnotherStep);
    }
    let Some(named) = named else { return Ok(None) };
    client.steps.iter().find(|step| step.name == named).map(Some).ok_or(Unproven::Step)
}

/// No more than is left of the subject token. What the component reckoned a moment ago may be more by the seconds that went by since; it
/// cannot be more by longer than a permit lives.
fn remaining(asked: u32, left: u64, permit_ttl: u64) -> Result<u32, Unproven> {
    if u64::from(asked) > left.saturating_add(permit_ttl) {
        return Err(Unproven::Lifetime);
    }
    Ok(u32::try_from(left).map_or(asked, |left| asked.min(left)))
}

/// Nothing may be asked that the registrations and the subject do not give: a policy narrows, it never widens.
fn limit(
    input: &Input,
    client: &Client,
    step: Option<&Step>,
    subject: &Subject,
    registry: &dyn Registry,
) -> Result<(), Unproven> {
    if !within(&input.scope, &client.scopes) {
        return Err(Unproven::ClientScope);
    }
    if step.is_some_and(|step| !within(&input.scope, &step.scopes)) {
        return Err(Unproven::StepScope);
    }
    if !subject.terms.iter().all(|term| within(&input.scope, term)) {
        return Err(Unproven::SubjectScope);
    }
    if input.audience.is_empty() {
        return Err(Unproven::AudienceUnregistered);
    }
    let mut longest = u64::from(client.max_ttl.min(registry.settings().max_ttl));
    for name in &input.audience {
        if !client.audiences.contains(name) {
            return Err(Unproven::ClientAudience);
        }
        if step.and_then(|step| step.audiences.as_ref()).is_some_and(|audiences| !audiences.contains(name)) {
            return Err(Unproven::StepAudience);
        }
        let audience = registry.find_audience(name).ok_or(Unproven::AudienceUnregistered)?;
        if audience.flow != input.flow {
            return Err(Unproven::AudienceFlow);
        }
        if audience.tenants.as_ref().is_some_and(|served| !served.contains(&input.tenant)) {
            return Err(Unproven::AudienceTenant);
        }
        if subject.bound && !audience.unbound {
            return Err(Unproven::TokenBound);
        }
        if audience.scopes.as_ref().is_some_and(|scopes| !within(&input.scope, scopes)) {
            return Err(Unproven::AudienceScope);
        }
        longest = longest.min(audience.max_ttl.map_or(longest, u64::from));
    }
    if input.ttl == 0 || u64::from(input.ttl) > longest { Err(Unproven::Lifetime) } else { Ok(()) }
}

/// What tokens for all of these audiences are signed with. Where they do not agree there is no such token: a verifier takes its own
/// algorithm, and of one token only one of them could.
fn algorithm(audiences: &[String], registry: &dyn Registry) -> Result<Option<Algorithm>, Unproven> {
    let mut chosen = None;
    for name in audiences {
        let audience = registry.find_audience(name).ok_or(Unproven::AudienceUnregistered)?;
        let own = signing_algorithm(&audience).map_err(|_| Unproven::AudienceAlgorithm)?;
        if *chosen.get_or_insert(own) != own {
            return Err(Unproven::AudienceAlgorithm);
        }
    }
    Ok(chosen.flatten())
}

fn within(asked: &[String], given: &[String]) -> bool {
    asked.iter().all(|item| given.contains(item))
}
