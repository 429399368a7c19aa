//! Import `keys`: signing and verification. The port, and its link to the component.

mod der;
pub mod files;
mod folder;
mod index;
pub mod issuers;
pub mod jwk;
mod signing;
#[cfg(test)]
mod testing;
pub mod verifier;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use standin_core::registry::{Algorithm, Registry};
use standin_domain::flow::TYP_ACCESS_TOKEN;
use standin_domain::id;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use zeroize::Zeroizing;

pub use self::issuers::IssuerKeySets;
pub use self::verifier::{Verifier, VerifyError, foreign_name, is_signed_by};
use crate::address::Address;
use crate::approval::{Approval, Covered, Purpose, Refusal, Revocations};
use crate::audit::{Announced, AuditCtx};
use crate::bindings::keys::{KeyError, KeySource, Verified};
use crate::claimed::Identity;
use crate::clock::{Clock, Entropy};
use crate::door::Crowded;
use crate::evidence::{Evidence, Stage};
use crate::guessing::Asker;
use crate::record;
use crate::tape::Taped;

/// The longest secret, domain or value a component may hand in, in bytes.
const MAX_TEXT: usize = 4_096;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no active key of this algorithm.
    #[error("there is no active signing key of the algorithm")]
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
    /// Signs `claims` (a JSON object) as a compact JWS with this `typ`, with the active key of this algorithm, or of the one that is
    /// the default where none is asked for.
    ///
    /// # Errors
    /// Where nothing could be signed.
    async fn sign(&self, algorithm: Option<Algorithm>, typ: &str, claims: &str) -> Result<String, KeysError>;
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

/// What the import needs of one request.
pub struct KeysCtx {
    keys: Arc<dyn Keys>,
    verifier: Arc<Verifier>,
    registry: Arc<dyn Registry>,
    revocations: Arc<dyn Revocations>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    timeout: Duration,
    asker: Asker,
}

impl KeysCtx {
    /// Signs with `keys` what descends from nothing in `revocations`; verifies with those and the keys of the issuers in `registry`.
    /// `timeout` is for one signature, or one verification with its fetch.
    pub fn new(
        keys: Arc<dyn Keys>,
        verifier: Arc<Verifier>,
        registry: Arc<dyn Registry>,
        revocations: Arc<dyn Revocations>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        timeout: Duration,
    ) -> Self {
        Self { keys, verifier, registry, revocations, clock, entropy, timeout, asker: Asker::default() }
    }

    /// The same for a request of somebody.
    #[must_use]
    pub(crate) fn asked_by(self, asker: Asker) -> Self {
        Self { asker, ..self }
    }
}

/// The context with what it shares with the other imports.
pub struct KeysView<'a> {
    /// The import's own context.
    pub ctx: &'a KeysCtx,
    /// What the host has seen proven in this request.
    pub evidence: &'a mut Evidence,
    /// Where an event goes before a token does.
    pub audit: &'a mut AuditCtx,
    /// Where approvals are.
    pub table: &'a mut ResourceTable,
}

