//! Policy modules that misbehave deny, each under its own code, and harm nobody else; none of them widens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use standin::Standin;
use standin::types::{Attribute, Request};
use standin_tests::ZOO;
use standin_tests::idp::claims_of;
use standin_tests::requests::{request, unique, user};
use standin_tests::world::{API, LEDGER, World};

/// A world whose policy module is the zoo: room for an answer of 100 MB, and time enough on a busy machine.
async fn zoo() -> (World, Standin) {
    let limits = "\n[policy]\nmodule = \"zoo.wasm\"\nmemory = \"512MiB\"\ndeadline = \"2s\"\n[runtime]\ncpu = \"2s\"\n";
    let world = World::with(|config| config.push_str(limits), |_| {}).await;
    std::fs::write(world.path("zoo.wasm"), ZOO).unwrap();
    let standin = world.standin().await;
    (world, standin)
}

fn order(order: &Value) -> Request {
    Request {
        correlation_id: format!("c-{}", unique()),
        scope: vec!["expenses:read".into(), "expenses:write".into()],
        attributes: vec![Attribute { name: "edge.zoo".into(), value: order.to_string() }],
        ..request("svc-router", user("alice@example.com"))
    }
}

fn of_alice(request: Request) -> Request {
    use standin::types::{Descriptor, Subject};
    let subject = match request.subject {
        Subject::Descriptor(named) => Subject::Descriptor(Descriptor { account_id: Some("acme-eu".into()), ..named }),
        other => other,
    };
    Request { subject, ..request }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_misbehaves_denies_under_its_own_code_and_harms_nobody() {
    let (world, standin) = zoo().await;
    let rows = [
        (json!("deny"), "policy.denied"),
        (json!("step-up"), "policy.step_up"),
        (json!("step-up-to-nothing"), "policy.invalid"),
        (json!("error"), "policy.error"),
        (json!("trap"), "policy.trapped"),
        (json!("loop"), "policy.timed_out"),
        (json!("eat-memory"), "policy.trapped"),
        (json!("overflow-stack"), "policy.trapped"),
        (json!("long-answer"), "policy.too_large"),
        (json!("many-reasons"), "policy.too_large"),
        (json!("bad-scope"), "policy.invalid"),
        (json!("bad-audience"), "policy.invalid"),
        (json!("twice-the-same-attribute"), "policy.invalid"),
        (json!("attribute-that-is-not-json"), "policy.invalid"),
        (json!({ "allow": { "scope": [] } }), "scope.empty"),
        (json!({ "allow": { "scope": ["other:scope"] } }), "scope.empty"),
        (json!({ "allow": { "audience": [] } }), "audience.not_allowed"),
        (json!({ "allow": { "audience": [LEDGER] } }), "audience.not_allowed"),
        (json!({ "allow": { "ttl": 0 } }), "ttl.none"),
    ];
    for (behaviour, code) in rows {
        let honest: Vec<_> = (0..4)
            .map(|_| {
                let standin = standin.clone();
                tokio::spawn(async move { standin.mint_on_behalf(of_alice(order(&json!("permit")))).await })
            })
            .collect();
        let request = of_alice(order(&behaviour));
        let id = request.correlation_id.clone();
        let failure = standin.mint_on_behalf(request).await.unwrap_err();
        assert_eq!(failure.code, code, "{behaviour}");
        let events = world.audit_of(&id);
        assert_eq!(events.len(), 1, "{behaviour}: {events:?}");
        assert_eq!(events[0]["outcome"], "deny", "{behaviour}");
        assert_eq!(events[0]["code"], code, "{behaviour}");
        let acr = standin::attribute(&failure.attributes, "acr");
        assert_eq!(acr, (code == "policy.step_up").then(|| json!("urn:example:mfa")));
        for minted in honest {
            let minted = minted.await.unwrap().unwrap_or_else(|failure| panic!("{behaviour} harmed another: {failure:?}"));
            assert_eq!(claims_of(&minted.token)["scope"], "expenses:read expenses:write");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowance_narrows_and_never_widens() {
    let (_world, standin) = zoo().await;
    let mint = async |allow: Value| {
        let request = Request { audience: vec![API.into()], ..of_alice(order(&json!({ "allow": allow }))) };
        standin.mint_on_behalf(request).await.map(|minted| claims_of(&minted.token)).unwrap()
    };
    let lifetime = |claims: &Value| claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();

    let wide = mint(
        json!({ "scope": ["expenses:read", "expenses:write", "admin", "*"], "audience": [API, LEDGER, "*"], "ttl": 86_400 }),
    )
    .await;
    assert_eq!((&wide["scope"], &wide["aud"]), (&json!("expenses:read expenses:write"), &json!(API)));
    assert_eq!(lifetime(&wide), 300);

    let narrow = mint(json!({ "scope": ["expenses:write"], "audience": [API], "ttl": 1 })).await;
    assert_eq!((&narrow["scope"], &narrow["aud"]), (&json!("expenses:write"), &json!(API)));
    assert_eq!(lifetime(&narrow), 1);
}

/// One world for every case: what is under test is the component, not its start.
fn shared() -> &'static (tokio::runtime::Runtime, World, Standin) {
    static SHARED: OnceLock<(tokio::runtime::Runtime, World, Standin)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (world, standin) = runtime.block_on(zoo());
        (runtime, world, standin)
    })
}

const SCOPES: [&str; 4] = ["expenses:read", "expenses:write", "admin", "*"];
const AUDIENCES: [&str; 3] = [API, LEDGER, "https://evil.example.com"];

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(all, 0..=all.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_of_a_policy_widens(
        client in proptest::sample::select(&["svc-router", "svc-strict"][..]),
        who in proptest::sample::select(&["alice@example.com", "bob@example.com"][..]),
        asked_scope in proptest::sample::subsequence(&SCOPES[..2], 0..=2),
        asked_audience in proptest::sample::subsequence(&AUDIENCES[..2], 1..=2),
        asked_ttl in proptest::option::of(1_u32..2_000),
        scope in proptest::option::of(some_of(&SCOPES)),
        audience in proptest::option::of(some_of(&AUDIENCES)),
        ttl in proptest::option::of(0_u32..100_000),
    ) {
        let (runtime, _world, standin) = shared();
        let mut allow = serde_json::Map::new();
        scope.as_ref().map(|scope| allow.insert("scope".into(), json!(scope)));
        audience.as_ref().map(|audience| allow.insert("audience".into(), json!(audience)));
        ttl.map(|ttl| allow.insert("ttl".into(), json!(ttl)));
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let named = Request { audience: texts(&asked_audience), ..request(client, user(who)) };
        let ordered = order(&json!({ "allow": allow }));
        let asked = of_alice(Request { scope: texts(&asked_scope), requested_ttl: asked_ttl, attributes: ordered.attributes, ..named });
        let Ok(minted) = runtime.block_on(standin.mint_on_behalf(asked)) else { return Ok(()) };
        let claims = claims_of(&minted.token);

        // Each ceiling on its own: asked (or the default), client, subject, audience, policy.
        let asked_scope = if asked_scope.is_empty() { vec!["expenses:read"] } else { asked_scope };
        let granted = claims["scope"].as_str().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        for granted in granted {
            prop_assert!(asked_scope.contains(&granted));
            prop_assert!(["expenses:read", "expenses:write"].contains(&granted));
            prop_assert!(who != "bob@example.com" || granted == "expenses:read");
            prop_assert!(!asked_audience.contains(&LEDGER) || granted == "expenses:read");
            prop_assert!(scope.as_ref().is_none_or(|allowed| allowed.contains(&granted)));
        }
        let granted: Vec<&str> = match &claims["aud"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            other => panic!("aud is {other}"),
        };
        prop_assert!(!granted.is_empty());
        for granted in &granted {
            prop_assert!(asked_audience.contains(granted));
            prop_assert!(client == "svc-router" || *granted == API);
            prop_assert!(audience.as_ref().is_none_or(|allowed| allowed.contains(granted)));
        }
        let lifetime = u32::try_from(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()).unwrap();
        let registered = if client == "svc-router" { 600 } else { 900 };
        prop_assert!(lifetime > 0 && lifetime <= registered && lifetime <= asked_ttl.unwrap_or(300) && lifetime <= ttl.unwrap_or(900));
        prop_assert!(!granted.contains(&LEDGER) || lifetime <= 120);
    }
}
