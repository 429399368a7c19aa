//! What a subject token says beside who it is about: a key it is bound to, how its subject authenticated, its scope, its end, and claims of
//! types that nobody expects. Through the real component; what the host judges by itself stands in `hostile.rs` too.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin::clock::{Clock, SystemClock};
use standin::keys::Keys as _;
use standin::keys::files::FileKeys;
use standin::policy::pack::{CEDAR, Package, REGO, Source, pack};
use standin::types::{Attribute, Credential, Minted, Request};
use standin_tests::idp::{Idp, KID, claims_of, now};
use standin_tests::requests::{request, token, unique, user, user_of};
use standin_tests::world::{API, LEDGER, PATIENT, World};
use standin_tests::zoo;

async fn mint(standin: &Standin, request: Request) -> Result<Minted, String> {
    standin.mint_on_behalf(request).await.map_err(|failure| failure.code)
}

async fn claims(standin: &Standin, client: &str, subject_token: &str, audience: &str) -> Result<Value, String> {
    let asked = Request { audience: vec![audience.into()], ..request(client, token(subject_token)) };
    mint(standin, asked).await.map(|minted| claims_of(&minted.token))
}

/// Claims with a member put in as it is, `null` too.
fn with(claim: &str, value: &Value) -> Value {
    let mut claims = Idp::claims(json!({}));
    claims[claim] = value.clone();
    claims
}

fn signed(world: &World, claims: &Value) -> String {
    world.idp.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": KID }), claims)
}

/// A token of ours with these claims changed, signed with our own key.
async fn own(world: &World, standin: &Standin, changes: Value) -> String {
    let first = claims(standin, "svc-router", &world.idp.token(json!({})), API).await.unwrap();
    let mut changed = first.as_object().unwrap().clone();
    changed.extend(changes.as_object().unwrap().clone());
    let keys = FileKeys::open(standin::key_folder(&world.config()), Arc::new(SystemClock::default())).unwrap();
    keys.sign(None, "at+jwt", &Value::Object(changed).to_string()).await.unwrap()
}

/// Registers an audience of the usual configuration as one for which a bound token may become a bearer token.
fn unbind(config: &mut String, audience: &str) {
    *config = config.replace(&format!("id = \"{audience}\"\nflow"), &format!("id = \"{audience}\"\nunbound = true\nflow"));
    config.push_str(PATIENT);
}

#[rstest]
#[case::dpop("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }))]
#[case::mutual_tls("cnf", json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }))]
#[case::a_key("cnf", json!({ "jwk": { "kty": "OKP", "crv": "Ed25519", "x": "AA" } }))]
#[case::the_name_of_a_key("cnf", json!({ "kid": "k-1" }))]
#[case::empty("cnf", json!({}))]
#[case::malformed("cnf", json!("jkt"))]
#[case::null("cnf", Value::Null)]
#[case::in_a_word("token_type", json!("DPoP"))]
#[case::in_keycloaks_word("typ", json!("DPoP"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_becomes_no_bearer_token(#[case] claim: &str, #[case] value: Value) {
    let world = World::with(|config| unbind(config, LEDGER), |_| {}).await;
    let standin = world.standin().await;
    let bound = signed(&world, &with(claim, &value));
    assert_eq!(claims(&standin, "svc-router", &bound, API).await.unwrap_err(), "subject.bound");
    let both = Request { audience: vec![LEDGER.into(), API.into()], ..request("svc-router", token(&*bound)) };
    assert_eq!(mint(&standin, both).await.unwrap_err(), "subject.bound");
    let minted = claims(&standin, "svc-router", &bound, LEDGER).await.unwrap();
    assert_eq!(minted["aud"], LEDGER);
    assert!(minted.get("cnf").is_none(), "{minted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_of_ours_is_refused_too_and_so_is_a_bound_caller_token() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let plain = own(&world, &standin, json!({})).await;
    claims(&standin, "svc-ledger", &plain, LEDGER).await.unwrap();
    let bound = own(&world, &standin, json!({ "cnf": { "jkt": "x" } })).await;
    assert_eq!(claims(&standin, "svc-ledger", &bound, LEDGER).await.unwrap_err(), "subject.bound");

    let by = |changes: Value| Request {
        caller: Credential::Bearer(world.idp.caller(changes)),
        ..request("svc-bearer", user_of("acme-eu", "alice@example.com"))
    };
    mint(&standin, by(json!({}))).await.unwrap();
    for cnf in [json!({ "cnf": { "x5t#S256": "x" } }), json!({ "cnf": null })] {
        assert_eq!(mint(&standin, by(cnf)).await.unwrap_err(), "caller.invalid");
    }
}