impl KeysView<'_> {
    /// Compares, looks at what was revoked, records, signs, releases, in this order.
    async fn mint(&mut self, mut approval: Approval, purpose: Purpose, claims: &str, event: &str) -> Result<String, KeyError> {
        if self.evidence.dry_run {
            return Err(self.refuse(Refusal::DryRun));
        }
        let now = self.ctx.clock.now().as_secs();
        let covered = approval.cover(purpose, claims, now, &self.token_id()?).map_err(|refusal| self.refuse(refusal))?;
        self.check_lineage(&approval).await?;
        self.evidence.stages.end(Stage::Mint, self.ctx.clock.monotonic());
        let announced = self.record(&approval, &covered, event).await?;
        // The audience's registration chooses the key, never the component.
        let signing = self.ctx.keys.sign(approval.algorithm(), typ(purpose), &covered.claims);
        let signed = tokio::time::timeout(self.ctx.timeout, signing).await.map_err(|elapsed| elapsed.to_string());
        match signed.and_then(|signed| signed.map_err(|error| error.to_string())) {
            Ok(token) => {
                announced.done();
                return Ok(token);
            }
            Err(error) => tracing::error!(correlation_id = %self.audit.correlation_id(), error, "sign"),
        }
        // The log says that a token was minted, and none was.
        let event = record::not_released(self.audit.correlation_id(), approval.client_id(), &covered.jti);
        let event = event.map_err(|error| self.unrecorded(&error))?;
        self.append(event).await?;
        announced.done();
        Err(KeyError::Unavailable)
    }

    /// A `jti` that nobody else has chosen: 128 random bits.
    fn token_id(&self) -> Result<String, KeyError> {
        let mut bits = [0; 16];
        self.ctx.entropy.fill(&mut bits).map_err(|error| {
            tracing::error!(correlation_id = %self.audit.correlation_id(), %error, "sign");
            KeyError::Unavailable
        })?;
        Ok(URL_SAFE_NO_PAD.encode(bits))
    }

    fn refuse(&mut self, refusal: Refusal) -> KeyError {
        self.evidence.refused(refusal.to_string());
        KeyError::Refused(refusal.to_string())
    }

    /// The last look before a signature: the component may not have looked, or long ago.
    async fn check_lineage(&mut self, approval: &Approval) -> Result<(), KeyError> {
        if approval.lineage().is_empty() {
            return Ok(());
        }
        match self.ctx.revocations.any_revoked(approval.lineage()).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(self.refuse(Refusal::Revoked)),
            Err(error) => {
                tracing::error!(correlation_id = %self.audit.correlation_id(), %error, "sign");
                Err(KeyError::Unavailable)
            }
        }
    }

    /// From here on the log says that a token was minted, or may come to say it: whatever ends this before there is one, it also says that
    /// none was released.
    async fn record(&mut self, approval: &Approval, covered: &Covered, event: &str) -> Result<Announced, KeyError> {
        let id = self.audit.correlation_id();
        let event =
            record::minted(id, self.evidence, approval, covered, event).map_err(|error| KeyError::Refused(error.to_string()))?;
        let otherwise =
            record::not_released(id, approval.client_id(), &covered.jti).map_err(|error| KeyError::Refused(error.to_string()))?;
        self.audit.announce(event, otherwise).await.map_err(|error| self.unrecorded(&error))
    }

    async fn append(&mut self, event: record::Event) -> Result<(), KeyError> {
        self.audit.append(event).await.map_err(|error| self.unrecorded(&error))
    }

    /// What is not in the log is not done.
    fn unrecorded(&self, error: &impl std::fmt::Display) -> KeyError {
        tracing::error!(correlation_id = %self.audit.correlation_id(), %error, "audit");
        KeyError::AuditFailed
    }

    /// Whom a caller JWT names, whoever made it, and whether that is a client. Anything else is no attempt to pass for somebody.
    fn claimed(&self, jws: &str, source: &KeySource) -> Option<(String, bool)> {
        let KeySource::CallerIssuer = source else { return None };
        let identity = Identity::of(jws)?;
        let client = self.ctx.registry.find_client_by_identity(&identity.iss, &identity.sub);
        Some(client.map_or_else(|| (identity.name(), false), |client| (client.id.clone(), true)))
    }

    fn admit_jws(&self, jws: &str, source: &KeySource) -> Result<(), KeyError> {
        let asker = &self.ctx.asker;
        if !asker.slows_anybody() {
            return Ok(());
        }
        let Some((client, registered)) = self.claimed(jws, source) else { return Ok(()) };
        asker.admit(&client, registered).map_err(KeyError::Throttled)
    }

    fn failed_jws(&self, jws: &str, source: &KeySource) {
        if let Some((client, registered)) = self.claimed(jws, source) {
            self.ctx.asker.failed(&client, registered);
        }
    }

    fn spend(&mut self) -> Result<(), KeyError> {
        self.evidence.spend_lookup().map_err(|why| KeyError::Other(Some(why.to_string())))
    }
}

/// The `typ` of what is signed: RFC 9068 §2.1, the drafts of transaction tokens and ID-JAG, RFC 9701 §5.
fn typ(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::AccessToken => TYP_ACCESS_TOKEN,
        Purpose::TransactionToken => "txntoken+jwt",
        Purpose::IdJag => "oauth-id-jag+jwt",
        Purpose::Introspection => "token-introspection+jwt",
    }
}

/// Whether the secret is one of those with these digests. Always compares with two at least, so that neither an unknown client
/// nor one without a second secret is noticed by the time it takes.
fn is_secret(secret: &str, live: &[[u8; 32]]) -> bool {
    const NONE: [u8; 32] = [0; 32];
    let presented = digest::digest(&digest::SHA256, secret.as_bytes());
    let equals = |known: &[u8; 32]| constant_time::verify_slices_are_equal(presented.as_ref(), known).is_ok();
    let found = live.iter().fold(false, |found, known| found | equals(known));
    let padding = (live.len()..2).fold(false, |found, _| found | equals(std::hint::black_box(&NONE)));
    std::hint::black_box(padding);
    found
}

