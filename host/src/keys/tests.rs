use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rstest::rstest;
use serde_json::{Value, json};
use standin_domain::error::NOT_RELEASED;

use super::testing::{CORP, EDGE, Health, OWN, Own, Registered, Signer, Stand, set};
use super::*;
use crate::approval::RevocationsAway;
use crate::approval::testing::{NOW, OURS, World};
use crate::audit::{Audit, AuditError};
use crate::bindings::keys::Host as _;
use crate::clock::SystemEntropy;
use crate::evidence::{MAX_LOOKUPS, TokenRole};
use crate::record::Event;

/// Keeps what it is given, as long as there is room.
#[derive(Default)]
struct Log {
    events: Mutex<Vec<Value>>,
    room: Option<usize>,
}

#[async_trait]
impl Audit for Log {
    async fn append(&self, event: Event) -> Result<(), AuditError> {
        let mut events = self.events.lock().unwrap();
        if self.room.is_some_and(|room| events.len() >= room) {
            return Err(AuditError::Closed);
        }
        events.push(serde_json::from_str(&event.json).unwrap());
        Ok(())
    }

    async fn ready(&self) -> Result<(), AuditError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditError> {
        Ok(())
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Duration {
        Duration::from_secs(NOW)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Names that were revoked; none where that cannot be found out.
#[derive(Default)]
struct Revoked(Mutex<Option<Vec<&'static str>>>, Mutex<Vec<String>>);

#[async_trait]
impl Revocations for Revoked {
    async fn any_revoked(&self, names: &[String]) -> Result<bool, RevocationsAway> {
        self.1.lock().unwrap().extend(names.iter().cloned());
        let revoked = self.0.lock().unwrap().clone().ok_or(RevocationsAway)?;
        Ok(names.iter().any(|name| revoked.contains(&name.as_str())))
    }
}

struct Request {
    revoked: Arc<Revoked>,
    ctx: KeysCtx,
    evidence: Evidence,
    audit: AuditCtx,
    log: Arc<Log>,
    table: ResourceTable,
    stand: Stand,
}

impl Request {
    fn new(health: Health, room: Option<usize>) -> Self {
        Self::with(Registered::default(), health, room)
    }

    fn with(registry: Registered, health: Health, room: Option<usize>) -> Self {
        let stand = Stand::new();
        let verifier = Arc::new(stand.verifier(true));
        let own = Arc::new(Own::new(health));
        let timeout = Duration::from_millis(100);
        let revoked = Arc::<Revoked>::default();
        let ctx = KeysCtx::new(
            own,
            verifier,
            Arc::new(registry),
            Arc::<Revoked>::clone(&revoked),
            Arc::new(Fixed),
            Arc::new(SystemEntropy),
            timeout,
        );
        let log = Arc::new(Log { room, ..Log::default() });
        let audit = AuditCtx::new(Arc::<Log>::clone(&log), Duration::from_secs(5), "c-1".into());
        Self { revoked, ctx, evidence: Evidence::default(), audit, log, table: ResourceTable::new(), stand }
    }

    fn view(&mut self) -> KeysView<'_> {
        KeysView { ctx: &self.ctx, evidence: &mut self.evidence, audit: &mut self.audit, table: &mut self.table }
    }

    /// Verifies a token that the request carries.
    async fn verify(&mut self, token: String, source: KeySource) -> Result<Verified, KeyError> {
        self.evidence.presented.subject(&token);
        self.evidence.presented.caller(&token);
        self.view().verify(token, source).await
    }

    /// Asks for a signature with a fresh approval.
    async fn sign(&mut self, change: impl FnOnce(&mut Value), event: &str) -> Result<String, KeyError> {
        let (approval, mut claims) = approved();
        change(&mut claims);
        let approval = self.table.push(approval).unwrap();
        self.view().sign(approval, Purpose::AccessToken, claims.to_string(), event.into()).await.unwrap()
    }

    fn outcomes(&self) -> Vec<String> {
        self.log.events.lock().unwrap().iter().map(|event| event["outcome"].as_str().unwrap().to_owned()).collect()
    }
}

fn approved() -> (Approval, Value) {
    let mut world = World::user();
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["account_id"] = json!("a-1");
    (world.approve(), claims)
}

fn as_is(_: &mut Value) {}

#[tokio::test]
async fn a_covered_token_is_recorded_and_released() {
    let mut request = Request::new(Health::Well, None);
    let token = request.sign(as_is, "{}").await.unwrap();
    let header: Value = serde_json::from_slice(&BASE64URL.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header["typ"], "at+jwt");
    let events = request.log.events.lock().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["outcome"], &events[0]["correlation_id"]), (&json!("permit"), &json!("c-1")));
    assert_eq!(request.audit.written(), 1);
}

#[tokio::test]
async fn uncovered_claims_are_neither_recorded_nor_signed() {
    let mut request = Request::new(Health::Well, None);
    let refused = request.sign(|claims| claims["sub"] = json!("user:acme:u-2"), "{}").await;
    assert!(matches!(refused, Err(KeyError::Refused(_))));
    assert!(request.outcomes().is_empty());
    // Whatever this request comes to, its event will say so.
    assert_eq!(request.evidence.refused, ["sub is not the approved subject"]);
    for _ in 0..20 {
        request.sign(|claims| claims["sub"] = json!("user:acme:u-2"), "{}").await.unwrap_err();
    }
    assert_eq!(request.evidence.refused.len(), 8);
}

/// An approval whose subject came by a token of ours that descends from a foreign one, and claims that it covers.
fn approved_hop() -> (Approval, Value) {
    let mut world = World::own(|_| {});
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["act"] = json!({ "iss": OURS, "sub": "client:svc-router", "act": { "iss": OURS, "sub": "client:first" } });
    claims["lineage"] = json!(["foreign-1", "own-token-own-token-own"]);
    claims["account_id"] = json!("a-1");
    (world.approve(), claims)
}

#[rstest]
#[case::nothing(Some(vec![]), None)]
#[case::somebody_elses(Some(vec!["another"]), None)]
#[case::the_token_itself(Some(vec!["own-token-own-token-own"]), Some("refused"))]
#[case::an_ancestor(Some(vec!["another", "foreign-1"]), Some("refused"))]
#[case::the_store_is_away(None, Some("unavailable"))]
#[tokio::test]
async fn nothing_is_signed_that_descends_from_what_was_revoked(
    #[case] revoked: Option<Vec<&'static str>>,
    #[case] outcome: Option<&str>,
) {
    let mut request = Request::new(Health::Well, None);
    *request.revoked.0.lock().unwrap() = revoked;
    let (approval, claims) = approved_hop();
    let approval = request.table.push(approval).unwrap();
    let signed = request.view().sign(approval, Purpose::AccessToken, claims.to_string(), "{}".into()).await.unwrap();
    let said = match &signed {
        Ok(_token) => None,
        Err(KeyError::Refused(why)) => {
            assert_eq!(*why, "the subject token or an ancestor of it was revoked");
            assert_eq!(request.evidence.refused, [why.as_str()]);
            Some("refused")
        }
        Err(KeyError::Unavailable) => Some("unavailable"),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(said, outcome);
    assert_eq!(request.outcomes().len(), usize::from(outcome.is_none()), "no record of a token that was not signed");
    assert_eq!(*request.revoked.1.lock().unwrap(), ["foreign-1", "own-token-own-token-own"]);
}

#[tokio::test]
async fn without_a_subject_token_nobody_asks_what_was_revoked() {
    let mut request = Request::new(Health::Well, None);
    request.sign(as_is, "{}").await.unwrap();
    assert!(request.revoked.1.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_event_that_cannot_stand_in_the_log_is_refused() {
    let mut request = Request::new(Health::Well, None);
    assert!(matches!(request.sign(as_is, "[]").await, Err(KeyError::Refused(_))));
    assert!(request.outcomes().is_empty());
}

#[tokio::test]
async fn an_approval_serves_once() {
    let mut request = Request::new(Health::Well, None);
    let (approval, claims) = approved();
    let approval = request.table.push(approval).unwrap();
    let again = Resource::new_own(approval.rep());
    request.view().sign(approval, Purpose::AccessToken, claims.to_string(), "{}".into()).await.unwrap().unwrap();
    let second = request.view().sign(again, Purpose::AccessToken, claims.to_string(), "{}".into()).await;
    assert!(second.is_err(), "a handle that is gone is the component's fault, and a trap");
}

#[tokio::test]
async fn a_refused_approval_is_gone_too() {
    let mut request = Request::new(Health::Well, None);
    let (approval, _) = approved();
    let approval = request.table.push(approval).unwrap();
    let again = Resource::new_own(approval.rep());
    let refused = request.view().sign(approval, Purpose::IdJag, "{}".into(), "{}".into()).await.unwrap();
    assert!(matches!(refused, Err(KeyError::Refused(_))));
    assert!(request.view().sign(again, Purpose::AccessToken, "{}".into(), "{}".into()).await.is_err());
}

#[tokio::test]
async fn without_a_record_there_is_no_token() {
    let mut request = Request::new(Health::Well, Some(0));
    assert!(matches!(request.sign(as_is, "{}").await, Err(KeyError::AuditFailed)));
}

#[rstest]
#[case(Health::Broken)]
#[case(Health::Hanging)]
#[tokio::test]
async fn a_token_that_was_not_signed_is_recorded_as_such(#[case] health: Health) {
    let mut request = Request::new(health, None);
    assert!(matches!(request.sign(as_is, "{}").await, Err(KeyError::Unavailable)));
    assert_eq!(request.outcomes(), ["permit", "fail"]);
    assert_eq!(request.log.events.lock().unwrap()[1]["code"], NOT_RELEASED);
    let mut full = Request::new(health, Some(1));
    assert!(matches!(full.sign(as_is, "{}").await, Err(KeyError::AuditFailed)));
}

#[test]
fn every_purpose_has_its_typ() {
    let types = [Purpose::AccessToken, Purpose::TransactionToken, Purpose::IdJag, Purpose::Introspection].map(typ);
    assert_eq!(types, ["at+jwt", "txntoken+jwt", "oauth-id-jag+jwt", "token-introspection+jwt"]);
}

#[tokio::test]
async fn verified_tokens_are_evidence_in_their_role() {
    let (mut request, theirs) = (Request::new(Health::Well, None), Signer::new(Algorithm::EdDsa));
    request.stand.site.serve(set(&[&theirs]));
    request.verify(theirs.token(CORP), KeySource::SubjectIssuer).await.unwrap();
    request.verify(theirs.token(EDGE), KeySource::CallerIssuer).await.unwrap();
    let proof = theirs.0.jws("dpop+jwt", "{}").unwrap();
    request.verify(proof, KeySource::InlineJwk(theirs.jwk().to_string())).await.unwrap();
    let seen: Vec<_> = request.evidence.tokens.iter().map(|token| (token.role, token.issuer.as_str())).collect();
    assert_eq!(seen, [(TokenRole::Subject, CORP), (TokenRole::Caller, EDGE)]);
    assert!(request.evidence.callers.is_empty(), "which client that is, is not decided here");
}

#[tokio::test]
async fn nothing_counts_that_the_request_does_not_carry() {
    let mut registry = Registered::default();
    registry.secrets.insert("svc".into(), vec![digest_of("one")]);
    registry.secrets.insert("other".into(), vec![digest_of("one")]);
    let (mut request, theirs) = (Request::with(registry, Health::Well, None), Signer::new(Algorithm::EdDsa));
    request.stand.site.serve(set(&[&theirs]));
    // What it carries proves in its own place only, and for nobody else.
    request.evidence.presented.subject(&theirs.token(EDGE));
    request.evidence.presented.caller(&theirs.token(CORP));
    request.evidence.presented.secret("svc", "two");
    for (token, source) in [(theirs.token(CORP), KeySource::SubjectIssuer), (theirs.token(EDGE), KeySource::CallerIssuer)] {
        assert!(matches!(request.view().verify(token, source).await, Err(KeyError::Refused(_))));
    }
    for (client, secret) in [("svc", "one"), ("other", "one"), ("other", "two")] {
        assert!(matches!(request.view().check_secret(client.into(), secret.into()).await, Err(KeyError::Refused(_))));
    }
    assert!(request.evidence.tokens.is_empty() && request.evidence.callers.is_empty() && request.evidence.tried.is_none());
}

#[tokio::test]
async fn a_dry_run_has_no_signer() {
    let mut request = Request::new(Health::Well, None);
    request.evidence.dry_run = true;
    assert!(matches!(request.sign(as_is, "{}").await, Err(KeyError::Refused(why)) if why == "a dry run signs nothing"));
    assert!(request.outcomes().is_empty());
}

#[tokio::test]
async fn the_jti_is_the_hosts_and_recorded() {
    let mut request = Request::new(Health::Well, None);
    let mut seen = std::collections::HashSet::new();
    for said in [Some("guessable-guessable-guessable"), Some("1"), None] {
        let change = |claims: &mut Value| match said {
            Some(jti) => claims["jti"] = json!(jti),
            None => drop(claims.as_object_mut().unwrap().remove("jti")),
        };
        let token = request.sign(change, "{}").await.unwrap();
        let claims: Value = serde_json::from_slice(&BASE64URL.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
        let jti = claims["jti"].as_str().unwrap().to_owned();
        assert_eq!((jti.len(), Some(jti.as_str()) == said), (22, false));
        assert_eq!(request.log.events.lock().unwrap().last().unwrap()["jti"], jti);
        assert!(seen.insert(jti));
    }
}

#[tokio::test]
async fn tokens_that_are_not_verified_are_no_evidence() {
    let mut request = Request::new(Health::Well, None);
    let stranger = Signer::new(Algorithm::EdDsa);
    let refused = request.verify(stranger.token("https://evil.example"), KeySource::SubjectIssuer).await;
    assert!(matches!(refused, Err(KeyError::UnknownIssuer)));
    let forged = request.verify(stranger.token(OWN), KeySource::SubjectIssuer).await;
    assert!(matches!(forged, Err(KeyError::UnknownKey)));
    assert!(request.evidence.tokens.is_empty());
}

#[tokio::test]
async fn a_verification_takes_a_limited_time() {
    let mut request = Request::new(Health::Well, None);
    request.ctx.timeout = Duration::from_millis(1);
    request.stand.site.slow.store(true, std::sync::atomic::Ordering::SeqCst);
    let token = Signer::new(Algorithm::EdDsa).token(CORP);
    assert!(matches!(request.verify(token, KeySource::SubjectIssuer).await, Err(KeyError::Unavailable)));
}

fn digest_of(secret: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().try_into().unwrap()
}

#[rstest]
#[case::first("svc", "one", true)]
#[case::second("svc", "two", true)]
#[case::wrong("svc", "three", false)]
#[case::of_another("svc", "other", false)]
#[case::empty("svc", "", false)]
#[case::unknown_client("nobody", "one", false)]
#[case::too_long("long", LONG, false)]
#[tokio::test]
async fn secrets_are_compared_with_every_live_one(#[case] client: &str, #[case] secret: &str, #[case] right: bool) {
    let mut registry = Registered::default();
    registry.secrets.insert("svc".into(), vec![digest_of("one"), digest_of("two")]);
    registry.secrets.insert("other".into(), vec![digest_of("other")]);
    registry.secrets.insert("long".into(), vec![digest_of(LONG)]);
    let mut request = Request::with(registry, Health::Well, None);
    request.evidence.presented.secret(client, secret);
    assert_eq!(request.view().check_secret(client.into(), secret.into()).await.ok(), Some(right));
    assert_eq!(request.evidence.callers, if right { vec![client.to_owned()] } else { vec![] });
}

const LONG: &str = {
    const BYTES: [u8; MAX_TEXT + 1] = [b'x'; MAX_TEXT + 1];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[test]
fn pseudonyms_are_evidence() {
    let mut request = Request::new(Health::Well, None);
    assert!(matches!(request.view().pseudonym("acme".into(), "a@example.com".into()), Err(KeyError::Refused(_))));
    request.evidence.saw_caller("svc");
    assert_eq!(request.view().pseudonym("acme".into(), "a@example.com".into()).ok().as_deref(), Some("acme/a@example.com"));
    let seen = &request.evidence.pseudonyms;
    assert_eq!((seen.len(), seen[0].digest.as_str()), (1, "acme/a@example.com"));
    assert!(matches!(request.view().pseudonym("acme".into(), LONG.into()), Err(KeyError::Other(_))));
    let mut broken = Request::new(Health::Broken, None);
    broken.evidence.saw_caller("svc");
    assert!(matches!(broken.view().pseudonym("acme".into(), "a".into()), Err(KeyError::Unavailable)));
    assert!(broken.evidence.pseudonyms.is_empty());
}

#[test]
fn a_person_has_one_pseudonym_however_the_address_is_written() {
    let mut request = Request::new(Health::Well, None);
    request.evidence.saw_caller("svc");
    for spelling in ["Zoë@bücher.example", " zoe\u{308}@XN--BCHER-KVA.example", "zoë@bu\u{308}cher.example"] {
        let digest = request.view().pseudonym("provisional:acme".into(), spelling.into()).unwrap();
        assert_eq!(digest, "provisional:acme/zoë@xn--bcher-kva.example");
    }
    assert!(request.evidence.pseudonyms.iter().all(|seen| seen.value == "zoë@xn--bcher-kva.example"));
    for none in ["alice", "alice@xn--a.example", ""] {
        assert!(matches!(request.view().pseudonym("provisional:acme".into(), none.into()), Err(KeyError::Malformed)));
    }
}

#[test]
fn the_key_set_is_ours() {
    let mut request = Request::new(Health::Well, None);
    let published = request.view().jwks();
    assert_eq!(published, request.ctx.keys.jwks().as_ref());
}

#[tokio::test]
async fn questions_are_counted() {
    let mut request = Request::new(Health::Well, None);
    request.evidence.presented.secret("svc", "x");
    for _ in 0..MAX_LOOKUPS {
        request.view().check_secret("svc".into(), "x".into()).await.unwrap();
    }
    assert!(matches!(request.view().check_secret("svc".into(), "x".into()).await, Err(KeyError::Other(_))));
    assert!(matches!(request.view().pseudonym("a".into(), "b".into()), Err(KeyError::Other(_))));
    assert!(matches!(request.view().verify("x".into(), KeySource::SubjectIssuer).await, Err(KeyError::Other(_))));
}
