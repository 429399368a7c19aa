//! Ed25519 keys that are the same in every run, so that what was found once is found again.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::json;
use standin::keys::jwk::PublicKey;
use standin::keys::{Keys, KeysError, VerifyingKey};
use standin::registry::Algorithm;

/// A key pair.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    kid: &'static str,
    jwks: Arc<str>,
    public: Arc<PublicKey>,
}

impl Signer {
    /// Of this seed.
    pub(crate) fn new(seed: u8, kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed of the right length");
        let x = BASE64URL.encode(pair.public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x });
        let public = Arc::new(PublicKey::parse(&jwk.to_string()).expect("a key"));
        Self { pair, kid, jwks: json!({ "keys": [jwk] }).to_string().into(), public }
    }

    /// A compact JWS of these claims, whatever they are.
    pub(crate) fn token(&self, typ: &str, claims: &[u8]) -> String {
        self.jws(json!({ "alg": "EdDSA", "kid": self.kid, "typ": typ }).to_string().as_bytes(), claims)
    }

    /// A compact JWS of this header and these claims.
    pub(crate) fn jws(&self, header: &[u8], claims: &[u8]) -> String {
        let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        let signature = BASE64URL.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

#[async_trait]
impl Keys for Signer {
    async fn sign(&self, _algorithm: Option<Algorithm>, typ: &str, claims: &str) -> Result<String, KeysError> {
        Ok(self.token(typ, claims.as_bytes()))
    }

    fn jwks(&self) -> Arc<str> {
        Arc::clone(&self.jwks)
    }

    fn verifying_key(&self, kid: &str) -> Option<Arc<dyn VerifyingKey>> {
        (kid == self.kid).then(|| Arc::<PublicKey>::clone(&self.public) as Arc<dyn VerifyingKey>)
    }

    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeysError> {
        let mut digest = Context::new(&SHA256);
        for part in [domain, value] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        Ok(BASE64URL.encode(digest.finish()))
    }
}
