//! Cedar and Rego policies, packed, signed and served: what `standin policy` makes is what decides.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use standin::engine::{Isolation, Runtime, RuntimeOptions};
use standin::policy::cases::Suite;
use standin::policy::pack::{CEDAR, Package, Packed, REGO, Source, pack};
use standin::policy::signature::{generate, sign};
use standin::policy::trust::TrustError;
use standin::policy::{PolicyLimits, PolicyModule};
use standin::types::{Descriptor, Request, Subject};
use standin::{BuildError, LoadError, Standin};
use standin_tests::idp::claims_of;
use standin_tests::requests::{request, user};
use standin_tests::world::World;

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let file =
        |entry: std::fs::DirEntry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap());
    entries.map(file).collect()
}

fn packed(engine: &[u8], sources: &[(String, String)], version: u64) -> Packed {
    let sources = sources.iter().map(|(name, content)| Source { name: name.clone(), content: content.clone() }).collect();
    pack(engine, &Package { name: "acme".into(), version, sources, cases: None }).unwrap()
}

fn load(wasm: &[u8], isolation: Isolation) -> PolicyModule {
    let runtime = Runtime::new(RuntimeOptions { slots: 2, ahead: 0, isolation, ..RuntimeOptions::default() }).unwrap();
    // The default limit on memory; time enough on a busy machine.
    let limits = PolicyLimits { deadline: Duration::from_secs(5), ..PolicyLimits::default() };
    PolicyModule::load(&runtime, None, wasm, limits).unwrap()
}

#[rstest]
#[case::cedar(CEDAR, "cedar")]
#[case::rego(REGO, "rego")]
fn the_packed_suite_gives_every_decision_in_fresh_and_in_reused_sandboxes(#[case] engine: &[u8], #[case] bundle: &str) {
    let packed = packed(engine, &files(bundle), 1);
    let cases = files("cases");
    let suite = Suite::of(cases.iter().map(|(name, text)| (name.as_str(), text.as_str())), None).unwrap();
    for isolation in [Isolation::Request, Isolation::Reuse(1_000)] {
        let report = suite.run(&load(&packed.wasm, isolation), Some(&packed.manifest.rules)).unwrap();
        assert!(report.ok, "{isolation:?}: {:#?}", report.failures);
        assert!(report.cases >= 60 && report.unreached.as_deref() == Some(&[]), "{report:?}");
    }
}

/// Every one of these is something else with the lower 32 bits alone.
const PLACES: &str = r#"package standin

allow if {
	input.step == "slice"
	array.slice(["a", "b"], input.edge.n, 2) == ["b"]
}

allow if {
	input.step == "find"
	count(regex.find_n("a", "aaa", input.edge.n)) == 1
}

allow if {
	input.step == "get"
	object.get({"list": ["a", "b"]}, ["list", input.edge.n], "none") == "b"
}

allow if {
	input.step == "text"
	substring("ab", input.edge.n, 1) == "b"
}

allow if {
	input.step == "list"
	some i, x in ["a", "b"]
	i == input.edge.n
	x == "b"
}
"#;

#[test]
fn the_packed_engine_takes_no_number_for_one_of_fewer_bits() {
    let packed = packed(REGO, &[("places.rego".into(), PLACES.into())], 1);
    let case = |step: &str, number: u64, expect: Value| {
        let input = serde_json::json!({ "step": step, "attributes": { "edge.n": number } });
        serde_json::json!({ "name": format!("{step} {number}"), "input": input, "expect": expect })
    };
    let permit = || serde_json::json!({ "effect": "permit", "reasons": ["allow"] });
    let error = || serde_json::json!({ "effect": "error" });
    let mut cases = Vec::new();
    for step in ["slice", "find", "get", "text"] {
        cases.push(case(step, 1, permit()));
        cases.extend([(1 << 32) + 1, (1 << 53) + 1, (1 << 63) + 1].map(|number| case(step, number, error())));
    }
    cases.push(case("list", 1, permit()));
    cases.push(case("list", (1 << 32) + 1, serde_json::json!({ "effect": "deny", "reasons": ["default"] })));
    let cases = serde_json::json!({ "cases": cases }).to_string();
    let suite = Suite::of([("places.json", cases.as_str())], None).unwrap();
    let report = suite.run(&load(&packed.wasm, Isolation::Request), None).unwrap();
    assert!(report.ok && report.cases == 18, "{:#?}", report.failures);
}

/// A service acts for people for two minutes, and for nobody called bob.
const HOUSE: &str = r#"
@id("people") @max_ttl("2m") @reason("a service of the house acts for its people")
permit (principal == Client::"client:svc-router", action == Action::"mint", resource is User);

@id("not-bob")
forbid (principal, action, resource == User::"user:acme:u-bob");
"#;

/// The house's module as version 1 and as version 2, packed once for all tests.
fn house(version: usize) -> &'static [u8] {
    static HOUSES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let houses =
        HOUSES.get_or_init(|| [1, 2].map(|version| packed(CEDAR, &[("house.cedar".into(), HOUSE.into())], version).wasm));
    houses.get(version - 1).unwrap()
}

