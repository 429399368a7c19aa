//! What another policy would have decided about a recorded request; nothing is signed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use standin::Decision;
use standin::clock::SystemEntropy;
use standin::decision_point::{Judge, JudgeError, Judgement, Question, Verdict};
use standin::replay::{ReplayError, Replayer};
use standin::tape::TapeKey;
use standin::types::{Credential, Effect, Request};
use standin_tests::requests::{request, user};
use standin_tests::tapes::{fact, named, opened, over_http, page, recorded, recording, replay};
use standin_tests::world::World;
use standin_tests::{HOSTILE, ZOO};

/// A policy module of the zoo, which does what the request's fact `edge.zoo` says.
fn zoo(world: &World) {
    fs::write(world.path("zoo.wasm"), ZOO).unwrap();
}

/// Bob asks with an order for the zoo's module, through the embedding API.
fn ordered(order: &Value) -> Request {
    Request { attributes: vec![fact("edge.zoo", order)], ..request("svc-router", user("bob@example.com")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_would_have_denied_what_was_permitted() {
    let world = recording("").await;
    zoo(&world);
    let denied = recorded(&world, ordered(&json!("deny"))).await;
    let output = replay(&world, &denied, &["--policy", "zoo.wasm", "--json"]);
    let said = page(&output);
    let what_if = &said["what_if"];
    assert_eq!((output.status.code(), &what_if["changed"], &what_if["asked"]), (Some(1), &json!(true), &json!(true)), "{said}");
    assert_eq!((&what_if["decided"]["outcome"], &what_if["would"]["outcome"]), (&json!("permit"), &json!("deny")), "{said}");
    assert_eq!(what_if["decided"]["claims"]["sub"], "user:acme:u-bob");
    assert_eq!(what_if["would"]["failure"]["code"], "policy.denied");
    assert_eq!(what_if["would"]["reasons"], json!([{ "rule": "zoo", "text": "as told" }]));
    assert_ne!(what_if["decided"]["policy"], what_if["would"]["policy"]);
    let text = String::from_utf8(replay(&world, &denied, &["--policy", "zoo.wasm"]).stdout).unwrap();
    assert!(text.contains("another outcome") && text.contains("as told") && text.contains("policy.denied"), "{text}");
    for (order, verdict, code) in
        [("step-up", "step-up", "policy.step_up"), ("error", "error", "policy.error"), ("trap", "error", "policy.trapped")]
    {
        let id = recorded(&world, ordered(&json!(order))).await;
        let said = page(&replay(&world, &id, &["--policy", "zoo.wasm", "--json"]));
        let would = &said["what_if"]["would"];
        assert_eq!((&would["verdict"], &would["failure"]["code"]), (&json!(verdict), &json!(code)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_would_have_permitted_what_was_denied_and_nothing_is_signed() {
    let world = World::with(
        |config| {
            config.insert_str(config.find("[[client]]").unwrap(), "\nrecord = { dir = \"tapes\", key = \"record.key\" }\n");
            config.push_str("\n[policy]\nmodule = \"zoo.wasm\"\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\n");
        },
        |_| {},
    )
    .await;
    TapeKey::create(&world.path("record.key"), &SystemEntropy).unwrap();
    zoo(&world);
    fs::write(world.path("baseline.wasm"), standin::policy::BASELINE).unwrap();
    let id = recorded(&world, ordered(&json!("deny"))).await;
    let output = replay(&world, &id, &["--policy", "baseline.wasm", "--json"]);
    let said = page(&output);
    let what_if = &said["what_if"];
    assert_eq!(
        (output.status.code(), &what_if["decided"]["outcome"], &what_if["would"]["outcome"]),
        (Some(1), &json!("deny"), &json!("permit")),
        "{said}"
    );
    assert_eq!(
        (&what_if["would"]["claims"]["sub"], &what_if["would"]["claims"]["scope"]),
        (&json!("user:acme:u-bob"), &json!("expenses:read"))
    );
    let text = String::from_utf8(replay(&world, &id, &["--policy", "baseline.wasm"]).stdout).unwrap();
    assert!(!text.contains("eyJ") && !said.to_string().contains("eyJ") && text.contains("user:acme:u-bob"), "{text}");
    // What both permit, but not for as long.
    let id = recorded(&world, ordered(&json!({ "allow": { "ttl": 60 } }))).await;
    let said = page(&replay(&world, &id, &["--policy", "baseline.wasm", "--json"]));
    let lifetime = |claims: &Value| claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    let what_if = &said["what_if"];
    assert_eq!(
        (&what_if["changed"], lifetime(&what_if["decided"]["claims"]), lifetime(&what_if["would"]["claims"])),
        (&json!(true), 60, 300),
        "{said}"
    );
    assert_eq!(what_if["decided"]["claims"]["jti"], what_if["would"]["claims"]["jti"]);
    // The same module again changes nothing.
    let output = replay(&world, &id, &["--policy", "zoo.wasm", "--json"]);
    assert_eq!((output.status.code(), &page(&output)["what_if"]["changed"]), (Some(0), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_is_asked_over_http_for_dry_runs_and_for_both_tenants_of_a_crossing_or_not_at_all() {
    let world = recording("").await;
    let standin = world.standin().await;
    let mut over_http = over_http().remove(0);
    over_http.correlation_id = "over-http".into();
    assert_eq!(standin.handle(over_http).await.status, 200);
    standin.explain(named("dry-run", ordered(&json!("deny")))).await.unwrap();
    let crossing =
        Request { attributes: vec![fact("edge.zoo", &json!("deny"))], ..request("svc-crosser", user("gina@globex.example")) };
    standin.mint_on_behalf(named("crossing", crossing)).await.unwrap();
    let mut stranger = request("svc-router", user("bob@example.com"));
    stranger.caller = Credential::Attested("svc-router".into());
    standin.mint_on_behalf(named("stranger", stranger)).await.unwrap_err();
    let step = standin.resolve_target(named("steps", ordered(&json!("deny")))).await.unwrap_or_else(|_| panic!());
    let Decision::Permit(permit) = step.evaluate_policy().await.unwrap_or_else(|_| panic!()) else { panic!() };
    permit.mint().await.unwrap();
    standin.close().await.unwrap();
    let strict = world.builder().judge(Arc::new(Never)).build().await.unwrap();
    let step = strict.resolve_target(named("denied-step", request("svc-router", user("bob@example.com")))).await;
    assert!(matches!(step.unwrap_or_else(|_| panic!()).evaluate_policy().await, Ok(Decision::Deny(_))));
    strict.close().await.unwrap();
    let replayer = Replayer::new(standin::COMPONENT).unwrap();
    let zoo = replayer.policy(ZOO, 32 << 20).unwrap();
    for (id, would) in [("over-http", "permit"), ("dry-run", "deny"), ("crossing", "deny"), ("steps", "deny")] {
        let what_if = replayer.what_if(&opened(&world, id), Arc::clone(&zoo)).await.unwrap();
        let told = what_if.would.clone().unwrap_or_else(|| panic!("{id}: {what_if:#?}"));
        assert_eq!((what_if.asked, what_if.decided.outcome, told.outcome), (true, "permit", would), "{id}: {what_if:#?}");
        assert_eq!(what_if.changed, would == "deny", "{id}: {what_if:#?}");
        assert!(what_if.decided.claims.is_some(), "{id}");
    }
    let what_if = replayer.what_if(&opened(&world, "denied-step"), Arc::clone(&zoo)).await.unwrap();
    let would = what_if.would.unwrap();
    assert_eq!((what_if.changed, what_if.decided.outcome, would.outcome), (true, "deny", "permit"));
    assert_eq!(would.claims.unwrap()["sub"], "user:acme:u-bob");
    let what_if = replayer.what_if(&opened(&world, "stranger"), Arc::clone(&zoo)).await.unwrap();
    assert!(!what_if.asked && !what_if.changed && what_if.decided.outcome == "deny", "{what_if:#?}");
    let hostile = Replayer::new(HOSTILE).unwrap();
    let what_if = hostile.what_if(&opened(&world, "steps"), zoo).await.unwrap();
    assert!(what_if.changed && what_if.divergence.is_some() && what_if.would.is_none(), "{what_if:#?}");
    assert!(matches!(replayer.policy(b"no module", 32 << 20), Err(ReplayError::Policy(_))));
    assert!(matches!(Replayer::new(ZOO), Err(ReplayError::Engine(_))));
    assert!(matches!(Replayer::new(b"no component"), Err(ReplayError::Image(_))));
}

/// A judge that denies.
struct Never;

impl Judge for Never {
    fn judge(&self, _question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let verdict = Verdict { effect: Effect::Deny, reasons: Vec::new(), attributes: Vec::new() };
        Ok(Judgement { verdict, module_digest: "0".repeat(64) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_tapes_is_run_and_summed_up() {
    let world = recording("").await;
    zoo(&world);
    for order in ["deny", "deny", "permit"] {
        recorded(&world, ordered(&json!(order))).await;
    }
    // It comes to no policy, then as now.
    recorded(&world, request("svc-router", user("nobody@example.com"))).await;
    fs::write(world.path("tapes/0000000000001-broken-0.tape"), "no tape").unwrap();
    fs::write(world.path("tapes/readme"), "no tape by its name").unwrap();
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(standin_tests::process::binary());
        let command = command.current_dir(world.folder()).args(["replay", "tapes", "--key", "record.key"]);
        command.args(more).output().unwrap()
    };
    let output = run(&["--policy", "zoo.wasm", "--json"]);
    let said = page(&output);
    let count = |name: &str| said[name].as_u64().unwrap();
    assert_eq!((output.status.code(), count("tapes"), count("changed"), count("failed")), (Some(1), 5, 2, 1), "{said}");
    assert_eq!((count("same"), count("unasked"), count("differs"), count("other_component")), (1, 1, 0, 0), "{said}");
    assert_eq!(said["changes"], json!([{ "from": "permit", "to": "deny policy.denied", "tapes": 2 }]));
    assert_eq!(said["details"].as_array().unwrap().len(), 3);
    let text = String::from_utf8(run(&["--policy", "zoo.wasm"]).stdout).unwrap();
    assert!(text.contains("2 permit -> deny policy.denied") && text.contains("5 tapes: "), "{text}");
    assert!(text.contains("broken") && !text.contains('\u{1b}'), "{text}");
    // Without a policy: whether each is the same still.
    fs::remove_file(world.path("tapes/0000000000001-broken-0.tape")).unwrap();
    let output = run(&["--json"]);
    let said = page(&output);
    assert_eq!((output.status.code(), said["same"].as_u64(), said["tapes"].as_u64()), (Some(0), Some(4), Some(4)), "{said}");
    fs::create_dir(world.path("empty")).unwrap();
    let mut command = std::process::Command::new(standin_tests::process::binary());
    let none = command.current_dir(world.folder()).args(["replay", "empty", "--key", "record.key"]).output().unwrap();
    assert!(String::from_utf8(none.stderr).unwrap().contains("holds no tapes"));
}
