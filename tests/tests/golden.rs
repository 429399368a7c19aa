//! Tokens and audit events as golden files: the real component under a clock that stands still and randomness that counts. What
//! still differs from run to run (keys, the policy module's digest, timings, the log's hashes) is checked, then blanked out.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

use std::sync::Arc;

use jwt_simple::prelude::{UnixTimeStamp, VerificationOptions};
use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin::types::{Minted, Request};
use standin_tests::idp::{Idp, claims_of, header_of};
use standin_tests::peer;
use standin_tests::ports::{CountingEntropy, FixedClock};
use standin_tests::requests::{envoy, host, request, token, user};
use standin_tests::world::{PATIENT, World};

/// 2026-01-01T00:00:00Z
const NOW: u64 = 1_767_225_600;

struct Golden {
    world: World,
    standin: Standin,
}

impl Golden {
    async fn new(algorithm: &str) -> Self {
        let change = |config: &mut String| {
            *config = config.replace("[\"EdDSA\"]", &format!("[\"{algorithm}\"]"));
            config.push_str(PATIENT);
        };
        let world = World::with(change, |_| {}).await;
        let builder = world.builder().clock(Arc::new(FixedClock::at(NOW))).entropy(Arc::new(CountingEntropy::default()));
        let standin = builder.build().await.unwrap();
        Self { world, standin }
    }

    async fn mint(&self, name: &str, request: Request) -> Minted {
        let request = Request { correlation_id: name.to_owned(), ..request };
        let minted = self.standin.mint_on_behalf(request).await.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        let options = VerificationOptions { artificial_time: Some(UnixTimeStamp::from_secs(NOW)), ..Default::default() };
        peer::verify(&minted.token, &peer::jwks(&self.standin), options).unwrap();
        minted
    }

    /// Header and claims, the answer beside them, and the event, steadied.
    fn picture(&self, name: &str, minted: &Minted) -> Value {
        let (mut header, mut claims) = (header_of(&minted.token), claims_of(&minted.token));
        let events = self.world.audit_of(name);
        assert_eq!(events.len(), 1, "{events:?}");
        let mut event = events[0].clone();
        assert_eq!(event["jti"], claims["jti"]);
        assert_eq!(event["policy"], claims["policy"]);
        assert_eq!(event["target"], claims["sub"]);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
        blank(&mut header, "/kid");
        let attributes: serde_json::Map<String, Value> =
            minted.attributes.iter().map(|fact| (fact.name.clone(), serde_json::from_str(&fact.value).unwrap())).collect();
        let mut answer = json!({
            "issued_token_type": minted.issued_token_type, "token_type": minted.token_type, "expires_in": minted.expires_in,
            "scope": minted.scope, "attributes": attributes,
        });
        for path in ["/jti", "/policy"] {
            blank(&mut claims, path);
        }
        for path in ["/seq", "/prev", "/jti", "/policy", "/detail/granted/policy"] {
            blank(&mut event, path);
        }
        for stage in ["authenticate", "resolve", "policy", "mint"] {
            blank(&mut event, &format!("/stages_us/{stage}"));
        }
        // A provisional subject's digest depends on keys, an earlier token's `jti` on what was minted before.
        let digest = claims["sub"].as_str().and_then(|sub| sub.strip_prefix("provisional:acme:")).map(str::to_owned);
        let ancestor = claims["lineage"].get(1).and_then(Value::as_str).map(str::to_owned);
        for text in digest.into_iter().chain(ancestor) {
            for value in [&mut claims, &mut event, &mut answer] {
                *value = serde_json::from_str(&value.to_string().replace(&text, "[keyed]")).unwrap();
            }
        }
        json!({ "header": header, "claims": claims, "answer": answer, "event": event })
    }
}

fn blank(value: &mut Value, path: &str) {
    if let Some(value) = value.pointer_mut(path) {
        *value = json!("[blank]");
    }
}

fn subject_token(idp: &Idp) -> String {
    idp.token(json!({ "iat": NOW - 5, "exp": NOW + 200, "jti": "subject-token-1" }))
}

