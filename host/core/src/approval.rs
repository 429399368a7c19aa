//! The host's own memory of a permit, and the comparison of claims with it.
//!
//! `proof` finds out what a request's evidence bears out, an [`Approval`] keeps what the policy left of it, and
//! [`Approval::cover`] compares the claims that the component wants signed with that. The component's word counts for nothing.

mod caller;
mod claims;
mod cover;
mod facts;
mod proof;
mod revocation;
mod subject;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

pub use standin_domain::contract::Purpose;
use standin_domain::contract::{Allowance, Input};
use standin_domain::scope;

pub use self::caller::identified;
pub use self::cover::{Covered, Refusal};
pub use self::proof::{Proof, Unproven, examine};
pub use self::revocation::{Revocations, RevocationsAway};
use crate::evidence::SeenDecision;
use crate::registry::Algorithm;

/// What may be granted at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    scope: Vec<String>,
    audience: Vec<String>,
    ttl: u64,
}

impl Grant {
    /// What the policy's allowance leaves of the question: never more than was asked.
    pub fn narrow(input: &Input, allowance: &Allowance) -> Result<Self, Unproven> {
        let scope = scope::left_by_policy(&input.scope, allowance.scope.as_deref());
        let scope = scope.map_err(|scope::NothingLeft| Unproven::NothingLeft)?;
        let audience = intersect(&input.audience, allowance.audience.as_deref());
        let ttl = u64::from(allowance.ttl.map_or(input.ttl, |ttl| ttl.min(input.ttl)));
        if audience.is_empty() || ttl == 0 {
            return Err(Unproven::NothingLeft);
        }
        Ok(Self { scope, audience, ttl })
    }
}

/// `none` is no opinion, an empty list is nothing.
fn intersect(asked: &[String], allowed: Option<&[String]>) -> Vec<String> {
    asked.iter().filter(|item| allowed.is_none_or(|allowed| allowed.contains(item))).cloned().collect()
}

/// What was approved. Covers claims once, within its time.
#[derive(Debug)]
pub struct Approval {
    used: bool,
    approved_at: u64,
    grant: Grant,
    proof: Proof,
    decision: Arc<SeenDecision>,
}

impl Approval {
    /// Approves what is left of a proven question. `decision` is the question as the host completed it, with its permit.
    pub fn new(proof: Proof, grant: Grant, decision: Arc<SeenDecision>) -> Self {
        Self { used: false, approved_at: decision.input.now, grant, proof, decision }
    }

    /// Uses the approval up for these claims, covered or not. `now` is in Unix seconds; `jti` is the host's, whatever the claims say.
    ///
    /// # Errors
    /// Where it does not cover them.
    pub fn cover(&mut self, purpose: Purpose, claims: &str, now: u64, jti: &str) -> Result<Covered, Refusal> {
        if std::mem::replace(&mut self.used, true) {
            return Err(Refusal::Used);
        }
        if now > self.approved_at.saturating_add(self.proof.permit_ttl) {
            return Err(Refusal::TooLate);
        }
        match purpose {
            Purpose::AccessToken => {}
            Purpose::TransactionToken | Purpose::IdJag | Purpose::Introspection => return Err(Refusal::Purpose),
        }
        if self.decision.input.flow != LOCAL {
            return Err(Refusal::Flow);
        }
        cover::compare(self, claims, now, jti)
    }

    /// The question and the permit.
    pub fn decision(&self) -> &SeenDecision {
        &self.decision
    }

    /// The registered id of the caller.
    pub fn client_id(&self) -> &str {
        &self.proof.client.id
    }

    /// What the token is signed with; without it, with what the keys have for default.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.proof.algorithm
    }

    /// The names of the subject token and its ancestors, none of which may have been revoked; empty where the subject has no token.
    pub fn lineage(&self) -> &[String] {
        &self.proof.subject.lineage
    }

    /// The actors before the caller, nearest first.
    pub fn chain(&self) -> &[String] {
        &self.decision.input.chain
    }
}

/// The one flow whose tokens we sign ourselves.
const LOCAL: &str = "local";
