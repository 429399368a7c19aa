//! How a token comes about, and what kinds of it there are.

use serde::Serialize;

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
