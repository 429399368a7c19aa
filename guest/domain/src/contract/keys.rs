//! Interface `keys`.

use super::{Seconds, causes};

/// Why nothing was signed or verified.
#[derive(Clone)]
pub enum KeyError {
    /// No live key with this `kid`.
    UnknownKey,
    /// No trusted issuer with this name and role.
    UnknownIssuer,
    /// The signature is wrong.
    BadSignature,
    /// Not a compact JWS of JSON claims within the limits.
    Malformed,
    /// The JWS asks for an algorithm that its issuer is not registered for.
    Algorithm,
    /// The approval does not cover the claims; the text says what, for the audit record.
    Refused(String),
    /// The audit record could not be written.
    AuditFailed,
    /// Too many failures; again after so many seconds.
    Throttled(Seconds),
    /// The keys cannot be reached.
    Unavailable,
    /// What a later contract names.
    Other(Option<String>),
}

causes!(KeyError {
    UnknownKey, UnknownIssuer, BadSignature, Malformed, Algorithm, AuditFailed, Unavailable; Refused, Throttled, Other
});

/// What is signed; decides `typ`. The audience's registration decides the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Purpose {
    /// RFC 9068.
    AccessToken,
    /// A transaction token.
    TransactionToken,
    /// An identity assertion authorization grant.
    IdJag,
    /// RFC 9701.
    Introspection,
}

/// Whose keys must have signed.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A trusted issuer registered with `role = "subject"`, or ourselves; found by the `iss` of the JWS.
    SubjectIssuer,
    /// A trusted issuer registered with `role = "caller"`; found by the `iss` of the JWS.
    CallerIssuer,
    /// The keys registered for this client.
    Client(String),
    /// A public JWK that came with the request (RFC 9449).
    InlineJwk(String),
}

/// What a verified JWS says.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The registered issuer, our own for our own tokens, empty for sources that are no issuer.
    pub issuer: String,
    /// The name it has in `lineage` and in the space `revocation`: our `jti`, or 22 characters of the digest of a foreign one's issuer and
    /// `jti`, or of all that was signed where it has no `jti`.
    pub id: String,
    /// Thumbprint of the key (RFC 7638).
    pub key_thumbprint: String,
    /// The algorithm.
    pub alg: String,
    /// The header's `typ`.
    pub typ: Option<String>,
    /// The claims, a JSON object.
    pub claims: String,
}
