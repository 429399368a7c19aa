//! Every code of the mapping is reached: a case for each, golden in its order, and a walk over the list that finds one without.
//!
//! Cases whose cause is a policy that misbehaves use a `Judge` of the test's own here; `zoo.rs` reaches the same codes with real modules.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use standin::clock::Clock as _;
use standin::decision_point::{Judge, JudgeError, Judgement, Question};
use standin::endpoint::HttpRequest;
use standin::keys::{Keys, KeysError, VerifyingKey};
use standin::registry::{Algorithm, Audience, Client, Issuer, IssuerKeys, Registry, System};
use standin::store::{MemoryStore, Space, Store as _};
use standin::types::{
    Allowance, Attribute, Credential, Descriptor, DpopProof, Effect, Failure, IdType, Minted, Request, Subject, Token, Verdict,
};
use standin::{Builder, Decision, JWT_TYPE};
use standin_domain::error::Error;
use standin_tests::idp::{Idp, KID, claims_of, now};
use standin_tests::ports::{FixedClock, NoAudit, NoDirectory, NoEntropy, NoStore};
use standin_tests::requests::{basic, body, descriptor, envoy, host, http, request, token, user};
use standin_tests::world::{API, LEDGER, World};
use standin_tests::{HOSTILE, requests};

/// The code a request of the embedding API ends with.
async fn asked(builder: Builder, request: Request) -> String {
    let standin = builder.build().await.unwrap();
    standin.mint_on_behalf(request).await.map(|minted| minted.token).unwrap_err().code
}

/// The code an HTTP request ends with.
async fn sent(world: &World, request: HttpRequest) -> String {
    let answer = world.standin().await.handle(request).await;
    body(&answer)["code"].as_str().unwrap_or_default().to_owned()
}

fn form(text: &str) -> HttpRequest {
    let content_type = "application/x-www-form-urlencoded";
    http("POST", "/oauth2/token", &[("authorization", &basic("svc-router")), ("content-type", content_type)], text.as_bytes())
}

fn posted(body: impl AsRef<[u8]>) -> HttpRequest {
    let headers = [("authorization", &*basic("svc-router")), ("content-type", "application/json")];
    http("POST", "/v2/session/svc/obo_mint", &headers, body.as_ref())
}

fn alice() -> Subject {
    Subject::Descriptor(Descriptor { account_id: Some("acme-eu".into()), ..descriptor(IdType::User, "email.alice@example.com") })
}

fn bob() -> Request {
    request("svc-router", user("bob@example.com"))
}

fn with_token(value: String) -> Request {
    request("svc-router", token(value))
}

/// A judge that always says the same.
struct Says(Result<Effect, fn() -> JudgeError>);

impl Judge for Says {
    fn judge(&self, _question: &Question<'_>) -> Result<Judgement, JudgeError> {
        match &self.0 {
            Ok(effect) => {
                let verdict = Verdict { effect: effect.clone(), reasons: Vec::new(), attributes: Vec::new() };
                Ok(Judgement { verdict, module_digest: "0".repeat(64) })
            }
            Err(error) => Err(error()),
        }
    }
}

/// Keys that verify and do not sign.
struct Mute(Arc<dyn Keys>);

#[async_trait]
impl Keys for Mute {
    async fn sign(&self, _algorithm: Option<Algorithm>, _typ: &str, _claims: &str) -> Result<String, KeysError> {
        Err(KeysError::NoActiveKey)
    }

    fn jwks(&self) -> Arc<str> {
        self.0.jwks()
    }

    fn verifying_key(&self, kid: &str) -> Option<Arc<dyn VerifyingKey>> {
        self.0.verifying_key(kid)
    }

    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeysError> {
        self.0.pseudonym(domain, value)
    }
}

/// A registry that forgets every client after so many questions, and whose audiences have a flow and algorithms of a later version.
struct Odd {
    inner: Arc<dyn Registry>,
    clients: AtomicUsize,
    flow: &'static str,
}

