//! A private key of ours: PKCS#8 in PEM (RFC 7468 §10, RFC 5958), and what it signs.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64URL};
use standin_core::registry::Algorithm;
use zeroize::Zeroizing;

use super::VerifyingKey as _;
use super::der::rsa_numbers;
use super::jwk::{PublicKey, PublicParts};
use crate::bounded;
use crate::clock::Entropy;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// The longest key file, in bytes.
pub(super) const MAX_PEM: usize = 16 * 1024;

/// Why there is no such private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Not one PKCS#8 PEM block of this algorithm.
    #[error("not a pkcs#8 pem key of its algorithm")]
    Malformed,
    /// We sign with `EdDSA`, `ES256` and `RS256` only.
    #[error("keys of ours are EdDSA, ES256 or RS256")]
    Algorithm,
    /// No key could be made.
    #[error("no key could be generated")]
    Generation,
    /// Signing failed.
    #[error("signing failed")]
    Signing,
}

/// A private key. Never printed.
pub(super) struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
    parts: PublicParts,
    kid: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Makes a new key and its PEM file.
    pub(super) fn generate(algorithm: Algorithm, entropy: &dyn Entropy) -> Result<(Self, Zeroizing<String>), SigningKeyError> {
        let failed = |_| SigningKeyError::Generation;
        let pem = match algorithm {
            Algorithm::EdDsa => {
                // From a seed of ours: the library's own generator is slow to start.
                let mut seed = Zeroizing::new([0_u8; 32]);
                entropy.fill(&mut *seed).map_err(|_| SigningKeyError::Generation)?;
                let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| SigningKeyError::Generation)?;
                to_pem(pair.to_pkcs8v1().map_err(failed)?.as_ref())
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                to_pem(pair.to_pkcs8v1().map_err(failed)?.as_ref())
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                to_pem(der.as_ref())
            }
            Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => return Err(SigningKeyError::Algorithm),
        };
        Ok((Self::from_pem(algorithm, pem.as_bytes())?, pem))
    }

    /// Reads a key of this algorithm.
    pub(super) fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, SigningKeyError> {
        let der = from_pem(pem).ok_or(SigningKeyError::Malformed)?;
        let (pair, parts) = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| SigningKeyError::Malformed)?;
                let parts = PublicParts::Ed25519 { x: pair.public_key().as_ref().to_vec() };
                (Pair::Ed25519(pair), parts)
            }
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|_| SigningKeyError::Malformed)?;
                // SEC 1 §2.3.3: 0x04, x, y.
                let (x, y) = match pair.public_key().as_ref() {
                    [4, point @ ..] => point.split_at_checked(32).ok_or(SigningKeyError::Malformed)?,
                    _ => return Err(SigningKeyError::Malformed),
                };
                let parts = PublicParts::P256 { x: x.to_vec(), y: y.to_vec() };
                (Pair::P256(pair), parts)
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| SigningKeyError::Malformed)?;
                let (n, e) = rsa_numbers(pair.public_key().as_ref()).ok_or(SigningKeyError::Malformed)?;
                let parts = PublicParts::Rsa { n: n.to_vec(), e: e.to_vec() };
                (Pair::Rsa(pair), parts)
            }
            Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => return Err(SigningKeyError::Algorithm),
        };
        let kid = parts.key(Some(algorithm)).map_err(|_| SigningKeyError::Malformed)?.thumbprint().to_owned();
        Ok(Self { algorithm, pair, parts, kid })
    }

    /// What it signs with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// RFC 7638 thumbprint.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public part, as numbers.
    pub(super) fn parts(&self) -> &PublicParts {
        &self.parts
    }

    /// Its public part, to verify with.
    pub(super) fn public(&self) -> Result<PublicKey, SigningKeyError> {
        Ok(self.parts.key(Some(self.algorithm)).map_err(|_| SigningKeyError::Malformed)?.named(&self.kid))
    }

    /// `claims` as a compact JWS (RFC 7515 §3.1).
    pub(super) fn jws(&self, typ: &str, claims: &str) -> Result<String, SigningKeyError> {
        let header = serde_json::json!({ "alg": self.algorithm.name(), "kid": self.kid, "typ": typ }).to_string();
        let mut jws = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 360);
        BASE64URL.encode_string(header, &mut jws);
        jws.push('.');
        BASE64URL.encode_string(claims, &mut jws);
        let signature = self.sign(jws.as_bytes())?;
        jws.push('.');
        BASE64URL.encode_string(signature, &mut jws);
        Ok(jws)
    }

    /// The signature as JWS has it: for ECDSA `r` and `s` side by side (RFC 7518 §3.4).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| SigningKeyError::Signing)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({}, {}, [redacted])", self.algorithm.name(), self.kid)
    }
}

