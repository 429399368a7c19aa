//! Subject -> target: who it is, in which tenant, and the most that could be granted.

mod account;
mod ceiling;
mod descriptor;
mod hop;
mod token;

use serde::Serialize;

pub use self::ceiling::{Cap, Ceiling, Dropped, Term};
use crate::caller::Caller;
use crate::chain::Actor;
use crate::error::{CallerError, Problem, RequestError};
use crate::facts::Authentication;
use crate::flow;
use crate::ports::{Account, IdType, Party, Ports, Request, Subject, SubjectKind, System};

/// The canonical account of a subject, as the claims name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountClaims {
    /// `account_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// `csp_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csp_id: Option<i64>,
    /// `sfdc_account_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sfdc_account_id: Option<String>,
}

impl From<&Account> for AccountClaims {
    fn from(account: &Account) -> Self {
        Self { account_id: Some(account.id.clone()), csp_id: account.csp_id, sfdc_account_id: account.sfdc_account_id.clone() }
    }
}

/// The machine of a `host` subject, as the claims name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostClaim {
    /// Its id.
    pub id: String,
    /// Its opaque id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ophid: Option<String>,
}

/// A subject that was found, in one tenant.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The name of a [`crate::own::Kind`].
    pub kind: &'static str,
    /// What `sub` will say.
    pub id: String,
    /// `user`, `host`, `envoy` or `token`: how it was named at the first hop.
    pub obo_type: String,
    /// Canonical tenant.
    pub tenant: String,
    /// The subject's own term of the scope, if there is one.
    pub scopes: Option<Vec<String>>,
    /// Name of that term.
    pub scopes_by: &'static str,
    /// When the subject token expires.
    pub expires_at: Option<u64>,
    /// Who acted before.
    pub chain: Option<Actor>,
    /// Their names as policies see them, nearest first.
    pub actors: Vec<String>,
    /// The names of every ancestor, oldest first.
    pub lineage: Vec<String>,
    /// The account it is in.
    pub account: Option<AccountClaims>,
    /// The machine it is.
    pub host: Option<HostClaim>,
    /// Whether the directory does not know it.
    pub provisional: bool,
    /// What the subject token says of the authentication behind it.
    pub authentication: Authentication,
    /// Whether the subject token is bound to a key.
    pub bound: bool,
}

impl Resolved {
    /// As a policy sees it; the host adds the attributes it knows itself.
    pub fn party(&self) -> Party {
        Party { tenants: vec![self.tenant.clone()], provisional: self.provisional, ..self.named() }
    }

    /// Its name alone, for the host to complete.
    pub(crate) fn named(&self) -> Party {
        Party { kind: self.kind.into(), id: self.id.clone(), tenants: Vec::new(), provisional: false, attributes: Vec::new() }
    }
}

/// A caller that was authenticated and a subject that was found, before anything is bounded.
#[derive(Debug)]
pub struct Found {
    caller: Caller,
    resolved: Resolved,
}

impl Found {
    /// The subject.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// The same with the most that could be granted of what is asked.
    ///
    /// # Errors
    /// Where what is asked for has no bounds: an unknown step, or an audience that is not the caller's.
    pub fn bounded(self, ports: &impl Ports, settings: &System, now: u64, request: &Request) -> Result<Bounded, Problem> {
        let Self { caller, resolved } = self;
        let ceiling = ceiling::of(ports, settings, now, caller.client(), &resolved, request)?;
        Ok(Bounded { caller, resolved, ceiling })
    }
}

/// A caller and a subject, and the bounds of what is asked, before it is held against them.
#[derive(Debug)]
pub struct Bounded {
    caller: Caller,
    resolved: Resolved,
    ceiling: Ceiling,
}

impl Bounded {
    /// The bounds.
    pub fn ceiling(&self) -> &Ceiling {
        &self.ceiling
    }

    /// The target.
    ///
    /// # Errors
    /// Where more is asked for than the bounds leave.
    pub fn within(self) -> Result<Target, Problem> {
        let Self { caller, resolved, ceiling } = self;
        ceiling.check(caller.client().scope_mode)?;
        Ok(Target { caller, resolved, ceiling })
    }
}

/// A caller that was authenticated and a subject that was found: the proof that `policy` consumes.
#[derive(Debug)]
pub struct Target {
    caller: Caller,
    resolved: Resolved,
    ceiling: Ceiling,
}

impl Target {
    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The subject.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// The most that could be granted.
    pub fn ceiling(&self) -> &Ceiling {
        &self.ceiling
    }

    /// For the policy's terms.
    pub(crate) fn ceiling_mut(&mut self) -> &mut Ceiling {
        &mut self.ceiling
    }
}

/// Finds the subject the caller names, in one of the caller's tenants.
///
/// # Errors
/// That the caller may not name such a subject, or the first rule that the subject breaks.
pub fn resolve(ports: &impl Ports, settings: &System, now: u64, caller: Caller, request: &Request) -> Result<Found, Problem> {
    refuse_unsupported(request)?;
    let kind = subject_kind(&request.subject);
    if !caller.client().subjects.contains(&kind) {
        return Err(CallerError::SubjectKind.into());
    }
    let resolved = match &request.subject {
        Subject::Token(token) => token::resolve(ports, settings, now, &caller, token, &account::asked(request)?)?,
        Subject::Descriptor(descriptor) => descriptor::resolve(ports, &caller, descriptor)?,
        Subject::Delegation(_) | Subject::Caller => return Err(Problem::at(RequestError::Unsupported, "subject")),
    };
    Ok(Found { caller, resolved })
}

fn subject_kind(subject: &Subject) -> SubjectKind {
    match subject {
        Subject::Token(_) => SubjectKind::Token,
        Subject::Descriptor(descriptor) => match descriptor.id_type {
            IdType::User => SubjectKind::User,
            IdType::Host => SubjectKind::Host,
            IdType::Envoy => SubjectKind::Envoy,
        },
        Subject::Delegation(_) => SubjectKind::Delegation,
        Subject::Caller => SubjectKind::Caller,
    }
}

/// What this version does not serve is refused, never passed over.
fn refuse_unsupported(request: &Request) -> Result<(), Problem> {
    if request.actor.is_some() {
        return Err(RequestError::ActorToken.into());
    }
    if request.dpop.is_some() {
        return Err(Problem::at(RequestError::Unsupported, "dpop"));
    }
    match request.requested_token_type.as_deref() {
        None | Some(flow::ACCESS_TOKEN | flow::JWT) => Ok(()),
        Some(_) => Err(Problem::at(RequestError::Unsupported, "requested_token_type")),
    }
}
