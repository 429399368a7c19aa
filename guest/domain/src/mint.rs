//! Permit -> minted, by flow.

mod local;

use serde::Serialize;

pub use self::local::AccessTokenClaims;
use crate::audit::Attempt;
use crate::error::Problem;
use crate::policy::Permit;
use crate::ports::{Minted, Ports};

/// RFC 8693 §3.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// RFC 8693 §3.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// RFC 8693 §3.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// `typ` of an access token (RFC 9068 §2.1).
pub const TYP_ACCESS_TOKEN: &str = "at+jwt";

/// How a token comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// A JWT signed by Standin.
    Local,
}

impl Flow {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
        }
    }

    /// The flow of this name.
    pub fn named(name: &str) -> Option<Self> {
        (name == Self::Local.name()).then_some(Self::Local)
    }
}

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
