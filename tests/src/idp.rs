//! An issuer of tokens: an ES256 key whose JWK set is served on loopback, and a second key that is not in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::encoding::{AsBigEndian as _, EcPublicKeyUncompressedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use standin::clock::{Clock as _, SystemClock};
use tokio::task::JoinHandle;

use crate::world::ISSUER;

/// `kid` of the published key.
pub const KID: &str = "idp-1";
/// Issuer of user tokens.
pub const IDP: &str = "https://idp.example.com";
/// Issuer of caller JWTs.
pub const CALLERS: &str = "https://callers.example.com";

/// The issuer.
pub struct Idp {
    key: EcdsaKeyPair,
    stranger: EcdsaKeyPair,
    address: SocketAddr,
    fetched: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

fn generate() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemClock::default().now().as_secs()
}

impl Idp {
    /// Makes the keys and serves the published one.
    pub async fn start() -> Self {
        let (key, stranger) = (generate(), generate());
        let jwks = json!({ "keys": [jwk(&key)] }).to_string();
        let fetched = Arc::new(AtomicU64::new(0));
        let answer = {
            let fetched = Arc::clone(&fetched);
            move || {
                fetched.fetch_add(1, Ordering::Relaxed);
                let jwks = jwks.clone();
                async move { jwks }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/jwks.json", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("the issuer serves") });
        Self { key, stranger, address, fetched, server }
    }

    /// The published key set.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [jwk(&self.key)] })
    }

    /// Where the key set is.
    pub fn jwks_uri(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// How often it was fetched.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Stops serving the key set.
    pub fn go_down(&self) {
        self.server.abort();
    }

    /// Claims of a good user token of [`IDP`] for alice in acme, with members of `changes` put in; `null` takes one out.
    pub fn claims(changes: Value) -> Value {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let jti = format!("jti-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut claims = json!({
            "iss": IDP, "sub": "alice", "aud": ISSUER, "iat": now(), "exp": now() + 600, "jti": jti,
            "tenant": "acme", "scope": "expenses:read expenses:write",
        });
        if let (Some(claims), Value::Object(changes)) = (claims.as_object_mut(), changes) {
            for (name, value) in changes {
                if value.is_null() {
                    claims.remove(&name);
                } else {
                    claims.insert(name, value);
                }
            }
        }
        claims
    }

    /// A user token with these changes.
    pub fn token(&self, changes: Value) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": KID }), &Self::claims(changes))
    }

    /// A caller JWT for `workload-7` with these changes.
    pub fn caller(&self, changes: Value) -> String {
        let mut claims = json!({ "iss": CALLERS, "sub": "workload-7", "aud": ISSUER, "iat": now(), "exp": now() + 300 });
        if let (Some(claims), Value::Object(changes)) = (claims.as_object_mut(), changes) {
            claims.extend(changes);
        }
        self.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": KID }), &claims)
    }

    /// Any header and claims, signed with the published key.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(&self.key, header, claims)
    }

    /// Any header and claims, signed with a key nobody published.
    pub fn sign_as_stranger(&self, header: &Value, claims: &Value) -> String {
        signed(&self.stranger, header, claims)
    }

    /// Claims under an HMAC made with the published key's coordinates, as if they were a secret.
    pub fn hmac_with_public_key(&self, claims: &Value) -> String {
        let message = message(&json!({ "alg": "HS256", "typ": "JWT", "kid": KID }), claims);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.key.public_key().as_ref());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The first two parts of a compact JWS.
pub fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// The claims of a compact JWS, unverified.
pub fn claims_of(token: &str) -> Value {
    part_of(token, 1)
}

/// The header of a compact JWS, unverified.
pub fn header_of(token: &str) -> Value {
    part_of(token, 0)
}

fn part_of(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("a JWS");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn signed(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    let point: EcPublicKeyUncompressedBin<'_> = key.public_key().as_be_bytes().expect("a point");
    let coordinate = |range| URL_SAFE_NO_PAD.encode(point.as_ref().get::<std::ops::Range<usize>>(range).expect("P-256"));
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID, "x": coordinate(1..33), "y": coordinate(33..65) })
}
