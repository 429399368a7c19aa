//! Recorded requests, replayed: the same byte for byte, or where not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use standin::clock::{Clock as _, SystemClock, SystemEntropy};
use standin::directory::{Account, AccountKey, DirectoryError, Machine, MachineKey, User, UserKey};
use standin::replay::{ReplayError, Replayer};
use standin::tape::TapeKey;
use standin::tape::file::{Opened, TapeError, seal, unseal};
use standin::types::{ClientSecret, Credential, Request};
use standin::{BuildError, Decision, Standin};
use standin_tests::hostile::{hostile, order};
use standin_tests::idp::Idp;
use standin_tests::ports::FixedClock;
use standin_tests::requests::{envoy, host, request, token, unique, user};
use standin_tests::tapes::{
    alice, fact, key, named, opened, over_http, page, recorded, recording, replay, tape_of, tapes, written,
};
use standin_tests::world::{API, LEDGER, SECRET, World};
use standin_tests::{HOSTILE, process};

/// Twenty-eight requests of the embedding API, good and bad.
fn requests(idp: &Idp) -> Vec<Request> {
    let router = |subject| request("svc-router", subject);
    let bob = || router(user("bob@example.com"));
    let wrong = Credential::ClientSecret(ClientSecret { client_id: "svc-router".into(), secret: "wrong".into() });
    let with = |changes| router(token(idp.token(changes)));
    vec![
        bob(),
        router(alice()),
        Request { scope: vec!["expenses:read".into(), "expenses:write".into()], requested_ttl: Some(60), ..router(alice()) },
        Request { scope: vec!["expenses:write".into(), "expenses:read".into()], ..bob() },
        Request { audience: vec![LEDGER.into()], scope: vec!["expenses:read".into()], ..bob() },
        router(host("ophid.edge-7")),
        router(host("host_id.0f8fad5b-d9cb-469f-a165-70867728950e")),
        router(envoy("alice@example.com", "001AcmeEU")),
        router(envoy("new@example.com", "001AcmeEU")),
        with(json!({})),
        with(json!({ "scope": "expenses:read" })),
        with(json!({ "exp": 1 })),
        with(json!({ "tenant": "initech" })),
        router(token("no-token")),
        router(token(idp.sign_as_stranger(
            &json!({ "alg": "ES256", "typ": "JWT", "kid": standin_tests::idp::KID }),
            &Idp::claims(json!({})),
        ))),
        Request { caller: Credential::Bearer(idp.caller(json!({}))), ..request("svc-bearer", user("bob@example.com")) },
        Request { caller: Credential::Bearer(idp.caller(json!({ "sub": "nobody" }))), ..bob() },
        Request { caller: wrong, ..bob() },
        Request { caller: Credential::Attested("edge".into()), scope: vec!["expenses:read".into()], ..bob() },
        Request { caller: Credential::Attested("svc-router".into()), ..bob() },
        request("svc-crosser", user("gina@globex.example")),
        router(user("alice@example.com")),
        router(user("carl@example.com")),
        router(user("root@example.com")),
        router(user("nobody@example.com")),
        router(host("ophid.edge-off")),
        Request { scope: vec!["admin".into()], ..request("svc-strict", user("bob@example.com")) },
        Request { audience: vec!["https://elsewhere.example.com".into()], ..bob() },
    ]
}

/// Sends more than a hundred requests of every kind; answers their correlation ids.
async fn hundred(world: &World, standin: &Standin) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = |kind: &str| {
        ids.push(format!("{kind}-{}", unique()));
        ids.last().unwrap().clone()
    };
    for round in 0..2 {
        for request in requests(&world.idp) {
            let _answer = standin.mint_on_behalf(named(&next("mint"), request)).await;
        }
        for mut request in over_http() {
            // What is public has no tape, which whoever counts them sees.
            let public = request.headers.is_empty() && request.method != "POST" && request.method != "DELETE";
            request.correlation_id = if public { format!("public-{}", unique()) } else { next("http") };
            let _answer = standin.handle(request).await;
        }
        written(world, (round + 1) * 39).await;
    }
    for request in requests(&world.idp).into_iter().take(16) {
        let _page = standin.explain(named(&next("explain"), request)).await;
    }
    for _round in 0..2 {
        let first = standin.mint_on_behalf(named(&next("first"), request("svc-router", token(world.idp.token(json!({})))))).await;
        let hop = Request {
            audience: vec![LEDGER.into()],
            scope: vec!["expenses:read".into()],
            ..request("svc-ledger", token(first.unwrap().token))
        };
        standin.mint_on_behalf(named(&next("hop"), hop)).await.unwrap();
    }
    steps(standin, &next("steps")).await;
    let denied = named(&next("steps"), Request { scope: vec!["admin".into()], ..request("svc-strict", user("bob@example.com")) });
    let _failure = standin.resolve_target(denied).await.err();
    // Given up in the middle.
    drop(standin.resolve_target(named(&next("dropped"), request("svc-router", user("bob@example.com")))).await);
    ids
}

