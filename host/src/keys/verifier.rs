//! Verifies compact JWS (RFC 7515) of those whose keys we know, and remembers which signatures were right.

mod jws;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use serde_json::{Map, Value};
use standin_core::registry::{Algorithm, IssuerKeys, IssuerRole, JwksSource, Registry};

use self::jws::Jws;
pub use self::jws::MalformedJws;
use super::issuers::{IssuerKeyError, IssuerKeySets};
use super::jwk::{KeySet, Picked, PublicKey};
use super::{Keys, VerifyingKey};
use crate::bindings::keys::{KeyError, KeySource, Verified};
use crate::clock::Clock;
use crate::evidence::TokenRole;
use crate::json::{self, JsonError};

/// The most signatures remembered. An entry is a digest and a time, about 200 bytes with what the cache needs for it.
const REMEMBERED: u64 = 16_384;
/// How long a signature is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// The longest JWS that is checked for [`is_signed_by`], in bytes, and how deep its claims may nest.
const MAX_KEPT_BYTES: usize = 16 * 1024;
const MAX_KEPT_DEPTH: u8 = 16;

/// Why a JWS was not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not a compact JWS of JSON claims within the limits.
    #[error(transparent)]
    Malformed(#[from] MalformedJws),
    /// The JWS asks for an algorithm that its issuer is not registered for, or that its key is not for.
    #[error("the algorithm is not registered for the issuer or not for the key")]
    Algorithm,
    /// No trusted issuer with this name and role.
    #[error("no trusted issuer of this name and role")]
    UnknownIssuer,
    /// No live key with this `kid`.
    #[error("no live key of this name")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    BadSignature,
    /// The keys cannot be had.
    #[error(transparent)]
    Unavailable(IssuerKeyError),
}

impl From<VerifyError> for KeyError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Malformed(_) => Self::Malformed,
            VerifyError::Algorithm => Self::Algorithm,
            VerifyError::UnknownIssuer => Self::UnknownIssuer,
            VerifyError::UnknownKey => Self::UnknownKey,
            VerifyError::BadSignature => Self::BadSignature,
            VerifyError::Unavailable(_) => Self::Unavailable,
        }
    }
}

impl From<IssuerKeyError> for VerifyError {
    fn from(error: IssuerKeyError) -> Self {
        match error {
            IssuerKeyError::Unknown => Self::UnknownKey,
            IssuerKeyError::Misfit => Self::Algorithm,
            IssuerKeyError::Unavailable(_) | IssuerKeyError::TooMany | IssuerKeyError::Crowded => Self::Unavailable(error),
        }
    }
}

/// A JWS whose signature is right, and in which role its signer stands; none for a key that came with the request.
#[derive(Debug)]
pub struct VerifiedToken {
    /// In which role.
    pub role: Option<TokenRole>,
    /// What it says.
    pub verified: Verified,
    /// Its claims, read.
    pub claims: Map<String, Value>,
}

/// Whose key has to have signed.
struct Signer {
    role: Option<TokenRole>,
    issuer: String,
    keys: Option<Arc<IssuerKeys>>,
    key: Arc<dyn VerifyingKey>,
}

/// Whether one of `keys` signed this compact JWS of this `typ`: for what is checked long after its keys have left the live set.
pub fn is_signed_by(token: &str, typ: &str, keys: &KeySet) -> bool {
    let Ok(jws) = Jws::parse(token, MAX_KEPT_BYTES, MAX_KEPT_DEPTH) else { return false };
    let (Some(algorithm), Ok(signature)) = (Algorithm::named(&jws.alg), jws.signature()) else { return false };
    match keys.pick(jws.kid.as_deref(), algorithm) {
        Picked::Key(key) => jws.typ.as_deref() == Some(typ) && key.verify(algorithm, jws.message.as_bytes(), &signature),
        Picked::Misfit | Picked::None => false,
    }
}

/// Verifies.
pub struct Verifier {
    issuers: Arc<IssuerKeySets>,
    clock: Arc<dyn Clock>,
    remembered: Option<Cache<[u8; 32], Duration>>,
}

impl Verifier {
    /// Verifies with the keys of these issuers. `remember`: whether a signature that was right once is believed for a while.
    pub fn new(remember: bool, issuers: Arc<IssuerKeySets>, clock: Arc<dyn Clock>) -> Self {
        let cache = || Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { issuers, clock, remembered: remember.then(cache) }
    }

