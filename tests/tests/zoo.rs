//! Policy modules that misbehave deny, each under its own code, and harm nobody else; none of them widens.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use standin::Standin;
use standin::types::Request;
use standin_tests::idp::claims_of;
use standin_tests::requests::{request, user_of};
use standin_tests::world::{API, LEDGER, World};
use standin_tests::zoo::{order, zoo, zoo_with};

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
        (json!("allocate-4-gib"), "policy.trapped"),
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
                tokio::spawn(async move { standin.mint_on_behalf(order(&json!("permit"))).await })
            })
            .collect();
        let request = order(&behaviour);
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
        let request = Request { audience: vec![API.into()], ..order(&json!({ "allow": allow })) };
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_takes_its_time_is_waited_for() {
    let (_world, standin) = zoo().await;
    let is_slow = || standin.snapshot().judge.is_slow("acme");
    assert!(!is_slow());
    let asked: Vec<_> = (0..24)
        .map(|_| {
            let standin = standin.clone();
            tokio::spawn(async move { standin.mint_on_behalf(order(&json!("take-its-time"))).await })
        })
        .collect();
    for minted in asked {
        minted.await.unwrap().unwrap_or_else(|failure| panic!("it was not waited for: {failure:?}"));
    }
    assert!(is_slow(), "it took no more than others");
    // Who is quick again counts as such before long.
    let mut quick = 0;
    while is_slow() {
        standin.mint_on_behalf(order(&json!("permit"))).await.unwrap();
        quick += 1;
        assert!(quick < 2_000, "it stays slow");
    }
}

/// What the policy said of a request that was permitted.
async fn told(world: &World, standin: &Standin, behaviour: &str) -> Value {
    let request = order(&json!(behaviour));
    let id = request.correlation_id.clone();
    standin.mint_on_behalf(request).await.unwrap();
    world.audit_of(&id)[0]["rules"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_sandbox_gives_the_same_answer_each_time() {
    let (world, standin) = zoo().await;
    let first = told(&world, &standin, "clocks-and-seeds").await;
    assert!(first.to_string().contains("Instant"), "{first}");
    for _ in 0..5 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_eq!(told(&world, &standin, "clocks-and-seeds").await, first);
        // Nor does it remember that it was asked.
        standin.mint_on_behalf(order(&json!("change-its-mind"))).await.unwrap();
    }
    // Nor does another host's.
    let (world, standin) = zoo().await;
    assert_eq!(told(&world, &standin, "clocks-and-seeds").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_sandbox_remembers_until_its_count_is_served_or_it_fails() {
    let (_world, standin) = zoo_with("isolation = \"reuse\"\nreuse_count = 3").await;
    let code = async |behaviour: &str| {
        let answer = standin.mint_on_behalf(order(&json!(behaviour))).await;
        answer.map_or_else(|failure| failure.code, |_| "permit".to_owned())
    };
    // A reused sandbox can deny for what it remembers; what it permits is narrowed like any other answer.
    for expected in ["permit", "policy.denied", "policy.denied", "permit", "policy.denied"] {
        assert_eq!(code("change-its-mind").await, expected);
    }
    assert_eq!(code("trap").await, "policy.trapped");
    for expected in ["permit", "policy.denied"] {
        assert_eq!(code("change-its-mind").await, expected);
    }
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
        let named = Request { audience: texts(&asked_audience), ..request(client, user_of("acme-eu", who)) };
        let ordered = order(&json!({ "allow": allow }));
        let asked = Request { scope: texts(&asked_scope), requested_ttl: asked_ttl, attributes: ordered.attributes, ..named };
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
