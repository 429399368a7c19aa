//! One request on one page:
//!
//! authenticate caller -> resolve target -> evaluate policy -> mint -> audit -> answer

use crate::audit::Attempt;
use crate::caller::{self, Caller};
use crate::error::{CallerError, Problem, RequestError};
use crate::flow::Flow;
use crate::id;
use crate::mint;
use crate::policy::{self, Permit};
use crate::ports::{Credential, Failure, Minted, Ports, Reason, Request};
use crate::target::{self, Bounded, Found, Target};

/// A target and the attempt it belongs to.
#[derive(Debug)]
pub struct Resolution {
    attempt: Attempt,
    target: Target,
    request: Request,
}

/// A permit and the attempt it belongs to.
#[derive(Debug)]
pub struct Permission<A> {
    attempt: Attempt,
    permit: Permit<A>,
}

/// A refusal by policy or by the narrowing after it.
#[derive(Debug)]
pub struct Denial {
    /// As the caller may see it.
    pub failure: Failure,
    /// As an operator may.
    pub reasons: Vec<Reason>,
}

impl Resolution {
    /// The proof.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

impl<A> Permission<A> {
    /// The proof.
    pub fn permit(&self) -> &Permit<A> {
        &self.permit
    }
}

/// Step 1: who asks, and on whose behalf.
///
/// # Errors
/// A recorded failure.
pub fn resolve_target(ports: &impl Ports, request: Request) -> Result<Resolution, Failure> {
    resolve_as(ports, request, None)
}

/// The same of a request that names its client beside the credential.
fn resolve_as(ports: &impl Ports, mut request: Request, client: Option<&str>) -> Result<Resolution, Failure> {
    let mut attempt = begin(ports, &mut request)?;
    match resolve(ports, &mut attempt, request, client) {
        Ok((target, request)) => Ok(Resolution { attempt, target, request }),
        Err(problem) => Err(attempt.failed(ports, &problem)),
    }
}

/// Step 2: whether, and how much.
///
/// # Errors
/// A recorded denial.
pub fn evaluate_policy<P: Ports>(ports: &P, resolution: Resolution) -> Result<Permission<P::Approval>, Denial> {
    let Resolution { attempt, target, request } = resolution;
    match evaluate(ports, &attempt, target, &request) {
        Ok(permit) => Ok(Permission { attempt, permit }),
        Err(problem) => Err(Denial { failure: attempt.failed(ports, &problem), reasons: problem.reasons }),
    }
}

/// Step 3: the token.
///
/// # Errors
/// A recorded failure.
pub fn mint<P: Ports>(ports: &P, permission: Permission<P::Approval>) -> Result<Minted, Failure> {
    let Permission { attempt, permit } = permission;
    mint::mint(ports, permit, &attempt).map_err(|problem| attempt.failed(ports, &problem))
}

/// The three in one call.
///
/// # Errors
/// A recorded failure.
pub fn mint_on_behalf(ports: &impl Ports, request: Request) -> Result<Minted, Failure> {
    mint_as(ports, request, None)
}

/// The same of a request that may name its client beside the credential.
///
/// # Errors
/// A recorded failure.
pub fn mint_as(ports: &impl Ports, request: Request, client: Option<&str>) -> Result<Minted, Failure> {
    let resolution = resolve_as(ports, request, client)?;
    let permission = evaluate_policy(ports, resolution).map_err(|denial| denial.failure)?;
    mint(ports, permission)
}

pub(crate) fn begin(ports: &impl Ports, request: &mut Request) -> Result<Attempt, Failure> {
    if request.correlation_id.is_empty() {
        request.correlation_id = ports.bits128().map(|bits| format!("{:032x}", u128::from_be_bytes(bits))).unwrap_or_default();
    }
    // What cannot be a step's name is too odd for the record.
    let odd_step = request.step.take_if(|step| !id::is_opaque(step)).is_some();
    let malformed = if !id::is_opaque(&request.correlation_id) { Some("correlation_id") } else { odd_step.then_some("step") };
    let attempt = Attempt::begin(ports, request);
    match malformed {
        None => Ok(attempt),
        Some(field) => Err(attempt.failed(ports, &Problem::at(RequestError::InvalidField, field))),
    }
}

fn resolve(
    ports: &impl Ports,
    attempt: &mut Attempt,
    mut request: Request,
    client: Option<&str>,
) -> Result<(Target, Request), Problem> {
    let caller = authenticate(ports, attempt, &mut request)?;
    // RFC 7521 §4.2: it names the client that the credential is of, or the request means two.
    if client.is_some_and(|client| client != caller.client().id) {
        return Err(Problem::at(CallerError::Several, "client_id"));
    }
    let found = find(ports, attempt, caller, &request)?;
    let bounded = bound(ports, attempt, found, &request)?;
    Ok((bounded.within()?, request))
}

pub(crate) fn authenticate(ports: &impl Ports, attempt: &mut Attempt, request: &mut Request) -> Result<Caller, Problem> {
    // The credential ends here: nothing behind this line can reach it.
    let credential = std::mem::replace(&mut request.caller, Credential::Attested(String::new()));
    let caller = caller::authenticate(ports, attempt.settings(), attempt.now(), credential)?;
    attempt.authenticated(&caller);
    Ok(caller)
}

pub(crate) fn find(ports: &impl Ports, attempt: &mut Attempt, caller: Caller, request: &Request) -> Result<Found, Problem> {
    let found = target::resolve(ports, attempt.settings(), attempt.now(), caller, request)?;
    attempt.resolved(found.resolved());
    Ok(found)
}

pub(crate) fn bound(ports: &impl Ports, attempt: &Attempt, found: Found, request: &Request) -> Result<Bounded, Problem> {
    found.bounded(ports, attempt.settings(), attempt.now(), request)
}

pub(crate) fn evaluate<P: Ports>(
    ports: &P,
    attempt: &Attempt,
    target: Target,
    request: &Request,
) -> Result<Permit<P::Approval>, Problem> {
    policy::evaluate(ports, attempt.settings(), target, request, Flow::Local)
}