async fn steps(standin: &Standin, id: &str) {
    let mut target =
        standin.resolve_target(named(id, request("svc-router", user("bob@example.com")))).await.unwrap_or_else(|_| panic!());
    assert_eq!(target.tenant().await.unwrap(), "acme");
    target.caller().await.unwrap();
    target.subject().await.unwrap();
    target.ceiling().await.unwrap();
    let Decision::Permit(mut permit) = target.evaluate_policy().await.unwrap_or_else(|_| panic!()) else { panic!() };
    assert_eq!(permit.grant().await.unwrap().flow, "local");
    permit.mint().await.unwrap();
}

/// A fuzzer that begins with tapes of another component never gets behind their first question.
#[tokio::test(flavor = "multi_thread")]
async fn the_tapes_that_fuzzing_begins_with_replay_to_their_end() {
    let world = recording("").await;
    let standin = world.standin().await;
    let names = ["user", "", "envoy"];
    for (name, mut request) in names.into_iter().zip(over_http()).filter(|(name, _)| !name.is_empty()) {
        name.clone_into(&mut request.correlation_id);
        assert_eq!(standin.handle(request).await.status, 200, "{name}");
    }
    standin.close().await.unwrap();
    let (key, replayer) = (key(&world), Replayer::new(standin::COMPONENT).unwrap());
    for name in ["user", "envoy"] {
        let (header, pieces) = unseal(&fs::read(tape_of(&world, name)).unwrap(), &key).unwrap();
        let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/tape").join(name);
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            fs::write(&seed, &*pieces).unwrap();
        }
        let sealed = seal(&header, fs::read(&seed).unwrap().into(), &key, [7; 12]).unwrap();
        let replayed = replayer.replay(&Opened::open(&sealed, &key).unwrap()).await.unwrap();
        let renew = "UPDATE_SEEDS=1 cargo test -p standin-tests --test replay fuzzing";
        assert!(replayed.same, "fuzz/seeds/tape/{name} is stale: run `{renew}`: {:?}", replayed.divergence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_recorded_requests_replay_byte_for_byte() {
    let world = recording("").await;
    let standin = world.standin().await;
    let ids = hundred(&world, &standin).await;
    standin.close().await.unwrap();
    assert!(ids.len() >= 100, "{}", ids.len());
    assert_eq!(tapes(&world).len(), ids.len());
    let replayer = Replayer::new(standin::COMPONENT).unwrap();
    for id in &ids {
        let tape = opened(&world, id);
        assert_eq!((tape.header().correlation_id.as_str(), &*tape.header().component), (id.as_str(), replayer.component()));
        let replayed = replayer.replay(&tape).await.unwrap();
        assert!(replayed.same, "{id}: {replayed:#?}");
        assert_eq!((replayed.asked, replayed.divergence.is_none()), (replayed.questions, true), "{id}");
        assert!(replayed.calls.iter().all(|call| call.recorded == call.replayed), "{id}");
    }
    // The same by the command, which needs nothing but tape and key.
    for name in ["standin.toml", "audit.jsonl", "directory.db"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    fs::remove_dir_all(world.path("keys")).unwrap();
    for id in ids.iter().step_by(25) {
        let output = replay(&world, id, &["--json"]);
        let page = page(&output);
        assert_eq!(
            (output.status.code(), &page["replay"]["same"], &page["same_component"]),
            (Some(0), &json!(true), &json!(true))
        );
        let said = String::from_utf8(replay(&world, id, &[]).stdout).unwrap();
        assert!(said.contains("byte for byte"), "{said}");
        assert!(!said.contains(SECRET) && !said.contains("eyJ") && !page.to_string().contains("eyJ"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tapes_are_the_operators_alone() {
    let world = recording("").await;
    let id = recorded(&world, request("svc-router", user("bob@example.com"))).await;
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let tape = tape_of(&world, &id);
    assert_eq!((mode(&world.path("tapes")), mode(&tape)), (0o700, 0o600));
    let bytes = fs::read(&tape).unwrap();
    let legible = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(legible(&id) && !legible(SECRET) && !legible("bob@example.com") && !legible("eyJ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tape_that_was_altered_or_is_of_another_key_is_refused() {
    let world = recording("").await;
    let id = recorded(&world, request("svc-router", user("bob@example.com"))).await;
    let path = tape_of(&world, &id);
    TapeKey::create(&world.path("other.key"), &SystemEntropy).unwrap();
    let run = |key: &str| {
        let mut command = Command::new(process::binary());
        let output =
            command.current_dir(world.folder()).arg("replay").arg(&path).args(["--key", key, "--json"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run("other.key");
    assert!(status == Some(1) && said.contains("sealed with key"), "{said}");
    assert!(run("none.key").1.contains("none.key"));
    let whole = fs::read(&path).unwrap();
    let mut altered = whole.clone();
    *altered.last_mut().unwrap() ^= 1;
    fs::write(&path, &altered).unwrap();
    let (status, said) = run("record.key");
    assert!(status == Some(1) && said.contains("its seal is broken"), "{said}");
    assert!(matches!(Opened::open(&altered, &key(&world)), Err(TapeError::Altered)));
    fs::set_permissions(world.path("record.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, &whole).unwrap();
    assert!(run("record.key").1.contains("mode 0644"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_component_diverges_and_it_is_said_where() {
    let world = recording("").await;
    let id = recorded(&world, request("svc-router", user("bob@example.com"))).await;
    fs::write(world.path("hostile.wasm"), HOSTILE).unwrap();
    let output = replay(&world, &id, &["--component", "hostile.wasm", "--json"]);
    let said = page(&output);
    assert_eq!((output.status.code(), &said["same_component"], &said["replay"]["same"]), (Some(1), &json!(false), &json!(false)));
    let divergence = &said["replay"]["divergence"];
    assert!(divergence["at"].as_u64().unwrap() >= 1 && divergence["expected"] != divergence["asked"], "{said}");
    let text = String::from_utf8(replay(&world, &id, &["--component", "hostile.wasm"]).stdout).unwrap();
    assert!(text.contains("another component") && text.contains("diverged at question"), "{text}");
    assert!(!text.contains(SECRET) && !said.to_string().contains(SECRET), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_misbehaves_replays_as_it_was_and_diverges_without_a_word_of_secrets() {
    let world = recording("").await;
    let standin = hostile(&world).await;
    let signing = order("mint", &json!({ "event": "{}" }));
    let tricks = [
        order("trap", &json!({})),
        order("loop", &json!({})),
        order("overflow-stack", &json!({})),
        order("eat-memory", &json!({})),
        order("approval-forged", &json!({})),
        order("approval-twice", &json!({})),
        order("flood-directory", &json!({})),
        order("made-up-token", &json!({})),
        order("mint", &json!({ "claims": { "sub": "user:acme:u-root" } })),
        signing.clone(),
    ];
    for trick in &tricks {
        let _answer = standin.mint_on_behalf(trick.clone()).await;
    }
    standin.close().await.unwrap();
    let replayer = Replayer::new(HOSTILE).unwrap();
    for (at, trick) in tricks.iter().enumerate() {
        let replayed = replayer.replay(&opened(&world, &trick.correlation_id)).await.unwrap();
        assert!(replayed.same, "{at}: {replayed:#?}");
        let made_up = at == 7;
        assert_eq!(replayed.replaced.as_deref(), made_up.then_some("runtime.trapped"), "{at}");
    }
    let looping = opened(&world, &tricks[1].correlation_id);
    let hasty = Replayer::new(HOSTILE).unwrap().within(Duration::from_millis(20));
    assert!(matches!(hasty.replay(&looping).await, Err(ReplayError::TimedOut)));
    // The honest component, told the same, asks with other words.
    let honest = Replayer::new(standin::COMPONENT).unwrap();
    let replayed = honest.replay(&opened(&world, &signing.correlation_id)).await.unwrap();
    assert!(!replayed.same && replayed.divergence.is_some(), "{replayed:#?}");
    assert!(!format!("{replayed:?}").contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_cut_off_while_it_waited_replays_as_far_as_it_came() {
    let world = recording("").await;
    let standin = world.builder().directory(Arc::new(NeverAnswers)).build().await.unwrap();
    let id = format!("c-{}", unique());
    let asking = standin.mint_on_behalf(named(&id, request("svc-router", user("bob@example.com"))));
    assert!(tokio::time::timeout(Duration::from_millis(500), asking).await.is_err());
    standin.close().await.unwrap();
    let replayed = Replayer::new(standin::COMPONENT).unwrap().replay(&opened(&world, &id)).await.unwrap();
    assert!(replayed.same && replayed.calls[0].recorded.is_none(), "{replayed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tapes_are_bounded_and_sampled() {
    let world = recording(", max_tapes = 3, max_age = \"1h\"").await;
    let bob = || request("svc-router", user("bob@example.com"));
    for _ in 0..5 {
        recorded(&world, bob()).await;
    }
    assert_eq!(tapes(&world).len(), 3);
    let clock = FixedClock::at(SystemClock::default().now().as_secs() + 3_700);
    let standin = world.builder().clock(Arc::new(clock)).build().await.unwrap();
    standin.close().await.unwrap();
    assert_eq!(tapes(&world).len(), 0);

    let silent = recording(", sample = 0").await;
    recorded(&silent, bob()).await;
    assert_eq!(tapes(&silent).len(), 0);
    let short = recording(", max_tape = \"16KiB\"").await;
    let long =
        Request { attributes: vec![fact("edge.long", &json!("x".repeat(6_000))); 1], step: Some("x".repeat(12_000)), ..bob() };
    recorded(&short, long).await;
    assert_eq!(tapes(&short).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_push_out_no_tape_but_those_of_strangers() {
    let world = recording(", max_tapes = 10").await;
    let known = recorded(&world, request("svc-router", user("bob@example.com"))).await;
    let standin = world.standin().await;
    let wrong = Credential::ClientSecret(ClientSecret { client_id: "svc-router".into(), secret: "wrong".into() });
    for at in 0..12 {
        let stranger = Request { caller: wrong.clone(), ..request("svc-router", user("bob@example.com")) };
        assert_eq!(
            standin.mint_on_behalf(named(&format!("stranger-{at}-{}", unique()), stranger)).await.unwrap_err().status,
            401
        );
        for mut public in over_http().into_iter().filter(|request| request.method == "GET" && request.headers.is_empty()) {
            public.correlation_id = format!("public-{at}-{}", unique());
            standin.handle(public).await;
        }
    }
    standin.close().await.unwrap();
    assert_eq!(tapes(&world).len(), 2, "{:?}", tapes(&world));
    assert!(!tape_of(&world, &known).to_string_lossy().ends_with(".anonymous.tape"));
    let stranger = tapes(&world).into_iter().find(|path| path.to_string_lossy().contains("-stranger-11-")).unwrap();
    assert!(stranger.to_string_lossy().ends_with(".anonymous.tape"));
    let opened = Opened::read(&stranger, &key(&world)).unwrap();
    assert!(Replayer::new(standin::COMPONENT).unwrap().replay(&opened).await.unwrap().same);
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_requests_never_share_a_sandbox() {
    let world = recording("").await;
    let reuse = world.config_text().replace("cpu = \"2s\"", "cpu = \"2s\"\nisolation = \"reuse\"");
    fs::write(world.path("standin.toml"), reuse).unwrap();
    let standin = hostile(&world).await;
    let (keep, before) = (order("approval-kept", &json!({})), order("approval-from-before", &json!({})));
    assert_eq!(standin.mint_on_behalf(keep.clone()).await.unwrap_err().code, "hostile.kept");
    assert_eq!(standin.mint_on_behalf(before.clone()).await.unwrap_err().code, "hostile.nothing_kept");
    standin.close().await.unwrap();
    let replayer = Replayer::new(HOSTILE).unwrap();
    for request in [keep, before] {
        assert!(replayer.replay(&opened(&world, &request.correlation_id)).await.unwrap().same);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_makes_the_key_that_the_server_records_with() {
    let world = recording("").await;
    let run = |arguments: &[&str]| Command::new(process::binary()).current_dir(world.folder()).args(arguments).output().unwrap();
    let again = run(&["record-key", "record.key"]);
    assert_eq!(again.status.code(), Some(1));
    fs::remove_file(world.path("record.key")).unwrap();
    let check = run(&["check"]);
    assert!(check.status.code() == Some(1) && String::from_utf8_lossy(&check.stderr).contains("record"), "{check:?}");
    assert!(matches!(world.builder().build().await, Err(BuildError::Record(_))));
    let made: Value = serde_json::from_slice(&run(&["record-key", "record.key", "--json"]).stdout).unwrap();
    assert_eq!(made["key_id"], key(&world).id());
    assert!(run(&["check"]).status.success());
    fs::write(world.path("secret"), SECRET).unwrap();
    let mint =
        ["mint", "--client", "svc-router", "--secret-file", "secret", "--user", "bob@example.com", "--audience", API, "--json"];
    let minted: Value = serde_json::from_slice(&run(&mint).stdout).unwrap();
    let id = minted["correlation_id"].as_str().unwrap();
    assert_eq!(page(&replay(&world, id, &["--json"]))["replay"]["same"], true);
}

/// A directory that keeps whoever asks waiting.
struct NeverAnswers;

#[async_trait::async_trait]
impl standin::directory::Directory for NeverAnswers {
    async fn find_account(&self, _key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        std::future::pending().await
    }

    async fn find_user(&self, _key: &UserKey) -> Result<Option<User>, DirectoryError> {
        std::future::pending().await
    }

    async fn find_machine(&self, _key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        std::future::pending().await
    }

    async fn ready(&self) -> Result<(), DirectoryError> {
        Ok(())
    }
}