    /// The keys it verifies with.
    pub fn issuers(&self) -> &Arc<IssuerKeySets> {
        &self.issuers
    }

    /// Verifies a compact JWS.
    ///
    /// # Errors
    /// Where it is malformed, nobody's, or its signature is wrong.
    pub async fn verify(
        &self,
        token: &str,
        source: &KeySource,
        keys: &dyn Keys,
        registry: &dyn Registry,
    ) -> Result<VerifiedToken, VerifyError> {
        let system = registry.settings();
        let jws = Jws::parse(token, system.max_token as usize, system.max_depth)?;
        // RFC 8725 §3.1: `none`, the HMAC family and whatever else we have no name for end here.
        let algorithm = Algorithm::named(&jws.alg).ok_or(VerifyError::Algorithm)?;
        let signature = jws.signature()?;
        let mut signer = self.signer(&jws, algorithm, source, keys, registry).await?;
        // RFC 8725 §3.2: the key says what it is for, not the token.
        if !signer.key.algorithms().contains(&algorithm) {
            return Err(VerifyError::Algorithm);
        }
        if let Err(error) = self.check(token, &signature, jws.message, algorithm, &signer) {
            // The issuer may have another key under this name by now.
            let Some(issuer) = &signer.keys else { return Err(error) };
            let another = self.issuers.find_another(issuer, jws.kid.as_deref(), algorithm, signer.key.thumbprint()).await;
            signer.key = another.map_err(|_none| error)?;
            self.check(token, &signature, jws.message, algorithm, &signer)?;
        }
        let verified = Verified {
            id: name_of(&jws, &signer),
            issuer: signer.issuer,
            key_thumbprint: signer.key.thumbprint().to_owned(),
            alg: jws.alg,
            typ: jws.typ,
            claims: jws.text,
        };
        Ok(VerifiedToken { role: signer.role, verified, claims: jws.claims })
    }

    async fn signer(
        &self,
        jws: &Jws<'_>,
        algorithm: Algorithm,
        source: &KeySource,
        keys: &dyn Keys,
        registry: &dyn Registry,
    ) -> Result<Signer, VerifyError> {
        match source {
            KeySource::SubjectIssuer => {
                let issuer = issuer_of(jws)?;
                if issuer == registry.settings().issuer {
                    let key = jws.kid.as_deref().and_then(|kid| keys.verifying_key(kid)).ok_or(VerifyError::UnknownKey)?;
                    return Ok(Signer { role: Some(TokenRole::Own), issuer, keys: None, key });
                }
                self.issuer(jws, algorithm, issuer, IssuerRole::Subject, registry).await
            }
            // A token of ours is never a caller credential.
            KeySource::CallerIssuer => {
                let issuer = issuer_of(jws)?;
                if issuer == registry.settings().issuer {
                    return Err(VerifyError::UnknownIssuer);
                }
                self.issuer(jws, algorithm, issuer, IssuerRole::Caller, registry).await
            }
            // Clients have no registered keys.
            KeySource::Client(_) => Err(VerifyError::UnknownKey),
            KeySource::InlineJwk(jwk) => {
                let key = inline(jwk, registry.settings().max_depth)?;
                Ok(Signer { role: None, issuer: String::new(), keys: None, key })
            }
        }
    }

    async fn issuer(
        &self,
        jws: &Jws<'_>,
        algorithm: Algorithm,
        issuer: String,
        role: IssuerRole,
        registry: &dyn Registry,
    ) -> Result<Signer, VerifyError> {
        let registered = registry.find_issuer(&issuer).filter(|found| found.issuer == issuer && found.role == role);
        let keys = registered.and_then(|_| registry.issuer_keys(&issuer)).ok_or(VerifyError::UnknownIssuer)?;
        // Before a key is looked for: a token must not make us fetch for an algorithm its issuer never uses.
        if !keys.algorithms.contains(&algorithm) {
            return Err(VerifyError::Algorithm);
        }
        let key = self.issuers.find(&keys, jws.kid.as_deref(), algorithm).await?;
        let role = match role {
            IssuerRole::Subject => TokenRole::Subject,
            IssuerRole::Caller => TokenRole::Caller,
        };
        Ok(Signer { role: Some(role), issuer, keys: Some(keys), key })
    }

