//! The operator's registrations: who may ask for what, as a port.

use std::sync::Arc;

pub use standin_domain::contract::{Audience, Client, Issuer, IssuerRole, ScopeMode, Step, SubjectKind, SubjectMapping, System};

/// A signature algorithm that may be registered for an issuer (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519, also under its own name (RFC 9864 §2.2).
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2,048 bits or more.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256, 2,048 bits or more.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
}

/// The other name of [`Algorithm::EdDsa`].
pub const ED25519: &str = "Ed25519";

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// Those that we sign with ourselves.
    pub const SIGNING: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its JOSE name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    /// The algorithm of this JOSE name. `EdDSA` is what everybody used to call Ed25519 and many still do.
    pub fn named(name: &str) -> Option<Self> {
        if name == ED25519 {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// The attribute of an audience with the algorithm that its tokens are signed with: a JOSE name as a JSON string. Without it they are
/// signed with what the keys have for default.
pub const ALGORITHM: &str = "algorithm";

/// An audience's [`ALGORITHM`] is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the algorithm that the audience is registered with is none")]
pub struct UnknownAlgorithm;

/// What tokens for this audience are signed with; `None` is the default of the keys.
///
/// # Errors
/// Where its registration names something else than an algorithm.
pub fn signing_algorithm(audience: &Audience) -> Result<Option<Algorithm>, UnknownAlgorithm> {
    let Some(found) = audience.attributes.iter().find(|attribute| attribute.name == ALGORITHM) else { return Ok(None) };
    let name: String = serde_json::from_str(&found.value).map_err(|_| UnknownAlgorithm)?;
    Algorithm::named(&name).map(Some).ok_or(UnknownAlgorithm)
}

/// Where an issuer's public keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JwksSource {
    /// `https`, or `http` on loopback.
    Url(String),
    /// A file.
    File(std::path::PathBuf),
}

/// How an issuer's signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssuerKeys {
    /// Where its keys are.
    pub source: JwksSource,
    /// What it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// How long a fetched set may serve while the source is down.
    pub max_stale: std::time::Duration,
}

/// Who may ask for what. One value is one consistent snapshot: it never changes while a request holds it.
pub trait Registry: Send + Sync + 'static {
    /// What holds for every request.
    fn settings(&self) -> &System;
    /// Finds a client.
    fn find_client(&self, id: &str) -> Option<Arc<Client>>;
    /// Finds the client that names exactly this caller-issuer and `sub`.
    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Arc<Client>>;
    /// Finds a trusted issuer.
    fn find_issuer(&self, issuer: &str) -> Option<Arc<Issuer>>;
    /// Finds an audience.
    fn find_audience(&self, id: &str) -> Option<Arc<Audience>>;
    /// SHA-256 digests of the client's live secrets, at most two; empty for an unknown client.
    fn secret_digests(&self, client: &str) -> Vec<[u8; 32]>;
    /// How the signatures of a trusted issuer are checked.
    fn issuer_keys(&self, issuer: &str) -> Option<Arc<IssuerKeys>>;
}
