//! Policy modules while they serve: tenants' own, candidates beside the live ones, files that change, what is refused, what keeps
//! failing, and the way back.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    reason = "a test that cannot go on ends"
)]

use std::sync::LazyLock;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use standin::policy::signature::{generate, sign};
use standin::types::{Attribute, Descriptor, Failure, Request, Subject};
use standin::{BuildError, LoadError, Standin};
use standin_tests::ZOO;
use standin_tests::cedar::{module, module_with};
use standin_tests::idp::claims_of;
use standin_tests::requests::{request, user};
use standin_tests::world::{PATIENT, World};

/// People, for two minutes, and nobody called bob.
const HOUSE: &str = r#"
@id("people") @max_ttl("2m")
permit (principal, action == Action::"mint", resource is User);

@id("not-bob")
forbid (principal, action, resource == User::"user:acme:u-bob");
"#;

/// Everybody, for longer than the house has it, and without its scopes for writing.
const WIDE: &str = r#"
@id("everybody") @max_ttl("9m") @scope("expenses:read")
permit (principal, action, resource);
"#;

/// Nobody.
const CLOSED: &str = r#"
@id("nobody")
forbid (principal, action, resource);
"#;

static HOUSE_1: LazyLock<Vec<u8>> = LazyLock::new(|| module(HOUSE, 1));
static HOUSE_2: LazyLock<Vec<u8>> = LazyLock::new(|| module(HOUSE, 2));
static WIDE_2: LazyLock<Vec<u8>> = LazyLock::new(|| module(WIDE, 2));
static CLOSED_3: LazyLock<Vec<u8>> = LazyLock::new(|| module(CLOSED, 3));

/// The platform's file, and the beginning of every configuration here: patient, for a busy machine.
const PLATFORM: &str = "\n[runtime]\ncpu = \"2s\"\n[policy]\nmodule = \"acme.policy.wasm\"\ndeadline = \"5s\"\n";

/// A world that serves `acme.policy.wasm`, with this after it in the configuration.
async fn world(wasm: &[u8], rest: &str) -> World {
    let world = World::with(|config| config.push_str(&format!("{PLATFORM}{rest}\n")), |_| {}).await;
    put(&world, wasm);
    world
}

/// In place whole: written beside, then renamed.
fn put(world: &World, wasm: &[u8]) {
    std::fs::write(world.path("next.wasm"), wasm).unwrap();
    std::fs::rename(world.path("next.wasm"), world.path("acme.policy.wasm")).unwrap();
}

fn of(client: &str, who: &str, account: &str) -> Request {
    let request = request(client, user(who));
    let Subject::Descriptor(named) = request.subject else { unreachable!() };
    let subject = Subject::Descriptor(Descriptor { account_id: Some(account.into()), ..named });
    Request { subject, requested_ttl: Some(600), correlation_id: format!("c-{}", standin_tests::requests::unique()), ..request }
}

async fn mint(standin: &Standin, request: Request) -> Result<Value, Failure> {
    standin.mint_on_behalf(request).await.map(|minted| claims_of(&minted.token))
}

async fn ttl(standin: &Standin) -> u64 {
    let claims = mint(standin, of("svc-router", "alice@example.com", "acme-eu")).await.unwrap();
    claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
}

/// The code of a request for alice.
async fn code(standin: &Standin) -> String {
    mint(standin, of("svc-router", "alice@example.com", "acme-eu")).await.map_or_else(|failure| failure.code, |_| "ok".into())
}

