//! The command, as a person or a script uses it; `make test` builds it first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use standin_tests::process;

const PEOPLE: &str = r#"{ "accounts": [{ "id": "acme-eu", "tenant": "acme" }],
    "users": [{ "id": "u-alice", "email": "alice@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu" }] }"#;

fn standin(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(process::binary()).current_dir(folder).args(arguments).output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = standin(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "colour goes to terminals only");
    text
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(folder, arguments)).unwrap()
}

#[test]
fn the_demo_does_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<Value> =
        done(folder.path(), &["demo", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&str> = lines.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!((steps.len(), steps[0], steps[18]), (19, "mint-user", "audit-verified"));
    assert!(lines.iter().all(|line| line["ok"] == true), "{lines:?}");
}

#[test]
fn a_folder_made_by_init_serves_from_the_first_command_to_the_audit() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("obo");
    let made = done(parent.path(), &["init", folder.to_str().unwrap()]);
    let secret = made.lines().find_map(|line| line.trim().strip_prefix("secret")).unwrap().split_whitespace().next().unwrap();
    std::fs::write(folder.join("secret"), secret).unwrap();
    std::fs::write(folder.join("people.json"), PEOPLE).unwrap();
    assert_eq!(json(&folder, &["directory", "import", "people.json", "--json"])["imported"]["users"]["inserted"], 1);
    assert!(done(&folder, &["directory", "lookup", "email.alice@example.com"]).contains("u-alice"));
    assert_eq!(json(&folder, &["check", "--json"])["ok"], true);
    let mint = ["mint", "--client", "svc-first", "--secret-file", "secret", "--user", "alice@example.com", "--json"];
    assert_eq!(json(&folder, &mint)["attributes"]["sub"], "user:acme:u-alice");
    let explain = ["explain", "--client", "svc-first", "--secret-file", "secret", "--user", "alice@example.com", "--json"];
    let page = json(&folder, &explain);
    assert_eq!((page["outcome"].as_str(), page["claims"]["sub"].as_str()), (Some("permit"), Some("user:acme:u-alice")));
    let added = json(
        &folder,
        &[
            "client",
            "add",
            "svc-second",
            "--tenant",
            "acme",
            "--subject",
            "user",
            "--audience",
            "https://api.example.com",
            "--json",
        ],
    );
    assert_eq!(added["client_id"], "svc-second");
    let rotated = json(&folder, &["client", "rotate", "svc-first", "--json"]);
    assert_ne!(rotated["client_secret"], secret);
    done(&folder, &mint);
    assert_eq!(json(&folder, &["keys", "list", "--json"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&folder, &["keys", "rotate", "--json"]).as_array().unwrap().len(), 3);
    let report = json(&folder, &["audit", "verify", "audit.jsonl", "--config", "standin.toml", "--json"]);
    assert_eq!(report["ok"], true);
    let wrong =
        standin(&folder, &["mint", "--client", "svc-first", "--secret-file", "people.json", "--user", "alice@example.com"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("caller.invalid"));
    std::fs::write(folder.join("standin.toml"), "issuer = 1\nunknown = 2\n").unwrap();
    let check = standin(&folder, &["check"]);
    assert_eq!(check.status.code(), Some(2));
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(said.contains("standin.toml:1") && said.contains("standin.toml:2"), "{said}");
    assert_eq!(standin(&folder, &["no-such-command"]).status.code(), Some(2));
}

/// A folder made by `init`, with alice in its directory.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("obo");
    done(parent.path(), &["init", folder.to_str().unwrap()]);
    std::fs::write(folder.join("people.json"), PEOPLE).unwrap();
    done(&folder, &["directory", "import", "people.json"]);
    (parent, folder)
}

const OF_ALICE: [&str; 5] = ["--user", "alice@example.com", "--audience", "https://api.example.com", "--json"];

#[test]
fn an_attested_client_has_no_secret_and_is_vouched_for() {
    let (_parent, folder) = folder();
    let to_add = ["client", "add", "edge", "--attested", "--tenant", "acme", "--subject", "user"];
    let to_add = [&to_add[..], &["--audience", "https://api.example.com", "--scope", "expenses:read", "--json"]].concat();
    assert_eq!(json(&folder, &to_add), serde_json::json!({ "client_id": "edge" }));
    let config = std::fs::read_to_string(folder.join("standin.toml")).unwrap();
    let edge = config.split("[[client]]").find(|client| client.contains("\"edge\"")).unwrap();
    assert!(edge.contains("attested = true") && !edge.contains("secret_sha256"), "{edge}");
    let minted =
        json(&folder, &[&["mint", "--client", "edge", "--attested", "--scope", "expenses:read"], &OF_ALICE[..]].concat());
    assert_eq!(minted["attributes"]["sub"], "user:acme:u-alice");
    // Nobody vouches for one that is registered with a secret.
    let other = standin(&folder, &[&["mint", "--client", "svc-first", "--attested"], &OF_ALICE[..]].concat());
    let said: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!((other.status.code(), said["code"].as_str()), (Some(1), Some("caller.invalid")));
}

#[test]
fn a_refused_mint_names_the_field() {
    let (_parent, folder) = folder();
    done(
        &folder,
        &[&["client", "add", "edge", "--attested", "--tenant", "acme", "--subject", "user"][..], &OF_ALICE[2..4]].concat(),
    );
    for command in ["mint", "explain"] {
        let refused = standin(&folder, &[&[command, "--client", "edge", "--attested", "--scope", "x"], &OF_ALICE[..]].concat());
        assert_eq!(refused.status.code(), Some(1));
        let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
        let failure = if command == "mint" { &said } else { &said["failure"] };
        assert_eq!((failure["code"].as_str(), failure["field"].as_str()), (Some("scope.not_allowed"), Some("scope")), "{said}");
        assert!(failure.get("acr").is_none_or(Value::is_null));
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_whole() {
    let (_parent, folder) = folder();
    // What is cut off here is only space, but nobody looked.
    std::fs::write(folder.join("secret"), format!("a-secret{}", " ".repeat(64 * 1024))).unwrap();
    std::fs::write(folder.join("jwks.json"), format!("{{\"keys\":[]}}{}", " ".repeat(1 << 20))).unwrap();
    for arguments in [
        &["mint", "--client", "svc-first", "--secret-file", "secret", "--user", "alice@example.com"][..],
        &["mint", "--client", "svc-first", "--attested", "--subject-token-file", "secret"],
        &["audit", "verify", "audit.jsonl", "--jwks", "jwks.json"],
    ] {
        let refused = standin(&folder, arguments);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("is longer than"), "{arguments:?}: {said}");
    }
}

#[test]
fn what_is_logged_is_documented_and_checked() {
    let (_parent, folder) = folder();
    for help in [&["--help"][..], &["serve", "--help"]] {
        assert!(done(&folder, help).contains("STANDIN_LOG"));
    }
    let serve = Command::new(process::binary()).current_dir(&folder).arg("serve").env("STANDIN_LOG", "standin=loud").output();
    let refused = serve.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("STANDIN_LOG"));
}
