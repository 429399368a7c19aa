//! What may not become live is refused when it is loaded, each for its own reason, and the module that was live serves on.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rstest::rstest;
use serde_json::json;
use standin::policy::package::PackageManifest;
use standin::policy::signature::{generate, sign};
use standin::{BuildError, COMPONENT, Standin};
use standin_tests::idp::claims_of;
use standin_tests::world::World;
use standin_tests::zoo::order;
use standin_tests::{HOSTILE, ZOO};

/// A component of no world at all.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// A module in this version, as `standin policy pack` writes it into the file.
fn versioned(wasm: &[u8], version: u64) -> Vec<u8> {
    let name = b"standin:policy-manifest";
    let manifest = PackageManifest {
        name: "zoo".into(),
        version,
        engine: "none".into(),
        source_digest: String::new(),
        memory: 65_536,
        rules: Vec::new(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut section = vec![u8::try_from(name.len()).unwrap()];
    section.extend([name, manifest.as_slice()].concat());
    // LEB128 in two bytes.
    let length = u16::try_from(section.len()).unwrap();
    let length = [u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()];
    [wasm, &[0], &length, &section].concat()
}

const POLICY: &str = "\n[runtime]\ncpu = \"2s\"\n[policy]\nmodule = \"zoo.wasm\"\ndeadline = \"5s\"\n";

/// A world that serves what stands in `zoo.wasm`, if this key signed it.
async fn world(wasm: &[u8], public: &str) -> World {
    let policy = format!("{POLICY}trusted_keys = [\"zoo.pub.pem\"]\n");
    let world = World::with(|config| config.push_str(&policy), |_| {}).await;
    std::fs::write(world.path("zoo.pub.pem"), public).unwrap();
    std::fs::write(world.path("zoo.wasm"), wasm).unwrap();
    world
}

/// A world that serves what stands in `zoo.wasm`, whoever wrote it.
async fn unsigned(wasm: &[u8]) -> World {
    let world = World::with(|config| config.push_str(POLICY), |_| {}).await;
    std::fs::write(world.path("zoo.wasm"), wasm).unwrap();
    world
}

/// The digest of the module that permitted.
async fn policy(standin: &Standin) -> String {
    let minted = standin.mint_on_behalf(order(&json!("permit"))).await.unwrap();
    claims_of(&minted.token)["policy"].as_str().unwrap().to_owned()
}

fn code(why: &BuildError) -> &'static str {
    match why {
        BuildError::Policy { source, .. } => source.code(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_become_live_is_refused_and_the_old_one_serves_on() {
    let ((secret, public), (stranger, _)) = (generate(), generate());
    let signed = |wasm: &[u8]| sign(wasm, &secret).unwrap();
    let live = signed(&versioned(ZOO, 2));
    let world = world(&live, &public).await;
    let standin = world.standin().await;
    let serving = policy(&standin).await;

    let altered = |at: usize| {
        let mut altered = live.clone();
        altered[at] ^= 1;
        altered
    };
    // Which file, and the step that refuses it.
    let refused = [
        ("empty", Vec::new(), "signature"),
        ("no component", b"#!/bin/sh\nexit\n".to_vec(), "signature"),
        ("truncated", live[..live.len() / 2].to_vec(), "signature"),
        ("truncated within its signature", live[..60].to_vec(), "signature"),
        ("truncated before it was signed", signed(&versioned(&cut(ZOO), 3)), "world"),
        ("unsigned", versioned(ZOO, 3), "signature"),
        ("signed by a stranger", sign(&versioned(ZOO, 3), &stranger).unwrap(), "signature"),
        ("its code altered", altered(live.len() / 2), "signature"),
        ("its version altered", altered(live.len() - 20), "signature"),
        ("its signature altered", altered(100), "signature"),
        ("older", signed(&versioned(ZOO, 1)), "version"),
        ("without a version", signed(ZOO), "version"),
        ("two versions", signed(&versioned(&versioned(ZOO, 3), 4)), "manifest"),
        ("forbidden imports: the component", signed(&versioned(COMPONENT, 3)), "imports"),
        ("forbidden imports: a hostile one", signed(&versioned(HOSTILE, 3)), "imports"),
        ("of another world", signed(&versioned(EMPTY, 3)), "world"),
    ];
    // Somebody mints all the while, and sees nothing of it.
    let (done, minted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let traffic = tokio::spawn({
        let (standin, serving, done, minted) = (standin.clone(), serving.clone(), Arc::clone(&done), Arc::clone(&minted));
        async move {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(policy(&standin).await, serving);
                minted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for (what, wasm, step) in refused {
        std::fs::write(world.path("zoo.wasm"), wasm).unwrap();
        let why = standin.reload(world.config()).await.unwrap_err();
        assert_eq!(code(&why), step, "{what}: {why}");
        assert_eq!(policy(&standin).await, serving, "{what}");
    }
    // What was refused has not raised the version that nothing may go below.
    std::fs::write(world.path("zoo.wasm"), &live).unwrap();
    standin.reload(world.config()).await.unwrap();
    done.store(true, Ordering::Relaxed);
    traffic.await.unwrap();
    assert!(minted.load(Ordering::Relaxed) > 0);

    let newer = signed(&versioned(ZOO, 3));
    std::fs::write(world.path("zoo.wasm"), newer).unwrap();
    standin.reload(world.config()).await.unwrap();
    assert_ne!(policy(&standin).await, serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_become_live_at_the_start() {
    let (secret, public) = generate();
    let signed = |wasm: &[u8]| sign(wasm, &secret).unwrap();
    let refused =
        [(signed(&cut(ZOO)), "world"), (signed(COMPONENT), "imports"), (signed(EMPTY), "world"), (ZOO.to_vec(), "signature")];
    for (wasm, step) in refused {
        let why = world(&wasm, &public).await.builder().build().await.err().unwrap();
        assert_eq!(code(&why), step, "{why}");
    }
}

#[rstest]
#[case::a_key_that_counts("zoo.pub.pem", true, true)]
#[case::a_module_that_nothing_vouches_for("zoo.wasm", false, true)]
#[case::a_module_that_a_key_vouches_for("zoo.wasm", true, false)]
#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_write_vouches_for_no_module(#[case] file: &str, #[case] keys: bool, #[case] refused: bool) {
    let (secret, public) = generate();
    let live = sign(ZOO, &secret).unwrap();
    let world = if keys { world(&live, &public).await } else { unsigned(&live).await };
    let standin = world.standin().await;
    let serving = policy(&standin).await;
    std::fs::set_permissions(world.path(file), Permissions::from_mode(0o664)).unwrap();
    let reloaded = standin.reload(world.config()).await;
    assert_eq!(policy(&standin).await, serving);
    standin.close().await.unwrap();
    drop(standin);
    let started = world.builder().build().await.map(drop);
    for outcome in [reloaded.map(drop), started] {
        assert_eq!(outcome.err().map(|why| code(&why)), refused.then_some("writable"));
    }
}

/// The component up to where it begins to export: every section that is left is whole.
fn cut(wasm: &[u8]) -> Vec<u8> {
    let mut at = EMPTY.len();
    // Component model, "Binary Format": 11 is the export section.
    while wasm[at] != 11 {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            length |= usize::from(wasm[at] & 0x7f) << shift;
            shift += 7;
            if wasm[at] < 0x80 {
                break;
            }
        }
        at += 1 + length;
    }
    wasm[..at].to_vec()
}