impl crate::bindings::keys::Host for KeysView<'_> {
    async fn sign(
        &mut self,
        approval: Resource<Approval>,
        purpose: Purpose,
        claims: String,
        event: String,
    ) -> wasmtime::Result<Result<String, KeyError>> {
        // Taken out of the table first: whatever happens now, this approval is gone.
        let approval = self.table.delete(approval)?;
        Ok(self.mint(approval, purpose, &claims, &event).await)
    }

    async fn verify(&mut self, jws: String, source: KeySource) -> Result<Verified, KeyError> {
        self.spend()?;
        let presented = &self.evidence.presented;
        let carried = match &source {
            KeySource::SubjectIssuer => presented.has_subject(&jws),
            KeySource::CallerIssuer => presented.has_caller(&jws),
            // These say nothing about anybody by themselves.
            KeySource::Client(_) | KeySource::InlineJwk(_) => true,
        };
        if !carried {
            return Err(KeyError::Refused("the request does not carry this token".into()));
        }
        let (keys, registry) = (&*self.ctx.keys, &*self.ctx.registry);
        let verifying = self.ctx.verifier.verify(&jws, &source, keys, registry);
        self.admit_jws(&jws, &source)?;
        // Keys may have to be fetched first: those of the issuer that the token names.
        let whose = || Identity::of(&jws).map(|identity| identity.iss).unwrap_or_default();
        let verifying = self.ctx.asker.turn.elsewhere(whose, verifying);
        let token = match tokio::time::timeout(self.ctx.timeout, verifying).await {
            Ok(Ok(verified)) => verified.map_err(|error| {
                tracing::debug!(correlation_id = %self.audit.correlation_id(), %error, "verify");
                if error == VerifyError::BadSignature {
                    self.failed_jws(&jws, &source);
                }
                KeyError::from(error)
            })?,
            Ok(Err(Crowded)) | Err(_) => return Err(KeyError::Unavailable),
        };
        if let Some(role) = token.role {
            let Verified { issuer, id, typ, .. } = &token.verified;
            self.evidence.saw_token(role, issuer, id, typ.as_deref(), token.claims);
        }
        Ok(token.verified)
    }

    async fn check_secret(&mut self, client_id: String, secret: String) -> Result<bool, KeyError> {
        let secret = Zeroizing::new(secret);
        self.spend()?;
        if !self.evidence.presented.has_secret(&client_id, &secret) {
            return Err(KeyError::Refused("the request does not carry this secret".into()));
        }
        let (asker, registered) = (&self.ctx.asker, self.ctx.registry.find_client(&client_id).is_some());
        if let Err(throttled) = asker.admit(&client_id, registered) {
            self.evidence.saw_wrong_secret(&client_id);
            return Err(KeyError::Throttled(throttled));
        }
        let is_right = secret.len() <= MAX_TEXT && is_secret(&secret, &self.ctx.registry.secret_digests(&client_id));
        if is_right {
            self.evidence.saw_caller(&client_id);
            self.evidence.stages.end(Stage::Authenticate, self.ctx.clock.monotonic());
            asker.succeeded(&client_id);
            asker.turn.known(&client_id).await;
        } else {
            self.evidence.saw_wrong_secret(&client_id);
            asker.failed(&client_id, registered);
        }
        Ok(is_right)
    }

    fn pseudonym(&mut self, domain: String, value: String) -> Result<String, KeyError> {
        self.spend()?;
        if !self.evidence.knows_caller() {
            return Err(KeyError::Refused("nobody has shown who asks".into()));
        }
        if domain.len() > MAX_TEXT || value.len() > MAX_TEXT {
            return Err(KeyError::Other(Some("the domain or the value is too long".into())));
        }
        // One person has one digest, however the address is written.
        let value = if id::is_provisional_domain(&domain) {
            Address::parse(&value).ok_or(KeyError::Malformed)?.into_string()
        } else {
            value
        };
        let digest = self.ctx.keys.pseudonym(&domain, &value).map_err(|error| {
            tracing::error!(correlation_id = %self.audit.correlation_id(), %error, "pseudonym");
            KeyError::Unavailable
        })?;
        self.evidence.saw_pseudonym(domain, value, &digest);
        Ok(digest)
    }

    fn jwks(&mut self) -> String {
        self.ctx.keys.jwks().as_ref().to_owned()
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<KeysView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> Taped<KeysView<'_>>) -> wasmtime::Result<()> {
    crate::bindings::keys::add_to_linker::<T, Import>(linker, view)
}

#[cfg(test)]
mod tests;
