//! Target -> permit or denial: the policy is asked, then the core narrows. A module can deny; it cannot widen.

use serde::Serialize;

use crate::error::{GrantError, MintError, PolicyError, Problem};
use crate::mint::Flow;
use crate::ports::{Allowance, Effect, Input, JudgeError, Judged, Ports, Reason, Request, System};
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
    now: u64,
    mut target: Target,
    request: &Request,
    flow: Flow,
) -> Result<Permit<P::Approval>, Problem> {
    let input = question(&target, now, request, flow);
    let Judged { verdict, module_digest, approval } = ports.judge(&input).map_err(no_verdict)?;
    let reasons = verdict.reasons;
    let allowance = match verdict.effect {
        Effect::Permit(allowance) => allowance,
        Effect::Deny => return Err(Problem { reasons, ..PolicyError::Denied.into() }),
        Effect::StepUp(acr) => return Err(Problem { reasons, acr: Some(acr), ..PolicyError::StepUp.into() }),
    };
    narrow(&mut target, allowance)?;
    let approval = approval.ok_or_else(|| Problem::from(MintError::Refused).because("the host does not approve"))?;
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
    let subject_life = target.resolved().expires_at.unwrap_or(u64::MAX);
    let expires_at = now.saturating_add(u64::from(settings.permit_ttl)).min(subject_life);
    Ok(Permit { target, grant, approval, expires_at })
}

/// The question. What the host has to know for itself (chain, tenants, attributes, whether the subject is provisional) it fills in.
fn question(target: &Target, now: u64, request: &Request, flow: Flow) -> Input {
    let (resolved, ceiling) = (target.resolved(), target.ceiling());
    Input {
        caller: target.caller().named(),
        subject: resolved.named(),
        chain: Vec::new(),
        tenant: resolved.tenant.clone(),
        audience: ceiling.audience.clone(),
        scope: ceiling.scope.as_slice().to_vec(),
        ttl: ceiling.ttl,
        flow: flow.name().into(),
        step: request.step.clone(),
        now,
        attributes: Vec::new(),
    }
}

/// Narrowing is monotone: `none` is no opinion, an empty list is nothing at all.
fn narrow(target: &mut Target, allowance: Allowance) -> Result<(), Problem> {
    let mode = target.caller().client().scope_mode;
    let ceiling = target.ceiling_mut();
    ceiling.narrow("policy", allowance.scope);
    if let Some(seconds) = allowance.ttl {
        ceiling.cap("policy", seconds);
    }
    ceiling.check(mode)?;
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
