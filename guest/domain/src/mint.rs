//! Permit -> minted, by flow.

mod local;

pub use self::local::AccessTokenClaims;
use crate::audit::Attempt;
use crate::error::Problem;
use crate::flow::Flow;
use crate::policy::Permit;
use crate::ports::{Minted, Ports};

/// Mints what the permit says and consumes it.
///
/// # Errors
/// Where the permit has expired, or the host does not sign.
pub fn mint<P: Ports>(ports: &P, permit: Permit<P::Approval>, attempt: &Attempt) -> Result<Minted, Problem> {
    match permit.grant().flow {
        Flow::Local => local::mint(ports, permit, attempt),
    }
}

/// Everything but the signature.
///
/// # Errors
/// Where the chain has as many actors as it may have already.
pub fn preview<P: Ports>(ports: &P, permit: &Permit<P::Approval>, attempt: &Attempt) -> Result<String, Problem> {
    match permit.grant().flow {
        Flow::Local => local::preview(ports, permit, attempt),
    }
}
