//! The examples of docs/http.md, run as they stand there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use standin_tests::idp::{IDP, Idp};
use standin_tests::process::{Process, binary, shell};

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

/// The fenced blocks of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The commands of a console: what follows a prompt, with the lines it goes on for.
fn commands(block: &str) -> Vec<String> {
    block.split("$ ").skip(1).map(|command| command.trim_end().to_owned()).collect()
}

/// A folder as `standin init` makes it, with the people of docs/directory.md and an issuer; and the secret that was shown.
fn prepared(parent: &Path, idp: &Idp) -> (PathBuf, String) {
    let folder = parent.join("obo");
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).current_dir(parent).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let made = run(&["init", "obo"]);
    let secret = made.lines().find_map(|line| line.trim().strip_prefix("secret")).unwrap().split_whitespace().next().unwrap();
    std::fs::write(parent.join("people.json"), &blocks(&page("directory.md"), "json")[0]).unwrap();
    run(&["directory", "import", "people.json", "--config", "obo/standin.toml"]);
    let config = std::fs::read_to_string(folder.join("standin.toml")).unwrap();
    let issuer = format!(
        "[[trusted_issuer]]\nname = \"corp\"\nissuer = \"{IDP}\"\njwks_uri = \"{}\"\nrole = \"subject\"\nalgorithms = [\"ES256\"]\n\
         tenants = [\"acme\"]\ntenant_claim = \"tenant\"\n",
        idp.jwks_uri()
    );
    // A busy machine is not a component that misbehaves.
    let config = config.replace("deadline = \"50ms\"", "deadline = \"5s\"").replace("cpu = \"50ms\"", "cpu = \"2s\"") + &issuer;
    std::fs::write(folder.join("standin.toml"), config).unwrap();
    std::fs::write(folder.join("user.jwt"), idp.token(json!({ "aud": "http://127.0.0.1:8080" }))).unwrap();
    (folder, secret.to_owned())
}

/// What a command of the page says, run in this folder against this server.
fn said(command: &str, folder: &Path, secret: &str, server: &Process) -> String {
    assert!(command.starts_with("curl "), "{command}");
    // As it stands, but that its status counts too.
    let command = command.replacen("curl ", "curl --silent --show-error --fail-with-body --max-time 60 ", 1);
    let command = command.replace("http://127.0.0.1:8080", &server.url(""));
    let ran = Command::new("sh").args(["-e", "-c", &command]).current_dir(folder).env("SECRET", secret).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command}\n{said}");
    said
}

fn members(json: &Value) -> BTreeSet<&str> {
    json.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_do_what_it_says() {
    let parent = tempfile::tempdir().unwrap();
    let idp = Idp::start().await;
    let (folder, secret) = prepared(parent.path(), &idp);
    let server = Process::of(shell(""), &folder.join("standin.toml"));
    let page = page("http.md");
    let consoles: Vec<Vec<String>> = blocks(&page, "console").iter().map(|block| commands(block)).collect();
    let shown: Vec<Value> = blocks(&page, "json").iter().map(|block| serde_json::from_str(block).unwrap()).collect();
    let (consoles, shown) = match (consoles.as_slice(), shown.as_slice()) {
        // What follows the error is of the audit log.
        ([minting, exchanging, reading], [token, error, ..]) => ((minting, exchanging, reading), (token, error)),
        other => panic!("another page: {other:?}"),
    };
    let answers = |commands: &[String]| -> Vec<Value> {
        let texts = commands.iter().map(|command| said(command, &folder, &secret, &server));
        texts.map(|text| serde_json::from_str(text.lines().last().unwrap()).unwrap_or_else(|_| panic!("{text}"))).collect()
    };

    let minted = answers(consoles.0);
    assert_eq!(minted.len(), 3);
    assert_eq!(members(&minted[0]), members(shown.0));
    for name in members(shown.0).into_iter().filter(|name| *name != "access_token") {
        assert_eq!(minted[0][name], shown.0[name], "{name}");
    }
    let types: Vec<&Value> = minted.iter().map(|answer| &answer["obo_type"]).collect();
    assert_eq!(types, ["user", "host", "envoy"]);

    let exchanged = answers(consoles.1);
    let without: BTreeSet<&str> =
        members(shown.0).into_iter().filter(|name| !["sub", "tenant", "obo_type", "provisional"].contains(name)).collect();
    assert_eq!((exchanged.len(), members(&exchanged[0])), (1, without));

    let read = answers(consoles.2);
    let [metadata, jwks, ready] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(metadata["issuer"], "http://127.0.0.1:8080");
    assert!(jwks["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
    assert_eq!(ready["ready"], true);

    // And the error that it shows.
    let wrong = consoles.0[0].replace("expenses:read", "expenses:delete").replacen("curl ", "curl --silent --max-time 60 ", 1);
    let wrong = wrong.replace("http://127.0.0.1:8080", &server.url(""));
    let ran = Command::new("sh").args(["-e", "-c", &wrong]).env("SECRET", &secret).output().unwrap();
    let refused: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(members(&refused), members(shown.1));
    assert_eq!((&refused["code"], &refused["error_description"]), (&shown.1["code"], &shown.1["error_description"]));
    assert!(server.stop().success());
}