fn to_pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + BEGIN.len() + END.len() + 4));
    pem.push_str(BEGIN);
    for (index, character) in body.chars().enumerate() {
        if index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push('\n');
    pem.push_str(END);
    pem.push('\n');
    pem
}

fn from_pem(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(bounded::without_mark(pem)).ok()?.trim();
    let body = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut packed = Zeroizing::new(String::with_capacity(body.len()));
    packed.extend(body.chars().filter(|character| !character.is_ascii_whitespace()));
    STANDARD.decode(packed.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::clock::{EntropyError, SystemEntropy};

    struct Broken;

    impl Entropy for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }

    #[rstest]
    #[case(Algorithm::EdDsa, 64)]
    #[case(Algorithm::Es256, 64)]
    #[case(Algorithm::Rs256, 256)]
    fn signs_and_verifies(#[case] algorithm: Algorithm, #[case] length: usize) {
        let (key, pem) = SigningKey::generate(algorithm, &SystemEntropy).unwrap();
        assert!(pem.starts_with(BEGIN) && pem.lines().all(|line| line.len() <= 64));
        let again = SigningKey::from_pem(algorithm, pem.as_bytes()).unwrap();
        assert_eq!(again.kid(), key.kid());
        let jws = key.jws("at+jwt", r#"{"sub":"a"}"#).unwrap();
        let (message, signature) = jws.rsplit_once('.').unwrap();
        let signature = BASE64URL.decode(signature).unwrap();
        assert_eq!(signature.len(), length);
        let public = key.public().unwrap();
        assert_eq!(public.algorithms(), [algorithm]);
        assert!(public.verify(algorithm, message.as_bytes(), &signature));
        assert!(!public.verify(algorithm, b"something else", &signature));
        let header = BASE64URL.decode(message.split_once('.').unwrap().0).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, serde_json::json!({ "alg": algorithm.name(), "kid": key.kid(), "typ": "at+jwt" }));
        assert!(format!("{key:?}").contains("[redacted]"));
    }

    #[test]
    fn refuses_what_is_no_key_of_its_algorithm() {
        let (_, pem) = SigningKey::generate(Algorithm::EdDsa, &SystemEntropy).unwrap();
        for (algorithm, text) in [
            (Algorithm::Es256, pem.as_str()),
            (Algorithm::Rs256, pem.as_str()),
            (Algorithm::EdDsa, "nothing"),
            (Algorithm::EdDsa, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
            (Algorithm::EdDsa, "-----BEGIN PRIVATE KEY-----\n****\n-----END PRIVATE KEY-----"),
        ] {
            assert_eq!(SigningKey::from_pem(algorithm, text.as_bytes()).err(), Some(SigningKeyError::Malformed));
        }
    }

    #[rstest]
    #[case(Algorithm::Es384)]
    #[case(Algorithm::Ps256)]
    fn refuses_other_algorithms(#[case] algorithm: Algorithm) {
        assert_eq!(SigningKey::generate(algorithm, &SystemEntropy).err(), Some(SigningKeyError::Algorithm));
    }

    #[test]
    fn makes_no_key_without_randomness() {
        assert_eq!(SigningKey::generate(Algorithm::EdDsa, &Broken).err(), Some(SigningKeyError::Generation));
    }
}