impl Registry for Odd {
    fn settings(&self) -> &System {
        self.inner.settings()
    }

    fn find_client(&self, id: &str) -> Option<Arc<Client>> {
        let left = self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.ok().and_then(|_| self.inner.find_client(id))
    }

    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Arc<Client>> {
        self.inner.find_client_by_identity(issuer, sub)
    }

    fn find_issuer(&self, issuer: &str) -> Option<Arc<Issuer>> {
        self.inner.find_issuer(issuer)
    }

    fn find_audience(&self, id: &str) -> Option<Arc<Audience>> {
        let audience = self.inner.find_audience(id)?;
        let attributes = vec![Attribute { name: "algorithm".into(), value: json!(format!("of {id}")).to_string() }];
        Some(Arc::new(Audience { flow: self.flow.to_owned(), attributes, ..(*audience).clone() }))
    }

    fn secret_digests(&self, client: &str) -> Vec<[u8; 32]> {
        self.inner.secret_digests(client)
    }

    fn issuer_keys(&self, issuer: &str) -> Option<Arc<IssuerKeys>> {
        self.inner.issuer_keys(issuer)
    }
}

async fn odd(world: &World, clients: usize, flow: &'static str) -> Builder {
    let inner = Arc::clone(&world.standin().await.snapshot().registry);
    world.builder().registry(Arc::new(Odd { inner, clients: AtomicUsize::new(clients), flow }))
}

