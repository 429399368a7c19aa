//! The admin endpoint: its own credential, what it shows and what it changes, over a Unix socket and over loopback, through the
//! command and without it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::{Value, json};
use standin::config::secret_digest;
use standin_tests::ZOO;
use standin_tests::process::{Process, binary};
use standin_tests::world::{API, SECRET, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ADMIN: &str = "admin-secret-admin-secret-admin-secret-admin";

/// A world whose server takes orders on this; its policy is the built-in one, in a file.
async fn world(listen: &str) -> World {
    let admin = format!(
        "\n[runtime]\ncpu = \"2s\"\n[policy]\nmodule = \"live.wasm\"\ndeadline = \"5s\"\nwatch = \"0s\"\n[admin]\n{listen}\nsecret_sha256 = [\"{}\"]\n",
        secret_digest(ADMIN)
    );
    let world = World::with(|config| config.push_str(&admin), |_| {}).await;
    std::fs::write(world.path("live.wasm"), standin::policy::BASELINE).unwrap();
    world
}

/// The command in the world's folder, with this secret.
fn run(world: &World, secret: &str, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(world.folder()).args(args);
    command.env("STANDIN_ADMIN_SECRET", secret).env("STANDIN_CLIENT_SECRET", SECRET).env_remove("STANDIN_CONFIG");
    command.output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_socket_the_command_shows_what_is_live_explains_and_rolls_back() {
    let world = world("socket = \"admin.sock\"").await;
    let mut process = Process::start(&world);
    process.wait_for("admin endpoint");
    let mode = std::fs::metadata(world.path("admin.sock")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let status = json_of(&run(&world, ADMIN, &["policy", "status", "--json"]));
    assert_eq!(status["unavailable"], json!([]));
    let slot = &status["policy"]["slots"]["platform"];
    assert_eq!((&slot["name"], &slot["breaker"]), (&json!("baseline"), &json!("closed")));
    let people = run(&world, ADMIN, &["policy", "status"]);
    assert!(String::from_utf8_lossy(&people.stdout).starts_with("platform baseline version"), "{people:?}");

    // The server holds the audit log; it explains in its place.
    let explain = ["explain", "--client", "svc-router", "--user", "bob@example.com", "--audience", API, "--json"];
    let page = json_of(&run(&world, ADMIN, &[&explain[..], &["--running"]].concat()));
    assert_eq!((&page["outcome"], &page["claims"]["sub"]), (&json!("permit"), &json!("user:acme:u-bob")));
    let id = page["correlation_id"].as_str().unwrap();
    assert_eq!(world.audit_of(id)[0]["outcome"], "explain");
    let refused = ["explain", "--client", "svc-nobody", "--user", "bob@example.com", "--audience", API, "--json", "--running"];
    let output = run(&world, ADMIN, &refused);
    assert_eq!((json_of(&output)["failure"]["code"].clone(), output.status.code()), (json!("caller.invalid"), Some(1)));

    let nothing = run(&world, ADMIN, &["policy", "rollback"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no other module was live"), "{nothing:?}");
    let before = slot["digest"].clone();
    std::fs::write(world.path("live.wasm"), ZOO).unwrap();
    process.signal("HUP");
    process.wait_for("serve: reloaded");
    let status = json_of(&run(&world, ADMIN, &["policy", "status", "--json"]));
    assert_eq!(status["policy"]["previous"]["platform"]["digest"], before);
    let status = json_of(&run(&world, ADMIN, &["policy", "rollback", "--json"]));
    assert_eq!(status["policy"]["slots"]["platform"]["digest"], before);
    assert!(status["policy"]["rolled_back"]["platform"].is_string());

    let wrong = run(&world, "wrong", &["policy", "status"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("the secret is missing or wrong"), "{wrong:?}");
    assert!(process.stop().success());
    assert!(!world.path("admin.sock").exists());
    let gone = run(&world, ADMIN, &["policy", "status"]);
    assert!(String::from_utf8_lossy(&gone.stderr).contains("is it running?"), "{gone:?}");
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_loopback_nobody_gets_in_without_the_secret_and_nothing_else_is_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = world(&format!("listen = \"127.0.0.1:{port}\"")).await;
    let mut process = Process::start(&world);
    process.wait_for("admin endpoint");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    for secret in [None, Some(""), Some("wrong"), Some(SECRET), Some(secret_digest(ADMIN).as_str())] {
        let request = client.get(url("/v2/status"));
        let request = secret.map_or(request.try_clone().unwrap(), |secret| request.bearer_auth(secret));
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": "the secret is missing or wrong" }));
    }
    let ask = async |method: &str, path: &str, body: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = client.request(method, url(path)).bearer_auth(ADMIN).body(body.to_owned()).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(ask("GET", "/v2/status", "").await, 200);
    for (scheme, status) in [("bearer", 200), ("BEARER", 200), ("Digest", 401), ("Bearer:", 401), ("", 401)] {
        let asked = client.get(url("/v2/status")).header("authorization", format!("{scheme} {ADMIN}")).send().await.unwrap();
        assert_eq!(asked.status().as_u16(), status, "{scheme}");
    }
    assert_eq!(ask("POST", "/v2/status", "").await, 405);
    assert_eq!(ask("GET", "/v2/explain", "").await, 405);
    assert_eq!(ask("GET", "/jwks.json", "").await, 404);
    assert_eq!(ask("POST", "/oauth2/token", "grant_type=x").await, 404);
    assert_eq!(ask("POST", "/v2/explain", "{").await, 400);
    assert_eq!(ask("POST", "/v2/explain", r#"{"client_id":"svc-router","surprise":1}"#).await, 400);
    assert_eq!(ask("POST", "/v2/explain", r#"{"client_id":"svc-router"}"#).await, 400);
    assert_eq!(ask("POST", "/v2/explain", &"x".repeat(200_000)).await, 413);
    // The longest subject token that may be configured comes this far.
    let long = json!({ "client_id": "svc-router", "subject_token": "x".repeat(64 << 10), "audience": API, "attested": true });
    assert_ne!(ask("POST", "/v2/explain", &long.to_string()).await, 413);
    for hosts in ["", "host: a\r\nhost: b\r\n", "host: a b\r\n"] {
        let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let asked = format!("GET /v2/status HTTP/1.1\r\n{hosts}authorization: Bearer {ADMIN}\r\n\r\n");
        connection.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts:?}: {answer}");
    }
    assert_eq!(ask("POST", "/v2/policy/rollback", r#"{"slot":"tenant:nobody"}"#).await, 409);
    // And the pages of the admin endpoint are not on the other one.
    let answer = client.get(process.url("/v2/status")).bearer_auth(ADMIN).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_configured_and_a_socket_in_use_is_not_taken_over() {
    let plain = World::patient().await;
    let output = run(&plain, ADMIN, &["policy", "status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no [admin]"), "{output:?}");

    let world = world("socket = \"admin.sock\"").await;
    let mut process = Process::start(&world);
    process.wait_for("admin endpoint");
    let config = standin::config::Admin {
        listener: standin::config::AdminListener::Unix(world.path("admin.sock")),
        secret_digests: vec![[0; 32]],
    };
    let other = plain.standin().await;
    let taken = standin::server::AdminServer::bind(&config, other.clone()).await.err().unwrap();
    assert!(taken.to_string().contains("admin.sock"), "{taken}");
    // One whose server died is.
    process.kill();
    assert!(world.path("admin.sock").exists());
    drop(standin::server::AdminServer::bind(&config, other.clone()).await.unwrap());
    // What is no socket is left alone.
    std::fs::write(world.path("admin.sock"), "mine").unwrap();
    assert!(standin::server::AdminServer::bind(&config, other).await.is_err());
    assert_eq!(std::fs::read_to_string(world.path("admin.sock")).unwrap(), "mine");
}