/// Asks again until it holds; the time is for a busy machine.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_module_narrows_what_the_platforms_leaves_and_never_widens_it() {
    let own = "[[policy.tenant]]\ntenant = \"acme\"\nmodule = \"own.wasm\"\ndeadline = \"5s\"\n";
    let world = world(&HOUSE_1, own).await;
    std::fs::write(world.path("own.wasm"), module(WIDE, 1)).unwrap();
    let standin = world.standin().await;
    let mut asked = of("svc-router", "alice@example.com", "acme-eu");
    asked.scope = vec!["expenses:read".into(), "expenses:write".into()];
    let id = asked.correlation_id.clone();
    let claims = mint(&standin, asked).await.unwrap();
    // Two minutes are the platform's, the scope is the tenant's.
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
    assert_eq!(claims["scope"], "expenses:read");
    let policies: Vec<String> = standin.policy_status().slots.into_values().map(|slot| slot.digest).collect();
    let event = &world.audit_of(&id)[0];
    assert_eq!(event["policy"], policies.join("+"));
    let rules: Vec<&str> = event["rules"].as_array().unwrap().iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["people", "everybody"]);
    // The tenant permits bob; the platform does not.
    let denied = mint(&standin, of("svc-router", "bob@example.com", "acme-eu")).await.unwrap_err();
    assert_eq!(denied.code, "policy.denied");
    // Other tenants have nothing to do with it.
    let mut other = of("svc-other", "gina@globex.example", "globex");
    other.scope = vec!["expenses:read".into()];
    let id = other.correlation_id.clone();
    mint(&standin, other).await.unwrap();
    assert_eq!(world.audit_of(&id)[0]["policy"], policies[0]);
}

