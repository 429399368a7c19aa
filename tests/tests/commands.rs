//! The command, as a person or a script uses it; `make test` builds it first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use standin_tests::process;

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
    let people = r#"{ "accounts": [{ "id": "acme-eu", "tenant": "acme" }],
        "users": [{ "id": "u-alice", "email": "alice@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu" }] }"#;
    std::fs::write(folder.join("people.json"), people).unwrap();
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
