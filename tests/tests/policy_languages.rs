//! The same policy in Rust, JavaScript and Python (`policies/examples`), built as their makefiles build it, tested, signed and
//! served: what any language's tools make is a policy module like another.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rstest::rstest;
use serde_json::{Value, json};
use standin::Standin;
use standin::policy::signature::{generate, sign};
use standin::types::{Failure, Minted, Request};
use standin_tests::idp::claims_of;
use standin_tests::ports::FixedClock;
use standin_tests::process;
use standin_tests::requests::{request, unique, user_of};
use standin_tests::world::World;

/// 2026-01-14T10:30:00Z, a Wednesday.
const WEDNESDAY: u64 = 1_768_386_600;
/// 2026-01-17T10:30:00Z.
const SATURDAY: u64 = 1_768_645_800;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/examples")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// The module of this language, built once.
fn module(language: &str) -> &'static Path {
    static MODULES: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
    let [rust, javascript, python] = &MODULES;
    match language {
        "rust" => rust.get_or_init(alone),
        "javascript" => javascript.get_or_init(|| made(&examples().join("javascript"))),
        "python" => python.get_or_init(|| made(&examples().join("python"))),
        other => panic!("there is no example in {other}"),
    }
}

fn made(folder: &Path) -> PathBuf {
    run(Command::new("make").arg("--directory").arg(folder).arg("office-hours.wasm"));
    folder.join("office-hours.wasm")
}

/// The example in Rust without the workspace it stands in, as somebody has it who copied its folder; with the workspace's
/// versions, which are here already.
fn alone() -> PathBuf {
    let binary = process::binary();
    let cache = binary.ancestors().nth(2).unwrap().join("examples");
    std::fs::create_dir_all(&cache).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let example = examples().join("rust");
    let from = |name: &str| example.join(name);
    let copied =
        [from("Cargo.toml"), from("Makefile"), from("src"), examples().join("../../wit"), examples().join("../../Cargo.lock")];
    run(Command::new("cp").arg("-r").args(copied).arg(folder.path()));
    let mut make = Command::new("make");
    make.arg("--directory").arg(folder.path()).arg("office-hours.wasm").arg(format!("TARGET_DIR={}", cache.display()));
    run(make.env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET"));
    let module = cache.join("office-hours.wasm");
    std::fs::copy(folder.path().join("office-hours.wasm"), &module).unwrap();
    module
}

#[rstest]
#[case("rust")]
#[case("javascript")]
#[case("python")]
fn every_case_gets_its_answer(#[case] language: &str) {
    let standin = |arguments: &[&str]| {
        let mut command = process::command();
        run(command.arg("policy").args(arguments).arg(module(language)).arg("--json"))
    };
    let cases = examples().join("cases");
    let tested: Value = serde_json::from_str(&standin(&["test", "--cases", cases.to_str().unwrap()])).unwrap();
    assert!(tested["report"]["cases"].as_u64() >= Some(20), "{tested}");
    let inspected: Value = serde_json::from_str(&standin(&["inspect"])).unwrap();
    assert!(inspected["manifest"].is_null(), "{inspected}");
    let imports = inspected["imports"].as_array().unwrap();
    assert!(imports.iter().all(|import| import["given"] == true), "{inspected}");
    let exports = inspected["exports"].as_array().unwrap();
    assert!(exports.contains(&json!("standin:obo/policy@0.1.0")), "{inspected}");
}

#[rstest]
#[case("rust")]
#[case("javascript")]
#[case("python")]
#[tokio::test(flavor = "multi_thread")]
async fn it_decides_what_is_served(#[case] language: &'static str) {
    let wasm = tokio::task::spawn_blocking(move || std::fs::read(module(language)).unwrap()).await.unwrap();
    let (secret, public) = generate();
    // The default limit on memory; time enough on a busy machine.
    let policy = "\n[policy]\nmodule = \"office-hours.wasm\"\ntrusted_keys = [\"house.pub.pem\"]\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\n";
    let world = World::with(|config| config.push_str(policy), |_| {}).await;
    std::fs::write(world.path("house.pub.pem"), public).unwrap();
    std::fs::write(world.path("office-hours.wasm"), sign(&wasm, &secret).unwrap()).unwrap();
    let clock = Arc::new(FixedClock::at(WEDNESDAY));
    let standin = world.builder().clock(clock.clone()).build().await.unwrap();

    let minted = ask(&standin, &world, "svc-router", "alice@example.com", "expenses:read").await.0.unwrap();
    let claims = claims_of(&minted.token);
    assert_eq!(claims["scope"], "expenses:read");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);

    let (refused, event) = ask(&standin, &world, "svc-admin", "root@example.com", "expenses:read").await;
    assert_eq!(refused.unwrap_err().code, "policy.denied");
    assert!(event.to_string().contains("nobody acts for a protected user"), "{event}");

    let (refused, _) = ask(&standin, &world, "svc-router", "alice@example.com", "expenses:write").await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, "policy.step_up");
    assert_eq!(standin::attribute(&refused.attributes, "acr"), Some(json!("urn:example:mfa")));

    clock.set(SATURDAY);
    let (refused, event) = ask(&standin, &world, "svc-router", "alice@example.com", "expenses:read").await;
    assert_eq!(refused.unwrap_err().code, "policy.denied");
    assert!(event.to_string().contains("office-hours"), "{event}");
}

/// The answer, and the one event that records it.
async fn ask(standin: &Standin, world: &World, client: &str, who: &str, scope: &str) -> (Result<Minted, Failure>, Value) {
    let id = format!("c-{}", unique());
    let asked = request(client, user_of("acme-eu", who));
    let asked = Request { correlation_id: id.clone(), scope: vec![scope.into()], requested_ttl: Some(600), ..asked };
    let answer = standin.mint_on_behalf(asked).await;
    let events = world.audit_of(&id);
    assert_eq!(events.len(), 1, "{events:?}");
    (answer, events.into_iter().next().unwrap_or_default())
}
