//! Our own keys: several algorithms at once, rotation under running servers, and folders that somebody else fills.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jwt_simple::prelude::VerificationOptions;
use serde_json::{Value, json};
use standin::Standin;
use standin::clock::SystemEntropy;
use standin::keys::files::{self, Rotation};
use standin_tests::idp::{claims_of, header_of, now};
use standin_tests::peer;
use standin_tests::ports::FixedClock;
use standin_tests::process::{self, Process};
use standin_tests::requests::{body, host, http, request, token};
use standin_tests::world::{API, LEDGER, PATIENT, SECRET, World};

/// The usual world with these algorithms; tokens for [`LEDGER`] are signed with RS256.
async fn world(algorithms: &str) -> World {
    let change = |config: &mut String| {
        *config = config.replace("[\"EdDSA\"]", algorithms) + PATIENT;
        if algorithms.contains("RS256") {
            *config = config.replace(&format!("id = \"{LEDGER}\"\n"), &format!("id = \"{LEDGER}\"\nalgorithm = \"RS256\"\n"));
        }
    };
    World::with(change, |_| {}).await
}

async fn minted(standin: &Standin, audiences: &[&str]) -> Result<String, standin::types::Failure> {
    let mut request = request("svc-router", host("ophid.edge-7"));
    request.audience = audiences.iter().map(|&audience| audience.to_owned()).collect();
    standin.mint_on_behalf(request).await.map(|minted| minted.token)
}

fn algorithm_of(jws: &str) -> String {
    header_of(jws)["alg"].as_str().unwrap().to_owned()
}

fn kid_of(jws: &str) -> String {
    header_of(jws)["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_audience_has_its_algorithm_and_a_token_has_one() {
    let world = world("[\"EdDSA\", \"ES256\", \"RS256\"]").await;
    let standin = world.standin().await;
    let jwks = peer::jwks(&standin);
    for (audience, algorithm) in [(API, "EdDSA"), (LEDGER, "RS256")] {
        let jws = minted(&standin, &[audience]).await.unwrap();
        assert_eq!(algorithm_of(&jws), algorithm);
        peer::verify(&jws, &jwks, VerificationOptions::default()).unwrap();
    }
    let refused = minted(&standin, &[API, LEDGER]).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.oauth_error.as_str(), refused.status),
        ("audience.algorithms", "invalid_target", 400)
    );
    let published: BTreeSet<&str> = jwks["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(published, BTreeSet::from(["ES256", "EdDSA", "RS256"]));
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let document = body(&standin.handle(http("GET", path, &[], b"")).await);
        let said: BTreeSet<&str> = document["id_token_signing_alg_values_supported"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(said, published);
    }
    // Both at once where both are signed with the same.
    let same = world_of_one().await;
    let jws = minted(&same.standin().await, &[API, LEDGER]).await.unwrap();
    assert_eq!((algorithm_of(&jws).as_str(), &claims_of(&jws)["aud"]), ("ES256", &json!([API, LEDGER])));
}

async fn world_of_one() -> World {
    world("[\"ES256\", \"EdDSA\"]").await
}

fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(process::binary()).current_dir(folder).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(process::binary()).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Algorithm and state of each key.
fn states(keys: &Value) -> Vec<(String, String)> {
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let mut states: Vec<_> = keys.as_array().unwrap().iter().map(|key| (text(key, "algorithm"), text(key, "state"))).collect();
    states.sort_unstable();
    states
}

fn list(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(algorithm, state)| (algorithm.to_owned(), state.to_owned())).collect()
}

