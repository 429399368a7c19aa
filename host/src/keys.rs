//! Import `keys`: signing and verification. The port, and its link to the component.

pub mod files;
mod folder;
mod index;
pub mod issuers;
pub mod json;
pub mod jwk;
mod secret;
mod signing;
pub mod verifier;

use std::sync::Arc;

use async_trait::async_trait;

use crate::registry::Algorithm;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no active key.
    #[error("there is no active signing key")]
    NoActiveKey,
    /// The key store does not answer or fails.
    #[error("the key store is unavailable: {0}")]
    Unavailable(String),
}

/// A public key that checks signatures of one algorithm.
pub trait VerifyingKey: Send + Sync + std::fmt::Debug {
    /// `kid` (RFC 7517 §4.5), if it has one.
    fn kid(&self) -> Option<&str>;
    /// RFC 7638 SHA-256 thumbprint, base64url.
    fn thumbprint(&self) -> &str;
    /// The algorithms it can check.
    fn algorithms(&self) -> &[Algorithm];
    /// Whether `signature` over `message` is right.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool;
}

/// Our own keys. One value is one consistent key set: it never changes while a request holds it.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// Signs `claims` (a JSON object) with the active key as a compact JWS with this `typ`.
    ///
    /// # Errors
    /// Where nothing could be signed.
    async fn sign(&self, typ: &str, claims: &str) -> Result<String, KeysError>;
    /// The public keys as a JWK set: next, active and retired ones.
    fn jwks(&self) -> Arc<str>;
    /// The public key with this `kid`.
    fn verifying_key(&self, kid: &str) -> Option<Arc<dyn VerifyingKey>>;
    /// A keyed digest of `value` within `domain`: 43 characters of base64url.
    ///
    /// # Errors
    /// Where the key for it is missing.
    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeysError>;
}
