//! An issuer of user tokens: an ES256 key, a JWK set on loopback, and JWTs.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cli::out::tell;

const KID: &str = "demo-1";

/// The issuer.
pub(super) struct Issuer {
    key: EcdsaKeyPair,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Issuer {
    /// Makes a key and serves its public half.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("cannot make a key"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(serve(listener, jwks(&key)?));
        Ok(Self { key, address, server })
    }

    /// Where its key set is.
    pub(super) fn jwks_uri(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// A JWT with these claims.
    pub(super) fn token(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KID });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| anyhow!("cannot sign"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// RFC 7518 §6.2.1: the coordinates of the uncompressed point.
fn jwks(key: &EcdsaKeyPair) -> anyhow::Result<String> {
    let point: aws_lc_rs::encoding::EcPublicKeyUncompressedBin<'_> =
        key.public_key().as_be_bytes().map_err(|_| anyhow!("cannot encode the key"))?;
    let (x, y) = point.as_ref().get(1..).and_then(|point| point.split_at_checked(32)).context("the key is not on P-256")?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Ok(json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID, "x": x, "y": y }] }).to_string())
}

async fn serve(listener: TcpListener, jwks: String) {
    while let Ok((stream, _peer)) = listener.accept().await {
        let jwks = jwks.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |_request| {
                let mut response = Response::new(Full::new(Bytes::from(jwks.clone())));
                response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
                tell!("demo issuer: {error}");
            }
        });
    }
}