/// A world that serves `acme.policy.wasm`, with these lines in `[policy]`.
async fn world(wasm: &[u8], policy: &str) -> World {
    let policy = format!("\n[policy]\nmodule = \"acme.policy.wasm\"\ndeadline = \"5s\"\n{policy}\n[runtime]\ncpu = \"2s\"\n");
    let world = World::with(|config| config.push_str(&policy), |_| {}).await;
    std::fs::write(world.path("acme.policy.wasm"), wasm).unwrap();
    world
}

fn asking(who: &str) -> Request {
    let request = request("svc-router", user(who));
    let subject = match request.subject {
        Subject::Descriptor(named) => Subject::Descriptor(Descriptor { account_id: Some("acme-eu".into()), ..named }),
        other => other,
    };
    Request { subject, ..request }
}

async fn mint(standin: &Standin, who: &str) -> Result<Value, String> {
    standin.mint_on_behalf(asking(who)).await.map(|minted| claims_of(&minted.token)).map_err(|failure| failure.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_module_decides_what_is_served() {
    let world = world(house(1), "").await;
    let standin = world.standin().await;
    let claims = mint(&standin, "alice@example.com").await.unwrap();
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
    assert_eq!(mint(&standin, "bob@example.com").await.unwrap_err(), "policy.denied");
    let denied = world.audit_lines().into_iter().find(|line| line["code"] == "policy.denied").unwrap();
    assert!(denied.to_string().contains("not-bob"), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_trusted_key_signed_becomes_live() {
    let ((secret, public), (other, _)) = (generate(), generate());
    let signed = sign(house(1), &secret).unwrap();
    let world = world(house(1), "trusted_keys = [\"acme.pub.pem\"]").await;
    assert!(matches!(world.builder().build().await, Err(BuildError::Policy { source: LoadError::Unreadable { .. }, .. })));
    std::fs::write(world.path("acme.pub.pem"), "no key").unwrap();
    assert!(matches!(world.builder().build().await, Err(BuildError::Policy { source: LoadError::TrustedKey { .. }, .. })));
    std::fs::write(world.path("acme.pub.pem"), public).unwrap();
    assert!(matches!(
        world.builder().build().await,
        Err(BuildError::Policy { source: LoadError::Trust(TrustError::Signature(_)), .. })
    ));
    std::fs::write(world.path("acme.policy.wasm"), &signed).unwrap();
    let standin = world.standin().await;
    let mut altered = signed.clone();
    *altered.last_mut().unwrap() ^= 1;
    for refused in [house(1).to_vec(), altered, sign(house(1), &other).unwrap()] {
        std::fs::write(world.path("acme.policy.wasm"), refused).unwrap();
        let refusal = standin.reload(world.config()).await.unwrap_err();
        assert!(matches!(refusal, BuildError::Policy { source: LoadError::Trust(TrustError::Signature(_)), .. }), "{refusal}");
        // The old one serves on.
        assert!(mint(&standin, "alice@example.com").await.is_ok());
    }
    std::fs::write(world.path("acme.policy.wasm"), signed).unwrap();
    standin.reload(world.config()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_pins_one_module() {
    let digest = load(house(2), Isolation::Request).digest().to_owned();
    let world = world(house(2), &format!("digest = \"{digest}\"")).await;
    let standin = world.standin().await;
    std::fs::write(world.path("acme.policy.wasm"), house(1)).unwrap();
    let refusal = standin.reload(world.config()).await.unwrap_err();
    assert!(matches!(refusal, BuildError::Policy { source: LoadError::Trust(TrustError::Digest { .. }), .. }), "{refusal}");
    assert!(mint(&standin, "alice@example.com").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_up_and_comes_down_by_rollback_only() {
    let world = world(house(1), "").await;
    let standin = world.standin().await;
    std::fs::write(world.path("acme.policy.wasm"), house(2)).unwrap();
    standin.reload(world.config()).await.unwrap();
    std::fs::write(world.path("acme.policy.wasm"), house(1)).unwrap();
    let refusal = standin.reload(world.config()).await.unwrap_err();
    assert!(
        matches!(refusal, BuildError::Policy { source: LoadError::Trust(TrustError::Older { floor: 2, found: Some(1) }), .. }),
        "{refusal}"
    );
    // A module without a version would be a way round.
    std::fs::write(world.path("acme.policy.wasm"), standin::policy::BASELINE).unwrap();
    let refusal = standin.reload(world.config()).await.unwrap_err();
    assert!(
        matches!(refusal, BuildError::Policy { source: LoadError::Trust(TrustError::Older { floor: 2, found: None }), .. }),
        "{refusal}"
    );
    assert!(mint(&standin, "alice@example.com").await.is_ok());
    standin.close().await.unwrap();
    // Nor does a restart forget.
    std::fs::write(world.path("acme.policy.wasm"), house(1)).unwrap();
    assert!(matches!(
        world.builder().build().await,
        Err(BuildError::Policy { source: LoadError::Trust(TrustError::Older { .. }), .. })
    ));
    let output = std::process::Command::new(standin_tests::process::binary())
        .current_dir(world.folder())
        .args(["policy", "rollback", "acme.policy.wasm", "--json"])
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((said["version"].as_u64(), said["before"].as_u64()), (Some(1), Some(2)));
    assert!(mint(&world.standin().await, "alice@example.com").await.is_ok());
}