/// A policy module in place of the default one.
async fn judged_by(engine: &'static [u8], name: &str, text: &str, change: impl FnOnce(&mut Value)) -> World {
    let sources = vec![Source { name: name.into(), content: text.into() }];
    let package = Package { name: "test".into(), version: 1, sources, cases: None };
    let module = tokio::task::spawn_blocking(move || pack(engine, &package).unwrap().wasm).await.unwrap();
    let policy = "\n[policy]\nmodule = \"test.policy.wasm\"\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\n";
    let world = World::with(|config| config.push_str(policy), change).await;
    std::fs::write(world.path("test.policy.wasm"), module).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_can_be_met_at_the_second_hop() {
    let policy = r#"
        @id("first") permit (principal == Client::"client:svc-router", action, resource);
        @id("second") @step_up("mfa") permit (principal == Client::"client:svc-ledger", action, resource)
        when { resource has amr && resource.amr.contains("otp") && resource has auth_time && resource.auth_time > 0 };
        @id("weak") @step_up("mfa") permit (principal == Client::"client:svc-ledger", action, resource)
        unless { resource has acr };
    "#;
    let world = judged_by(CEDAR, "test.cedar", policy, |_| {}).await;
    let standin = world.standin().await;
    let said = json!({ "acr": "mfa", "amr": ["pwd", "otp"], "auth_time": now() - 60 });
    let strong = Request { audience: vec![API.into()], ..request("svc-router", token(world.idp.token(said.clone()))) };
    let first = mint(&standin, strong).await.unwrap();
    let second = claims(&standin, "svc-ledger", &first.token, LEDGER).await.unwrap();
    for claims in [&claims_of(&first.token), &second] {
        for (name, value) in said.as_object().unwrap() {
            assert_eq!(&claims[name], value, "{claims}");
        }
    }
    let weak = mint(&standin, request("svc-router", token(world.idp.token(json!({}))))).await.unwrap();
    assert!(claims_of(&weak.token).get("acr").is_none());
    assert_eq!(claims(&standin, "svc-ledger", &weak.token, LEDGER).await.unwrap_err(), "policy.step_up");
    // A token of its own says nothing for a subject that came without one.
    let named = mint(&standin, request("svc-router", user_of("acme-eu", "alice@example.com"))).await.unwrap();
    assert!(["acr", "amr", "auth_time"].iter().all(|name| claims_of(&named.token).get(name).is_none()));
}

#[rstest]
#[case::of_other_types(json!({ "acr": 1, "amr": { "pwd": true }, "auth_time": "2020-01-01" }), json!({}))]
#[case::a_list_with_more_than_texts(json!({ "amr": ["pwd", 1], "acr": ["mfa"], "auth_time": -5 }), json!({}))]
#[case::endless(json!({ "acr": "x".repeat(600), "amr": vec!["pwd"; 200], "auth_time": 1e300 }), json!({}))]
#[case::in_another_spelling(json!({ "amr": "pwd", "auth_time": 1_700_000_000.7, "acr": "" }), json!({ "amr": ["pwd"], "auth_time": 1_700_000_000, "acr": "" }))]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_of_an_authentication_stays_out_of_our_token(#[case] said: Value, #[case] kept: Value) {
    let world = World::patient().await;
    let standin = world.standin().await;
    let minted = claims(&standin, "svc-router", &world.idp.token(said), API).await.unwrap();
    for name in ["acr", "amr", "auth_time"] {
        assert_eq!(minted.get(name), kept.get(name), "{minted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_the_policy_leaves_nothing_of_is_refused_whoever_named_it() {
    let (_world, standin) = zoo::zoo().await;
    let left = |scope: &[&str]| zoo::order(&json!({ "allow": { "scope": scope } }));
    for (asked, allowed, expected) in [
        (&["expenses:read"][..], &[][..], Err("scope.empty")),
        (&[][..], &[][..], Err("scope.empty")),
        (&[][..], &["expenses:write"][..], Err("scope.empty")),
        (&[][..], &["expenses:read", "other"][..], Ok(vec!["expenses:read".to_owned()])),
    ] {
        let asked = Request { scope: asked.iter().map(|&scope| scope.to_owned()).collect(), ..left(allowed) };
        let minted = mint(&standin, asked.clone()).await.map(|minted| minted.scope);
        assert_eq!(minted, expected.map_err(str::to_owned), "{:?} of which {allowed:?}", asked.scope);
        let page: Value = serde_json::from_str(&standin.explain(asked).await.unwrap()).unwrap();
        assert_eq!(page["failure"]["code"].as_str(), minted.as_ref().err().map(String::as_str), "{page}");
    }
    // Where there is no scope to begin with, a policy takes none away.
    let mut none = left(&[]);
    none.scope = Vec::new();
    none.step = None;
    let scopeless = Request { caller: standin_tests::requests::secret("svc-admin"), ..none };
    assert_eq!(mint(&standin, scopeless).await.unwrap().scope, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_just_expired_has_expired() {
    let world = World::patient().await;
    let standin = world.standin().await;
    for ended in [0, 1, 29, 31] {
        let foreign = world.idp.token(json!({ "exp": now() - ended, "iat": now() - 600 }));
        assert_eq!(claims(&standin, "svc-router", &foreign, API).await.unwrap_err(), "subject.expired");
        let ours = own(&world, &standin, json!({ "exp": now() - ended })).await;
        assert_eq!(claims(&standin, "svc-ledger", &ours, LEDGER).await.unwrap_err(), "subject.expired");
    }
    // A caller's own token lends no life: there the leeway holds.
    let bearer = Credential::Bearer(world.idp.caller(json!({ "exp": now() - 5 })));
    mint(&standin, Request { caller: bearer, ..request("svc-bearer", user_of("acme-eu", "alice@example.com")) }).await.unwrap();
}

/// A second goes by whenever somebody looks.
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        SystemClock::default().monotonic()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_while_it_is_served_is_no_fault_of_ours() {
    let world = World::patient().await;
    let mut seen = std::collections::BTreeSet::new();
    let clock = Arc::new(Hasty(AtomicU64::new(now())));
    let standin = world.builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).build().await.unwrap();
    for life in 1..40 {
        let begin = clock.0.load(Ordering::Relaxed);
        let subject = world.idp.token(json!({ "iat": begin, "exp": begin + life }));
        let answer = mint(&standin, request("svc-router", token(subject))).await;
        if let Ok(minted) = &answer {
            let claims = claims_of(&minted.token);
            assert_eq!(claims["exp"], begin + life);
            assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), u64::from(minted.expires_in));
        }
        seen.insert(answer.map(|_minted| "minted".to_owned()).unwrap_or_else(|code| code));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["minted", "subject.expired"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_jwt_that_expires_while_its_request_is_served_is_no_fault_of_ours() {
    let world = World::patient().await;
    let mut seen = std::collections::BTreeSet::new();
    let clock = Arc::new(Hasty(AtomicU64::new(now())));
    let standin = world.builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).build().await.unwrap();
    for life in 1..40 {
        let begin = clock.0.load(Ordering::Relaxed);
        // The leeway is half a minute.
        let caller = world.idp.caller(json!({ "iat": begin - 60, "exp": begin + life - 30 }));
        let asked = request("svc-bearer", user_of("acme-eu", "alice@example.com"));
        let answer = mint(&standin, Request { caller: Credential::Bearer(caller), ..asked }).await;
        seen.insert(answer.map(|_minted| "minted".to_owned()).unwrap_or_else(|code| code));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["caller.invalid", "minted"]);
}

#[rstest]
#[case::scope_is_first(None, json!({ "scope": "expenses:read", "scp": "expenses:write" }), "expenses:read")]
#[case::scp_is_next(None, json!({ "scope": null, "scp": "expenses:write" }), "expenses:write")]
#[case::a_list(None, json!({ "scope": null, "scp": ["expenses:write"] }), "expenses:write")]
#[case::neither(None, json!({ "scope": null }), "expenses:read expenses:write")]
#[case::none_counts(Some("[]"), json!({ "scope": "expenses:write", "scp": "user_impersonation" }), "expenses:read expenses:write")]
#[case::one_of_its_own(Some("[\"permissions\"]"), json!({ "scope": "openid", "permissions": ["expenses:read"] }), "expenses:read")]
#[case::its_own_is_not_there(Some("[\"permissions\"]"), json!({ "scope": "openid" }), "expenses:read expenses:write")]
#[case::in_its_own_order(Some("[\"scp\", \"scope\"]"), json!({ "scope": "expenses:read", "scp": "expenses:write" }), "expenses:write")]
#[tokio::test(flavor = "multi_thread")]
async fn the_scope_is_where_the_registration_says(#[case] names: Option<&str>, #[case] said: Value, #[case] granted: &str) {
    let change = |config: &mut String| {
        let names = names.map(|names| format!("scope_claims = {names}\n")).unwrap_or_default();
        let more = format!("{names}scopes = [\"expenses:read\", \"expenses:write\"]\nname = \"corp\"");
        *config = config.replace("name = \"corp\"", &more);
        config.push_str(PATIENT);
    };
    let world = World::with(change, |_| {}).await;
    let standin = world.standin().await;
    let both = vec!["expenses:read".to_owned(), "expenses:write".to_owned()];
    let asked = Request { scope: both, ..request("svc-router", token(world.idp.token(said))) };
    assert_eq!(mint(&standin, asked).await.unwrap().scope.join(" "), granted);
}

const CEDAR_STAFF: &str = r#"
    @id("staff") permit (principal, action, resource) when { resource has groups && resource.groups.contains("staff") };
    @id("others") permit (principal == Client::"client:svc-strict", action, resource);
"#;
const REGO_STAFF: &str = "package standin\n\nallow if \"staff\" in input.subject.attributes.groups\n\n\
    allow if input.caller.id == \"client:svc-strict\"\n";

#[rstest]
#[case::cedar(CEDAR, "staff.cedar", CEDAR_STAFF)]
#[case::rego(REGO, "staff.rego", REGO_STAFF)]
#[tokio::test(flavor = "multi_thread")]
async fn facts_of_unexpected_types_are_left_out_and_named(
    #[case] engine: &'static [u8],
    #[case] name: &str,
    #[case] policy: &str,
) {
    let change = |directory: &mut Value| {
        directory["users"][0]["attributes"] = json!({ "groups": null, "roles": {}, "level": 3 });
        directory["users"][1]["attributes"] = json!({ "groups": ["staff"], "acr": 1, "auth_time": "2020-01-01" });
    };
    let world = judged_by(engine, name, policy, change).await;
    let standin = world.standin().await;
    let ask = async |client: &str, subject| {
        let id = format!("c-{}", unique());
        let answer = mint(&standin, Request { correlation_id: id.clone(), ..request(client, subject) }).await;
        let [event] = world.audit_of(&id).try_into().unwrap();
        let left_out = event.get("left_out").or_else(|| event["decision"].get("left_out")).cloned().unwrap_or_default();
        (answer.map(|_minted| ()), left_out)
    };
    let odd = |more: Value| {
        let mut claims = with("acr", &json!(1));
        claims["groups"] = Value::Null;
        claims["auth_time"] = json!("2020-01-01T00:00:00Z");
        claims["roles"] = json!({});
        claims["amr"] = json!(["pwd", null]);
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        token(signed(&world, &claims))
    };
    let named = json!(["subject.acr", "subject.amr", "subject.auth_time", "subject.groups", "subject.roles"]);
    // Who needs no such fact decides as ever; who does denies by itself.
    assert_eq!(ask("svc-strict", odd(json!({}))).await, (Ok(()), named.clone()));
    assert_eq!(ask("svc-router", odd(json!({}))).await, (Err("policy.denied".into()), named));
    let named = json!(["subject.acr", "subject.amr", "subject.auth_time", "subject.roles"]);
    assert_eq!(ask("svc-router", odd(json!({ "groups": "staff" }))).await, (Ok(()), named));
    assert_eq!(ask("svc-router", token(world.idp.token(json!({ "groups": ["staff"] })))).await, (Ok(()), Value::Null));
    // What the directory says is a fact like another.
    let of_the_directory = json!(["subject.groups", "subject.roles"]);
    let alice = user_of("acme-eu", "alice@example.com");
    assert_eq!(ask("svc-strict", alice).await, (Ok(()), of_the_directory));
    assert_eq!(ask("svc-router", user("bob@example.com")).await, (Ok(()), json!(["subject.acr", "subject.auth_time"])));
    // Where what it says is left out, the token's word does not take its place.
    let joined = |employee: &str| {
        let claims =
            json!({ "iss": "https://joined.example.com", "employee": employee, "account_id": "acme-eu", "groups": ["staff"] });
        token(world.idp.token(claims))
    };
    let of_the_directory = json!(["subject.groups", "subject.roles"]);
    assert_eq!(ask("svc-router", joined("E-1")).await, (Err("policy.denied".into()), of_the_directory));
    assert!(ask("svc-router", joined("E-2")).await.0.is_ok());
}

#[rstest]
#[case::cedar(CEDAR, "all.cedar", "permit (principal, action, resource);")]
#[case::rego(REGO, "all.rego", "package standin\n\nallow if true\n")]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_edge_says_and_is_no_json_is_left_out(#[case] engine: &'static [u8], #[case] name: &str, #[case] policy: &str) {
    let world = judged_by(engine, name, policy, |_| {}).await;
    let standin = world.standin().await;
    let fact = |name: &str, value: &str| Attribute { name: name.into(), value: value.into() };
    let said =
        vec![fact("edge.country", "DE"), fact("edge.n", "1e400"), fact("edge.half", "\"\\ud800\""), fact("edge.ip", "\"::1\"")];
    let asked = request("svc-router", user_of("acme-eu", "alice@example.com"));
    mint(&standin, Request { attributes: said, correlation_id: "c-edge".into(), ..asked.clone() }).await.unwrap();
    let [event] = world.audit_of("c-edge").try_into().unwrap();
    assert_eq!(event["left_out"], json!(["edge.country", "edge.n", "edge.half"]));
    let twice = vec![fact("edge.ip", "1"), fact("edge.ip", "2")];
    assert_eq!(mint(&standin, Request { attributes: twice, ..asked }).await.unwrap_err(), "policy.invalid");
}
