//! Public keys as JSON (RFC 7517, RFC 7518 §6, RFC 8037 §2) and what they verify.

mod set;

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64URL};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use serde::Deserialize;
use serde_json::{Value, json};
use standin_core::registry::Algorithm;

pub use self::set::{KeySet, LeftOut, MAX_SET_BYTES, MAX_SET_KEYS, Picked};
use super::VerifyingKey;
use super::der::public_key_info;

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
    /// A public key that may not verify signatures, or none.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

/// Why a key verifies no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// RFC 7518 §6.4: anybody who verifies with it could sign as well.
    #[error("it is a symmetric key")]
    Symmetric,
    /// A key that is published with its private part is anybody's.
    #[error("its private part stands beside it")]
    Private,
    /// RFC 7517 §4.2.
    #[error("its `use` is another than signatures")]
    Use,
    /// RFC 7517 §4.3.
    #[error("its `key_ops` lack `verify`")]
    Operations,
    /// The name is too long.
    #[error("its `kid` is longer than {MAX_KID} bytes")]
    Kid,
    /// A `kty` or `crv` that we do not know.
    #[error("its `kty` or `crv` is not one that is supported")]
    Kind,
    /// RFC 7517 §4.4: an `alg` that we do not know, or that is of another kind of key.
    #[error("its `alg` is not supported, or not one of such a key")]
    Algorithm,
    /// RFC 7518 §6.2.1, RFC 8037 §2: coordinates of another length, or of no point.
    #[error("its coordinates are not those of a key on its curve")]
    Point,
    /// RFC 7518 §3.3: 2,048 bits at least; 8,192 is our own limit.
    #[error("its modulus has {0} bits; 2,048 to 8,192 are taken")]
    Size(usize),
    /// An even or small exponent.
    #[error("its exponent is even or less than 65,537")]
    Exponent,
    /// RFC 7517 §4.7: no certificate in `x5c`, one of another kind of key, or one before version 3 of X.509 (RFC 5280 §4.1.2.1).
    #[error("its `x5c` has no X.509 v3 certificate of such a key")]
    Certificate,
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    thumbprint: String,
    algorithms: Vec<Algorithm>,
    /// One for each algorithm, in their order.
    parsed: Vec<ParsedPublicKey>,
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
    x5c: Option<Vec<String>>,
}

impl PublicKey {
    /// Reads one public JWK.
    ///
    /// # Errors
    /// Where it is none, or none to verify signatures with.
    pub fn parse(jwk: &str) -> Result<Self, JwkError> {
        Self::from_raw(crate::json::from_str(jwk).map_err(|_| JwkError::Malformed)?)
    }

