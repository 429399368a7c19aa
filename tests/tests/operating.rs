//! What an operator, the system and its limits do to a running `standin serve`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

use serde_json::{Value, json};
use standin_tests::process::Process;
use standin_tests::world::{API, SECRET, World};

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
    let world = World::new().await;
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
        ("[".to_owned(), "not TOML"),
        (format!("{good}\n[policy]\nmodule = \"nothing.wasm\"\n"), "nothing.wasm"),
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
    let world = World::new().await;
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
        (format!("{config}\n[runtime]\nmemory = \"64MiB\"\n"), "runtime"),
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
        assert_eq!(ask(&process, "svc-renamed").await.1["code"], "caller.invalid", "{needs}");
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
