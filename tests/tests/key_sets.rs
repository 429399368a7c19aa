//! The key sets of trusted issuers: what signs, when a set is asked for again, and what is said of one that serves nothing. Tokens and
//! sets are made by `jose` of npm under Node.js where it matters who made them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "a test that cannot go on ends")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use standin::Standin;
use standin_tests::idp::now;
use standin_tests::process::{self, Process};
use standin_tests::requests::{request, token};
use standin_tests::world::{ISSUER, SECRET, World};

const PEERS: &str = "https://peers.example.com";
const ALGORITHMS: [&str; 11] =
    ["EdDSA", "Ed25519", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// What `sign.mjs` is to sign.
fn order(algorithm: &str, kid: Option<&str>, member: Value) -> Value {
    let claims = json!({
        "iss": PEERS, "sub": "alice", "aud": ISSUER, "iat": now(), "exp": now() + 600, "jti": format!("{algorithm}-{kid:?}"),
        "scope": "expenses:read",
    });
    json!({ "algorithm": algorithm, "claims": claims, "kid": kid, "member": member })
}

/// The tokens and the key set.
fn signed(orders: &[Value]) -> (Vec<String>, Value) {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    assert!(peers.join("node_modules/jose").is_dir(), "the signer of npm is not installed: run `make peers`");
    let mut node = Command::new("node");
    node.arg(peers.join("sign.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = node.spawn().expect("Node.js is installed");
    child.stdin.take().unwrap().write_all(json!(orders).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tokens = answer["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap().to_owned()).collect();
    (tokens, answer["jwks"].clone())
}

/// The usual world with the issuer `peers`, whose keys come from this source.
async fn world(source: &str) -> World {
    let names: Vec<String> = ALGORITHMS.iter().map(|name| format!("{name:?}")).filter(|name| name != "\"Ed25519\"").collect();
    let issuer = format!(
        "[[trusted_issuer]]\nname = \"peers\"\nissuer = \"{PEERS}\"\n{source}\nrole = \"subject\"\nalgorithms = [{}]\ntenants = [\"acme\"]\n",
        names.join(", ")
    );
    World::with(
        |config| {
            config.push_str("\n[policy]\ndeadline = \"10s\"\n[runtime]\ncpu = \"10s\"\n");
            config.push_str(&issuer);
        },
        |_| {},
    )
    .await
}

/// The code of what became of a token.
async fn code(standin: &Standin, jws: &str) -> String {
    match standin.mint_on_behalf(request("svc-router", token(jws))).await {
        Ok(_) => "minted".to_owned(),
        Err(failure) => failure.code,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_every_algorithm_are_taken() {
    // Each under a name of its own; the key says what it is for, or nothing, or that it is one of JWT-SVIDs.
    let mut orders: Vec<Value> = Vec::new();
    for name in ALGORITHMS {
        orders.push(order(name, Some(name), json!({ "alg": name, "use": "sig" })));
    }
    orders.push(order("PS384", Some("plain"), json!({})));
    orders.push(order("ES256", Some("svid"), json!({ "use": "jwt-svid" })));
    let (tokens, jwks) = signed(&orders);
    let world = world("jwks_file = \"peers.json\"").await;
    std::fs::write(world.path("peers.json"), jwks.to_string()).unwrap();
    let standin = world.standin().await;
    for (jws, order) in tokens.iter().zip(&orders) {
        assert_eq!(code(&standin, jws).await, "minted", "{order}");
        let (message, _) = jws.rsplit_once('.').unwrap();
        let (_, other) = tokens.iter().find(|other| *other != jws).unwrap().rsplit_once('.').unwrap();
        assert_eq!(code(&standin, &format!("{message}.{other}")).await, "subject.signature", "{order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_certificate_serves_and_the_same_key_twice_is_one() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["idp.example.com".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let mut certified = order("ES256", None, json!({ "x5c": [STANDARD.encode(certificate.der())] }));
    certified["pem"] = pair.serialize_pem().into();
    let (tokens, mut jwks) = signed(&[certified, order("RS256", None, json!({}))]);
    // A token without a name finds the one key that fits, though it is written there three times.
    let twice = jwks["keys"].as_array().unwrap().clone();
    let named = twice.iter().map(|key| {
        let mut key = key.clone();
        key["kid"] = json!("another name");
        key
    });
    let all: Vec<Value> = twice.iter().cloned().chain(twice.clone()).chain(named).collect();
    jwks["keys"] = all.into();
    let world = world("jwks_file = \"peers.json\"").await;
    // As some editors write it.
    std::fs::write(world.path("peers.json"), format!("\u{feff}{jwks}")).unwrap();
    let standin = world.standin().await;
    for jws in &tokens {
        assert_eq!(code(&standin, jws).await, "minted");
    }
}

/// A set on loopback that can be exchanged.
struct Site {
    uri: String,
    set: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    headers: Arc<Mutex<HeaderMap>>,
    server: tokio::task::JoinHandle<()>,
}

impl Site {
    async fn start(first: &Value) -> Self {
        let (set, asked, headers) = (Arc::new(Mutex::new(first.to_string())), Arc::<AtomicUsize>::default(), Arc::default());
        let answer = {
            let (set, asked, headers) = (Arc::clone(&set), Arc::clone(&asked), Arc::<Mutex<HeaderMap>>::clone(&headers));
            move |sent: HeaderMap| {
                asked.fetch_add(1, Ordering::Relaxed);
                *headers.lock().unwrap() = sent;
                let set = set.lock().unwrap().clone();
                async move { set }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let server =
            tokio::spawn(async move { axum::serve(listener, Router::new().route("/jwks.json", get(answer))).await.unwrap() });
        Self { uri, set, asked, headers, server }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_under_old_names_are_found_and_asked_for_at_most_once_a_minute() {
    let (old, first) = signed(&[order("ES256", Some("the-key"), json!({}))]);
    let (new, second) = signed(&[order("ES256", Some("the-key"), json!({}))]);
    let site = Site::start(&first).await;
    let world = world(&format!("jwks_uri = \"{}\"", site.uri)).await;
    let standin = world.standin().await;
    assert_eq!(code(&standin, &old[0]).await, "minted");
    *site.set.lock().unwrap() = second.to_string();
    assert_eq!(code(&standin, &new[0]).await, "minted", "the source is asked again");
    assert_eq!(site.asked.load(Ordering::Relaxed), 2);
    // What was right under the old key is not believed on.
    assert_eq!(code(&standin, &old[0]).await, "subject.signature");
    for _ in 0..20 {
        assert_eq!(code(&standin, &old[0]).await, "subject.signature");
    }
    assert_eq!(site.asked.load(Ordering::Relaxed), 2, "whoever sends wrong signatures makes nobody ask");
    let headers = site.headers.lock().unwrap().clone();
    assert_eq!(headers["accept-encoding"], "identity");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("standin/"), "{headers:?}");
}

/// What became of a token at a running process.
async fn exchange(process: &Process, jws: &str) -> Value {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", jws),
        ("audience", standin_tests::world::API),
    ];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = form.iter().map(|(name, value)| format!("{name}={}", value.replace(':', "%3A").replace('/', "%2F")));
    let asked = client.post(process.url("/oauth2/token")).basic_auth("svc-router", Some(SECRET));
    let asked = asked.header("content-type", "application/x-www-form-urlencoded").body(body.collect::<Vec<_>>().join("&"));
    asked.send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_file_again() {
    let (old, first) = signed(&[order("ES256", Some("old"), json!({}))]);
    let (new, second) = signed(&[order("ES256", Some("new"), json!({}))]);
    let world = world("jwks_file = \"peers.json\"").await;
    let file = world.path("peers.json");
    std::fs::write(&file, first.to_string()).unwrap();
    let mut process = Process::start(&world);
    assert!(exchange(&process, &old[0]).await.get("access_token").is_some());
    std::fs::write(&file, second.to_string()).unwrap();
    process.signal("HUP");
    process.wait_for("serve: reloaded");
    assert_eq!(exchange(&process, &old[0]).await["code"], "subject.unknown_key", "what was withdrawn is gone at once");
    assert!(exchange(&process, &new[0]).await.get("access_token").is_some());
    // One that others can write is not taken up, and the old one serves on.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
    process.signal("HUP");
    assert!(process.wait_for("not reloaded").contains("peers.json"));
    assert!(exchange(&process, &new[0]).await.get("access_token").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_a_usable_key_is_told_of_everywhere() {
    let useless = json!({ "keys": [
        { "kty": "oct", "k": "AAAA", "kid": "shared" },
        { "kty": "EC", "crv": "P-256", "use": "enc", "x": "AAAA", "y": "AAAA" },
        { "kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB" },
    ] });
    let world = world("jwks_file = \"peers.json\"").await;
    std::fs::write(world.path("peers.json"), useless.to_string()).unwrap();
    let reasons = ["key 1 (shared): it is a symmetric key", "key 2: its `use`", "key 3 (weak): its modulus has 17 bits"];
    let mut check = Command::new(process::binary());
    let checked = check.args(["check", "--json", "--config"]).arg(world.path("standin.toml")).output().unwrap();
    let page: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((checked.status.code(), &page["ok"]), (Some(1), &json!(false)));
    let fault = &page["faults"][0];
    assert_eq!(fault["key"], "trusted_issuer[4].jwks_file");
    let mut process = Process::start(&world);
    let logged = process.log().join("\n");
    for reason in reasons {
        assert!(fault["problem"].as_str().unwrap().contains(reason), "{fault}");
        assert!(logged.contains(reason), "{logged}");
    }
    let ready = async |process: &Process| -> (u16, Value) {
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(process.url("/readyz")).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    };
    let (status, page) = ready(&process).await;
    assert_eq!((status, &page["ready"], &page["issuers_without_keys"]), (200, &json!(true), &json!(["peers"])));
    // Nobody else is the worse for it.
    assert!(exchange(&process, &world.idp.token(json!({}))).await.get("access_token").is_some());
    let (tokens, jwks) = signed(&[order("ES256", Some("good"), json!({}))]);
    std::fs::write(world.path("peers.json"), jwks.to_string()).unwrap();
    process.signal("HUP");
    process.wait_for("serve: reloaded");
    assert!(exchange(&process, &tokens[0]).await.get("access_token").is_some());
    assert!(ready(&process).await.1.get("issuers_without_keys").is_none());
}

/// A good key, and the issuer's algorithms are others.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_keys_are_for_other_algorithms_has_no_usable_key() {
    let world = world("jwks_file = \"peers.json\"").await;
    std::fs::write(world.path("peers.json"), signed(&[order("ES256", None, json!({}))]).1.to_string()).unwrap();
    let check = || Command::new(process::binary()).args(["check", "--config"]).arg(world.path("standin.toml")).output().unwrap();
    assert!(check().status.success());
    let (before, peers) = world.config_text().rsplit_once("jwks_file").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let begin = peers.find("algorithms = [").unwrap();
    let end = begin + peers[begin..].find(']').unwrap() + 1;
    let peers = format!("{}algorithms = [\"PS256\"]{}", &peers[..begin], &peers[end..]);
    std::fs::write(world.path("standin.toml"), format!("{before}jwks_file{peers}")).unwrap();
    let said = String::from_utf8(check().stderr).unwrap();
    assert!(said.contains("the key set has no usable key") && said.contains("none of the issuer's `algorithms`"), "{said}");
    let process = Process::start(&world);
    let ready: Value = reqwest::get(process.url("/readyz")).await.unwrap().json().await.unwrap();
    assert_eq!(ready["issuers_without_keys"], json!(["peers"]));
    assert!(process.log().join("\n").contains("peers"), "{:?}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_write_is_refused_by_name() {
    let world = world("jwks_file = \"peers.json\"").await;
    std::fs::write(world.path("peers.json"), signed(&[order("ES256", None, json!({}))]).1.to_string()).unwrap();
    let chmod = |name: &str, mode| std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    let run = |command: &[&str]| {
        let mut standin = Command::new(process::binary());
        let output = standin.args(command).arg("--config").arg(world.path("standin.toml")).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(run(&["check"]).0, "{:?}", run(&["check"]));
    for (name, wrong, right) in [
        ("standin.toml", 0o666, 0o644),
        ("standin.toml", 0o620, 0o600),
        ("peers.json", 0o646, 0o640),
        (".", 0o777, 0o755),
        (".", 0o770, 0o700),
    ] {
        chmod(name, wrong);
        for command in [&["check"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let (done, said) = run(command);
            assert!(!done && said.contains("lets others write"), "{name} {wrong:o} {command:?}: {said}");
        }
        chmod(name, right);
        assert!(run(&["check"]).0, "{name} {right:o}: {:?}", run(&["check"]));
    }
}
