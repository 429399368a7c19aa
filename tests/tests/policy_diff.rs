//! `standin policy diff`: which sample and which past decisions another module would change; `make test` builds the command first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use standin::policy::BASELINE;
use standin::types::{Attribute, Descriptor, IdType, Request, Subject};
use standin_tests::requests::{descriptor, request, user};
use standin_tests::world::World;
use standin_tests::{ZOO, process};

fn diff(folder: &Path, arguments: &[&str]) -> Output {
    process::command().current_dir(folder).args(["policy", "diff"]).args(arguments).output().unwrap()
}

/// Exit code and standard output.
fn said(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = diff(folder, arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), said + &String::from_utf8(output.stderr).unwrap())
}

fn page(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_slice(&diff(folder, &[arguments, &["--json"]].concat()).stdout).unwrap()
}

/// Nobody acts for bob.
const HOUSE: &str = r#"
@id("all")
permit (principal, action, resource);
@id("not-bob")
forbid (principal, action, resource == User::"user:acme:u-bob");
"#;

fn alice() -> Subject {
    let named = descriptor(IdType::User, "email.alice@example.com");
    Subject::Descriptor(Descriptor { account_id: Some("acme-eu".into()), ..named })
}

/// Four decisions of the built-in policy and the audit log of them. Each request carries what the module `zoo.wasm` would have said.
async fn past() -> World {
    let world = World::patient().await;
    let standin = world.standin().await;
    let asked = |id: &str, subject: Subject, zoo: Value| Request {
        correlation_id: id.into(),
        attributes: vec![Attribute { name: "edge.zoo".into(), value: zoo.to_string() }],
        ..request("svc-router", subject)
    };
    for fine in [
        asked("same", alice(), json!("permit")),
        asked("bob", user("bob@example.com"), json!("deny")),
        asked("shorter", alice(), json!({ "allow": { "ttl": 60 } })),
        Request { step: Some("approve-expense".into()), ..asked("step", alice(), json!({ "allow": { "ttl": 900 } })) },
    ] {
        standin.mint_on_behalf(fine).await.unwrap();
    }
    // No policy was asked for somebody who is not there.
    standin.mint_on_behalf(asked("nobody", user("nobody@example.com"), json!("deny"))).await.unwrap_err();
    standin.close().await.unwrap();
    modules(world.folder());
    world
}