async fn request_codes(world: &World) -> Vec<String> {
    let exchange = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange";
    let requests = [
        http("GET", "/nothing", &[], b""),
        http("GET", "/oauth2/token", &[], b""),
        http("POST", "/oauth2/token", &[("content-type", "text/plain")], b"x"),
        posted(vec![b' '; 70_000]),
        form(""),
        http("POST", "/oauth2/token", &[("content-type", "application/x-www-form-urlencoded")], b"\xff"),
        posted("{"),
        posted(format!("{}{}", "[".repeat(40), "]".repeat(40))),
        form("scope=a&scope=b"),
        posted(r#"{"id_type":"user","nonsense":1}"#),
        posted(r#"{"id_type":"user"}"#),
        posted(r#"{"id_type":"robot","id":"email.a@example.com"}"#),
        form("grant_type=password"),
        form(&format!("{exchange}&subject_token=x&subject_token_type={JWT_TYPE}&actor_token=x&actor_token_type={JWT_TYPE}")),
        form(&format!("{exchange}&subject_token=x&subject_token_type={JWT_TYPE}&requested_token_type=urn:x:saml")),
        http("POST", "/oauth2/token", &[("content-type", "application/x-www-form-urlencoded")], b"a=b"),
        form("client_id=svc-router&client_secret=x"),
    ];
    let mut codes = Vec::new();
    for request in requests {
        codes.push(sent(world, request).await);
    }
    codes
}

async fn caller_codes(world: &World) -> Vec<String> {
    let mut codes = Vec::new();
    for (credential, subject) in [
        (Credential::ClientAssertion("x".into()), alice()),
        (Credential::Attested("svc-router".into()), alice()),
        (requests::secret("svc-ledger"), alice()),
        (requests::secret("svc-router"), Subject::Caller),
    ] {
        codes.push(asked(world.builder(), Request { caller: credential, ..request("svc-router", subject) }).await);
    }
    let proof = DpopProof { proof: "x".into(), method: "POST".into(), url: API.into() };
    codes.push(asked(world.builder(), Request { dpop: Some(proof), ..bob() }).await);
    codes.push(throttled(world).await);
    codes
}

/// A caller that failed too often from one place.
async fn throttled(world: &World) -> String {
    let standin = world.standin().await;
    let wrong = [("content-type", "application/json"), ("authorization", "Basic c3ZjLXJvdXRlcjp3cm9uZw==")];
    let sent = br#"{"id_type":"user","id":"email.bob@example.com"}"#;
    loop {
        let said = body(&standin.handle(requests::http("POST", "/v2/session/svc/obo_mint", &wrong, sent)).await);
        if said["code"] != "caller.invalid" {
            return said["code"].as_str().unwrap_or_default().to_owned();
        }
    }
}

async fn subject_codes(world: &World) -> Vec<String> {
    let idp = &world.idp;
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KID });
    let sign = |header: Value| idp.sign(&header, &Idp::claims(json!({})));
    let chain = json!({"sub":"a","act":{"sub":"b","act":{"sub":"c","act":{"sub":"d","act":{"sub":"e"}}}}});
    let tokens = [
        "x".repeat(1 << 20),
        "not a token".to_owned(),
        idp.token(json!({ "iss": "https://nobody.example.com" })),
        sign(json!({ "alg": "ES256", "typ": "JWT", "kid": "another" })),
        idp.hmac_with_public_key(&Idp::claims(json!({}))),
        idp.sign_as_stranger(&header, &Idp::claims(json!({}))),
        sign(json!({ "alg": "ES256", "typ": "logout+jwt", "kid": KID })),
        idp.token(json!({ "exp": null })),
        idp.token(json!({ "exp": now() - 31 })),
        idp.token(json!({ "nbf": now() + 600 })),
        idp.token(json!({ "aud": "https://elsewhere.example.com" })),
        idp.token(json!({ "cnf": { "jkt": "x" } })),
        idp.token(json!({ "tenant": "initech" })),
        idp.token(json!({ "may_act": { "sub": "client:svc-ledger" } })),
        idp.token(json!({ "act": [] })),
        idp.token(json!({ "act": chain })),
        idp.token(json!({ "tenant": "globex" })),
    ];
    let mut codes = Vec::new();
    for token in tokens {
        codes.push(asked(world.builder(), with_token(token)).await);
    }
    let odd_type = Subject::Token(Token { value: "x".into(), token_type: "urn:example:saml".into() });
    codes.push(asked(world.builder(), request("svc-router", odd_type)).await);
    codes
}

/// What becomes of a token of ours in other hands, after it was revoked, and where nobody can tell.
async fn hop_codes(world: &World) -> Vec<String> {
    let minted = world.standin().await.mint_on_behalf(bob()).await.unwrap().token;
    let stolen = with_token(minted.clone());
    let hop = || Request { audience: vec![LEDGER.into()], ..request("svc-ledger", token(minted.clone())) };
    let store = Arc::new(MemoryStore::new(Arc::new(FixedClock::at(now()))));
    let jti = claims_of(&minted)["jti"].as_str().unwrap().as_bytes().to_vec();
    store.compare_and_swap(Space::Revocation, &jti, None, b"", now() + 900).await.unwrap();
    vec![
        asked(world.builder(), stolen).await,
        asked(world.builder().store(store), hop()).await,
        asked(world.builder().store(Arc::new(NoStore::default())), hop()).await,
    ]
}

async fn target_codes(world: &World) -> Vec<String> {
    let contradiction = Descriptor {
        account_id: Some("acme-eu".into()),
        account_csp_id: Some(1002),
        ..descriptor(IdType::User, "email.alice@example.com")
    };
    let mut codes = Vec::new();
    for subject in [
        user("nobody@example.com"),
        user("alice@example.com"),
        Subject::Descriptor(contradiction),
        user("carl@example.com"),
        user("root@example.com"),
        host("ophid.edge-keyless"),
        host("ophid.edge-two"),
        host("ophid.edge-foreign"),
        envoy("x@example.com", "001Nowhere"),
    ] {
        codes.push(asked(world.builder(), request("svc-router", subject)).await);
    }
    codes.push(asked(world.builder().directory(Arc::new(NoDirectory)), bob()).await);
    codes
}

async fn grant_codes(world: &World) -> Vec<String> {
    let scope = |client: &str, scope: &str| Request { scope: vec![scope.into()], ..request(client, user("bob@example.com")) };
    let mut codes = Vec::new();
    for request in [
        Request { audience: vec![], ..bob() },
        Request { audience: vec![], resource: vec!["/relative".into()], ..bob() },
        Request { audience: vec!["https://unknown.example.com".into()], ..bob() },
        scope("svc-router", "a\"b"),
        scope("svc-strict", "expenses:delete"),
        scope("svc-router", "expenses:delete"),
        Request { requested_ttl: Some(0), ..bob() },
        Request { step: Some("pay".into()), ..bob() },
    ] {
        codes.push(asked(world.builder(), request).await);
    }
    codes.push(asked(odd(world, usize::MAX, "exchange").await, bob()).await);
    let both = Request { audience: vec![API.into(), LEDGER.into()], ..bob() };
    codes.push(asked(odd(world, usize::MAX, "local").await, both).await);
    codes
}

async fn policy_codes(world: &World) -> Vec<String> {
    let verdicts: [Result<Effect, fn() -> JudgeError>; 8] = [
        Ok(Effect::Deny),
        Ok(Effect::StepUp("urn:example:mfa".into())),
        Err(|| JudgeError::Module("no".into())),
        Err(|| JudgeError::Trapped),
        Err(|| JudgeError::TimedOut),
        Err(|| JudgeError::TooLarge),
        Err(|| JudgeError::Invalid),
        Err(|| JudgeError::Unavailable),
    ];
    let mut codes = Vec::new();
    for verdict in verdicts {
        codes.push(asked(world.builder().judge(Arc::new(Says(verdict))), bob()).await);
    }
    codes
}

async fn mint_codes(world: &World) -> Vec<String> {
    let keys = Arc::clone(&world.standin().await.snapshot().keys);
    let named = Request { correlation_id: "c-1".into(), ..bob() };
    vec![
        permit_expired(world).await,
        // Its secret is checked, its registration is read, and then it is gone.
        asked(odd(world, 2, "local").await, bob()).await,
        asked(world.builder().keys(Arc::new(Mute(keys))), bob()).await,
        asked(world.builder().audit(Arc::new(NoAudit)), bob()).await,
        asked(world.builder().entropy(Arc::new(NoEntropy)), named).await,
    ]
}

async fn permit_expired(world: &World) -> String {
    // Its life begins when it is given, however long ago the request came.
    let in_time = redeemed(world, 29).await;
    assert!(in_time.is_ok(), "{in_time:?}");
    redeemed(world, 31).await.unwrap_err().code
}

/// What a permit is worth that was given 20 s after the request came, so many seconds later.
async fn redeemed(world: &World, late: u64) -> Result<Minted, Failure> {
    let clock = Arc::new(FixedClock::at(now()));
    let allowed = Allowance { scope: None, audience: None, ttl: None };
    let judge = Arc::new(Says(Ok(Effect::Permit(allowed))));
    let standin = world.builder().clock(Arc::clone(&clock) as Arc<_>).judge(judge).build().await.unwrap();
    let target = standin.resolve_target(bob()).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    clock.set(clock.now().as_secs() + 20);
    let Decision::Permit(permit) = target.evaluate_policy().await.unwrap_or_else(|failure| panic!("{failure:?}")) else {
        panic!("a denial")
    };
    clock.set(clock.now().as_secs() + late);
    permit.mint().await
}

async fn runtime_codes(world: &World) -> Vec<String> {
    let mut codes = Vec::new();
    for trick in ["trap", "loop"] {
        let trick = Attribute { name: "trick".into(), value: json!(trick).to_string() };
        let request = Request { attributes: vec![trick], ..bob() };
        codes.push(asked(world.builder().component_bytes(HOSTILE.to_vec()), request).await);
    }
    let limits = "\n[limits]\nmax_in_flight = 1\n[server]\nrequest_timeout = \"3s\"\n";
    let narrow = World::with(|config| config.push_str(limits), |_| {}).await;
    let standin = narrow.standin().await;
    let _held = standin.resolve_target(bob()).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    codes.push(standin.mint_on_behalf(bob()).await.map(|minted| minted.token).unwrap_err().code);
    codes
}

/// An issuer that was never reached.
async fn issuer_down() -> String {
    let world = World::new().await;
    world.idp.go_down();
    asked(world.builder(), with_token(world.idp.token(json!({})))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_is_reached() {
    let world = World::new().await;
    let cases = json!({
        "request": request_codes(&world).await, "caller": caller_codes(&world).await, "subject": subject_codes(&world).await,
        "hop": hop_codes(&world).await, "target": target_codes(&world).await, "grant": grant_codes(&world).await,
        "policy": policy_codes(&world).await, "mint": mint_codes(&world).await, "runtime": runtime_codes(&world).await,
        "issuer_down": [issuer_down().await],
    });
    // Which case ends with which code, in the order of the cases.
    insta::assert_json_snapshot!("codes", cases);
    let reached: HashSet<String> = cases
        .as_object()
        .unwrap()
        .values()
        .flat_map(|codes| codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()))
        .collect();
    let known: HashSet<String> = Error::all().into_iter().map(|error| error.entry().code.to_owned()).collect();
    let mut missed: Vec<_> = known.difference(&reached).collect();
    missed.sort();
    assert!(missed.is_empty(), "no case reaches {missed:?}");
    let mut unknown: Vec<_> = reached.difference(&known).collect();
    unknown.sort();
    assert!(unknown.is_empty(), "not in the mapping: {unknown:?}");
}

#[tokio::test]
async fn what_the_caller_is_not_told_stands_in_the_audit_record() {
    let world = World::patient().await;
    let standin = world.standin().await;
    for (sent, code, cause) in [
        (r#"{"idtype":"user"}"#, "request.unknown_field", "idtype"),
        (r#"{"id":"a","id":"b"}"#, "request.duplicate_field", "id"),
        (r#"{"id":"a",}"#, "request.malformed", "line 1, column 11"),
    ] {
        let answer = standin.handle(posted(sent)).await;
        let page = body(&answer);
        assert_eq!(page["code"], code);
        assert!(!page.to_string().contains("idtype") && !page.to_string().contains("column"), "{page}");
        let [event] = world.audit_of(page["correlation_id"].as_str().unwrap()).try_into().unwrap();
        assert_eq!(event["detail"]["cause"], cause, "{event}");
    }
}

/// What the component has to say of an attempt is bounded, and what was asked may be longer.
#[tokio::test(flavor = "multi_thread")]
async fn however_much_is_asked_the_attempt_is_recorded() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let scopes = || (0..127).map(|at| format!("{at:0>120}")).chain(["expenses:read".to_owned()]).collect::<Vec<_>>();
    let audiences = (0..16).map(|at| format!("https://{at:0>2000}.example.com")).collect::<Vec<_>>();
    let ask = |client: &str| request(client, user("bob@example.com"));
    let rows = [
        (Request { scope: scopes(), ..ask("svc-router") }, None),
        (Request { scope: scopes(), ..ask("svc-strict") }, Some("scope.not_allowed")),
        (Request { audience: audiences.clone(), ..ask("svc-router") }, Some("audience.not_allowed")),
        (Request { audience: vec![], resource: audiences, ..ask("svc-router") }, Some("audience.not_allowed")),
    ];
    for (at, (asked, code)) in rows.into_iter().enumerate() {
        let id = format!("long-{at}");
        let answer = standin.mint_on_behalf(Request { correlation_id: id.clone(), ..asked }).await;
        assert_eq!(answer.map(|_minted| ()).map_err(|failure| failure.code).err().as_deref(), code, "{id}");
        let [event] = world.audit_of(&id).try_into().unwrap();
        assert_eq!((event["code"].as_str(), &event["detail"]["shortened"]), (code, &json!(true)), "{event}");
    }
}