/// Somebody else's actors, one of whom would pass for ours.
fn with_actors(idp: &Idp) -> String {
    let act = json!({ "sub": "client:svc-admin", "act": { "iss": "https://elsewhere.example.com", "sub": "portal" } });
    idp.token(json!({ "iat": NOW - 5, "exp": NOW + 200, "jti": "subject-token-2", "act": act }))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_kind_of_subject() {
    let golden = Golden::new("EdDSA").await;
    let named_account = |request: Request| {
        use standin::types::{Descriptor, Subject};
        match request.subject {
            Subject::Descriptor(named) => {
                Request { subject: Subject::Descriptor(Descriptor { account_id: Some("acme-us".into()), ..named }), ..request }
            }
            subject => Request { subject, ..request },
        }
    };
    let rows = [
        ("user", named_account(request("svc-router", user("alice@example.com")))),
        ("host", request("svc-router", host("ophid.edge-7"))),
        ("envoy", request("svc-router", envoy("alice@example.com", "001AcmeEU"))),
        ("provisional", request("svc-router", envoy("new@example.com", "001AcmeEU"))),
        ("exchange", request("svc-router", token(subject_token(&golden.world.idp)))),
        ("foreign-actors", request("svc-router", token(with_actors(&golden.world.idp)))),
        (
            "step",
            Request { step: Some("approve-expense".into()), ..named_account(request("svc-router", user("alice@example.com"))) },
        ),
        (
            "narrowed",
            Request {
                scope: vec!["expenses:write".into(), "expenses:read".into(), "admin".into()],
                requested_ttl: Some(60),
                ..request("svc-router", user("bob@example.com"))
            },
        ),
    ];
    for (name, request) in rows {
        let minted = golden.mint(name, request).await;
        insta::assert_json_snapshot!(name, golden.picture(name, &minted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_after_two_hops() {
    let golden = Golden::new("EdDSA").await;
    let first = golden.mint("first-hop", request("svc-router", token(subject_token(&golden.world.idp)))).await;
    let again = Request {
        audience: vec![standin_tests::world::LEDGER.into()],
        scope: vec!["expenses:read".into()],
        ..request("svc-ledger", token(first.token))
    };
    let second = golden.mint("two-hops", again).await;
    insta::assert_json_snapshot!("two-hops", golden.picture("two-hops", &second));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_refusals() {
    let golden = Golden::new("EdDSA").await;
    let mut wrong = request("svc-router", user("alice@example.com"));
    wrong.caller = standin::types::Credential::ClientSecret(standin::types::ClientSecret {
        client_id: "svc-router".into(),
        secret: "wrong".into(),
    });
    let rows = [
        ("refused-caller", wrong),
        ("refused-ambiguous", request("svc-router", user("alice@example.com"))),
        ("refused-unknown", request("svc-router", user("nobody@example.com"))),
        ("refused-scope", Request { scope: vec!["admin".into()], ..request("svc-strict", user("bob@example.com")) }),
        (
            "refused-expired",
            request("svc-router", token(golden.world.idp.token(json!({ "iat": NOW - 900, "exp": NOW - 300, "jti": "old" })))),
        ),
    ];
    for (name, request) in rows {
        let failure = golden.standin.mint_on_behalf(Request { correlation_id: name.to_owned(), ..request }).await.unwrap_err();
        let mut events = golden.world.audit_of(name);
        assert_eq!(events.len(), 1, "{events:?}");
        for path in ["/seq", "/prev", "/stages_us/authenticate", "/stages_us/resolve"] {
            blank(&mut events[0], path);
        }
        let wire = json!({ "code": failure.code, "oauth_error": failure.oauth_error, "status": failure.status, "message": failure.message });
        insta::assert_json_snapshot!(name, json!({ "failure": wire, "event": events[0] }));
    }
}

#[rstest]
#[case("EdDSA")]
#[case("ES256")]
#[case("RS256")]
#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_signs_what_verifies(#[case] algorithm: &str) {
    let golden = Golden::new(algorithm).await;
    let minted = golden.mint("signed", request("svc-router", host("ophid.edge-7"))).await;
    let header = header_of(&minted.token);
    assert_eq!((&header["alg"], &header["typ"]), (&json!(algorithm), &json!("at+jwt")));
}