fn modules(folder: &Path) {
    std::fs::write(folder.join("baseline.wasm"), BASELINE).unwrap();
    std::fs::write(folder.join("zoo.wasm"), ZOO).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn past_decisions_are_asked_again() {
    let world = past().await;
    let folder = world.folder();
    let audit = ["baseline.wasm", "zoo.wasm", "--audit", "audit.jsonl"];
    let found = page(folder, &audit);
    assert_eq!((&found["ok"], &found["decisions"], &found["changed"]), (&json!(false), &json!(4), &json!(4)), "{found}");
    // The rule has another name; what is granted is another for two.
    assert_eq!((&found["granted_changed"], &found["unreadable"], &found["by_another_module"]), (&json!(2), &json!(0), &json!(0)));
    let effects = json!([
        { "old": "permit", "new": "deny", "decisions": 1 }, { "old": "permit", "new": "permit", "decisions": 3 },
    ]);
    assert_eq!(found["effects"], effects);
    assert!(found["without_decision"].as_u64().unwrap() >= 1, "{found}");
    let changes = found["changes"].as_array().unwrap();
    let of = |id: &str| changes.iter().find(|change| change["correlation_id"] == id).unwrap();
    let bob = of("bob");
    assert_eq!((&bob["old"]["effect"], &bob["new"]["effect"], &bob["granted"]), (&json!("permit"), &json!("deny"), &json!(true)));
    assert_eq!((&bob["new"]["reasons"], &bob["asked"]["subject"]), (&json!(["zoo"]), &json!("user:acme:u-bob")));
    assert_eq!(
        (&of("same")["granted"], &of("shorter")["new"]["ttl"], &of("shorter")["granted"]),
        (&json!(false), &json!(60), &json!(true))
    );
    let step = of("step");
    assert_eq!((&step["asked"]["step"], &step["new"]["ttl"]), (&json!("approve-expense"), &json!(900)));
    assert_eq!(step["granted"], false);

    let (code, text) = said(folder, &audit);
    assert_eq!(code, 1, "{text}");
    for part in [
        "CHANGED line ",
        "client:svc-router for user:acme:u-bob in acme: audience https://api.example.com, scope expenses:read, 300 s\n",
        "  effect\n    - \"permit\"\n    + \"deny\"\n",
        "step approve-expense",
        "what is granted stays the same",
        "changed 4 of 4 decisions, 2 of them in what is granted\n  permit -> deny: 1\n  permit -> permit: 3\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let few = [&audit[..], &["--limit", "1"]].concat();
    let (_, text) = said(folder, &few);
    assert!(text.matches("CHANGED").count() == 1 && text.contains("... and 3 more"), "{text}");

    // A module asked against itself changes nothing, whoever decided then.
    let (code, text) = said(folder, &["baseline.wasm", "baseline.wasm", "--audit", "audit.jsonl"]);
    assert_eq!((code, text.as_str()), (0, "ok 4 decisions, none changes\n"));
    let (code, text) = said(folder, &["zoo.wasm", "zoo.wasm", "--audit", "audit.jsonl"]);
    assert!(code == 0 && text.contains("4 of the 4 decisions were made without zoo.wasm"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_policies_is_held_against_what_served() {
    let world = past().await;
    let folder = world.folder();
    std::fs::create_dir(folder.join("house")).unwrap();
    std::fs::write(folder.join("house/rules.cedar"), HOUSE).unwrap();
    let found = page(folder, &["house", "baseline.wasm", "--audit", "audit.jsonl"]);
    assert_eq!((&found["changed"], &found["granted_changed"]), (&json!(4), &json!(1)), "{found}");
    let effects = json!([
        { "old": "deny", "new": "permit", "decisions": 1 }, { "old": "permit", "new": "permit", "decisions": 3 },
    ]);
    assert_eq!((&found["effects"], &found["changes"][1]["old"]["reasons"]), (&effects, &json!(["not-bob"])));
    // What was packed for this comparison never decided anything.
    assert_eq!((&found["by_another_module"], &found["old"]["manifest"]["rules"]), (&Value::Null, &json!(["all", "not-bob"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_of_a_log_is_counted_and_said() {
    let world = past().await;
    let folder = world.folder();
    let lines = world.audit_lines().len();
    let mut log = std::fs::OpenOptions::new().append(true).open(world.path("audit.jsonl")).unwrap();
    // The last is still being written.
    write!(log, "no json\n{{\"event\":\"attempt\",\"asked\":{{}},\"policy\":\"\"}}\n{{\"event\":\"att").unwrap();
    let same = ["baseline.wasm", "baseline.wasm", "--audit", "audit.jsonl"];
    let (code, text) = said(folder, &same);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("ok 4 decisions, none changes\n"), "{text}");
    assert!(text.contains(&format!("2 lines cannot be read: {}, {}\n", lines + 1, lines + 2)), "{text}");
    let found = page(folder, &same);
    assert_eq!(
        (&found["ok"], &found["unreadable"], &found["unreadable_lines"][0]),
        (&json!(false), &json!(2), &json!(lines + 1))
    );

    std::fs::write(world.path("empty.jsonl"), "{\"event\":\"checkpoint\"}\n").unwrap();
    let (code, text) = said(folder, &["zoo.wasm", "zoo.wasm", "--audit", "empty.jsonl"]);
    assert!(code == 1 && text.contains("empty.jsonl holds no decision that can be read"), "{text}");
    assert!(said(folder, &["zoo.wasm", "zoo.wasm", "--audit", "none.jsonl"]).1.contains("cannot read none.jsonl"));
}

#[test]
fn cases_are_asked_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    modules(folder);
    for inner in ["cases", "broken"] {
        std::fs::create_dir(folder.join(inner)).unwrap();
    }
    std::fs::write(folder.join("broken/rules.cedar"), "permit (principal, acton, resource);").unwrap();
    let zoo = |order: Value| json!({ "attributes": { "edge.zoo": order } });
    let cases = json!({ "cases": [
        { "name": "as it is", "expect": { "effect": "error" } },
        { "name": "a refusal", "input": zoo(json!("deny")), "expect": { "effect": "permit" } },
        { "name": "a failure", "input": zoo(json!("error")), "expect": { "effect": "permit" } },
    ] });
    std::fs::write(folder.join("cases/a.json"), cases.to_string()).unwrap();
    std::fs::write(folder.join("cases/b.json"), cases.to_string().replace("a refusal", "another")).unwrap();
    let both = ["baseline.wasm", "zoo.wasm", "--cases", "cases"];
    let found = page(folder, &both);
    assert_eq!((&found["decisions"], &found["changed"], &found["granted_changed"]), (&json!(6), &json!(6), &json!(4)));
    assert_eq!((&found["changes"][1]["file"], &found["changes"][1]["case"]), (&json!("a.json"), &json!("a refusal")));
    assert_eq!(
        (&found["changes"][2]["new"]["effect"], &found["changes"][2]["new_error"]),
        (&json!("error"), &json!("no rule matched"))
    );
    assert_eq!(found["unreadable"], Value::Null);
    let (code, text) = said(folder, &both);
    assert!(code == 1 && text.contains("CHANGED a.json: a refusal\n") && text.contains("  new: no rule matched\n"), "{text}");
    let one = page(folder, &["baseline.wasm", "zoo.wasm", "--cases", "cases/b.json"]);
    assert_eq!((&one["decisions"], &one["changes"][1]["case"]), (&json!(3), &json!("another")));
    assert_eq!(said(folder, &["zoo.wasm", "zoo.wasm", "--cases", "cases"]), (0, "ok 6 decisions, none changes\n".into()));

    // What is no question or no module is an error; what is no command line is one of the command line.
    let (code, text) = said(folder, &["broken", "zoo.wasm", "--cases", "cases"]);
    assert!(code == 1 && text.contains("broken/rules.cedar:1:"), "{text}");
    let (code, text) = said(folder, &["zoo.wasm", "cases/a.json", "--cases", "cases"]);
    assert!(code == 1 && text.contains("no WebAssembly component"), "{text}");
    let (code, text) = said(folder, &["zoo.wasm", "zoo.wasm", "--cases", "broken"]);
    assert!(code == 1 && text.contains("there is no case"), "{text}");
    assert_eq!(said(folder, &["zoo.wasm", "zoo.wasm"]).0, 2);
    assert_eq!(said(folder, &["zoo.wasm", "zoo.wasm", "--cases", "cases", "--audit", "audit.jsonl"]).0, 2);
}
