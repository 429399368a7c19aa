//! `standin policy`, as a person or a script uses it; `make test` builds the command first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use standin::clock::{Clock as _, SystemClock};
use standin_tests::process;

fn standin(folder: &Path, arguments: &[&str]) -> Output {
    process::command().current_dir(folder).arg("policy").args(arguments).output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = standin(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code 1, and what it said on standard output and on standard error.
fn refused(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = standin(folder, arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {out}{err}");
    (out, err)
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_slice(&standin(folder, &[arguments, &["--json"]].concat()).stdout).unwrap()
}

const PEOPLE: &str =
    "@id(\"people\")\npermit (principal, action, resource);\n\n@id(\"robots\")\nforbid (principal, action, resource is Host);\n";
const CASES: &str = r#"{ "cases": [{ "name": "people", "expect": { "effect": "permit", "reasons": ["people"] } }] }"#;

/// A folder with policies and cases.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for inner in ["policies", "cases"] {
        std::fs::create_dir(folder.path().join(inner)).unwrap();
    }
    std::fs::write(folder.path().join("policies/people.cedar"), PEOPLE).unwrap();
    std::fs::write(folder.path().join("cases/people.json"), CASES).unwrap();
    folder
}

const PACK: [&str; 9] = ["pack", "--policies", "policies", "--cases", "cases", "--version", "7", "-o", "acme.policy.wasm"];

#[test]
fn the_readmes_way_to_a_policy_of_ones_own_leads_there() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let section = readme.split("## Write your own policy").nth(1).unwrap();
    let block = section.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let script: String = block.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line).to_owned() + "\n").collect();
    let folder = tempfile::tempdir().unwrap();
    let binary = process::binary();
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script]).current_dir(folder.path()).env("PATH", path);
    let ran = shell.env("XDG_CACHE_HOME", folder.path().join("caches")).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("every rule was reached"), "{said}");
    let setting = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(folder.path().join("standin.toml"), format!("issuer = \"https://obo.example.com\"\n{setting}\n")).unwrap();
    done(folder.path(), &["verify", "house.policy.wasm", "--config", "standin.toml"]);
    assert!(done(folder.path(), &["test", "house.policy.wasm"]).contains("ok 2 cases"));
}

/// The base question's answer by the module that is built in: small, and so quick to compile.
fn tests_what_is_built_in(folder: &Path, caches: &Path, arguments: &[&str]) -> Output {
    let expects = r#"{ "cases": [{ "name": "base", "expect": { "effect": "permit" } }] }"#;
    std::fs::write(folder.join("cases/people.json"), expects).unwrap();
    let mut command = process::command();
    command.args(["policy", "test", "builtin:baseline", "--cases", "cases"]).args(arguments);
    let output = command.current_dir(folder).env("XDG_CACHE_HOME", caches).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_was_compiled_is_kept_for_the_next_command() {
    let folder = folder();
    let (folder, caches) = (folder.path(), folder.path().join("home/caches"));
    let images = || -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(caches.join("standin/images")).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().ino())).collect()
    };
    tests_what_is_built_in(folder, &caches, &[]);
    let first = images();
    assert_eq!(first.len(), 1, "{first:?}");
    let key = caches.join("standin/image.key");
    assert_eq!([mode(&caches.join("standin")), mode(&caches.join("standin/images")), mode(&key)], [0o700, 0o700, 0o600]);
    tests_what_is_built_in(folder, &caches, &["--json"]);
    assert_eq!(images(), first, "compiled anew");

    // What somebody with another key made is not taken.
    std::fs::write(&key, [7; 32]).unwrap();
    tests_what_is_built_in(folder, &caches, &[]);
    assert!(images().iter().all(|image| !first.contains(image)), "taken though another key made it");
}

#[test]
fn a_cache_that_others_can_write_is_not_used_and_people_are_told() {
    let folder = folder();
    let (folder, caches) = (folder.path(), folder.path().join("caches"));
    std::fs::create_dir_all(caches.join("standin")).unwrap();
    std::fs::set_permissions(caches.join("standin"), std::fs::Permissions::from_mode(0o770)).unwrap();
    let told = tests_what_is_built_in(folder, &caches, &[]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("what is compiled is not kept: ") && told.contains("caches/standin has mode 0770"), "{told}");
    let json = tests_what_is_built_in(folder, &caches, &["--json"]);
    assert!(json.stderr.is_empty(), "{}", String::from_utf8_lossy(&json.stderr));
    assert!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["report"]["ok"].as_bool().unwrap());
    assert!(!caches.join("standin/images").exists());
}

