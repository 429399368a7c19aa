//! The command, as a person or a script uses it; `make test` builds it first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
    assert_eq!(json(&folder, &["keys", "list", "--json"]).as_array().unwrap().len(), 4);
    assert_eq!(json(&folder, &["keys", "rotate", "--json"]).as_array().unwrap().len(), 6);
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
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("STANDIN_LOG"));
}

/// What it says on standard error, and its exit code.
fn refused(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = standin(folder, arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A token for alice, by the attested client `edge` of [`with_edge`].
const MINT: [&str; 8] =
    ["mint", "--client", "edge", "--attested", "--user", "alice@example.com", "--audience", "https://api.example.com"];

/// The folder, with an attested client.
fn with_edge() -> (tempfile::TempDir, PathBuf) {
    let (parent, folder) = folder();
    let edge = ["client", "add", "edge", "--attested", "--tenant", "acme", "--subject", "user", "--audience"];
    done(&folder, &[&edge[..], &["https://api.example.com"]].concat());
    (parent, folder)
}

#[test]
fn damage_that_was_accepted_is_reported_for_ever() {
    let (_parent, folder) = with_edge();
    done(&folder, &MINT);
    let log = folder.join("audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    let (code, said) = refused(&folder, &MINT);
    assert!(code == 1 && said.contains("accept-damage") && said.contains("cut off"), "{said}");
    assert!(done(&folder, &["audit", "accept-damage"]).starts_with("accepted: the audit log is cut off"));
    done(&folder, &MINT);
    let verify = ["audit", "verify", "audit.jsonl", "--config", "standin.toml"];
    let verified = standin(&folder, &verify);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.starts_with("damaged: ") && said.contains("accepted: line 2 ("), "{said}");
    let verified = standin(&folder, &[&verify[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((verified.status.code(), &report["ok"], &report["fault"]), (Some(1), &Value::Bool(false), &Value::Null));
    assert_eq!(report["accepted"][0]["line"], 2);
    assert!(report["accepted"][0]["damage"].as_str().unwrap().contains("cut off"), "{report}");
}

#[test]
fn damage_before_the_end_is_not_for_accept_damage() {
    let (_parent, folder) = with_edge();
    done(&folder, &MINT);
    let log = folder.join("audit.jsonl");
    std::fs::write(&log, std::fs::read_to_string(&log).unwrap().replacen("permit", "pernit", 1)).unwrap();
    let accepted = standin(&folder, &["audit", "accept-damage"]);
    let said = String::from_utf8(accepted.stdout).unwrap();
    assert_eq!(accepted.status.code(), Some(1), "{said}");
    assert!(said.contains("end is sound") && said.contains("does not mend") && said.contains("line 1: was changed"), "{said}");
    let verified = standin(&folder, &["audit", "verify", "audit.jsonl"]);
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(said.contains("its checkpoints come after what is wrong") && !said.contains("no checkpoint yet"), "{said}");
    assert!(refused(&folder, &["audit", "verify", "nope.jsonl"]).1.starts_with("error: nope.jsonl: "));
}

#[test]
fn a_reader_that_goes_and_a_full_disk_end_no_command_in_a_panic() {
    let (_parent, folder) = folder();
    for arguments in [&["check"][..], &["keys", "list"], &["check", "--json"], &["demo"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let unread = Command::new(process::binary()).current_dir(&folder).args(arguments).stdout(writer).output().unwrap();
        assert_eq!((unread.status.code(), &*String::from_utf8_lossy(&unread.stderr)), (Some(0), ""), "{arguments:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = Command::new(process::binary()).current_dir(&folder).args(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: cannot write to standard output"), "{arguments:?}: {said}");
    }
}

#[test]
fn everything_is_printed_in_one_place() {
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/src/cli"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("println!(") && !text.contains("print!("), "{} prints by itself", path.display());
            }
        }
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_so_once() {
    let (_parent, folder) = folder();
    let missing = "error: nope: No such file or directory (os error 2)\n";
    assert_eq!(refused(&folder, &["check", "--config", "nope"]), (2, missing.to_owned()));
    let page = standin(&folder, &["check", "--config", "nope", "--json"]);
    let page: Value = serde_json::from_slice(&page.stdout).unwrap();
    assert_eq!(page["error"], "nope: No such file or directory (os error 2)");
    for (arguments, why) in [
        (&["mint", "--client", "svc-first", "--secret-file", "people.json"][..], "name one subject"),
        (&["mint", "--client", "svc-first", "--user", "alice@example.com"], "secret is missing"),
        (&["serve", "--listen", "0.0.0.0:8080"], "not loopback"),
    ] {
        let mut command = Command::new(process::binary());
        let output = command.current_dir(&folder).args(arguments).env_remove("STANDIN_CLIENT_SECRET").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && !said.contains("environment variable not found"), "{said}");
    }
    let add = ["client", "add", "x", "--tenant", "a b", "--subject", "user", "--audience", "https://other.example.com"];
    let (code, said) = refused(&folder, &add);
    assert_eq!(code, 2);
    assert!(said.contains("--tenant: ") && said.contains("--audience: ") && !said.contains("standin.toml:"), "{said}");
    let (code, said) = refused(&folder, &["init", "elsewhere", "--issuer", "foo"]);
    assert!(code == 2 && said.starts_with("error: --issuer: "), "{said}");
    assert!(!folder.join("elsewhere").exists(), "nothing is left of an init that failed");
}

#[test]
fn a_rotation_gives_no_secret_to_a_client_without() {
    let (_parent, folder) = with_edge();
    let (code, said) = refused(&folder, &["client", "rotate", "edge"]);
    assert!(code == 1 && said.contains("--add-secret"), "{said}");
    let given = standin(&folder, &["client", "rotate", "edge", "--add-secret"]);
    assert!(given.status.success());
    assert!(String::from_utf8(given.stderr).unwrap().contains("SIGHUP"));
    assert!(std::fs::read_to_string(folder.join("standin.toml")).unwrap().contains("attested = true"));
}

#[test]
fn a_subject_may_be_named_as_in_a_request() {
    let (_parent, folder) = with_edge();
    let named = ["mint", "--client", "edge", "--attested", "--user", "email.alice@example.com", "--json"];
    assert_eq!(json(&folder, &named)["attributes"]["sub"], "user:acme:u-alice");
}

#[test]
fn a_check_opens_what_the_file_names() {
    let (_parent, folder) = folder();
    let config = std::fs::read_to_string(folder.join("standin.toml")).unwrap();
    let issuer = "[[trusted_issuer]]\nname = \"corp\"\nissuer = \"https://idp.example.com\"\njwks_file = \"corp.json\"\nrole = \"subject\"\n\
                  algorithms = [\"ES256\"]\ntenants = [\"acme\"]\n";
    let changed = config.replace("\"builtin:baseline\"", "\"policy.wasm\"").replacen("standin.db", "people.db", 1)
        + "[server.tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n"
        + issuer;
    std::fs::write(folder.join("standin.toml"), changed).unwrap();
    std::fs::write(folder.join("corp.json"), "no jwk set").unwrap();
    std::fs::write(folder.join("policy.wasm"), "no component").unwrap();
    std::fs::set_permissions(folder.join("keys"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let checked = standin(&folder, &["check", "--json"]);
    let page: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let keys: Vec<&str> = page["faults"].as_array().unwrap().iter().map(|fault| fault["key"].as_str().unwrap()).collect();
    assert_eq!((checked.status.code(), &page["ok"]), (Some(1), &Value::Bool(false)), "{page}");
    assert_eq!(keys, ["keys.dir", "policy.module", "directory.url", "trusted_issuer[0].jwks_file", "server.tls"], "{page}");
    // And serve refuses the same: here the set of keys that is none.
    std::fs::set_permissions(folder.join("keys"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(folder.join("standin.toml"), config.clone() + issuer).unwrap();
    let (code, said) = refused(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 1 && said.contains("corp.json"), "{said}");
    // A directory that is not there is not made.
    std::fs::write(folder.join("standin.toml"), config.replacen("standin.db", "people.db", 1)).unwrap();
    let (code, said) = refused(&folder, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 1 && said.contains("standin directory import"), "{said}");
    assert!(!folder.join("people.db").exists());
}

#[test]
fn a_log_of_json_is_nothing_else() {
    let (_parent, folder) = folder();
    let mut serve = Command::new(process::binary());
    let serve = serve.current_dir(&folder).args(["serve", "--listen", "127.0.0.1:0", "--log-json"]).env_remove("STANDIN_LOG");
    let mut serve = serve.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(serve.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serving = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line).unwrap()).find(|line| {
        let fields = &line["fields"];
        fields["message"] == "serving" && fields["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:"))
    });
    serve.kill().unwrap();
    serve.wait().unwrap();
    assert!(serving.is_some());
}
