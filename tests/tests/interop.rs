//! Tokens verified by those who share no code with us, over HTTP and with nothing but the published key set: `jwt-simple`, and
//! `jose` of npm under Node.js.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "a test that cannot go on ends")]

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use jwt_simple::prelude::VerificationOptions;
use rstest::rstest;
use serde_json::{Value, json};
use standin_tests::idp::claims_of;
use standin_tests::peer;
use standin_tests::requests::basic;
use standin_tests::world::{API, ISSUER, LEDGER, PATIENT, World};

/// A token and the key set, both fetched over HTTP.
async fn fetch(algorithm: &str) -> (String, Value) {
    let change = |config: &mut String| {
        *config = config.replace("[\"EdDSA\"]", &format!("[\"{algorithm}\"]"));
        config.push_str(PATIENT);
    };
    let world = World::with(change, |_| {}).await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let client = reqwest::Client::new();
    let body = json!({ "id_type": "host", "id": "ophid.edge-7", "audience": API, "scope": "expenses:read" });
    let asked = client.post(server.url("/v2/session/svc/obo_mint")).header("authorization", basic("svc-router")).json(&body);
    let answer: Value = asked.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    let jwks: Value = client.get(server.url("/jwks.json")).send().await.unwrap().json().await.unwrap();
    assert!(server.stop().await);
    (answer["access_token"].as_str().unwrap().to_owned(), jwks)
}

/// Changes one character in the middle of the signature.
fn tampered(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let at = signature.len() / 2;
    let other = if &signature[at..=at] == "A" { "B" } else { "A" };
    format!("{message}.{}{other}{}", &signature[..at], &signature[at + 1..])
}

#[rstest]
#[case("EdDSA")]
#[case("ES256")]
#[case("RS256")]
#[tokio::test(flavor = "multi_thread")]
async fn others_verify_our_tokens(#[case] algorithm: &str) {
    let (token, jwks) = fetch(algorithm).await;

    let addressed = |audience: &str| VerificationOptions {
        allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
        allowed_audiences: Some(HashSet::from([audience.to_owned()])),
        ..Default::default()
    };
    peer::verify(&token, &jwks, addressed(API)).unwrap();
    peer::verify(&token, &jwks, addressed(LEDGER)).unwrap_err();
    peer::verify(&tampered(&token), &jwks, addressed(API)).unwrap_err();

    let seen = jose(&token, &jwks, API).unwrap();
    assert_eq!(seen["header"]["alg"], algorithm);
    assert_eq!(seen["claims"], claims_of(&token));
    jose(&token, &jwks, LEDGER).unwrap_err();
    jose(&tampered(&token), &jwks, API).unwrap_err();
}

/// Asks `jose`; what it saw, or why it refuses.
fn jose(token: &str, jwks: &Value, audience: &str) -> Result<Value, String> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    assert!(peers.join("node_modules/jose").is_dir(), "the verifier of npm is not installed: run `make peers`");
    let question = json!({ "token": token, "jwks": jwks, "issuer": ISSUER, "audience": audience });
    let mut node = Command::new("node");
    node.arg(peers.join("verify.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = node.spawn().expect("Node.js is installed");
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    if status.success() {
        Ok(serde_json::from_slice(&stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&stderr).into_owned())
    }
}
