//! Public keys as JSON (RFC 7517, RFC 7518 §6, RFC 8037 §2) and what they verify.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Deserialize;
use serde_json::{Value, json};

use super::VerifyingKey;
use crate::bounded;
use crate::registry::Algorithm;

/// The longest JWK set, in bytes.
pub const MAX_SET_BYTES: usize = 256 * 1024;
/// The most keys in a JWK set.
pub const MAX_SET_KEYS: usize = 100;
/// The longest `kid`, in bytes.
const MAX_KID: usize = 512;

/// Why a JWK or a JWK set is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Over [`MAX_SET_BYTES`] or [`MAX_SET_KEYS`].
    #[error("the jwk set is too long")]
    TooLong,
    /// Not a JWK or JWK set.
    #[error("not a jwk or jwk set")]
    Malformed,
    /// Symmetric, private, weak, for encryption, or of an unknown kind.
    #[error("not a public key that may verify signatures")]
    Unusable,
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    thumbprint: String,
    algorithms: Vec<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    One(ParsedPublicKey),
    Rsa { pkcs1: ParsedPublicKey, pss: ParsedPublicKey },
}

/// The members of a JWK that matter here. `d` and `k` are read to refuse keys that give their secret away.
#[derive(Deserialize)]
struct Raw {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<Value>,
    k: Option<Value>,
}

impl PublicKey {
    /// Reads one public JWK.
    ///
    /// # Errors
    /// Where it is none, or none to verify signatures with.
    pub fn parse(jwk: &str) -> Result<Self, JwkError> {
        Self::from_raw(serde_json::from_str(jwk).map_err(|_| JwkError::Malformed)?)
    }

    fn from_raw(raw: Raw) -> Result<Self, JwkError> {
        // RFC 7517 §4.2, §4.3; a key that is published with its private part is anybody's.
        let other_use = raw.usage.as_deref().is_some_and(|usage| usage != "sig");
        let other_ops = raw.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"));
        let long_kid = raw.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID);
        if other_use || other_ops || long_kid || raw.d.is_some() || raw.k.is_some() {
            return Err(JwkError::Unusable);
        }
        let mut key = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Self::ed25519(&bytes(raw.x.as_deref())?),
            ("EC", Some("P-256")) => Self::ec(Algorithm::Es256, &bytes(raw.x.as_deref())?, &bytes(raw.y.as_deref())?),
            ("EC", Some("P-384")) => Self::ec(Algorithm::Es384, &bytes(raw.x.as_deref())?, &bytes(raw.y.as_deref())?),
            ("RSA", _) => Self::rsa(&bytes(raw.n.as_deref())?, &bytes(raw.e.as_deref())?),
            _ => Err(JwkError::Unusable),
        }?;
        // RFC 7517 §4.4: a key made for one algorithm serves no other.
        if let Some(alg) = raw.alg {
            key.algorithms.retain(|algorithm| algorithm.name() == alg);
        }
        if key.algorithms.is_empty() {
            return Err(JwkError::Unusable);
        }
        key.kid = raw.kid;
        Ok(key)
    }

    /// An Ed25519 key (RFC 8037 §2).
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, JwkError> {
        if x.len() != 32 {
            return Err(JwkError::Unusable);
        }
        let parsed = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| JwkError::Unusable)?;
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL.encode(x));
        Ok(Self::new(vec![Algorithm::EdDsa], Material::One(parsed), &canonical))
    }

    /// A key on P-256 or P-384 (RFC 7518 §6.2.1): coordinates have their full length and are on the curve.
    pub(super) fn ec(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Result<Self, JwkError> {
        let (curve, length, verification) = match algorithm {
            Algorithm::Es256 => ("P-256", 32, &signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => ("P-384", 48, &signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDsa | Algorithm::Rs256 | Algorithm::Ps256 => return Err(JwkError::Unusable),
        };
        if x.len() != length || y.len() != length {
            return Err(JwkError::Unusable);
        }
        let point = [&[4], x, y].concat();
        let parsed = ParsedPublicKey::new(verification, point).map_err(|_| JwkError::Unusable)?;
        let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
        let canonical = format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(Self::new(vec![algorithm], Material::One(parsed), &canonical))
    }

    /// An RSA key of 2,048 to 8,192 bits (RFC 7518 §3.3, §6.3.1) whose exponent is odd and at least 65,537.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, JwkError> {
        // Some issuers write leading zeros, which RFC 7518 §6.3.1.1 forbids; the key is the same.
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        let exponent = e.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        if !(2_048..=8_192).contains(&bits) || e.len() > 4 || exponent < 65_537 || exponent.is_multiple_of(2) {
            return Err(JwkError::Unusable);
        }
        let key = RsaPublicKeyComponents { n, e };
        let pkcs1 = key.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256).map_err(|_| JwkError::Unusable)?;
        let pss = key.to_parsed_public_key(&signature::RSA_PSS_2048_8192_SHA256).map_err(|_| JwkError::Unusable)?;
        let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, BASE64URL.encode(e), BASE64URL.encode(n));
        Ok(Self::new(vec![Algorithm::Rs256, Algorithm::Ps256], Material::Rsa { pkcs1, pss }, &canonical))
    }

    fn new(algorithms: Vec<Algorithm>, material: Material, canonical: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        Self { kid: None, thumbprint: BASE64URL.encode(digest), algorithms, material }
    }

    /// The same key under this `kid` and for this algorithm only.
    pub(super) fn named(mut self, kid: &str, algorithm: Algorithm) -> Self {
        self.kid = Some(kid.to_owned());
        self.algorithms.retain(|fits| *fits == algorithm);
        self
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("thumbprint", &self.thumbprint)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl VerifyingKey for PublicKey {
    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.algorithms.contains(&algorithm) {
            return false;
        }
        let key = match (&self.material, algorithm) {
            (Material::One(key), Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Es384) => key,
            (Material::Rsa { pkcs1, .. }, Algorithm::Rs256) => pkcs1,
            (Material::Rsa { pss, .. }, Algorithm::Ps256) => pss,
            (Material::One(_), Algorithm::Rs256 | Algorithm::Ps256)
            | (Material::Rsa { .. }, Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Es384) => return false,
        };
        key.verify_sig(message, signature).is_ok()
    }
}