#[rstest]
#[case::neither_forbids("", "ok")]
#[case::the_target_forbids("globex", "policy.denied")]
#[case::the_origin_forbids("acme", "policy.denied")]
#[tokio::test(flavor = "multi_thread")]
async fn crossing_needs_both_tenants_modules(#[case] forbidding: &str, #[case] expected: &str) {
    let own = |tenant: &str| {
        let file = if tenant == forbidding { "closed" } else { "wide" };
        format!("[[policy.tenant]]\ntenant = \"{tenant}\"\nmodule = \"{file}.wasm\"\ndeadline = \"5s\"\n")
    };
    let world = world(&HOUSE_1, &format!("{}{}", own("acme"), own("globex"))).await;
    std::fs::write(world.path("closed.wasm"), &*CLOSED_3).unwrap();
    std::fs::write(world.path("wide.wasm"), &*WIDE_2).unwrap();
    let standin = world.standin().await;
    let answer = mint(&standin, of("svc-crosser", "gina@globex.example", "globex")).await;
    assert_eq!(answer.map_or_else(|failure| failure.code, |_| "ok".into()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_asked_the_same_decides_nothing_and_its_differences_are_recorded() {
    let world = world(&HOUSE_1, "shadow = \"candidate.wasm\"\n").await;
    std::fs::write(world.path("candidate.wasm"), &*CLOSED_3).unwrap();
    let standin = world.standin().await;
    let counts = || standin.policy_status().slots["platform"].shadow.as_ref().unwrap().counts;
    let asked = of("svc-router", "alice@example.com", "acme-eu");
    let id = asked.correlation_id.clone();
    assert!(mint(&standin, asked).await.is_ok());
    // What both deny is no difference.
    assert!(mint(&standin, of("svc-router", "bob@example.com", "acme-eu")).await.is_err());
    until("both are counted", async || counts().same == 1 && counts().differs == 1).await;
    assert_eq!(counts().dropped, 0);
    until("the difference is recorded", async || world.audit_of(&id).len() == 2).await;
    let difference = world.audit_of(&id).into_iter().find(|event| event["event"] == "shadow").unwrap();
    assert_eq!(difference["slot"], "platform");
    assert_eq!(difference["live"]["effect"]["permit"]["ttl"], 120);
    assert_eq!(difference["live"]["rules"][0]["rule"], "people");
    assert_eq!(difference["candidate"]["effect"], "deny");
    assert_eq!(difference["candidate"]["rules"][0]["rule"], "nobody");
    assert_eq!(difference["asked"]["subject"]["id"], "user:acme:u-alice");
    assert_ne!(difference["live"]["policy"], difference["candidate"]["policy"]);
    standin.close().await.unwrap();
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_hangs_holds_nobody_up_and_what_it_cannot_take_is_counted() {
    let world = world(ZOO, "shadow = \"candidate.wasm\"\nmemory = \"64MiB\"\n").await;
    std::fs::write(world.path("candidate.wasm"), ZOO).unwrap();
    // The live module and its candidate are the same; what makes the candidate hang would make the live one hang: a deny that takes
    // the lane's time is enough to fill it.
    let standin = world.standin().await;
    let requests = 600;
    for _ in 0..requests {
        assert!(mint(&standin, of("svc-router", "alice@example.com", "acme-eu")).await.is_ok());
    }
    let counts = || standin.policy_status().slots["platform"].shadow.as_ref().unwrap().counts;
    until("all are accounted for", async || counts().same + counts().dropped == requests).await;
    assert_eq!(counts().differs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_keeps_failing_is_not_asked_for_a_while() {
    let breaker = "breaker = { failures = 3, window = \"1m\", rest = \"2s\" }\n";
    let world = World::with(
        |config| {
            let policy =
                "\n[runtime]\ncpu = \"2s\"\n[policy]\nmodule = \"acme.policy.wasm\"\ndeadline = \"200ms\"\nmemory = \"64MiB\"\n";
            config.push_str(&format!("{policy}{breaker}"));
        },
        |_| {},
    )
    .await;
    put(&world, ZOO);
    let standin = world.standin().await;
    let ordered = |order: &str| {
        let mut request = of("svc-router", "alice@example.com", "acme-eu");
        request.attributes = vec![Attribute { name: "edge.zoo".into(), value: json!(order).to_string() }];
        request
    };
    // What a module answers is an answer, also an error: it opens nothing.
    for _ in 0..5 {
        assert_eq!(mint(&standin, ordered("error")).await.unwrap_err().code, "policy.error");
    }
    for (order, code) in [("loop", "policy.timed_out"), ("trap", "policy.trapped"), ("bad-scope", "policy.invalid")] {
        assert_eq!(mint(&standin, ordered(order)).await.unwrap_err().code, code);
    }
    let failure = mint(&standin, ordered("permit")).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.status), ("policy.unavailable", 503));
    assert_eq!(serde_json::to_value(standin.policy_status()).unwrap()["slots"]["platform"]["breaker"], "open-for-some");
    // It is what one client asks that makes it fail: the others are answered.
    assert!(mint(&standin, of("svc-strict", "alice@example.com", "acme-eu")).await.is_ok());
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The one that is let through fails: it stays open.
    assert_eq!(mint(&standin, ordered("trap")).await.unwrap_err().code, "policy.trapped");
    assert_eq!(mint(&standin, ordered("permit")).await.unwrap_err().code, "policy.unavailable");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(mint(&standin, ordered("permit")).await.is_ok());
    assert!(mint(&standin, ordered("permit")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_taken_up_and_the_change_is_recorded() {
    let world = world(&HOUSE_1, "watch = \"100ms\"\n").await;
    let standin = world.standin().await;
    let watching = tokio::spawn({
        let standin = standin.clone();
        async move { standin.watch_policies().await }
    });
    assert_eq!(ttl(&standin).await, 120);
    put(&world, &WIDE_2);
    until("the new module decides", async || ttl(&standin).await == 540).await;
    let change = world.audit_lines().into_iter().find(|event| event["because"] == "file").unwrap();
    let digest = standin.policy_status().slots["platform"].digest.clone();
    assert_eq!(change["because"], "file");
    let changed = &change["changes"][0];
    assert_eq!((&changed["slot"], &changed["to"]), (&json!("platform"), &json!(digest)));
    assert_eq!((&changed["name"], &changed["version"]), (&json!("test"), &json!("2")));
    // One that may not be live changes nothing, and it shows.
    put(&world, &HOUSE_1);
    until("it is refused", async || !standin.policy_status().refused.is_empty()).await;
    assert_eq!((standin.policy_status().refused["platform"].code, ttl(&standin).await), ("version", 540));
    put(&world, &CLOSED_3);
    until("the third decides", async || code(&standin).await == "policy.denied").await;
    assert!(standin.policy_status().refused.is_empty());
    watching.abort();
    standin.close().await.unwrap();
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_on_the_way_leaves_the_old_one_serving_and_says_why() {
    let ((secret, public), (other, _)) = (generate(), generate());
    let signed = |wasm: &[u8]| sign(wasm, &secret).unwrap();
    let world = world(&signed(&HOUSE_2), "trusted_keys = [\"acme.pub.pem\"]\n").await;
    std::fs::write(world.path("acme.pub.pem"), public).unwrap();
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let ready = async || -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(server.url("/readyz")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    };
    assert_eq!(ready().await, json!({ "ready": true, "unavailable": [] }));
    let good = signed(&WIDE_2);
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    let failing = r#"{"cases": [{"name": "nobody gets in", "input": {}, "expect": {"effect": "deny"}}]}"#;
    let rows = [
        (b"no module".to_vec(), "signature"),
        (WIDE_2.clone(), "signature"),
        (altered, "signature"),
        (good[..good.len() / 2].to_vec(), "signature"),
        (sign(&WIDE_2, &other).unwrap(), "signature"),
        (signed(&module(HOUSE, 1)), "version"),
        (signed(&module_with(WIDE, 3, Some(failing))), "cases"),
        (
            signed(&wat(r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func)))))"#)),
            "version",
        ),
    ];
    for (wasm, code) in rows {
        put(&world, &wasm);
        let refusal = standin.reload_policy().await.unwrap_err();
        assert!(matches!(&refusal, BuildError::Policy { slot, .. } if slot == "platform"), "{refusal}");
        assert_eq!(ready().await["policy_refused"], code, "{refusal}");
        assert_eq!(ttl(&standin).await, 120, "{refusal}");
        let refused = standin.policy_status().refused.remove("platform").unwrap();
        assert_eq!((refused.code, refused.cause), (code, refusal.to_string()));
    }
    put(&world, &good);
    standin.reload_policy().await.unwrap();
    assert_eq!((ttl(&standin).await, ready().await), (540, json!({ "ready": true, "unavailable": [] })));
    assert!(server.stop().await);
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[rstest]
#[case::forbidden_import(
    r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func)))))"#,
    "imports"
)]
#[case::import_of_ours(
    r#"(component (import "standin:obo/keys@0.1.0" (instance (export "jwks" (func (result string))))))"#,
    "imports"
)]
#[case::wrong_world("(component)", "world")]
#[case::a_core_module("(module)", "manifest")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_policy_module_is_refused_with_the_old_one_serving(#[case] text: &str, #[case] code: &str) {
    let world = world(standin::policy::BASELINE, "").await;
    let standin = world.standin().await;
    put(&world, &wat(text));
    assert!(standin.reload_policy().await.is_err());
    assert_eq!(standin.policy_status().refused["platform"].code, code);
    assert_eq!(ttl(&standin).await, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_bad_file_keeps_its_own_slot_as_it_was_and_holds_up_nobody_else() {
    let own = "shadow = \"candidate.wasm\"\n[[policy.tenant]]\ntenant = \"acme\"\nmodule = \"own.wasm\"\ndeadline = \"5s\"\n";
    let world = world(&HOUSE_1, own).await;
    std::fs::write(world.path("own.wasm"), module(WIDE, 1)).unwrap();
    std::fs::write(world.path("candidate.wasm"), &*CLOSED_3).unwrap();
    // At the start there is nothing that could stay.
    std::fs::write(world.path("candidate.wasm"), b"no module").unwrap();
    assert!(world.builder().build().await.is_err());
    std::fs::write(world.path("candidate.wasm"), &*CLOSED_3).unwrap();
    let standin = world.standin().await;
    let before = standin.policy_status().slots;
    std::fs::write(world.path("own.wasm"), b"no module").unwrap();
    std::fs::write(world.path("candidate.wasm"), b"no module").unwrap();
    put(&world, &WIDE_2);
    standin.reload(world.config()).await.unwrap();
    let status = standin.policy_status();
    assert_eq!(status.slots["tenant:acme"].digest, before["tenant:acme"].digest);
    assert_ne!(status.slots["platform"].digest, before["platform"].digest);
    assert_eq!(status.slots["platform"].shadow.as_ref().unwrap().digest, before["platform"].shadow.as_ref().unwrap().digest);
    assert_eq!((status.refused["tenant:acme"].code, status.refused["platform"].code), ("manifest", "candidate"));
    assert!(status.refused["platform"].cause.contains("candidate.wasm"), "{:?}", status.refused);
    assert_eq!(ttl(&standin).await, 540);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_take_turns_and_a_rollback_undoes_its_own_slot_alone() {
    let own = "[[policy.tenant]]\ntenant = \"acme\"\nmodule = \"own.wasm\"\ndeadline = \"5s\"\n";
    let world = world(&HOUSE_1, own).await;
    std::fs::write(world.path("own.wasm"), module(WIDE, 1)).unwrap();
    let standin = world.standin().await;
    put(&world, &WIDE_2);
    standin.reload_policy().await.unwrap();
    // While the tenant's new module is being compiled, the platform's is rolled back, by several at once.
    std::fs::write(world.path("own.wasm"), &*CLOSED_3).unwrap();
    let reload = tokio::spawn({
        let standin = standin.clone();
        async move { standin.reload_policy().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let rollbacks: Vec<_> = (0..4)
        .map(|_| {
            let standin = standin.clone();
            tokio::spawn(async move { standin.roll_back_policy("platform").await.is_ok() })
        })
        .collect();
    reload.await.unwrap().unwrap();
    let mut done = 0;
    for rollback in rollbacks {
        done += u32::from(rollback.await.unwrap());
    }
    assert_eq!(done, 1);
    let status = standin.policy_status();
    assert_eq!((status.slots["platform"].version.as_str(), status.slots["tenant:acme"].version.as_str()), ("1", "3"));
    assert_eq!(code(&standin).await, "policy.denied");
    // Whoever asked for a rollback and went away does not leave it half done.
    standin.reload(world.config()).await.unwrap();
    assert_eq!(standin.policy_status().slots["platform"].version, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_to_has_to_be_trusted_still() {
    let ((old_secret, old_public), (secret, public)) = (generate(), generate());
    let world = world(&sign(&HOUSE_1, &old_secret).unwrap(), "trusted_keys = [\"a.pem\", \"b.pem\"]\n").await;
    std::fs::write(world.path("a.pem"), old_public).unwrap();
    std::fs::write(world.path("b.pem"), public).unwrap();
    let standin = world.standin().await;
    put(&world, &sign(&WIDE_2, &secret).unwrap());
    let config = world.config_text().replace("\"a.pem\", ", "");
    std::fs::write(world.path("standin.toml"), config).unwrap();
    standin.reload(world.config()).await.unwrap();
    let refusal = standin.roll_back_policy("platform").await.unwrap_err();
    assert!(matches!(refusal, BuildError::Policy { source: LoadError::Trust(_), .. }), "{refusal}");
    assert_eq!(ttl(&standin).await, 540);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_place_of_a_module_holds_nothing_up() {
    let world = world(&HOUSE_1, "").await;
    let standin = world.standin().await;
    std::fs::remove_file(world.path("acme.policy.wasm")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(world.path("acme.policy.wasm")).status().unwrap().success());
    let refusal = tokio::time::timeout(Duration::from_secs(20), standin.reload_policy()).await.unwrap().unwrap_err();
    assert!(matches!(refusal, BuildError::Policy { source: LoadError::Unreadable { .. }, .. }), "{refusal}");
    assert_eq!(ttl(&standin).await, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_back_to_what_is_built_in_though_nobody_signed_that() {
    let (secret, public) = generate();
    let world = World::with(|config| config.push_str(PATIENT), |_| {}).await;
    let standin = world.standin().await;
    let before = ttl(&standin).await;
    std::fs::write(world.path("acme.policy.wasm"), sign(&HOUSE_1, &secret).unwrap()).unwrap();
    std::fs::write(world.path("acme.pub.pem"), public).unwrap();
    let signed = "[policy]\nmodule = \"acme.policy.wasm\"\ntrusted_keys = [\"acme.pub.pem\"]\n";
    let text = world.config_text().replacen("[policy]\n", signed, 1);
    std::fs::write(world.path("standin.toml"), text).unwrap();
    standin.reload(world.config()).await.unwrap();
    assert_eq!(ttl(&standin).await, 120);
    standin.roll_back_policy("platform").await.unwrap();
    assert_eq!(ttl(&standin).await, before);
    // With nothing left to go back to, no module was refused.
    assert!(standin.roll_back_policy("platform").await.is_err());
    assert!(standin.policy_status().refused.is_empty(), "{:?}", standin.policy_status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_back_what_was_live_and_holds_until_there_is_another_file() {
    let world = world(&HOUSE_1, "").await;
    let standin = world.standin().await;
    assert!(matches!(
        standin.roll_back_policy("platform").await,
        Err(BuildError::Policy { source: LoadError::NothingBefore, .. })
    ));
    put(&world, &CLOSED_3);
    standin.reload_policy().await.unwrap();
    assert_eq!(code(&standin).await, "policy.denied");
    assert!(matches!(
        standin.roll_back_policy("tenant:acme").await,
        Err(BuildError::Policy { source: LoadError::NothingBefore, .. })
    ));
    standin.roll_back_policy("platform").await.unwrap();
    assert_eq!(ttl(&standin).await, 120);
    assert!(matches!(
        standin.roll_back_policy("platform").await,
        Err(BuildError::Policy { source: LoadError::NothingBefore, .. })
    ));
    // A reload for other reasons does not bring the bad one back.
    standin.reload(world.config()).await.unwrap();
    assert_eq!(ttl(&standin).await, 120);
    let because: Vec<Value> = world
        .audit_lines()
        .into_iter()
        .filter(|event| event["event"] == "policy")
        .map(|event| event["because"].clone())
        .collect();
    assert_eq!(because, ["start", "file", "rollback"]);
    // What was rolled back to may be live again, also after a restart.
    put(&world, &HOUSE_1);
    standin.reload(world.config()).await.unwrap();
    put(&world, &WIDE_2);
    standin.reload(world.config()).await.unwrap();
    assert_eq!(ttl(&standin).await, 540);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_end_on_the_module_they_began_with() {
    let world = world(&HOUSE_1, "").await;
    let standin = world.standin().await;
    let target = standin.resolve_target(of("svc-router", "alice@example.com", "acme-eu")).await.unwrap();
    put(&world, &CLOSED_3);
    standin.reload_policy().await.unwrap();
    assert_eq!(code(&standin).await, "policy.denied");
    let standin::Decision::Permit(permit) = target.evaluate_policy().await.unwrap() else {
        unreachable!("the first module permits")
    };
    assert_eq!(claims_of(&permit.mint().await.unwrap().token)["sub"], "user:acme:u-alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_does_not_become_live() {
    use standin_tests::ports::NoAudit;
    let world = world(&HOUSE_1, "").await;
    let without = || world.builder().audit(std::sync::Arc::new(NoAudit)).build();
    assert!(matches!(without().await.err(), Some(BuildError::Unrecorded(_))), "the first start with a version is a change too");
    world.standin().await.close().await.unwrap();
    let standin = without().await.unwrap();
    let before = standin.policy_status().slots["platform"].digest.clone();
    put(&world, &CLOSED_3);
    assert!(matches!(standin.reload_policy().await, Err(BuildError::Unrecorded(_))));
    let status = standin.policy_status();
    assert_eq!((&status.slots["platform"].digest, status.refused["platform"].code), (&before, "audit"));
}
