//! Target -> permit or denial: the policy is asked, then the core narrows. A module can deny; it cannot widen.

use serde::Serialize;

use crate::error::{GrantError, MintError, PolicyError, Problem, SubjectError};
use crate::flow::Flow;
use crate::ports::{Allowance, Effect, Input, JudgeError, Judged, Ports, Reason, Request, System};
use crate::scope;
use crate::target::{Ceiling, Target};

/// What will be minted.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    /// The flow.
    pub flow: Flow,
    /// Audiences, at least one.
    pub audience: Vec<String>,
    /// Scopes.
    pub scope: Vec<String>,
    /// Lifetime in seconds, at least one.
    pub ttl: u32,
    /// The workflow step it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Digest of the policy module.
    pub policy: String,
    /// The rules that spoke.
    #[serde(skip)]
    pub reasons: Vec<Reason>,
}

/// Leave to mint exactly one grant, once, soon.
#[derive(Debug)]
pub struct Permit<A> {
    target: Target,
    grant: Grant,
    approval: A,
    expires_at: u64,
}

impl<A> Permit<A> {
    /// What will be minted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// For whom.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The ceiling with the policy's terms in it.
    pub fn ceiling(&self) -> &Ceiling {
        self.target.ceiling()
    }

    /// Gives the parts up for minting.
    ///
    /// # Errors
    /// Where it has expired: with the subject token, or after the permit's own short life.
    pub(crate) fn redeem(self, now: u64) -> Result<(Target, Grant, A), Problem> {
        check_subject(&self.target, now)?;
        if now >= self.expires_at {
            return Err(MintError::PermitExpired.into());
        }
        Ok((self.target, self.grant, self.approval))
    }
}

/// Asks the policy about a target and narrows what it allows.
///
/// # Errors
/// A denial, or why there is no verdict; both deny.
pub fn evaluate<P: Ports>(
    ports: &P,
    settings: &System,
    mut target: Target,
    request: &Request,
    flow: Flow,
) -> Result<Permit<P::Approval>, Problem> {
    let asked_at = ports.now();
    check_subject(&target, asked_at)?;
    let input = question(&target, asked_at, request, flow);
    let Judged { verdict, module_digest, approval } = ports.judge(&input).map_err(no_verdict)?;
    let reasons = verdict.reasons;
    let allowance = match verdict.effect {
        Effect::Permit(allowance) => allowance,
        Effect::Deny => return Err(Problem { reasons, ..PolicyError::Denied.into() }),
        Effect::StepUp(acr) => return Err(Problem { reasons, acr: Some(acr), ..PolicyError::StepUp.into() }),
    };
    narrow(&mut target, allowance)?;
    let Some(approval) = approval else {
        let now = ports.now();
        target.caller().check(now)?;
        check_subject(&target, now)?;
        return Err(Problem::from(MintError::Refused).because("the host does not approve"));
    };
    let ceiling = target.ceiling();
    let grant = Grant {
        flow,
        audience: ceiling.audience.clone(),
        scope: ceiling.scope.as_slice().to_vec(),
        ttl: ceiling.ttl,
        step: request.step.clone(),
        policy: module_digest,
        reasons,
    };
    // From now on, and not from when the request came: between its steps may lie any time.
    let expires_at = ports.now().saturating_add(u64::from(settings.permit_ttl));
    Ok(Permit { target, grant, approval, expires_at })
}

/// The question. What the host has to know for itself (chain, tenants, attributes, whether the subject is provisional) it fills in.
fn question(target: &Target, now: u64, request: &Request, flow: Flow) -> Input {
    let (resolved, ceiling) = (target.resolved(), target.ceiling());
    // Whoever goes step by step may have kept the target for a while.
    let left = resolved.expires_at.map_or(u64::MAX, |expires_at| expires_at.saturating_sub(now));
    Input {
        caller: target.caller().named(),
        subject: resolved.named(),
        chain: Vec::new(),
        tenant: resolved.tenant.clone(),
        audience: ceiling.audience.clone(),
        scope: ceiling.scope.as_slice().to_vec(),
        ttl: u32::try_from(left).map_or(ceiling.ttl, |left| ceiling.ttl.min(left)),
        flow: flow.name().into(),
        step: request.step.clone(),
        now,
        attributes: Vec::new(),
    }
}

/// A subject token may expire while the request is served.
fn check_subject(target: &Target, now: u64) -> Result<(), Problem> {
    let expired = target.resolved().expires_at.is_some_and(|expires_at| expires_at <= now);
    if expired { Err(SubjectError::Expired.into()) } else { Ok(()) }
}

/// Narrowing is monotone: `none` is no opinion, an empty list is nothing at all.
fn narrow(target: &mut Target, allowance: Allowance) -> Result<(), Problem> {
    let mode = target.caller().client().scope_mode;
    let ceiling = target.ceiling_mut();
    let left = scope::left_by_policy(ceiling.scope.as_slice(), allowance.scope.as_deref());
    ceiling.narrow("policy", allowance.scope);
    if let Some(seconds) = allowance.ttl {
        ceiling.cap("policy", seconds);
    }
    ceiling.check(mode)?;
    left.map_err(|scope::NothingLeft| {
        Problem::at(GrantError::ScopeEmpty, "scope").because("the policy allows none of the scopes")
    })?;
    ceiling.narrow_audience("policy", allowance.audience);
    if ceiling.audience.is_empty() {
        return Err(Problem::at(GrantError::AudienceNotAllowed, "audience").because("the policy allows none of the audiences"));
    }
    Ok(())
}

fn no_verdict(error: JudgeError) -> Problem {
    let policy = match &error {
        JudgeError::Module(_) => PolicyError::Failed,
        JudgeError::Trapped => PolicyError::Trapped,
        JudgeError::TimedOut => PolicyError::TimedOut,
        JudgeError::TooLarge => PolicyError::TooLarge,
        JudgeError::Invalid => PolicyError::Invalid,
        JudgeError::Unavailable | JudgeError::Other(_) => PolicyError::Unavailable,
    };
    Problem::from(policy).because(format!("{error:?}"))
}
