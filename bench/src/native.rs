//! The floor: the whole job as one native function, with the same cryptography and the same entropy, and nothing else.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, Ed25519KeyPair, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use standin::clock::{Clock as _, Entropy as _, SystemClock, SystemEntropy};

use crate::world::{self, API, CLIENT, IDP, ISSUER};

const LIFETIME: u64 = 300;

/// Keys and digests, ready.
pub(crate) struct Floor {
    idp: ParsedPublicKey,
    key: Ed25519KeyPair,
    header: String,
    secret: [u8; 32],
    clock: SystemClock,
}

/// Why nothing was minted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused;

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Deserialize)]
struct Subject<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    tenant: &'a str,
    scope: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
    act: Act<'a>,
    tenant: &'a str,
    obo_type: &'a str,
    lineage: [&'a str; 1],
}

#[derive(Serialize)]
struct Act<'a> {
    iss: &'a str,
    sub: &'a str,
}

impl Floor {
    /// Reads the issuer's key from the folder's key set, and makes a key of its own.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let set: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("idp.jwks.json"))?)?;
        let jwk = set.pointer("/keys/0").context("an empty key set")?;
        let mut point = vec![4];
        for coordinate in ["x", "y"] {
            let text = jwk.get(coordinate).and_then(serde_json::Value::as_str).context("a key without coordinates")?;
            point.extend(URL_SAFE_NO_PAD.decode(text)?);
        }
        let idp = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| anyhow!("not a P-256 key"))?;
        let mut seed = [0; 32];
        SystemEntropy.fill(&mut seed)?;
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| anyhow!("no signing key"))?;
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"bench","typ":"at+jwt"}"#);
        Ok(Self { idp, key, header, secret: world::secret_digest(), clock: SystemClock::default() })
    }

    /// A verified subject token and the right secret in, an access token out.
    pub(crate) fn mint(&self, client: &str, secret: &str, audience: &str, scope: &str, token: &str) -> Result<String, Refused> {
        let presented = digest(&SHA256, secret.as_bytes());
        verify_slices_are_equal(presented.as_ref(), &self.secret).map_err(|_| Refused)?;
        let (message, signature) = token.rsplit_once('.').ok_or(Refused)?;
        let (header, payload) = message.split_once('.').ok_or(Refused)?;
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Refused)?;
        if header.alg != "ES256" || header.typ != "JWT" || header.kid.is_empty() {
            return Err(Refused);
        }
        self.idp.verify_sig(message.as_bytes(), &signature).map_err(|_| Refused)?;
        let subject: Subject<'_> = serde_json::from_slice(&payload).map_err(|_| Refused)?;
        let now = self.clock.now().as_secs();
        let live = subject.exp > now && subject.iat <= now + 30;
        let allowed = client == CLIENT && audience == API && subject.scope.split(' ').any(|given| given == scope);
        if !live || !allowed || subject.iss != IDP || subject.aud != ISSUER || subject.tenant != "acme" {
            return Err(Refused);
        }
        let mut jti = [0; 16];
        SystemEntropy.fill(&mut jti).map_err(|_| Refused)?;
        let claims = Claims {
            iss: ISSUER,
            sub: &format!("ext:corp:{}", subject.sub),
            aud: audience,
            exp: subject.exp.min(now + LIFETIME),
            iat: now,
            jti: &URL_SAFE_NO_PAD.encode(jti),
            client_id: client,
            scope,
            act: Act { iss: ISSUER, sub: &format!("client:{client}") },
            tenant: subject.tenant,
            obo_type: "token",
            lineage: [subject.jti],
        };
        self.sign(&claims)
    }

    fn sign(&self, claims: &Claims<'_>) -> Result<String, Refused> {
        let claims = serde_json::to_vec(claims).map_err(|_| Refused)?;
        let mut jws = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 96);
        jws.push_str(&self.header);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut jws);
        let signature = self.key.sign(jws.as_bytes());
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(jws)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused)
}
