//! What an operator, the system and its limits do to a running `standin serve`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use standin_tests::idp::claims_of;
use standin_tests::process::{Process, binary, shell};
use standin_tests::world::{API, PATIENT, SECRET, World};

const MINT: &str = "/v2/session/svc/obo_mint";

/// A token for bob, asked for by this client: the status, and the body.
async fn ask(process: &Process, client: &str) -> (u16, Value) {
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API });
    let asked = reqwest::Client::builder().no_proxy().build().unwrap().post(process.url(MINT)).basic_auth(client, Some(SECRET));
    let answer = asked.json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The file is in place whole before the signal is sent.
fn hang_up_with(process: &Process, world: &World, config: &str) {
    std::fs::write(world.path("standin.toml"), config).unwrap();
    process.signal("HUP");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_up_a_good_file_whole_and_no_other() {
    let world = World::patient().await;
    let mut process = Process::start(&world);
    assert_eq!(ask(&process, "svc-late").await.1["code"], "caller.invalid");

    let router = world.config_text().split("[[client]]").nth(1).unwrap().replace("svc-router", "svc-late");
    let good = format!("{}\n[[client]]{router}", world.config_text());
    hang_up_with(&process, &world, &good);
    process.wait_for("serve: reloaded");
    assert_eq!(ask(&process, "svc-late").await.0, 200);

    let without = |text: &str| good.replace(text, "");
    let bad = [
        (format!("{good}\nunknown = 1\n"), "unknown key"),
        (good.replace("svc-late", "svc late"), "client"),
        (without("issuer = \"https://obo.example.com\"\n"), "issuer"),
        (without_clients(&good), "no [[client]] left"),
        ("[".to_owned(), "not TOML"),
        (good.replace("[policy]\n", "[policy]\nmodule = \"nothing.wasm\"\n"), "nothing.wasm"),
        (good.replace(&format!("jwks_uri = \"{}\"", world.idp.jwks_uri()), "jwks_file = \"nothing.json\""), "nothing.json"),
    ];
    for (config, fault) in &bad {
        hang_up_with(&process, &world, config);
        let said = process.wait_for("not reloaded");
        assert!(said.contains(fault), "{fault}: {said}");
        assert_eq!(ask(&process, "svc-late").await.0, 200, "{fault}");
    }

    hang_up_with(&process, &world, world.config_text());
    process.wait_for("serve: reloaded");
    assert_eq!(ask(&process, "svc-late").await.1["code"], "caller.invalid");
    assert_eq!(ask(&process, "svc-router").await.0, 200);
    assert!(process.stop().success());
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_with_what_needs_a_restart_is_refused_whole() {
    let world = World::patient().await;
    let mut process = Process::start(&world);
    let config = world.config_text();
    let rows = [
        (config.replace("issuer = \"https://obo", "issuer = \"https://other"), "issuer"),
        (config.replace("127.0.0.1:8080", "127.0.0.1:8081"), "listen"),
        (config.replace("dir = \"keys\"", "dir = \"other-keys\""), "keys.dir"),
        (config.replace("sqlite:directory.db", "sqlite:other.db"), "directory"),
        (config.replace("sqlite:store.db", "sqlite:other.db"), "store"),
        (config.replace("\"audit.jsonl\"", "\"other.jsonl\""), "audit"),
        (config.replace("durability = \"os\"", "durability = \"fsync\""), "audit"),
        (format!("{config}\n[limits]\nmax_in_flight = 3\n"), "limits.max_in_flight"),
        (format!("{config}\n[limits]\nmax_body = \"2KiB\"\n"), "limits.max_body"),
        (config.replace("audit = {", "record = { dir = \"tapes\", key = \"record.key\" }\naudit = {"), "record"),
        (config.replace("[runtime]\n", "[runtime]\nmemory = \"64MiB\"\n"), "runtime"),
        (format!("{config}\n[server]\ntls = {{ certificate = \"a\", key = \"b\" }}\n"), "server"),
        (format!("{config}\n[timeouts]\nhttp = \"1s\"\n"), "timeouts"),
        (format!("{config}\n[[provider]]\nname = \"p\"\norigin = \"https://p.example.com\"\n"), "provider"),
        (format!("{config}\n[server]\ngrace = \"1s\"\n[timeouts]\nhttp = \"1s\"\n"), "server, timeouts"),
    ];
    for (changed, needs) in rows {
        // What a reload could take up is not taken up either.
        hang_up_with(&process, &world, &changed.replace("svc-router", "svc-renamed"));
        let said = process.wait_for("not reloaded");
        assert!(said.contains(&format!("only a restart can change {needs}")), "{needs}: {said}");
        // A name that nobody has is guessed at, and slowed after a while.
        let code = ask(&process, "svc-renamed").await.1["code"].clone();
        assert!(code == "caller.invalid" || code == "caller.throttled", "{needs}: {code}");
        assert_eq!(ask(&process, "svc-router").await.0, 200, "{needs}");
    }
    // The limits of tokens are none of them.
    hang_up_with(
        &process,
        &world,
        &format!("{config}\n[limits]\nmax_ttl = \"7s\"\n").replace("max_ttl = \"10m\"\n", "").replace("max_ttl = \"2m\"\n", ""),
    );
    process.wait_for("serve: reloaded");
    assert_eq!(ask(&process, "svc-router").await.1["expires_in"], 7);
    assert!(process.stop().success());
}

#[rstest]
#[case::every_event_synced("fsync")]
#[case::left_to_the_system("os")]
#[tokio::test(flavor = "multi_thread")]
async fn no_token_leaves_while_the_audit_disk_is_full(#[case] durability: &str) {
    let world = World::patient().await;
    let config = world.config_text().replace("durability = \"os\"", &format!("durability = \"{durability}\""));
    std::fs::write(world.path("standin.toml"), config).unwrap();
    let mut received = HashSet::new();
    let token = |body: &Value| claims_of(body["access_token"].as_str().unwrap())["jti"].as_str().unwrap().to_owned();
    // Once with room: compiled images and databases are there afterwards.
    let process = Process::start(&world);
    received.insert(token(&ask(&process, "svc-router").await.1));
    assert!(process.stop().success());

    // Files may not grow beyond 256 blocks of 512 bytes (POSIX): the log's write fails with EFBIG as it would with ENOSPC.
    let process = Process::under("trap '' XFSZ; ulimit -f 256;", &world);
    let mut failed = 0;
    for _ in 0..5_000 {
        let (status, body) = ask(&process, "svc-router").await;
        if status == 200 {
            received.insert(token(&body));
        } else {
            assert_eq!((status, &body["code"]), (503, &json!("audit.unavailable")), "{body}");
            assert!(!body.to_string().contains("access_token"));
            failed += 1;
        }
        if failed == 20 {
            break;
        }
    }
    assert_eq!(failed, 20, "the disk is never full");
    // The answer may be a second old, and a shorter line than a token's may still have fitted: after the next failure it is known.
    let mut told = Value::Null;
    for _ in 0..100 {
        assert_eq!(ask(&process, "svc-router").await.0, 503);
        let ready = reqwest::get(process.url("/readyz")).await.unwrap();
        told = json!([ready.status().as_u16(), ready.json::<Value>().await.unwrap()["unavailable"]]);
        if told[0] == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told, json!([503, ["audit"]]));
    // Its log could not be closed in order, and it says so.
    assert!(!process.stop().success());
    world.verify_audit();
    assert_eq!(permits(&world), received);
    assert!(received.len() > 10, "{}", received.len());

    // With room again it goes on behind the last whole line.
    let process = Process::start(&world);
    received.insert(token(&ask(&process, "svc-router").await.1));
    assert!(process.stop().success());
    assert_eq!(permits(&world), received);
    world.verify_audit();
}

/// The sections that register clients, and what belongs to them, taken out.
fn without_clients(config: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in config.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[[client");
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_there_from_the_start() {
    let tenant = "\n[[policy.tenant]]\ntenant = \"acme\"\nmodule = \"zoo.wasm\"\n";
    let world = World::with(|config| config.push_str(&[PATIENT, tenant].concat()), |_| {}).await;
    std::fs::write(world.path("zoo.wasm"), standin_tests::ZOO).unwrap();
    let mut process = Process::start(&world);
    let metrics = async |process: &Process| reqwest::get(process.url("/metrics")).await.unwrap().text().await.unwrap();
    let told = metrics(&process).await;
    let page = std::fs::read_to_string("../docs/http.md").unwrap();
    let described: Vec<&str> = page.split("| `standin_").skip(1).map(|rest| rest.split(['`', '{']).next().unwrap()).collect();
    assert!(described.len() > 8, "{described:?}");
    for name in described {
        let of = |line: &&str| line.strip_prefix("standin_").and_then(|line| line.strip_prefix(name)).is_some();
        let values: Vec<&str> = told.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert!(!values.is_empty(), "{name} is not there: {told}");
        assert!(values.iter().all(|value| *value == "0"), "{name} is not 0: {values:?}");
    }
    // Whatever the label may say.
    for series in [
        "tapes_total{outcome=\"deleted\"}",
        "http_responses_total{status=\"5xx\"}",
        "caller_failures_total{client=\"svc-router\"}",
        "caller_failures_total{client=\"\"}",
        "policy_breaker_opened_total{slot=\"tenant:acme\"}",
        "policy_shadow_total{slot=\"tenant:acme\",outcome=\"differs\"}",
        "policy_shadow_total{slot=\"platform\",outcome=\"dropped\"}",
    ] {
        assert!(told.lines().any(|line| line == format!("standin_{series} 0")), "{series}: {told}");
    }
    // Who is registered later is there from then on.
    let config = world.config_text();
    let client = "\n[[client]]\nid = \"svc-later\"\nattested = true\ntenants = [\"acme\"]\nsubjects = [\"user\"]\naudiences = [\"https://api.example.com\"]\nscopes = []\n";
    std::fs::write(world.path("standin.toml"), [config, client].concat()).unwrap();
    process.signal("HUP");
    process.wait_for("serve: reloaded");
    // A page is rendered once a second at most.
    let series = "standin_caller_failures_total{client=\"svc-later\"} 0";
    let mut tries = 0..50;
    while !metrics(&process).await.lines().any(|line| line == series) {
        assert!(tries.next().is_some(), "{series} is not there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_reads_the_log_takes_the_server_with_them() {
    let world = World::patient().await;
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(world.path("standin.toml")).env_remove("STANDIN_LOG");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("serving ") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0, "it ended");
    }
    let address = line.split_whitespace().nth(1).unwrap().to_owned();
    drop(log);
    let signal = |name: &str| Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    let page = async || reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    // Each says so in the log that nobody reads.
    for times in 1..=3 {
        assert!(signal("HUP").success());
        let series = format!("standin_reloads_total{{outcome=\"done\"}} {times}");
        let mut tries = 0..100;
        while !page().await.lines().any(|line| line == series) {
            assert!(tries.next().is_some(), "{series} is not there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(signal("TERM").success());
    assert!(child.wait().unwrap().success());
}

/// The tokens on record; each once.
fn permits(world: &World) -> HashSet<String> {
    let lines = world.audit_lines();
    let permits: Vec<_> = lines.iter().filter(|line| line["outcome"] == "permit").collect();
    let jtis: HashSet<String> = permits.iter().map(|line| line["jti"].as_str().unwrap().to_owned()).collect();
    assert_eq!(jtis.len(), permits.len());
    jtis
}

#[tokio::test(flavor = "multi_thread")]
async fn short_address_space_means_no_pool_and_still_tokens() {
    const NO_POOL: &str = "there is no pool of sandboxes";
    let world = World::patient().await;
    let process = Process::start(&world);
    assert_eq!(ask(&process, "svc-router").await.0, 200);
    assert!(!process.log().iter().any(|line| line.contains(NO_POOL)), "{:?}", process.log());
    assert!(process.stop().success());

    // 256 GiB: the pool reserves some TiB, one sandbox some GiB.
    let short = format!("ulimit -v {};", 256 * 1024 * 1024);
    let process = Process::under(&short, &world);
    assert!(process.log().iter().any(|line| line.contains(NO_POOL)), "{:?}", process.log());
    for _ in 0..8 {
        let (status, body) = ask(&process, "svc-router").await;
        assert_eq!((status, &body["sub"]), (200, &json!("user:acme:u-bob")), "{body}");
    }
    assert!(process.stop().success());
    world.verify_audit();

    let mut mint = shell(&short);
    mint.args(["mint", "--client", "svc-router", "--user", "bob@example.com", "--audience", API, "--config"]);
    let minted = mint.arg(world.path("standin.toml")).env("STANDIN_CLIENT_SECRET", SECRET).output().unwrap();
    assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
    assert_eq!(claims_of(String::from_utf8(minted.stdout).unwrap().trim())["sub"], "user:acme:u-bob");
}

/// Whether the process has become the command and has a handler for this signal (proc_pid_status(5)). The shell before it has some too.
fn listens_for(process: u32, signal: u32) -> bool {
    if std::fs::read_link(format!("/proc/{process}/exe")).ok() != std::fs::canonicalize(binary()).ok() {
        return false;
    }
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

/// The command as the first process of a namespace, whose signals do nothing unless it asks for them (pid_namespaces(7)). None
/// where the system does not let anybody make one.
fn first_process() -> Option<Command> {
    let namespace = ["--user", "--map-root-user", "--pid", "--fork"];
    let tried = Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success()).then(|| {
        let mut command = Command::new("unshare");
        command.args(namespace).arg(binary()).env_remove("STANDIN_LOG").env_remove("STANDIN_CONFIG");
        command
    })
}

#[rstest]
#[case::terminate("TERM", 15, false)]
#[case::interrupt("INT", 2, false)]
#[case::terminate_the_first_process("TERM", 15, true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_it_starts_ends_it(#[case] name: &str, #[case] number: u32, #[case] first: bool) {
    // Nothing is compiled yet: it starts for seconds.
    let world = World::patient().await;
    let Some(command) = (if first { first_process() } else { Some(shell("")) }) else { return };
    let mut process = Process::starting(command, &world.path("standin.toml"));
    let id = || {
        if !first {
            return Some(process.id());
        }
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).ok()?;
        children.split_whitespace().next()?.parse().ok()
    };
    let mut listening = None;
    for _ in 0..10_000 {
        listening = id().filter(|id| listens_for(*id, number));
        if listening.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let id = listening.unwrap();
    assert!(Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().unwrap().success());
    process.wait_for("stopped while starting");
    assert!(process.wait().success());
    assert!(!process.log().iter().any(|line| line.contains("serving ")), "{:?}", process.log());
}