    fn from_raw(raw: Raw) -> Result<Self, JwkError> {
        // RFC 7517 §4.2, §4.3. SPIFFE bundles mark the keys of JWT-SVIDs with a `use` of their own (SPIFFE JWT-SVID §5.1).
        if raw.usage.as_deref().is_some_and(|usage| !matches!(usage, "sig" | "jwt-svid")) {
            return Err(Unusable::Use.into());
        }
        if raw.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err(Unusable::Operations.into());
        }
        if raw.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(Unusable::Kid.into());
        }
        if raw.k.is_some() || raw.kty == "oct" {
            return Err(Unusable::Symmetric.into());
        }
        if raw.d.is_some() {
            return Err(Unusable::Private.into());
        }
        // RFC 7517 §4.4: a key made for one algorithm serves no other.
        let only = raw.alg.as_deref().map(|alg| Algorithm::named(alg).ok_or(Unusable::Algorithm)).transpose()?;
        let mut key = parts(&raw)?.key(only)?;
        key.kid = raw.kid;
        Ok(key)
    }

    /// `fits` is what such a key verifies; `only` is what it was made for.
    fn new(fits: &[(Algorithm, ParsedPublicKey)], only: Option<Algorithm>, canonical: &str) -> Result<Self, Unusable> {
        let (algorithms, parsed): (Vec<_>, Vec<_>) =
            fits.iter().filter(|(algorithm, _)| only.is_none_or(|only| only == *algorithm)).cloned().unzip();
        if algorithms.is_empty() {
            return Err(Unusable::Algorithm);
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        Ok(Self { kid: None, thumbprint: BASE64URL.encode(digest), algorithms, parsed })
    }

    /// Takes in what the same key serves for besides.
    fn merge(&mut self, other: Self) {
        for (algorithm, parsed) in other.algorithms.into_iter().zip(other.parsed) {
            if !self.algorithms.contains(&algorithm) {
                self.algorithms.push(algorithm);
                self.parsed.push(parsed);
            }
        }
    }

    /// The same key under this `kid`.
    pub(super) fn named(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
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
        let mut keys = self.algorithms.iter().zip(&self.parsed);
        keys.find(|(fits, _)| **fits == algorithm).is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

/// The numbers of a key: from its members, or where it has none of them, from the certificate beside it (RFC 7517 §4.7). That one is
/// believed because it stands in the set, like the members; who issued it and until when says nothing more.
fn parts(raw: &Raw) -> Result<PublicParts, JwkError> {
    let has_none = [&raw.x, &raw.y, &raw.n, &raw.e].iter().all(|member| member.is_none());
    if let (Some(chain), true) = (&raw.x5c, has_none) {
        let first = chain.first().ok_or(Unusable::Certificate)?;
        let found = certified(first).ok_or(Unusable::Certificate)?;
        let is_its_kind = found.kty() == raw.kty && raw.crv.as_deref().is_none_or(|crv| found.crv() == Some(crv));
        return if is_its_kind { Ok(found) } else { Err(Unusable::Certificate.into()) };
    }
    let (x, y) = (|| bytes(raw.x.as_deref()), || bytes(raw.y.as_deref()));
    Ok(match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => PublicParts::Ed25519 { x: x()? },
        ("EC", Some("P-256")) => PublicParts::P256 { x: x()?, y: y()? },
        ("EC", Some("P-384")) => PublicParts::P384 { x: x()?, y: y()? },
        ("EC", Some("P-521")) => PublicParts::P521 { x: x()?, y: y()? },
        ("RSA", _) => PublicParts::Rsa { n: bytes(raw.n.as_deref())?, e: bytes(raw.e.as_deref())? },
        _ => return Err(Unusable::Kind.into()),
    })
}

/// The key of a certificate in base64 (not base64url).
fn certified(text: &str) -> Option<PublicParts> {
    let der = STANDARD.decode(text).ok()?;
    let der = CertificateDer::from(der);
    let certificate = ParsedCertificate::try_from(&der).ok()?;
    public_key_info(&certificate.subject_public_key_info())
}

/// The public JWK of a key of ours.
pub(super) fn published(kid: &str, algorithm: Algorithm, parts: &PublicParts) -> Value {
    let text = |bytes: &[u8]| BASE64URL.encode(bytes);
    let mut jwk = match parts {
        PublicParts::Ed25519 { x } => json!({ "crv": parts.crv(), "x": text(x) }),
        PublicParts::P256 { x, y } | PublicParts::P384 { x, y } | PublicParts::P521 { x, y } => {
            json!({ "crv": parts.crv(), "x": text(x), "y": text(y) })
        }
        PublicParts::Rsa { n, e } => json!({ "n": text(n), "e": text(e) }),
    };
    if let Value::Object(members) = &mut jwk {
        members.insert("kty".into(), parts.kty().into());
        members.insert("kid".into(), kid.into());
        members.insert("alg".into(), algorithm.name().into());
        members.insert("use".into(), "sig".into());
    }
    jwk
}

/// The numbers a public key consists of.
#[derive(Debug, Clone)]
pub(super) enum PublicParts {
    Ed25519 { x: Vec<u8> },
    P256 { x: Vec<u8>, y: Vec<u8> },
    P384 { x: Vec<u8>, y: Vec<u8> },
    P521 { x: Vec<u8>, y: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicParts {
    fn kty(&self) -> &'static str {
        match self {
            Self::Ed25519 { .. } => "OKP",
            Self::P256 { .. } | Self::P384 { .. } | Self::P521 { .. } => "EC",
            Self::Rsa { .. } => "RSA",
        }
    }

    fn crv(&self) -> Option<&'static str> {
        match self {
            Self::Ed25519 { .. } => Some("Ed25519"),
            Self::P256 { .. } => Some("P-256"),
            Self::P384 { .. } => Some("P-384"),
            Self::P521 { .. } => Some("P-521"),
            Self::Rsa { .. } => None,
        }
    }

    /// The key, for what it fits or, of that, only for one algorithm.
    pub(super) fn key(&self, only: Option<Algorithm>) -> Result<PublicKey, Unusable> {
        match self {
            Self::Ed25519 { x } => ed25519(x, only),
            Self::P256 { x, y } => ec("P-256", 32, (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED), (x, y), only),
            Self::P384 { x, y } => ec("P-384", 48, (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED), (x, y), only),
            Self::P521 { x, y } => ec("P-521", 66, (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED), (x, y), only),
            Self::Rsa { n, e } => rsa(n, e, only),
        }
    }
}

/// An Ed25519 key (RFC 8037 §2).
fn ed25519(x: &[u8], only: Option<Algorithm>) -> Result<PublicKey, Unusable> {
    if x.len() != 32 {
        return Err(Unusable::Point);
    }
    let parsed = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| Unusable::Point)?;
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL.encode(x));
    PublicKey::new(&[(Algorithm::EdDsa, parsed)], only, &canonical)
}