#[test]
fn without_a_home_nothing_is_kept_and_without_room_it_is_said_why() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("cases/people.json"), r#"{ "cases": [{ "name": "base", "expect": { "effect": "permit" } }] }"#)
        .unwrap();
    let test = |home: Option<&str>, caches: Option<&str>| {
        let mut command = process::command();
        command.args(["policy", "test", "builtin:baseline", "--cases", "cases"]).current_dir(folder);
        for (name, value) in [("HOME", home), ("XDG_CACHE_HOME", caches)] {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let before = std::fs::read_dir(folder).unwrap().count();
    // A relative path does not count.
    for (home, caches) in [(None, None), (Some(""), Some("")), (None, Some("here")), (Some("here"), None)] {
        let told = test(home, caches);
        assert!(!told.contains("kept"), "{told}");
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before);
    // Where nobody can make a folder, root neither.
    let told = test(Some("/proc"), None);
    assert!(told.contains("what is compiled is not kept: the image folder /proc/.cache cannot be used: "), "{told}");
}

#[test]
fn packing_twice_makes_one_file_and_faults_show_their_line() {
    let folder = folder();
    let folder = folder.path();
    assert!(done(folder, &PACK).contains("packed acme.policy.wasm: acme version 7"));
    let first = std::fs::read(folder.join("acme.policy.wasm")).unwrap();
    let again = json(folder, &PACK);
    assert_eq!((again["ok"].as_bool(), again["manifest"]["rules"][1].as_str()), (Some(true), Some("robots")));
    assert!(std::fs::read(folder.join("acme.policy.wasm")).unwrap() == first, "another file");

    std::fs::write(folder.join("policies/wrong.cedar"), "// a comment\n\tpermit (principal, acton, resource);\n").unwrap();
    let (_, said) = refused(folder, &PACK);
    assert!(said.contains("--> policies/wrong.cedar:2:21\n"), "{said}");
    assert!(said.contains("2 | \tpermit (principal, acton, resource);\n  | \t                   ^\n"), "{said}");
    let faults = json(folder, &PACK);
    let fault = &faults["faults"][0];
    assert_eq!((fault["file"].as_str(), fault["line"].as_u64()), (Some("policies/wrong.cedar"), Some(2)), "{faults}");
    std::fs::remove_file(folder.join("policies/wrong.cedar")).unwrap();

    std::fs::write(folder.join("policies/notes.txt"), "").unwrap();
    assert!(refused(folder, &PACK).1.contains("policies/notes.txt:1:1"));
    std::fs::remove_file(folder.join("policies/notes.txt")).unwrap();
    std::fs::write(folder.join("cases/people.json"), "{").unwrap();
    assert!(refused(folder, &PACK).1.contains("people.json"));
    assert!(refused(folder, &["pack", "--policies", "cases/none", "--version", "1", "-o", "a.wasm"]).1.contains("cases/none"));
    let none = standin(folder, &["pack", "--policies", "policies", "--version", "0", "-o", "a.wasm"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn people_are_told_what_takes_long_and_programs_are_not() {
    let folder = folder();
    let folder = folder.path();
    let pack = |caches: &str, arguments: &[&str]| {
        let mut command = process::command();
        command.current_dir(folder).arg("policy").args(PACK).args(arguments).env("XDG_CACHE_HOME", folder.join(caches));
        let clock = SystemClock::default();
        let began = clock.monotonic();
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
            clock.monotonic().saturating_sub(began),
        )
    };
    let (out, told, took) = pack("first", &[]);
    assert!(told.contains("compiling the policy engine, ") || took.as_secs() < 3, "{took:?}: {told}");
    assert!(out.starts_with("packed ") && !out.contains("compiling"), "{out}");
    let (json, told, _) = pack("second", &["--json"]);
    assert_eq!((serde_json::from_str::<Value>(&json).unwrap()["ok"].as_bool(), told.as_str()), (Some(true), ""));
}

const PEOPLE_IN_REGO: &str = "package standin\n\nallow if input.tenant in data.teams.served\n\n\
    reasons contains {\"rule\": \"people\"}\n\ndeny contains \"robots\" if input.subject.kind == \"host\"\n";

#[test]
fn policies_in_rego_are_tested_packed_and_looked_into() {
    let folder = folder();
    let folder = folder.path();
    std::fs::remove_file(folder.join("policies/people.cedar")).unwrap();
    std::fs::write(folder.join("policies/people.rego"), PEOPLE_IN_REGO).unwrap();
    std::fs::create_dir(folder.join("policies/teams")).unwrap();
    std::fs::write(folder.join("policies/teams/data.json"), "{\"served\": [\"acme\"]}").unwrap();
    let said = done(folder, &["test", "policies", "--cases", "cases", "--engine", "rego"]);
    assert!(said.contains("ok 1 cases") && said.contains("no case reached robots"), "{said}");

    let pack = [&PACK[..], &["--engine", "rego"]].concat();
    assert!(done(folder, &pack).contains("2 rules in regorus "));
    let first = std::fs::read(folder.join("acme.policy.wasm")).unwrap();
    done(folder, &pack);
    assert!(std::fs::read(folder.join("acme.policy.wasm")).unwrap() == first, "another file");
    assert!(done(folder, &["test", "acme.policy.wasm"]).contains("ok 1 cases"));
    let page = done(folder, &["inspect", "acme.policy.wasm"]);
    assert!(page.contains("name     acme version 7") && page.contains("regorus") && !page.contains("refused"), "{page}");

    std::fs::write(folder.join("policies/wrong.rego"), "package standin\n\n\tmax_tll := \"5m\"\n").unwrap();
    let (_, said) = refused(folder, &pack);
    assert!(said.contains("nothing uses the rule `max_tll`") && said.contains("--> policies/wrong.rego:3:2\n"), "{said}");
    assert!(said.contains("3 | \tmax_tll := \"5m\"\n  | \t^\n"), "{said}");
    // Cedar's files mean nothing here.
    std::fs::write(folder.join("policies/wrong.rego"), "").unwrap();
    std::fs::write(folder.join("entities.json"), "[]").unwrap();
    let (_, said) = refused(folder, &[&pack[..], &["--entities", "entities.json"]].concat());
    assert!(said.contains("a bundle consists of"), "{said}");
}

#[test]
fn cases_that_fail_show_a_difference_and_rules_that_were_not_reached() {
    let folder = folder();
    let folder = folder.path();
    let folder_test = ["test", "policies", "--cases", "cases"];
    let said = done(folder, &folder_test);
    assert!(said.contains("ok 1 cases") && said.contains("no case reached robots"), "{said}");
    refused(folder, &[&folder_test[..], &["--every-rule"]].concat());
    let wrong = CASES.replace("\"permit\"", "\"permit\", \"ttl\": 60").replace("[\"people\"]", "[\"persons\"]");
    std::fs::write(folder.join("cases/people.json"), wrong).unwrap();
    let (said, _) = refused(folder, &folder_test);
    assert!(said.contains("FAILED people.json: people\n  ttl\n    - 60\n    + (none)\n  reasons\n"), "{said}");
    assert!(said.contains("    - [\"persons\"]\n    + [\"people\"]\n") && said.contains("failed 1 of 1 cases"), "{said}");
    let report = json(folder, &folder_test);
    assert_eq!(report["report"]["failures"][0]["got"]["reasons"][0], "people");
    assert_eq!(report["report"]["unreached"][0], "robots");

    let bare = &PACK[..3];
    done(folder, &[bare, &["--version", "1", "-o", "bare.wasm"]].concat());
    assert!(refused(folder, &["test", "bare.wasm"]).1.contains("packed without cases"));
    assert!(refused(folder, &["test", "policies"]).1.contains("there are no cases"));
    assert!(refused(folder, &["test", "policies/people.cedar"]).1.contains("no WebAssembly component"));
}

#[test]
fn a_module_is_looked_into_signed_and_verified() {
    let folder = folder();
    let folder = folder.path();
    done(folder, &PACK);
    let page = done(folder, &["inspect", "acme.policy.wasm"]);
    for line in ["name     acme version 7", "rules    2", "cases    1", "signer   none", "export   load"] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(page.contains("standin:obo/policy@0.1.0") && !page.contains("refused"), "{page}");
    let id = json(folder, &["keygen", "acme"])["key_id"].as_str().unwrap().to_owned();
    assert!(refused(folder, &["keygen", "acme"]).1.contains("acme.key.pem"));
    done(folder, &["keygen", "other"]);
    assert!(refused(folder, &["verify", "acme.policy.wasm", "--key", "acme.pub.pem"]).1.contains("is not signed"));
    assert!(done(folder, &["sign", "acme.policy.wasm", "--key", "acme.key.pem"]).contains(&id));
    assert_eq!(json(folder, &["inspect", "acme.policy.wasm"])["signers"][0], id.as_str());
    assert!(done(folder, &["verify", "acme.policy.wasm", "--key", "other.pub.pem", "--key", "acme.pub.pem"]).contains(&id));
    assert!(refused(folder, &["verify", "acme.policy.wasm", "--key", "other.pub.pem"]).1.contains("no trusted key"));
    let verdict = json(folder, &["verify", "acme.policy.wasm", "--key", "other.pub.pem"]);
    assert_eq!(verdict["ok"], false);
    assert!(refused(folder, &["sign", "acme.policy.wasm", "--key", "acme.pub.pem"]).1.contains("no Ed25519 secret key"));
    assert!(refused(folder, &["verify", "acme.policy.wasm", "--key", "acme.key.pem"]).1.contains("no Ed25519 public key"));
    assert!(refused(folder, &["inspect", "policies/people.cedar"]).1.contains("no WebAssembly component"));
    // Signing does not change what it says, nor whose cases travel with it.
    assert!(done(folder, &["test", "acme.policy.wasm"]).contains("ok 1 cases"));
}
