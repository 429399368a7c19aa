//! Tapes of recorded requests, and what the command says about them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use standin::clock::SystemEntropy;
use standin::endpoint::HttpRequest;
use standin::tape::TapeKey;
use standin::tape::file::Opened;
use standin::types::{Attribute, Descriptor, IdType, Request, Subject};

use crate::process;
use crate::requests::{basic, descriptor, http, unique};
use crate::world::{PATIENT, World};

/// A world that records, with these bounds besides.
pub async fn recording(bounds: &str) -> World {
    let world = World::with(
        |config| {
            let record = format!("\nrecord = {{ dir = \"tapes\", key = \"record.key\"{bounds} }}\n");
            config.insert_str(config.find("[[client]]").expect("a client"), &record);
            config.push_str(PATIENT);
        },
        |_| {},
    )
    .await;
    TapeKey::create(&world.path("record.key"), &SystemEntropy).expect("a key");
    world
}

/// The key that seals them.
pub fn key(world: &World) -> TapeKey {
    TapeKey::read(&world.path("record.key")).expect("a key")
}

/// The tapes, in the order of their time.
pub fn tapes(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.path("tapes")).expect("a folder");
    let mut tapes: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    tapes.sort();
    tapes
}

/// The tape of a request.
pub fn tape_of(world: &World, correlation_id: &str) -> PathBuf {
    let named = |path: &PathBuf| path.to_string_lossy().contains(&format!("-{correlation_id}-"));
    tapes(world).into_iter().find(named).unwrap_or_else(|| panic!("{correlation_id} has no tape"))
}

/// The same, opened.
pub fn opened(world: &World, correlation_id: &str) -> Opened {
    Opened::read(&tape_of(world, correlation_id), &key(world)).expect("a tape")
}

/// Runs `standin replay` on it.
pub fn replay(world: &World, correlation_id: &str, more: &[&str]) -> Output {
    let mut command = Command::new(process::binary());
    let command = command.current_dir(world.folder()).arg("replay").arg(tape_of(world, correlation_id));
    command.args(["--key", "record.key"]).args(more).output().expect("the command runs")
}

/// The JSON it printed.
pub fn page(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A request with this correlation id.
pub fn named(id: &str, request: Request) -> Request {
    Request { correlation_id: id.to_owned(), ..request }
}

/// Alice in one of her accounts.
pub fn alice() -> Subject {
    Subject::Descriptor(Descriptor { account_id: Some("acme-eu".into()), ..descriptor(IdType::User, "email.alice@example.com") })
}

/// A fact that comes with a request.
pub fn fact(name: &str, value: &Value) -> Attribute {
    Attribute { name: name.into(), value: value.to_string() }
}

/// Waits until so many tapes are written: the queue is bounded, and the disk may be slow.
pub async fn written(world: &World, count: usize) {
    for _ in 0..600 {
        if tapes(world).len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} of {count} tapes", tapes(world).len());
}

/// Sends a request and waits for its tape; answers the correlation id.
pub async fn recorded(world: &World, request: Request) -> String {
    let standin = world.standin().await;
    let id = format!("c-{}", unique());
    let _answer = standin.mint_on_behalf(named(&id, request)).await;
    standin.close().await.expect("the log is closed");
    id
}

/// Sixteen requests over HTTP.
pub fn over_http() -> Vec<HttpRequest> {
    let authorization = ("authorization", &*basic("svc-router"));
    let json = ("content-type", "application/json");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let mint = "/v2/session/svc/obo_mint";
    let bodies: [&[u8]; 7] = [
        br#"{"id_type":"user","id":"email.bob@example.com","audience":"https://api.example.com"}"#,
        br#"{"id_type":"host","id":"ophid.edge-7","ttl":60,"audience":"https://api.example.com"}"#,
        br#"{"id_type":"envoy","id":"email.new@example.com","sfdc_account_id":"001AcmeEU","audience":"https://api.example.com"}"#,
        br#"{"id_type":"user","id":"email.nobody@example.com"}"#,
        br#"{"id_type":"robot","id":"email.bob@example.com"}"#,
        b"{",
        b"{\"id\":\"\xff\"}",
    ];
    let mut requests: Vec<_> = bodies.iter().map(|body| http("POST", mint, &[authorization, json], body)).collect();
    requests.push(http("POST", mint, &[json], br#"{"id_type":"user","id":"email.bob@example.com"}"#));
    requests.push(http("POST", "/oauth2/token", &[authorization, form], b"grant_type=password"));
    for path in ["/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/nowhere"] {
        requests.push(http("GET", path, &[], b""));
    }
    requests.push(http("HEAD", "/jwks.json", &[], b""));
    requests.push(http("DELETE", "/oauth2/token", &[], b""));
    requests.push(http("GET", mint, &[authorization], b""));
    requests
}
