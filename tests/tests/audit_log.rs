//! The audit log keeps its promise: what is done to its file while a server writes it, its rotation, its head, and what may stand in it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "audit_log/counts.rs"]
mod counts;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use standin::config::secret_digest;
use standin_tests::hostile::{hostile, order, refused};
use standin_tests::process::{Process, binary};
use standin_tests::world::{API, PATIENT, SECRET, World};

const ADMIN: &str = "admin-secret-admin-secret-admin-secret-admin";

/// A world whose log lies in a folder of its own, `log`, and whose server takes orders on a socket.
async fn world(audit: &str) -> World {
    let admin = format!("\n[admin]\nsocket = \"admin.sock\"\nsecret_sha256 = [\"{}\"]\n{PATIENT}", secret_digest(ADMIN));
    let world = World::with(
        |config| {
            *config =
                config.replace("path = \"audit.jsonl\", durability = \"os\"", &format!("path = \"log/audit.jsonl\", {audit}"));
            config.push_str(&admin);
        },
        |_| {},
    )
    .await;
    std::fs::create_dir(world.path("log")).unwrap();
    std::fs::set_permissions(world.path("log"), std::fs::Permissions::from_mode(0o700)).unwrap();
    world
}

/// A token for bob: the status, and the body.
async fn ask(process: &Process) -> (u16, Value) {
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.post(process.url("/v2/session/svc/obo_mint")).basic_auth("svc-router", Some(SECRET));
    let answer = asked.json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// What `/readyz` says: the status, and the parts.
async fn ready(process: &Process) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(process.url("/readyz")).send().await.unwrap();
    (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["unavailable"].clone())
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

/// The command in the world's folder.
fn run(world: &World, args: &[&str]) -> Output {
    let mut command = standin_tests::process::command();
    command.current_dir(world.folder()).args(args).env("STANDIN_ADMIN_SECRET", ADMIN).env_remove("STANDIN_CONFIG");
    command.output().unwrap()
}

/// A start that is to be refused; one that is not ends as well.
fn start(world: &World) -> Output {
    let mut command = Command::new("timeout");
    command.current_dir(world.folder()).arg("60").arg(binary()).args(["serve", "--listen", "127.0.0.1:0"]);
    command.env_remove("STANDIN_CONFIG").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn done(world: &World, args: &[&str]) -> Value {
    let output = run(world, args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// What `audit verify` says of the folder.
fn verified(world: &World) -> Value {
    serde_json::from_slice(&run(world, &["audit", "verify", "log", "--config", "standin.toml", "--json"]).stdout).unwrap()
}

/// The files whose names begin with that of the log, but for its head; wherever they lie below the world.
fn logs(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(logs(&path));
        } else if name.starts_with("audit.jsonl") && !name.ends_with(".head") {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

type Deed = fn(&Path);

fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

fn set_len(log: &Path, len: u64) {
    std::fs::File::options().write(true).open(log).unwrap().set_len(len).unwrap();
}

fn aside(log: &Path) -> PathBuf {
    log.with_file_name("audit.jsonl.aside")
}

/// How it goes on.
#[derive(Clone, Copy)]
enum After {
    /// By itself, once this put it back as it was left.
    Back(Deed),
    /// With the next start, which finds everything that was written.
    Restart,
    /// After an operator accepted the damage.
    Damage,
}

#[rstest]
#[case::removed(|log: &Path| std::fs::remove_file(log).unwrap(), After::Damage)]
#[case::moved(|log: &Path| rename(log, &aside(log)), After::Back(|log| rename(&aside(log), log)))]
#[case::replaced(|log: &Path| { std::fs::copy(log, aside(log)).unwrap(); rename(&aside(log), log); }, After::Restart)]
#[case::moved_and_copied_back(|log: &Path| { rename(log, &aside(log)); std::fs::copy(aside(log), log).unwrap(); }, After::Back(|log| rename(&aside(log), log)))]
#[case::link_swapped(|log: &Path| { rename(log, &aside(log)); std::os::unix::fs::symlink(aside(log), log).unwrap(); }, After::Back(|log| rename(&aside(log), log)))]
#[case::folder_gone(|log: &Path| rename(log.parent().unwrap(), &log.parent().unwrap().with_extension("gone")), After::Back(|log| rename(&log.parent().unwrap().with_extension("gone"), log.parent().unwrap())))]
#[case::emptied(|log: &Path| set_len(log, 0), After::Damage)]
#[case::copied_and_emptied(|log: &Path| { std::fs::copy(log, aside(log)).unwrap(); set_len(log, 0); }, After::Back(|log| std::fs::write(log, std::fs::read(aside(log)).unwrap()).unwrap()))]
#[case::cut_off(|log: &Path| set_len(log, 700), After::Damage)]
#[case::cut_off_and_padded(|log: &Path| { let len = std::fs::metadata(log).unwrap().len(); set_len(log, 700); set_len(log, len + 1); }, After::Damage)]
#[case::added_to(|log: &Path| std::fs::File::options().append(true).open(log).unwrap().write_all(b"{}\n").unwrap(), After::Restart)]
#[case::added_to_and_cut(|log: &Path| std::fs::File::options().append(true).open(log).unwrap().write_all(b"{}\n").unwrap(), After::Back(|log| set_len(log, std::fs::metadata(log).unwrap().len() - 3)))]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_the_file_no_token_leaves_and_nothing_is_written(
    #[case] deed: Deed,
    #[case] after: After,
    #[values("durability = \"fsync\"", "durability = \"os\"")] durability: &str,
) {
    let world = world(durability).await;
    let log = world.path("log/audit.jsonl");
    let process = Process::start(&world);
    assert_eq!(ask(&process).await.0, 200);
    deed(&log);
    let before = logs(world.folder());
    for _ in 0..3 {
        let (status, body) = ask(&process).await;
        assert_eq!((status, &body["code"]), (503, &json!("audit.unavailable")), "{body}");
        assert!(!body.to_string().contains("access_token"));
    }
    until("it is not ready", async || ready(&process).await == (503, json!(["audit"]))).await;
    assert_eq!(logs(world.folder()), before, "nothing is extended, cut off or made");
    if let After::Back(mend) = after {
        mend(&log);
        until("it goes on", async || ask(&process).await.0 == 200).await;
        until("it is ready", async || ready(&process).await.0 == 200).await;
        assert!(process.stop().success());
        let refused = lines(&log).iter().find(|line| line["event"] == "resumed").map(|line| line["refused"].as_u64());
        assert!(refused.flatten() >= Some(3), "{refused:?}");
        assert_eq!(verified(&world)["ok"], true, "{}", verified(&world));
        return;
    }
    assert!(!process.stop().success(), "it could not be closed in order");
    assert_eq!(logs(world.folder()), before);
    let damaged = matches!(after, After::Damage);
    if damaged {
        let serve = start(&world);
        assert!(!serve.status.success() && said(&serve).contains("standin audit accept-damage"), "{}", said(&serve));
        assert_eq!(run(&world, &["audit", "verify", "log", "--config", "standin.toml"]).status.code(), Some(1));
        assert_eq!(logs(world.folder()), before, "whoever has it may still put it back");
        done(&world, &["audit", "accept-damage"]);
    }
    let process = Process::start(&world);
    assert_eq!(ask(&process).await.0, 200);
    assert!(process.stop().success());
    let report = verified(&world);
    assert_eq!(
        (&report["fault"], report["accepted"].as_array().unwrap().len()),
        (&Value::Null, usize::from(damaged)),
        "{report}"
    );
}

/// It comes back with as many bytes, and one of them is another.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_back_otherwise_is_not_written() {
    let world = world("durability = \"fsync\"").await;
    let log = world.path("log/audit.jsonl");
    let mut process = Process::start(&world);
    assert_eq!(ask(&process).await.0, 200);
    rename(&log, &aside(&log));
    assert_eq!(ask(&process).await.0, 503);
    let text = std::fs::read_to_string(aside(&log)).unwrap();
    std::fs::write(aside(&log), text.replacen("svc-router", "svc-rooter", 1)).unwrap();
    rename(&aside(&log), &log);
    process.wait_for("standin::audit");
    let before = logs(world.folder());
    for _ in 0..10 {
        assert_eq!(ask(&process).await.0, 503);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(logs(world.folder()), before);
    assert!(!process.stop().success());
}

/// A mount, gone when this is.
struct Mounted(PathBuf);

impl Mounted {
    fn new(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "mode=0700", "tmpfs"]).arg(folder);
        mount.output().unwrap().status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A mount that goes away and comes back, where this test may mount; a folder that is renamed stands for it everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_vanishes_takes_the_log_with_it_until_it_is_back() {
    let world = world("durability = \"fsync\"").await;
    let (folder, other) = (world.path("log"), world.path("other"));
    let mounted = Mounted::new(&folder);
    let process = Process::start(&world);
    assert_eq!(ask(&process).await.0, 200);
    let over = mounted.as_ref().map(|_| Mounted::new(&folder).unwrap());
    if over.is_none() {
        rename(&folder, &other);
    }
    assert_eq!(ask(&process).await.0, 503);
    until("it is not ready", async || ready(&process).await == (503, json!(["audit"]))).await;
    if over.is_none() {
        rename(&other, &folder);
    }
    drop(over);
    until("it goes on", async || ask(&process).await.0 == 200).await;
    assert!(process.stop().success());
    assert_eq!(verified(&world)["ok"], true, "{}", verified(&world));
}

#[rstest]
#[case::folder("log", 0o770)]
#[case::everybodys_folder("log", 0o1777)]
#[case::log("log/audit.jsonl", 0o620)]
#[case::head("log/audit.jsonl.head", 0o602)]
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_others_can_write_is_refused(#[case] place: &str, #[case] mode: u32) {
    let world = world("durability = \"os\"").await;
    assert!(Process::start(&world).stop().success());
    std::fs::set_permissions(world.path(place), std::fs::Permissions::from_mode(mode)).unwrap();
    for output in [start(&world), run(&world, &["check"]), run(&world, &["audit", "accept-damage"])] {
        let said = said(&output);
        assert!(!output.status.success() && said.contains("can be written by others"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_closed_on_request_and_are_one_chain() {
    let world = world("durability = \"fsync\"").await;
    let mut process = Process::start(&world);
    process.wait_for("admin endpoint");
    for number in 1..=3 {
        assert_eq!(ask(&process).await.0, 200);
        let rotated = done(&world, &["audit", "rotate", "--json"]);
        assert_eq!(rotated["file"], format!("audit.jsonl.{number:06}"), "{rotated}");
        assert_eq!(verified(&world)["ok"], true, "{}", verified(&world));
    }
    assert_eq!(ask(&process).await.0, 200);
    let text = run(&world, &["audit", "rotate"]);
    assert!(said(&text).starts_with("closed: audit.jsonl.000004 has lines "), "{}", said(&text));
    assert!(process.stop().success());
    // Where no server runs the command does it itself.
    assert_eq!(done(&world, &["audit", "rotate", "--json"])["file"], "audit.jsonl.000005");
    let report = verified(&world);
    assert_eq!((&report["ok"], &report["files"]), (&json!(true), &json!(6)), "{report}");
    let last = lines(&world.path("log/audit.jsonl.000002")).pop().unwrap();
    assert_eq!((&last["event"], &last["closes"]), (&json!("checkpoint"), &json!(2)));

    // Past decisions of all files, or of one.
    std::fs::write(world.path("baseline.wasm"), standin::policy::BASELINE).unwrap();
    let diff = ["policy", "diff", "baseline.wasm", "baseline.wasm", "--json", "--audit"];
    for (log, decisions) in [("log", 4), ("log/audit.jsonl", 4), ("log/audit.jsonl.000002", 1)] {
        let found = done(&world, &[&diff[..], &[log]].concat());
        assert_eq!(found["decisions"], decisions, "{log}: {found}");
    }

    // Without the one in the middle it is no chain, and a file in another's place is none.
    let (two, three) = (world.path("log/audit.jsonl.000002"), world.path("log/audit.jsonl.000003"));
    rename(&two, &world.path("two"));
    let report = verified(&world);
    assert_eq!(
        (&report["fault"]["kind"], &report["fault"]["file"]),
        (&json!("missing"), &json!("audit.jsonl.000003")),
        "{report}"
    );
    rename(&three, &two);
    rename(&world.path("two"), &three);
    assert_eq!(verified(&world)["fault"]["kind"], "reordered");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_closed_and_only_some_are_kept() {
    let world = world("durability = \"os\", max_size = \"64KiB\", keep = 1").await;
    let process = Process::start(&world);
    let third = world.path("log/audit.jsonl.000003");
    for _ in 0..5_000 {
        assert_eq!(ask(&process).await.0, 200);
        if third.exists() {
            break;
        }
    }
    assert!(third.exists(), "files are not closed");
    assert!(process.stop().success());
    let report = verified(&world);
    assert_eq!((&report["ok"], &report["files"]), (&json!(true), &json!(2)), "{report}");
    assert_eq!(report["first"]["seq"].as_u64(), report["removed"]["last"].as_u64().map(|last| last + 1), "{report}");
}

/// The recipe of docs/audit.md, run by the real logrotate.
#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_for_logrotate_works() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit.md")).unwrap();
    let (_, rest) = page.split_once("```text\n").unwrap();
    let recipe = rest.split_once("```").unwrap().0;
    let world = world("durability = \"fsync\"").await;
    std::fs::write(world.path("admin.secret"), ADMIN).unwrap();
    std::fs::set_permissions(world.path("admin.secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let folder = world.folder().display().to_string();
    let recipe = recipe
        .replace("/var/log/standin/audit.jsonl", &world.path("log/audit.jsonl").display().to_string())
        .replace("/etc/standin", &folder)
        .replace("        standin ", &format!("        {} ", binary().display()));
    std::fs::write(world.path("recipe"), recipe).unwrap();
    std::fs::set_permissions(world.path("recipe"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut process = Process::start(&world);
    process.wait_for("admin endpoint");
    for number in 1..=3 {
        assert_eq!(ask(&process).await.0, 200);
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let mut rotate = Command::new("logrotate");
        rotate.env("PATH", path).args(["--verbose", "--force", "--state"]).arg(world.path("state")).arg(world.path("recipe"));
        let output = rotate.output().unwrap_or_else(|error| panic!("apt-get install logrotate: {error}"));
        assert!(output.status.success(), "{}", said(&output));
        assert!(world.path(&format!("log/audit.jsonl.{number:06}")).exists(), "{}", said(&output));
        assert!(!world.path("log/audit.jsonl.1").exists());
        assert_eq!(verified(&world)["ok"], true, "{}", verified(&world));
    }
    assert_eq!(ask(&process).await.0, 200);
    assert!(process.stop().success());
    let report = verified(&world);
    assert_eq!((&report["ok"], &report["files"]), (&json!(true), &json!(4)), "{report}");
}

/// After a kill, the newest entry of the head is spoiled and the last line dropped: the rest fits together. Nor does anything prove the end
/// where no line was dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_head_does_not_hide_that_the_last_line_is_gone() {
    let world = world("durability = \"fsync\"").await;
    let (log, head) = (world.path("log/audit.jsonl"), world.path("log/audit.jsonl.head"));
    let mut process = Process::start(&world);
    let generation = |slot: &[u8]| std::str::from_utf8(slot).unwrap().split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    let seq = |slot: &[u8]| std::str::from_utf8(slot).unwrap().split(' ').nth(3).unwrap().parse::<u64>().unwrap();
    for asked in 1..=3_u64 {
        assert_eq!(ask(&process).await.0, 200);
        until("the head follows", async || {
            let bytes = std::fs::read(&head).unwrap();
            bytes.chunks(512).map(seq).max() == Some(asked)
        })
        .await;
    }
    process.kill();
    let mut bytes = std::fs::read(&head).unwrap();
    let newest = if generation(&bytes[..512]) > generation(&bytes[512..]) { 0 } else { 512 };
    bytes[newest + 40] ^= 1;
    std::fs::write(&head, bytes).unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    for kept in [3, 2] {
        std::fs::write(&log, text.split_inclusive('\n').take(kept).collect::<String>()).unwrap();
        let report = verified(&world);
        assert_eq!((&report["ok"], &report["fault"]["kind"]), (&json!(false), &json!("head_spoiled")), "{report}");
        let (serve, why) = (start(&world), format!("whether anything followed line {kept}"));
        assert!(!serve.status.success() && said(&serve).contains(&why), "{}", said(&serve));
    }
}

/// What the component says ends up as JSON that another reader takes.
#[tokio::test(flavor = "multi_thread")]
async fn another_reader_takes_every_line() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let broken = [
        r#"{"outcome":"deny","code":"policy.denied","cause":"\ud800"}"#,
        r#"{"outcome":"deny","code":"policy.denied","cause":"\udfff x"}"#,
        r#"{"outcome":"deny","code":"policy.denied","\ud801":1}"#,
        r#"{"outcome":"deny","code":"policy.denied","a":1,"a":2}"#,
        r#"{"outcome":"deny","code":"policy.denied","a":{"b":1,"b":2}}"#,
        r#"{"outcome":"deny","code":"policy.denied","a":1e400}"#,
        r#"{"outcome":"deny","code":"policy.denied","a":NaN}"#,
        r#"{"outcome":"deny","code":"policy.denied","a":'x'}"#,
        "{\"outcome\":\"deny\",\"code\":\"policy.denied\",\"a\":\"\u{1}\"}",
    ];
    for event in broken {
        let (failure, recorded) = refused(&world, &standin, order("event", &json!({ "event": event }))).await;
        assert!(failure.message.contains("Err("), "{event} was taken: {failure:?}");
        assert_eq!(recorded["code"], "hostile.audit", "{event}");
    }
    let odd = [
        r#"{"outcome":"deny","code":"policy.denied","cause":"\ud83d\ude00 \u0000 \u2028 \u007f \ufeff \\ \/ \" "}"#,
        "{\"outcome\":\"deny\",\"code\":\"policy.denied\",\"cause\":\"\u{2028}\u{fffd}\u{10ffff}\"}",
        r#"{"outcome":"deny","code":"policy.denied","n":[-0.0,1E-7,18446744073709551615,-9223372036854775808,1.7976931348623157e308]}"#,
        r#"{"outcome":"deny","code":"policy.denied","":{"":[{},[],null,true]}}"#,
    ];
    for event in odd {
        let asked = order("event", &json!({ "event": event }));
        let id = asked.correlation_id.clone();
        standin.mint_on_behalf(asked).await.unwrap_err();
        let recorded = world.audit_of(&id);
        assert_eq!((recorded.len(), &recorded[0]["detail"]), (1, &serde_json::from_str::<Value>(event).unwrap()), "{recorded:?}");
    }
    standin.close().await.unwrap();
    let log = world.path("audit.jsonl");
    let output =
        Command::new("jq").args(["-c", "."]).arg(&log).output().unwrap_or_else(|error| panic!("apt-get install jq: {error}"));
    assert!(output.status.success(), "{}", said(&output));
    let read = String::from_utf8(output.stdout).unwrap();
    assert_eq!(read.lines().count(), world.audit_lines().len());
    for (theirs, ours) in read.lines().zip(world.audit_lines()) {
        let theirs: Value = serde_json::from_str(theirs).unwrap();
        for member in ["seq", "prev", "event", "code", "requester", "correlation_id"] {
            assert_eq!(theirs[member], ours[member]);
        }
        assert_eq!(theirs["detail"]["cause"], ours["detail"]["cause"]);
    }
}
