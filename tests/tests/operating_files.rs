//! Files, variables and arguments as people and their tools leave them: nothing of what is not meant to change changes, what is meant is
//! understood, and an error names the file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rstest::rstest;
use serde_json::Value;
use standin_tests::process;

const MARK: &str = "\u{feff}";
const PEOPLE: &str = r#"{ "accounts": [{ "id": "acme-eu", "tenant": "acme" }],
    "users": [{ "id": "u-alice", "email": "alice@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu" }] }"#;
const ADD: [&str; 10] =
    ["client", "add", "svc-second", "--tenant", "acme", "--subject", "user", "--audience", "https://api.example.com", "--json"];

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = process::command();
    command.current_dir(folder).args(arguments).env_remove("STANDIN_CONFIG").env_remove("STANDIN_CLIENT_SECRET");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    output_of(run(folder, arguments))
}

fn output_of(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn failed(output: Output, code: i32) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A folder made by `init` with alice in its directory, and the secret of its client.
struct Made {
    _parent: tempfile::TempDir,
    folder: PathBuf,
    secret: String,
}

impl Made {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("obo");
        let said = done(parent.path(), &["init", folder.to_str().unwrap()]);
        let secret = said.lines().find_map(|line| line.trim().strip_prefix("secret")).unwrap();
        let secret = secret.split_whitespace().next().unwrap().to_owned();
        fs::write(folder.join("people.json"), PEOPLE).unwrap();
        done(&folder, &["directory", "import", "people.json"]);
        Self { _parent: parent, folder, secret }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("standin.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    fn mint(&self) -> Command {
        command(&self.folder, &["mint", "--client", "svc-first", "--user", "alice@example.com", "--json"])
    }
}

#[test]
fn an_edit_keeps_mode_line_ends_and_mark() {
    let made = Made::new();
    let windows = format!("{MARK}{}", made.text().replace('\n', "\r\n"));
    fs::write(made.config(), &windows).unwrap();
    fs::set_permissions(made.config(), fs::Permissions::from_mode(0o640)).unwrap();
    done(&made.folder, &ADD);
    let text = made.text();
    let mut now = text.split_inclusive('\n');
    for line in windows.split_inclusive('\n') {
        assert!(now.any(|found| found == line), "what stood there stands there byte for byte, in its order: {line:?}");
    }
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    assert_eq!(fs::metadata(made.config()).unwrap().mode() & 0o7777, 0o640);
    done(&made.folder, &["client", "rotate", "svc-second"]);
    done(&made.folder, &["check"]);
}

#[test]
fn an_edit_keeps_the_owner() {
    let made = Made::new();
    // Only root can give a file away; everybody else owns what it edits.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let (uid, gid) = if is_root { (65_534, 23_456) } else { owner(&made.config()) };
    for path in [&made.folder, &made.config()] {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
    done(&made.folder, &ADD);
    done(&made.folder, &["client", "rotate", "svc-second"]);
    assert_eq!(owner(&made.config()), (uid, gid));
    if is_root {
        // Served is what is the server's own.
        let said = failed(run(&made.folder, &["check"]), 2);
        assert!(said.contains("belongs to user 65534"), "{said}");
    }
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::metadata(path).unwrap();
    (found.uid(), found.gid())
}

#[test]
fn an_edit_follows_the_link() {
    let made = Made::new();
    let kept = made.folder.join("kept");
    fs::create_dir(&kept).unwrap();
    fs::rename(made.config(), kept.join("real.toml")).unwrap();
    symlink("kept/real.toml", made.config()).unwrap();
    // Relative paths in it start at its folder.
    let text = fs::read_to_string(kept.join("real.toml")).unwrap();
    let elsewhere = made.folder.to_str().unwrap();
    let text = text
        .replace("sqlite:", &format!("sqlite:{elsewhere}/"))
        .replace("\"audit.jsonl\"", &format!("\"{elsewhere}/audit.jsonl\""));
    fs::write(kept.join("real.toml"), text).unwrap();
    done(&made.folder, &ADD);
    assert!(fs::symlink_metadata(made.config()).unwrap().is_symlink());
    assert!(fs::read_to_string(kept.join("real.toml")).unwrap().contains("svc-second"));
}

#[rstest]
#[case::a_file(|beside: &Path| fs::write(beside, "half of an ed").unwrap())]
#[case::a_link(|beside: &Path| symlink("people.json", beside).unwrap())]
fn an_edit_survives_what_a_killed_one_left(#[case] leave: fn(&Path)) {
    let made = Made::new();
    leave(&made.folder.join("standin.toml.new"));
    done(&made.folder, &ADD);
    assert!(made.text().contains("svc-second"));
    assert!(!made.folder.join("standin.toml.new").exists());
    assert_eq!(fs::read_to_string(made.folder.join("people.json")).unwrap(), PEOPLE);
}

#[test]
fn edits_at_once_all_count() {
    let made = Made::new();
    let names: Vec<String> = (0..8).map(|number| format!("svc-{number}")).collect();
    let started: Vec<_> = names
        .iter()
        .map(|name| {
            let arguments: Vec<&str> = ADD.iter().map(|word| if *word == "svc-second" { name.as_str() } else { *word }).collect();
            command(&made.folder, &arguments).stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut one in started {
        assert!(one.wait().unwrap().success());
    }
    let text = made.text();
    assert!(names.iter().all(|name| text.contains(&format!("\"{name}\""))), "{text}");
}

#[test]
fn a_refused_edit_leaves_the_file_alone() {
    let made = Made::new();
    let before = made.text();
    let said =
        failed(run(&made.folder, &["client", "add", "svc-first", "--tenant", "acme", "--subject", "user", "--audience", "x"]), 1);
    assert!(said.contains("svc-first"), "{said}");
    failed(run(&made.folder, &["client", "add", "svc-b", "--tenant", "acme", "--subject", "nobody", "--audience", "x"]), 2);
    assert_eq!(made.text(), before);
    assert!(!made.folder.join("standin.toml.new").exists());
}

#[rstest]
#[case::a_newline("\n")]
#[case::windows("\r\n")]
#[case::spaces(" \n")]
fn a_secret_in_the_environment_may_end_as_files_do(#[case] end: &str) {
    let made = Made::new();
    let minted = made.mint().env("STANDIN_CLIENT_SECRET", format!("{}{end}", made.secret)).output().unwrap();
    let page: Value = serde_json::from_str(&output_of(minted)).unwrap();
    assert_eq!(page["attributes"]["sub"], "user:acme:u-alice");
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let made = Made::new();
    let said = failed(made.mint().env("STANDIN_CLIENT_SECRET", "").output().unwrap(), 2);
    assert!(said.contains("set STANDIN_CLIENT_SECRET"), "{said}");
    output_of(made.mint().env("STANDIN_CONFIG", "").env("STANDIN_CLIENT_SECRET", &made.secret).output().unwrap());
    // An option that is given is meant.
    failed(run(&made.folder, &["check", "--config", ""]), 2);
}

#[test]
fn every_text_may_begin_with_a_byte_order_mark() {
    let made = Made::new();
    let marked = |name: &str, text: &str| {
        fs::write(made.folder.join(name), format!("{MARK}{text}")).unwrap();
        name.to_owned()
    };
    marked("standin.toml", &made.text());
    let people = marked("people.json", PEOPLE);
    done(&made.folder, &["directory", "import", &people]);
    let secret = marked("secret", &format!("{}\r\n", made.secret));
    for entry in fs::read_dir(made.folder.join("keys")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            fs::write(&path, format!("{MARK}{}", fs::read_to_string(&path).unwrap())).unwrap();
        }
    }
    let mint = ["mint", "--client", "svc-first", "--secret-file", &secret, "--user", "alice@example.com", "--json"];
    done(&made.folder, &mint);
    fs::create_dir(made.folder.join("policies")).unwrap();
    fs::create_dir(made.folder.join("cases")).unwrap();
    marked("policies/all.cedar", "@id(\"all\") permit (principal, action, resource);\n");
    marked("cases/all.json", r#"{ "cases": [{ "name": "all", "expect": { "effect": "permit", "reasons": ["all"] } }] }"#);
    done(
        &made.folder,
        &["policy", "pack", "--policies", "policies", "--cases", "cases", "--version", "1", "-o", "all.policy.wasm"],
    );
    done(&made.folder, &["policy", "keygen", "all"]);
    for name in ["all.key.pem", "all.pub.pem"] {
        marked(name, &fs::read_to_string(made.folder.join(name)).unwrap());
    }
    done(&made.folder, &["policy", "sign", "all.policy.wasm", "--key", "all.key.pem"]);
    done(&made.folder, &["policy", "verify", "all.policy.wasm", "--key", "all.pub.pem"]);
    let policy = "[policy]\nmodule = \"all.policy.wasm\"\ntrusted_keys = [\"all.pub.pem\"]\n";
    let before = made.text();
    let (head, tail) = before.split_once("[policy]\n").map_or((before.as_str(), ""), |(head, tail)| (head, tail));
    let rest = tail.split_once("\n[").map_or(String::new(), |(_, rest)| format!("\n[{rest}"));
    fs::write(made.config(), format!("{head}{policy}{rest}")).unwrap();
    done(&made.folder, &["check"]);
    done(&made.folder, &mint);
}

#[test]
fn a_database_named_as_a_uri_is_refused() {
    let made = Made::new();
    let text = made.text();
    for name in ["sqlite:file:other.db", "sqlite:FILE:other.db", "sqlite:file:/tmp/other.db?mode=memory"] {
        fs::write(made.config(), text.replacen("sqlite:standin.db", name, 1)).unwrap();
        let said = failed(run(&made.folder, &["check"]), 2);
        assert!(said.contains("\"sqlite:\" and a path"), "{said}");
    }
}

#[test]
fn an_error_names_the_file_and_which_database() {
    let made = Made::new();
    let text = made.text();
    let mint = |code| failed(made.mint().env("STANDIN_CLIENT_SECRET", &made.secret).output().unwrap(), code);
    let database = made.folder.join("standin.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o644)).unwrap();
    let said = mint(1);
    assert!(said.contains("directory's database") && said.contains("standin.db") && said.contains("0644"), "{said}");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();

    let (directory, store) = text.split_once("store = ").unwrap();
    fs::write(made.config(), format!("{directory}store = {}", store.replacen("sqlite:standin.db", "sqlite:store.db", 1)))
        .unwrap();
    fs::write(made.folder.join("store.db"), "this is no database, however long it may be").unwrap();
    fs::set_permissions(made.folder.join("store.db"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = mint(1);
    assert!(said.contains("store's database") && said.contains("store.db"), "{said}");
    fs::write(made.config(), &text).unwrap();

    fs::rename(made.folder.join("audit.jsonl"), made.folder.join("gone")).unwrap_or_default();
    fs::create_dir(made.folder.join("audit.jsonl")).unwrap();
    let said = mint(1);
    assert!(said.contains("audit.jsonl"), "{said}");
    fs::remove_dir(made.folder.join("audit.jsonl")).unwrap();

    fs::write(made.folder.join("odd.wasm"), "no module").unwrap();
    fs::write(made.config(), text.replace("\"builtin:baseline\"", "\"odd.wasm\"")).unwrap();
    let said = mint(1);
    assert!(said.contains("odd.wasm"), "{said}");
}

#[test]
fn the_engine_is_guessed_from_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let test = ["policy", "test", "policies", "--cases", "cases"];
    for name in ["policies", "cases"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("cases/all.json"), r#"{ "cases": [{ "name": "all", "expect": { "effect": "permit" } }] }"#)
        .unwrap();
    fs::write(folder.path().join("policies/readme.txt"), "nothing").unwrap();
    let said = failed(run(folder.path(), &test), 1);
    assert!(said.contains("--engine"), "{said}");
    fs::remove_file(folder.path().join("policies/readme.txt")).unwrap();
    let rego = "package standin\nimport rego.v1\ndefault allow := false\nallow if input.tenant\n";
    fs::write(folder.path().join("policies/all.rego"), rego).unwrap();
    let output = run(folder.path(), &test);
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("--engine") && !said.contains("cedar"), "{said}");
    fs::write(folder.path().join("policies/all.cedar"), "permit (principal, action, resource);").unwrap();
    let said = failed(run(folder.path(), &test), 1);
    assert!(said.contains("*.cedar and *.rego"), "{said}");
}

#[test]
fn what_is_wrong_in_policies_and_cases_is_shown_in_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies", "cases"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let pack = ["policy", "pack", "--policies", "policies", "--cases", "cases", "--version", "1", "-o", "x.policy.wasm"];
    write("cases/house.json", "{ \"cases\": [\n  { \"name\": \"é\" \"expect\": 1 }\n] }");
    write("policies/all.cedar", "permit (principal, action, resource);");
    let said = failed(run(folder.path(), &pack), 1);
    let drawing = " --> cases/house.json:2:17\n2 |   { \"name\": \"é\" \"expect\": 1 }\n  |                 ^";
    assert!(said.contains(drawing), "{said}");
    write("cases/house.json", r#"{ "cases": [{ "name": "all", "expect": { "effect": "permit" } }] }"#);
    for (file, text, drawing) in [
        ("policies/all.cedar", "permit (principal, action,\n  ressource);\n", "2 |   ressource);\n  |   ^"),
        ("policies/entities.json", "[\n  { \"uid\": }\n]", "2 |   { \"uid\": }\n"),
    ] {
        write(file, text);
        let said = failed(run(folder.path(), &pack), 1);
        assert!(said.contains(&format!("--> {file}:2:")) && said.contains(drawing), "{said}");
        fs::remove_file(folder.path().join(file)).unwrap();
        write("policies/all.cedar", "permit (principal, action, resource);");
    }
    fs::remove_file(folder.path().join("policies/all.cedar")).unwrap();
    write("policies/all.rego", "package standin\n\nallow if tru\n");
    let said = failed(run(folder.path(), &pack), 1);
    assert!(said.contains("--> policies/all.rego:3:") && said.contains("3 | allow if tru\n  |          ^"), "{said}");
}