#[test]
fn a_new_folder_signs_what_every_verifier_takes_and_its_keys_are_kept_by_algorithm() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("obo");
    assert!(run(parent.path(), &["init", folder.to_str().unwrap()]).0);
    let keys = json_of(&folder, &["keys", "list", "--json"]);
    let two = [("ES256", "active"), ("ES256", "next"), ("EdDSA", "active"), ("EdDSA", "next")];
    assert_eq!(states(&keys), list(&two));
    let default = keys.as_array().unwrap().iter().find(|key| key["default"] == true).unwrap();
    assert_eq!((&default["algorithm"], &default["state"]), (&json!("ES256"), &json!("active")));
    let (done, said) = run(&folder, &["keys", "generate"]);
    assert!(done && said.contains("nothing is missing"), "{said}");

    let file = folder.join("standin.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace("[\"ES256\", \"EdDSA\"]", "[\"ES256\", \"EdDSA\", \"RS256\"]")).unwrap();
    let (ok, said) = run(&folder, &["check"]);
    assert!(!ok && said.contains("no active RS256 key") && said.contains("standin keys generate"), "{said}");
    let three = [&two[..], &[("RS256", "active"), ("RS256", "next")]].concat();
    assert_eq!(states(&json_of(&folder, &["keys", "generate", "--json"])), list(&[&two[..2], &two[2..], &three[4..]].concat()));
    assert!(run(&folder, &["check"]).0);
    let rotated = json_of(&folder, &["keys", "rotate", "--algorithm", "ES256", "--json"]);
    let of = |algorithm: &str| states(&rotated).into_iter().filter(|(name, _)| name == algorithm).count();
    assert_eq!((of("ES256"), of("EdDSA"), of("RS256")), (3, 2, 2));
    let (ok, said) = run(&folder, &["keys", "rotate", "--algorithm", "PS256"]);
    assert!(!ok && said.contains("not among keys.algorithms"), "{said}");
    // What is given up retires at the next rotation, and is still published.
    fs::write(&file, &config).unwrap();
    let rotated = json_of(&folder, &["keys", "rotate", "--json"]);
    assert!(states(&rotated).contains(&("RS256".to_owned(), "retired".to_owned())));
    assert!(!states(&rotated).contains(&("RS256".to_owned(), "next".to_owned())));
    let wrong = config.replace("[[audience]]\n", "[[audience]]\nalgorithm = \"RS256\"\n");
    fs::write(&file, wrong).unwrap();
    assert!(run(&folder, &["check"]).1.contains("must be one of \"ES256\", \"EdDSA\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_on_one_folder_follow_a_rotation_and_nothing_they_signed_is_lost() {
    let world = world_of_one().await;
    let clock = Arc::new(FixedClock::at(now()));
    let server = async || {
        world
            .builder()
            .clock(Arc::<FixedClock>::clone(&clock))
            .audit(Arc::new(standin::audit::MemoryAudit::new(1_000)))
            .build()
            .await
            .unwrap()
    };
    let (one, other) = (server().await, server().await);
    let pass = |seconds| clock.set(standin::clock::Clock::now(&*clock).as_secs() + seconds);
    let config = world.config();
    let retention = standin::key_retention(&config);
    let signing = &config.keys.algorithms;
    let before = minted(&one, &[API]).await.unwrap();
    files::rotate(&config.keys.dir, Rotation { rotated: signing, signing, retention }, &*clock, &SystemEntropy).unwrap();
    let meanwhile = minted(&other, &[API]).await.unwrap();
    assert_eq!(kid_of(&before), kid_of(&meanwhile), "nobody has looked yet");
    // Without a hangup, at the next request half a minute later.
    pass(30);
    let after = minted(&one, &[API]).await.unwrap();
    assert_ne!(kid_of(&before), kid_of(&after));
    // A server without requests signs on with nothing that was retired long ago, however long it slept.
    pass(100_000);
    let late = minted(&other, &[API]).await.unwrap();
    assert_eq!(kid_of(&late), kid_of(&after));
    // What the slowest signed verifies everywhere until it ends, also where a server has just begun.
    let last = late;
    files::rotate(&config.keys.dir, Rotation { rotated: signing, signing, retention }, &*clock, &SystemEntropy).unwrap();
    pass(retention.as_secs());
    let fresh = server().await;
    for standin in [&one, &other, &fresh] {
        let published = peer::jwks(standin);
        assert!(published["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid_of(&last)));
    }
}

/// Fills a Secret's volume as kubelet does: a folder of this moment, `..data` swapped to it in one step, and links through that.
fn fill(volume: &Path, keys: &Path, moment: &str) {
    let data = volume.join(moment);
    fs::create_dir_all(&data).unwrap();
    for file in fs::read_dir(keys).unwrap() {
        let name = file.unwrap().file_name();
        fs::copy(keys.join(&name), data.join(&name)).unwrap();
        fs::set_permissions(data.join(&name), fs::Permissions::from_mode(0o440)).unwrap();
        let _there = symlink(Path::new("..data").join(&name), volume.join(&name));
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o2755)).unwrap();
    symlink(moment, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

/// The start of a process that sees these folders on file systems that are mounted read-only.
fn read_only(folders: &[PathBuf]) -> String {
    let mounts: String = folders
        .iter()
        .map(|folder| format!("mount --bind {0} {0} && mount -o remount,bind,ro {0} && ", folder.display()))
        .collect();
    format!("exec unshare --map-root-user --mount sh -c '{mounts} exec \"$0\" \"$@\"' \"$0\" \"$@\";")
}

async fn mint_at(process: &Process) -> String {
    let asked = reqwest::Client::builder().no_proxy().build().unwrap().post(process.url("/v2/session/svc/obo_mint"));
    let wanted = json!({ "id_type": "host", "id": "ophid.edge-7", "audience": API, "scope": "expenses:read" });
    let answer: Value = asked.basic_auth("svc-router", Some(SECRET)).json(&wanted).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secrets_volume_and_a_read_only_directory_serve() {
    let world = in_place().await;
    let (keys, volume, people) = (world.path("keys"), world.path("secret"), world.path("people"));
    let start = read_only(&[volume.clone(), people]);
    let mut process = Process::under(&start, &world);
    let before = mint_at(&process).await;
    let (done, said) = run(world.folder(), &["keys", "rotate", "--config", "standin.toml"]);
    assert!(!done && said.contains("..data"), "{said}");
    // Rotated where the Secret is made, and swapped in.
    let config = world.config();
    let signing = &config.keys.algorithms;
    let rotation = Rotation { rotated: signing, signing, retention: standin::key_retention(&config) };
    files::rotate(&keys, rotation, &standin::clock::SystemClock::default(), &SystemEntropy).unwrap();
    fill(&volume, &keys, "..2026_11_25_11_00_00.2");
    process.signal("HUP");
    process.wait_for("serve: reloaded");
    let after = mint_at(&process).await;
    assert_ne!(kid_of(&before), kid_of(&after));
    let jwks: Value = reqwest::get(process.url("/jwks.json")).await.unwrap().json().await.unwrap();
    for jws in [&before, &after] {
        peer::verify(jws, &jwks, VerificationOptions::default()).unwrap();
    }
    assert!(process.stop().success());
}

/// The start of a process as a user who is not root and has one group. As anybody else, it is that user already, and the files are its own.
fn as_a_user(world: &World) -> String {
    const USER: u32 = 65_534;
    const GROUP: u32 = 65_533;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return String::new();
    }
    // Its own but for what root has put there for the group.
    let mut places = vec![world.folder().to_owned()];
    while let Some(place) = places.pop() {
        let of_the_group = ["secret", "people"].iter().any(|name| place.starts_with(world.path(name)));
        let owner = if of_the_group { 0 } else { USER };
        std::os::unix::fs::lchown(&place, Some(owner), Some(GROUP)).unwrap();
        if fs::symlink_metadata(&place).unwrap().is_dir() {
            places.extend(fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    // Opened before it is given up what could find it.
    format!("exec setpriv --reuid {USER} --regid {GROUP} --clear-groups /proc/self/fd/9 \"$@\" 9<\"$0\";")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_may_read_what_root_has_put_there() {
    let world = in_place().await;
    let process = Process::under(&as_a_user(&world), &world);
    let minted = mint_at(&process).await;
    let jwks: Value = reqwest::get(process.url("/jwks.json")).await.unwrap().json().await.unwrap();
    peer::verify(&minted, &jwks, VerificationOptions::default()).unwrap();
    assert!(process.stop().success());
}

/// The world with its keys in a Secret's volume, and its directory in a folder of its own for a group to read.
async fn in_place() -> World {
    let world = World::patient().await;
    let volume = world.path("secret");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o1777)).unwrap();
    fill(&volume, &world.path("keys"), "..2026_11_25_10_00_00.1");
    fs::create_dir(world.path("people")).unwrap();
    fs::rename(world.path("directory.db"), world.path("people/directory.db")).unwrap();
    fs::set_permissions(world.path("people/directory.db"), fs::Permissions::from_mode(0o440)).unwrap();
    let moved = world.config_text().replace("dir = \"keys\"", "dir = \"secret\"");
    fs::write(world.path("standin.toml"), moved.replace("sqlite:directory.db", "sqlite:people/directory.db")).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_before_a_rotation_is_a_subject_token_after_it() {
    let world = world_of_one().await;
    let standin = world.standin().await;
    let first = minted(&standin, &[API]).await.unwrap();
    let config = world.config();
    let signing = &config.keys.algorithms;
    let rotation = Rotation { rotated: signing, signing, retention: standin::key_retention(&config) };
    files::rotate(&config.keys.dir, rotation, &standin::clock::SystemClock::default(), &SystemEntropy).unwrap();
    standin.reload_keys().await.unwrap();
    let mut next = request("svc-ledger", token(first.clone()));
    next.audience = vec![LEDGER.to_owned()];
    let second = standin.mint_on_behalf(next).await.unwrap().token;
    assert_ne!(kid_of(&first), kid_of(&second));
}
