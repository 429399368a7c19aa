//! Interface `keys`.

#[cfg(feature = "wasmtime")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "wasmtime")]
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Seconds, causes};

/// Why nothing was signed or verified.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum KeyError {
    /// No live key with this `kid`.
    #[cfg_attr(feature = "wasmtime", component(name = "unknown-key"))]
    UnknownKey,
    /// No trusted issuer with this name and role.
    #[cfg_attr(feature = "wasmtime", component(name = "unknown-issuer"))]
    UnknownIssuer,
    /// The signature is wrong.
    #[cfg_attr(feature = "wasmtime", component(name = "bad-signature"))]
    BadSignature,
    /// Not a compact JWS of JSON claims within the limits.
    #[cfg_attr(feature = "wasmtime", component(name = "malformed"))]
    Malformed,
    /// The JWS asks for an algorithm that its issuer is not registered for.
    #[cfg_attr(feature = "wasmtime", component(name = "algorithm"))]
    Algorithm,
    /// The approval does not cover the claims; the text says what, for the audit record.
    #[cfg_attr(feature = "wasmtime", component(name = "refused"))]
    Refused(String),
    /// The audit record could not be written.
    #[cfg_attr(feature = "wasmtime", component(name = "audit-failed"))]
    AuditFailed,
    /// Too many failures; again after so many seconds.
    #[cfg_attr(feature = "wasmtime", component(name = "throttled"))]
    Throttled(Seconds),
    /// The keys cannot be reached.
    #[cfg_attr(feature = "wasmtime", component(name = "unavailable"))]
    Unavailable,
    /// What a later contract names.
    #[cfg_attr(feature = "wasmtime", component(name = "other"))]
    Other(Option<String>),
}

causes!(KeyError {
    UnknownKey, UnknownIssuer, BadSignature, Malformed, Algorithm, AuditFailed, Unavailable; Refused, Throttled, Other
});

/// What is signed; decides `typ`. The audience's registration decides the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(enum))]
#[repr(u8)]
pub enum Purpose {
    /// RFC 9068.
    #[cfg_attr(feature = "wasmtime", component(name = "access-token"))]
    AccessToken,
    /// A transaction token.
    #[cfg_attr(feature = "wasmtime", component(name = "transaction-token"))]
    TransactionToken,
    /// An identity assertion authorization grant.
    #[cfg_attr(feature = "wasmtime", component(name = "id-jag"))]
    IdJag,
    /// RFC 9701.
    #[cfg_attr(feature = "wasmtime", component(name = "introspection"))]
    Introspection,
}

/// Whose keys must have signed.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum KeySource {
    /// A trusted issuer registered with `role = "subject"`, or ourselves; found by the `iss` of the JWS.
    #[cfg_attr(feature = "wasmtime", component(name = "subject-issuer"))]
    SubjectIssuer,
    /// A trusted issuer registered with `role = "caller"`; found by the `iss` of the JWS.
    #[cfg_attr(feature = "wasmtime", component(name = "caller-issuer"))]
    CallerIssuer,
    /// The keys registered for this client.
    #[cfg_attr(feature = "wasmtime", component(name = "client"))]
    Client(String),
    /// A public JWK that came with the request (RFC 9449).
    #[cfg_attr(feature = "wasmtime", component(name = "inline-jwk"))]
    InlineJwk(String),
}

/// What a verified JWS says.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Verified {
    /// The registered issuer, our own for our own tokens, empty for sources that are no issuer.
    pub issuer: String,
    /// The name it has in `lineage` and in the space `revocation`: our `jti`, or 22 characters of the digest of a foreign one's issuer and
    /// `jti`, or of all that was signed where it has no `jti`.
    pub id: String,
    /// Thumbprint of the key (RFC 7638).
    #[cfg_attr(feature = "wasmtime", component(name = "key-thumbprint"))]
    pub key_thumbprint: String,
    /// The algorithm.
    pub alg: String,
    /// The header's `typ`.
    pub typ: Option<String>,
    /// The claims, a JSON object.
    pub claims: String,
}
