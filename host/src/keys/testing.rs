//! Stand-ins for the ports that verification needs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};
use standin_core::registry::{Audience, Client, Issuer, IssuerKeys, IssuerRole, JwksSource, SubjectMapping, System};

use super::issuers::IssuerKeySets;
use super::jwk::published;
use super::signing::SigningKey;
use super::*;
use crate::clock::SystemEntropy;
use crate::http::{Http, HttpError, Inbound, Outbound};

pub(super) const OWN: &str = "https://obo.example.com";
pub(super) const CORP: &str = "https://idp.example.com";
pub(super) const EDGE: &str = "https://callers.example.com";
pub(super) const CORP_JWKS: &str = "https://idp.example.com/jwks.json";

/// A clock that is set by hand.
#[derive(Default)]
pub(super) struct Hand(AtomicU64);

impl Hand {
    pub(super) fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// A site that serves what it was last told to.
#[derive(Default)]
pub(super) struct Site {
    pub(super) asked: AtomicUsize,
    current: Mutex<Option<Result<Inbound, HttpError>>>,
    sent: Mutex<Vec<(String, String)>>,
    pub(super) slow: std::sync::atomic::AtomicBool,
}

impl Site {
    pub(super) fn serve(&self, body: impl Into<Vec<u8>>) {
        self.serve_with(&[], body);
    }

    pub(super) fn serve_with(&self, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        *self.current.lock().unwrap() = Some(Ok(Inbound { status: 200, headers, body: body.into() }));
    }

    /// The headers of the last request.
    pub(super) fn sent(&self) -> Vec<(String, String)> {
        self.sent.lock().unwrap().clone()
    }

    pub(super) fn answer(&self, answer: Result<u16, HttpError>) {
        let answer = answer.map(|status| Inbound { status, headers: Vec::new(), body: br#"{"keys":[]}"#.to_vec() });
        *self.current.lock().unwrap() = Some(answer);
    }

    pub(super) fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Http for Site {
    async fn send(&self, request: Outbound) -> Result<Inbound, HttpError> {
        assert_eq!(request.method, "GET");
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.sent.lock().unwrap() = request.headers;
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.current.lock().unwrap().clone().unwrap_or(Err(HttpError::Timeout))
    }
}

/// A key of somebody.
pub(super) struct Signer(pub(super) SigningKey, Algorithm);

impl Signer {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self(SigningKey::generate(algorithm, &SystemEntropy).unwrap().0, algorithm)
    }

    pub(super) fn jwk(&self) -> Value {
        published(self.0.kid(), self.1, self.0.parts())
    }

    pub(super) fn token(&self, issuer: &str) -> String {
        self.0.jws("JWT", &json!({ "iss": issuer, "sub": "alice" }).to_string()).unwrap()
    }

    pub(super) fn key(&self) -> Arc<dyn VerifyingKey> {
        Arc::new(self.0.public().unwrap())
    }
}

pub(super) fn set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

pub(super) fn issuer_keys(source: JwksSource) -> IssuerKeys {
    IssuerKeys { source, algorithms: vec![Algorithm::EdDsa, Algorithm::Es256], max_stale: Duration::from_secs(3_600) }
}

/// Two trusted issuers and one client.
pub(super) struct Registered {
    system: System,
    pub(super) issuers: HashMap<String, (IssuerRole, IssuerKeys)>,
    pub(super) secrets: HashMap<String, Vec<[u8; 32]>>,
}

impl Default for Registered {
    fn default() -> Self {
        let system = System {
            issuer: OWN.into(),
            default_ttl: 300,
            max_ttl: 900,
            max_chain: 5,
            leeway: 30,
            permit_ttl: 30,
            max_token: 16 * 1024,
            max_depth: 8,
            max_body: 64 * 1024,
            attributes: Vec::new(),
        };
        let corp = issuer_keys(JwksSource::Url(CORP_JWKS.into()));
        let edge = issuer_keys(JwksSource::Url("https://callers.example.com/jwks.json".into()));
        let issuers =
            HashMap::from([(CORP.to_owned(), (IssuerRole::Subject, corp)), (EDGE.to_owned(), (IssuerRole::Caller, edge))]);
        Self { system, issuers, secrets: HashMap::new() }
    }
}

impl Registry for Registered {
    fn settings(&self) -> &System {
        &self.system
    }

    fn find_client(&self, _: &str) -> Option<Arc<Client>> {
        None
    }

    fn find_client_by_identity(&self, _: &str, _: &str) -> Option<Arc<Client>> {
        None
    }

    fn find_issuer(&self, issuer: &str) -> Option<Arc<Issuer>> {
        let (role, _) = self.issuers.get(issuer)?;
        Some(Arc::new(Issuer {
            issuer: issuer.to_owned(),
            name: issuer.to_owned(),
            role: *role,
            audiences: Vec::new(),
            tenants: Vec::new(),
            tenant_claim: None,
            mapping: SubjectMapping::Namespaced,
            scopes: None,
            scope_claims: Vec::new(),
            types: Vec::new(),
            attributes: Vec::new(),
        }))
    }

    fn find_audience(&self, _: &str) -> Option<Arc<Audience>> {
        None
    }

    fn secret_digests(&self, client: &str) -> Vec<[u8; 32]> {
        self.secrets.get(client).cloned().unwrap_or_default()
    }

    fn issuer_keys(&self, issuer: &str) -> Option<Arc<IssuerKeys>> {
        self.issuers.get(issuer).map(|(_, keys)| Arc::new(keys.clone()))
    }
}

/// How our own signing goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Broken,
    Hanging,
}

/// Our own keys.
pub(super) struct Own {
    pub(super) signer: Signer,
    pub(super) health: Health,
}

impl Own {
    pub(super) fn new(health: Health) -> Self {
        Self { signer: Signer::new(Algorithm::EdDsa), health }
    }
}

#[async_trait]
impl Keys for Own {
    async fn sign(&self, _: Option<Algorithm>, typ: &str, claims: &str) -> Result<String, KeysError> {
        match self.health {
            Health::Well => Ok(self.signer.0.jws(typ, claims).unwrap()),
            Health::Broken => Err(KeysError::Unavailable("broken".into())),
            Health::Hanging => std::future::pending().await,
        }
    }

    fn jwks(&self) -> Arc<str> {
        set(&[&self.signer]).into()
    }

    fn verifying_key(&self, kid: &str) -> Option<Arc<dyn VerifyingKey>> {
        (kid == self.signer.0.kid()).then(|| self.signer.key())
    }

    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeysError> {
        if self.health == Health::Well { Ok(format!("{domain}/{value}")) } else { Err(KeysError::Unavailable("broken".into())) }
    }
}

/// A verifier, and what it stands on.
pub(super) struct Stand {
    pub(super) site: Arc<Site>,
    pub(super) clock: Arc<Hand>,
    pub(super) issuers: Arc<IssuerKeySets>,
}

impl Stand {
    pub(super) fn new() -> Self {
        let (site, clock) = (Arc::<Site>::default(), Arc::<Hand>::default());
        let issuers = IssuerKeySets::new(Arc::<Site>::clone(&site), Arc::<Hand>::clone(&clock));
        Self { site, clock, issuers: Arc::new(issuers) }
    }

    pub(super) fn verifier(&self, remember: bool) -> Verifier {
        Verifier::new(remember, Arc::clone(&self.issuers), Arc::<Hand>::clone(&self.clock))
    }
}