/// What a set has for one header.
#[derive(Debug, Clone)]
pub enum Picked {
    /// This key.
    Key(Arc<dyn VerifyingKey>),
    /// There is a key of this name, but not for this algorithm.
    Misfit,
    /// There is none, or more than one.
    None,
}

/// The usable keys of an issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Arc<PublicKey>>,
}

impl KeySet {
    /// Reads a JWK set. Keys that may not be used are left out (RFC 7517 §5).
    ///
    /// # Errors
    /// Where it is none, or too long.
    pub fn parse(json: &[u8]) -> Result<Self, JwkError> {
        #[derive(Deserialize)]
        struct RawSet {
            keys: Vec<Value>,
        }
        if json.len() > MAX_SET_BYTES {
            return Err(JwkError::TooLong);
        }
        let raw: RawSet = serde_json::from_slice(bounded::without_mark(json)).map_err(|_| JwkError::Malformed)?;
        if raw.keys.len() > MAX_SET_KEYS {
            return Err(JwkError::TooLong);
        }
        let mut keys: Vec<Arc<PublicKey>> = Vec::with_capacity(raw.keys.len());
        for value in raw.keys {
            if let Ok(key) = serde_json::from_value(value).map_err(|_| JwkError::Malformed).and_then(PublicKey::from_raw) {
                keys.push(Arc::new(key));
            }
        }
        Ok(Self { keys })
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of this `kid`; without one, the only key that fits.
    pub fn pick(&self, kid: Option<&str>, algorithm: Algorithm) -> Picked {
        let named = || self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Picked::Key(Arc::<PublicKey>::clone(key)),
            // The same key written twice is one key.
            (Some(key), Some(other)) if kid.is_some() && key.thumbprint == other.thumbprint && fitting.next().is_none() => {
                Picked::Key(Arc::<PublicKey>::clone(key))
            }
            (Some(_), Some(_)) => Picked::None,
            (None, _) if kid.is_some() && named().next().is_some() => Picked::Misfit,
            (None, _) => Picked::None,
        }
    }
}

/// The public JWK of a key of ours.
pub(super) fn published(kid: &str, algorithm: Algorithm, parts: &PublicParts) -> Value {
    let mut jwk = match parts {
        PublicParts::Ed25519 { x } => json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(x) }),
        PublicParts::P256 { x, y } => {
            json!({ "kty": "EC", "crv": "P-256", "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) })
        }
        PublicParts::Rsa { n, e } => json!({ "kty": "RSA", "n": BASE64URL.encode(n), "e": BASE64URL.encode(e) }),
    };
    if let Value::Object(members) = &mut jwk {
        members.insert("kid".into(), kid.into());
        members.insert("alg".into(), algorithm.name().into());
        members.insert("use".into(), "sig".into());
    }
    jwk
}

/// The numbers a public key of ours consists of.
#[derive(Debug, Clone)]
pub(super) enum PublicParts {
    Ed25519 { x: Vec<u8> },
    P256 { x: Vec<u8>, y: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicParts {
    pub(super) fn key(&self) -> Result<PublicKey, JwkError> {
        match self {
            Self::Ed25519 { x } => PublicKey::ed25519(x),
            Self::P256 { x, y } => PublicKey::ec(Algorithm::Es256, x, y),
            Self::Rsa { n, e } => PublicKey::rsa(n, e),
        }
    }
}

fn bytes(text: Option<&str>) -> Result<Vec<u8>, JwkError> {
    BASE64URL.decode(text.ok_or(JwkError::Malformed)?).map_err(|_| JwkError::Malformed)
}

fn without_zeros(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests;