/// A key on one of the curves (RFC 7518 §6.2.1): coordinates have their full length and are on it.
fn ec(
    curve: &str,
    length: usize,
    (algorithm, verification): (Algorithm, &'static dyn VerificationAlgorithm),
    (x, y): (&[u8], &[u8]),
    only: Option<Algorithm>,
) -> Result<PublicKey, Unusable> {
    if x.len() != length || y.len() != length {
        return Err(Unusable::Point);
    }
    let point = [&[4], x, y].concat();
    let parsed = ParsedPublicKey::new(verification, point).map_err(|_| Unusable::Point)?;
    let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
    let canonical = format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#);
    PublicKey::new(&[(algorithm, parsed)], only, &canonical)
}

/// What an RSA key fits (RFC 7518 §3.3, §3.5).
const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
];

/// An RSA key of 2,048 to 8,192 bits (RFC 7518 §3.3, §6.3.1) whose exponent is odd and at least 65,537.
fn rsa(n: &[u8], e: &[u8], only: Option<Algorithm>) -> Result<PublicKey, Unusable> {
    // Some issuers write leading zeros, which RFC 7518 §6.3.1.1 forbids; the key is the same.
    let (n, e) = (without_zeros(n), without_zeros(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(2_048..=8_192).contains(&bits) {
        return Err(Unusable::Size(bits));
    }
    let exponent = e.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    if e.len() > 4 || exponent < 65_537 || exponent.is_multiple_of(2) {
        return Err(Unusable::Exponent);
    }
    let key = RsaPublicKeyComponents { n, e };
    let wanted = RSA.into_iter().filter(|(algorithm, _)| only.is_none_or(|only| only == *algorithm));
    let parsed = wanted.map(|(algorithm, parameters)| key.to_parsed_public_key(parameters).map(|key| (algorithm, key)));
    let parsed: Vec<_> = parsed.collect::<Result<_, _>>().map_err(|_| Unusable::Point)?;
    let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, BASE64URL.encode(e), BASE64URL.encode(n));
    PublicKey::new(&parsed, only, &canonical)
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
