//! `oauth4webapi` of npm: discovery, token exchanges and error responses, as a published client reads them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use standin_tests::idp::claims_of;
use standin_tests::world::{API, ISSUER, PATIENT, SECRET, World};

use super::{ACCESS_TOKEN, JWT};

/// What the client made of each row's answer.
fn asked(question: &Value) -> Vec<Value> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    assert!(peers.join("node_modules/oauth4webapi").is_dir(), "the client of npm is not installed: run `make peers`");
    let mut node = Command::new("node");
    node.arg(peers.join("exchange.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = node.spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_client_exchanges_tokens_and_reads_errors() {
    let world = World::with(|config| config.push_str(PATIENT), |_| {}).await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let row = |auth: &str, client: &str, secret: &str, changes: Value| {
        let mut parameters = json!({
            "subject_token": world.idp.token(json!({})), "subject_token_type": JWT, "audience": API, "scope": "expenses:read",
        });
        parameters.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({ "auth": auth, "client_id": client, "client_secret": secret, "parameters": parameters })
    };
    let rows = [
        row("basic", "svc-router", SECRET, json!({})),
        row("post", "svc-router", SECRET, json!({ "requested_token_type": JWT })),
        row("basic", "svc-ledger", SECRET, json!({ "scope": "" })),
        row("basic", "svc-router", "wrong", json!({})),
        row("post", "svc-router", "wrong", json!({})),
        row("none", "svc-router", "", json!({})),
        row("basic", "svc-router", SECRET, json!({ "scope": "expenses:delete" })),
        row("basic", "svc-router", SECRET, json!({ "audience": "https://unknown.example.com" })),
        row("basic", "svc-router", SECRET, json!({ "subject_token": "x" })),
    ];
    let question = json!({ "issuer": ISSUER, "base": server.url(""), "rows": rows });
    let seen = tokio::task::spawn_blocking(move || asked(&question)).await.unwrap();

    for (row, issued, scope) in
        [(0, ACCESS_TOKEN, json!("expenses:read")), (1, JWT, json!("expenses:read")), (2, ACCESS_TOKEN, Value::Null)]
    {
        let answer = &seen[row]["answer"];
        assert_eq!((&answer["issued_token_type"], &answer["scope"]), (&json!(issued), &scope), "{answer}");
        assert_eq!(claims_of(answer["access_token"].as_str().unwrap())["aud"], API);
    }
    let challenge = |row: usize, at: usize| (seen[row]["status"].as_u64(), seen[row]["challenges"][at]["scheme"].as_str());
    assert_eq!(challenge(3, 0), (Some(401), Some("basic")), "{}", seen[3]);
    let error = |row: usize| (seen[row]["status"].as_u64(), seen[row]["error"].as_str(), seen[row]["body"]["code"].as_str());
    assert_eq!(error(4), (Some(400), Some("invalid_client"), Some("caller.invalid")), "{}", seen[4]);
    assert_eq!((challenge(5, 0).1, challenge(5, 1).1), (Some("basic"), Some("bearer")), "{}", seen[5]);
    assert_eq!(error(6), (Some(400), Some("invalid_scope"), Some("scope.empty")));
    assert_eq!(error(7), (Some(400), Some("invalid_target"), Some("audience.not_allowed")));
    assert_eq!(error(8), (Some(400), Some("invalid_request"), Some("subject.malformed")));
    assert!(server.stop().await);
}