    /// The signature, unless it is known to be right. The key is in the live set at this moment, and part of what is remembered:
    /// when it goes, nothing finds the entry any more.
    fn check(
        &self,
        token: &str,
        signature: &[u8],
        message: &str,
        algorithm: Algorithm,
        signer: &Signer,
    ) -> Result<(), VerifyError> {
        let right = || signer.key.verify(algorithm, message.as_bytes(), signature);
        let Some(cache) = &self.remembered else {
            return if right() { Ok(()) } else { Err(VerifyError::BadSignature) };
        };
        let entry = memory_key(token, algorithm, signer);
        let now = self.clock.monotonic();
        if cache.get(&entry).is_some_and(|since| now.saturating_sub(since) < REMEMBERED_FOR) {
            return Ok(());
        }
        if !right() {
            return Err(VerifyError::BadSignature);
        }
        cache.insert(entry, now);
        Ok(())
    }
}

/// The name in `lineage`, and in the space `revocation`, of the token of a trusted issuer that has this `jti`: 22 characters of a digest in
/// which no two issuers' `jti` collide.
pub fn foreign_name(issuer: &str, jti: &str) -> String {
    half_digest(["jti", issuer, jti])
}

/// The name of a token in `lineage`: our own `jti`, or that of a foreign one. A token without `jti` is named by all that was signed, and not
/// by its signature: of an ECDSA signature anybody makes a second one that is right too.
fn name_of(jws: &Jws<'_>, signer: &Signer) -> String {
    let jti = jws.claims.get("jti").and_then(Value::as_str).filter(|jti| !jti.is_empty());
    match (signer.role, jti) {
        (Some(TokenRole::Own), Some(jti)) => jti.to_owned(),
        (Some(TokenRole::Subject | TokenRole::Caller) | None, Some(jti)) => foreign_name(&signer.issuer, jti),
        (Some(TokenRole::Own | TokenRole::Subject | TokenRole::Caller) | None, None) => {
            half_digest(["token", &signer.issuer, jws.message])
        }
    }
}

/// 128 bits of SHA-256 over these parts, each with its length before it, as base64url.
fn half_digest(parts: [&str; 3]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let whole = context.finish();
    URL_SAFE_NO_PAD.encode(whole.as_ref().get(..16).unwrap_or_default())
}

/// SHA-256 over everything the answer depends on, each part with its length before it.
fn memory_key(token: &str, algorithm: Algorithm, signer: &Signer) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(token.as_bytes());
    part(signer.key.thumbprint().as_bytes());
    part(algorithm.name().as_bytes());
    // The issuer's configuration.
    part(match signer.role {
        Some(TokenRole::Own) => b"own",
        Some(TokenRole::Subject) => b"subject",
        Some(TokenRole::Caller) => b"caller",
        None => b"inline",
    });
    part(signer.issuer.as_bytes());
    if let Some(keys) = &signer.keys {
        match &keys.source {
            JwksSource::Url(url) => {
                part(b"url");
                part(url.as_bytes());
            }
            JwksSource::File(path) => {
                part(b"file");
                part(path.as_os_str().as_encoded_bytes());
            }
        }
        for registered in &keys.algorithms {
            part(registered.name().as_bytes());
        }
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

fn issuer_of(jws: &Jws<'_>) -> Result<String, VerifyError> {
    match jws.claims.get("iss") {
        Some(Value::String(issuer)) => Ok(issuer.clone()),
        Some(_) => Err(MalformedJws::Claims(JsonError::Syntax).into()),
        None => Err(VerifyError::UnknownIssuer),
    }
}

/// RFC 9449 §4.2: the public part of an asymmetric key.
fn inline(jwk: &str, max_depth: u8) -> Result<Arc<dyn VerifyingKey>, VerifyError> {
    const MAX_INLINE: usize = 4_096;
    if jwk.len() > MAX_INLINE {
        return Err(MalformedJws::Jwk.into());
    }
    json::object(jwk, max_depth).map_err(|_| MalformedJws::Jwk)?;
    let key = PublicKey::parse(jwk).map_err(|_| MalformedJws::Jwk)?;
    Ok(Arc::new(key))
}

#[cfg(test)]
mod tests;
