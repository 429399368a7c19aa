//! Nobody stops the others: key sets that hang, slow policies, floods and guessing, through the real component.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use standin::Standin;
use standin::bindings::decision_point::JudgeError;
use standin::decision_point::{Judge, Judgement, Question, Verdict};
use standin::endpoint::{HttpRequest, HttpResponse};
use standin::types::{Allowance, ClientSecret, Credential, Effect, Request};
use standin_tests::idp::{CALLERS, KID, now};
use standin_tests::ports::FixedClock;
use standin_tests::process::Process;
use standin_tests::requests::{basic, body, http, request, user};
use standin_tests::world::{API, World};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const MINT: &str = "/v2/session/svc/obo_mint";
/// More than anything here takes on a busy machine, and less than a key set that hangs.
const SOON: Duration = Duration::from_secs(4);

/// A request for bob's token, from this peer, with this credential.
fn asked(peer: &str, authorization: &str) -> HttpRequest {
    let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API }).to_string();
    let headers = [("content-type", "application/json"), ("authorization", authorization)];
    HttpRequest { peer: peer.to_owned(), ..http("POST", MINT, &headers, body.as_bytes()) }
}

fn wrong(client: &str, number: usize) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{client}:wrong-{number}")))
}

fn code(answer: &HttpResponse) -> (u16, String) {
    (answer.status, body(answer)["code"].as_str().unwrap_or_default().to_owned())
}

fn retry_after(answer: &HttpResponse) -> Option<u64> {
    let (_, value) = answer.headers.iter().find(|(name, _)| name == "retry-after")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The host on a clock that stands, so that no pause passes by itself.
async fn standing(world: &World) -> (Standin, Arc<FixedClock>) {
    let clock = Arc::new(FixedClock::at(now()));
    let standin = world.builder().clock(Arc::clone(&clock) as Arc<_>).build().await.unwrap();
    (standin, clock)
}

/// A world whose issuer of callers has a key set that is never answered.
async fn with_hanging_keys(limits: &str) -> (World, TcpListener) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = format!("http://{}/jwks.json", silent.local_addr().unwrap());
    let change = |config: &mut String| {
        let (before, callers) = config.split_once("name = \"workloads\"").unwrap();
        let (uri, rest) = callers.split_once("role = ").unwrap();
        let issuer = uri.lines().find(|line| line.starts_with("issuer")).unwrap();
        *config = format!("{before}name = \"workloads\"\n{issuer}\njwks_uri = \"{hanging}\"\nrole = {rest}\n{limits}");
    };
    (World::with(change, |_| {}).await, silent)
}

#[tokio::test(flavor = "multi_thread")]
async fn bearers_whose_issuers_keys_hang_hold_no_slot() {
    let (world, _silent) =
        with_hanging_keys("[limits]\nmax_in_flight = 8\n[policy]\ndeadline = \"5s\"\n[runtime]\ncpu = \"5s\"\n").await;
    let standin = world.standin().await;
    let claims = json!({ "iss": CALLERS, "sub": "workload-7", "aud": "https://obo.example.com", "exp": now() + 300 });
    let unsigned = format!("Bearer {}.AAAA", standin_tests::idp::message(&json!({ "alg": "ES256", "kid": KID }), &claims));
    let mut strangers = JoinSet::new();
    for at in 0..64 {
        let (standin, request) = (standin.clone(), asked(&format!("192.0.2.{at}:1"), &unsigned));
        strangers.spawn(async move { code(&standin.handle(request).await) });
    }
    // A quarter of those that may wait for somebody else's server are strangers, and half of those for one server; the others are answered
    // at once.
    for _ in 0..63 {
        let answered = tokio::time::timeout(SOON, strangers.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answered, (503, "keys.unavailable".to_owned()));
    }
    for _ in 0..20 {
        let minted = tokio::time::timeout(SOON, standin.handle(asked("198.51.100.7:1", &basic("svc-router")))).await.unwrap();
        assert_eq!(minted.status, 200, "{}", body(&minted));
    }
    assert_eq!(strangers.len(), 1, "it waits while others are served");
    while let Some(answered) = strangers.join_next().await {
        assert_eq!(answered.unwrap(), (503, "keys.unavailable".to_owned()));
    }
}

/// A policy that takes its time, and knows it. Counts how many are asked at once.
#[derive(Default)]
struct Slow {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Judge for Slow {
    fn judge(&self, _question: &Question<'_>) -> Result<Judgement, JudgeError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(20)));
        self.now.fetch_sub(1, Ordering::SeqCst);
        let effect = Effect::Permit(Allowance { scope: None, audience: None, ttl: None });
        Ok(Judgement { verdict: Verdict { effect, reasons: vec![], attributes: vec![] }, module_digest: "0".repeat(64) })
    }

    fn is_slow(&self, _tenant: &str) -> bool {
        true
    }
}

/// Asks so often at once; the codes of what failed, and how many of them had been answered when the other client's came.
async fn flooded(standin: &Standin, flood: usize, other: impl AsyncFnOnce() -> HttpResponse) -> (Vec<(u16, String)>, usize) {
    let answered = Arc::new(AtomicUsize::new(0));
    let mut first = JoinSet::new();
    for at in 0..flood {
        let (standin, answered) = (standin.clone(), Arc::clone(&answered));
        let request = asked(&format!("192.0.2.{}:1", at % 200), &basic("svc-router"));
        first.spawn(async move {
            let answer = standin.handle(request).await;
            answered.fetch_add(1, Ordering::SeqCst);
            code(&answer)
        });
    }
    // The flood is under way.
    while answered.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = answered.load(Ordering::SeqCst);
    let answer = other().await;
    let meanwhile = answered.load(Ordering::SeqCst) - before;
    assert_eq!(answer.status, 200, "{}", body(&answer));
    let codes = first.join_all().await.into_iter().filter(|(status, _)| *status != 200).collect();
    (codes, meanwhile)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_policies_are_waited_for_and_shared_by_client() {
    let world = World::patient().await;
    let slow = Arc::new(Slow::default());
    let standin = world.builder().judge(Arc::clone(&slow) as Arc<_>).build().await.unwrap();
    let other = async || standin.handle(asked("198.51.100.7:1", &basic("svc-strict"))).await;
    let (failed, meanwhile) = flooded(&standin, 64, other).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(
        slow.most.load(Ordering::SeqCst) <= 2,
        "no more at once than there are processors: {slow_most:?}",
        slow_most = slow.most
    );
    assert!(meanwhile < 24, "the second client waited behind {meanwhile} of the first's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_policy_cannot_serve_in_time_is_refused() {
    let world =
        World::with(|config| config.push_str("\n[server]\nrequest_timeout = \"2s\"\n[runtime]\ncpu = \"5s\"\n"), |_| {}).await;
    struct Stuck;
    impl Judge for Stuck {
        fn judge(&self, question: &Question<'_>) -> Result<Judgement, JudgeError> {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(600)));
            Slow::default().judge(question)
        }
        fn is_slow(&self, _tenant: &str) -> bool {
            true
        }
    }
    let standin = world.builder().judge(Arc::new(Stuck)).build().await.unwrap();
    let mut all = JoinSet::new();
    for _ in 0..16 {
        let (standin, request) = (standin.clone(), asked("192.0.2.1:1", &basic("svc-router")));
        all.spawn(async move { code(&standin.handle(request).await) });
    }
    let answers = all.join_all().await;
    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(served >= 2, "{answers:?}");
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status != 200).collect();
    assert!(!refused.is_empty());
    let in_time = ["policy.unavailable", "runtime.timed_out", "runtime.overloaded"];
    assert!(refused.iter().all(|(status, code)| *status == 503 && in_time.contains(&code.as_str())), "{answers:?}");
    assert!(refused.iter().any(|(_, code)| code == "policy.unavailable"), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_client_does_not_wait_behind_the_first_ones_flood() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let other = async || standin.handle(asked("198.51.100.7:1", &basic("svc-strict"))).await;
    let (failed, meanwhile) = flooded(&standin, 600, other).await;
    // More than may be in flight: they waited, and nobody was refused.
    assert!(failed.is_empty(), "{failed:?}");
    assert!(meanwhile < 120, "the second client waited behind {meanwhile} of the first's 600");
}

/// How many lines end in this part of a file.
fn lines(path: &Path, part: Range<u64>) -> usize {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(part.start)).unwrap();
    let mut text = Vec::new();
    file.take(part.end - part.start).read_to_end(&mut text).unwrap();
    text.into_iter().filter(|byte| *byte == b'\n').count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_on_the_wire_nor_does_the_operator() {
    const FLOOD: usize = 200;
    let world = World::patient().await;
    let process = Process::start(&world);
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let (url, health) = (process.url(MINT), process.url("/healthz"));
    let of = |client: &reqwest::Client, caller: &str| {
        let body = json!({ "id_type": "user", "id": "email.bob@example.com", "audience": API });
        client.post(&url).header("authorization", basic(caller)).json(&body)
    };
    let flooding = client();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        let (again, answered) = (of(&flooding, "svc-router"), Arc::clone(&answered));
        // Each over a connection of its own, one request after the other.
        flood.spawn(async move {
            loop {
                let answer = again.try_clone().unwrap().send().await.unwrap();
                assert_eq!(answer.status().as_u16(), 200);
                answer.bytes().await.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    while answered.load(Ordering::SeqCst) < FLOOD {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // How many of the flood are recorded before each of these is answered. In the order of arrival nearly all of it would be, each time; on a
    // busy machine, where all 200 are read anew before one of these is, often as well. On a thread of their own, and counted in the log:
    // what lies in this test's sockets says when it was kept waiting itself.
    let log = world.path("audit.jsonl");
    let other = client();
    for asking in [of(&other, "svc-strict"), other.get(&health)] {
        let log = log.clone();
        let asked = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut behind = Vec::new();
            while behind.len() < 200 && behind.iter().filter(|count| **count < FLOOD / 4).count() < 5 {
                let before = std::fs::metadata(&log).unwrap().len();
                let answer = runtime.block_on(asking.try_clone().unwrap().send()).unwrap();
                let after = std::fs::metadata(&log).unwrap().len();
                assert_eq!(answer.status().as_u16(), 200);
                behind.push(lines(&log, before..after));
            }
            behind
        };
        let behind = tokio::task::spawn_blocking(asked).await.unwrap();
        let few = behind.iter().filter(|count| **count < FLOOD / 4).count();
        assert!(few >= 5, "it waited behind so many of {FLOOD}: {behind:?}");
    }
    let refused = flood.try_join_next();
    assert!(refused.is_none(), "one of the flood: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_claim_is_held_against_nobody_but_their_peer() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let mut strangers = JoinSet::new();
    for at in 0..600 {
        // One peer that says it is the second client, each time with another secret.
        let (standin, request) = (standin.clone(), asked("192.0.2.1:1", &wrong("svc-strict", at)));
        strangers.spawn(async move { standin.handle(request).await.status });
    }
    let answer = standin.handle(asked("198.51.100.7:1", &basic("svc-strict"))).await;
    assert_eq!(answer.status, 200, "{}", body(&answer));
    let statuses = strangers.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_by_pair_and_counted_by_client() {
    let world = World::patient().await;
    let (standin, clock) = standing(&world).await;
    let guess = async |client: &str, number| standin.handle(asked("192.0.2.1:4000", &wrong(client, number))).await;
    for client in ["svc-router", "nobody-is-called-so"] {
        for number in 0..200 {
            let answer = guess(client, number).await;
            let (status, expected) = if number < 10 { (401, "caller.invalid") } else { (429, "caller.throttled") };
            assert_eq!(code(&answer), (status, expected.to_owned()), "{client} {number}");
            assert_eq!(retry_after(&answer), (status == 429).then_some(1));
        }
    }
    let from = async |peer: &str, client: &str| code(&standin.handle(asked(peer, &basic(client))).await);
    assert_eq!(from("192.0.2.1:1", "svc-router").await, (429, "caller.throttled".to_owned()), "the port is no way out");
    assert_eq!(from("192.0.2.2:1", "svc-router").await.0, 200, "nobody locks the client out");
    assert_eq!(from("192.0.2.1:1", "svc-strict").await.0, 200, "nor another one");
    // After the pause one more is heard, and the next pause is longer.
    clock.set(now() + 10);
    assert_eq!(guess("svc-router", 0).await.status, 401);
    assert_eq!(retry_after(&guess("svc-router", 0).await), Some(2));
    // A right secret begins anew.
    clock.set(now() + 20);
    assert_eq!(from("192.0.2.1:1", "svc-router").await.0, 200);
    for number in 0..10 {
        assert_eq!(guess("svc-router", number).await.status, 401);
    }
    standin.close().await.unwrap();
    let lines = world.audit_lines();
    let failures: Vec<&Value> = lines.iter().filter(|line| line["event"] == "caller_failures").collect();
    let sum = |client: Value, member: &str| -> u64 {
        failures.iter().filter(|line| line["client"] == client).map(|line| line[member].as_u64().unwrap()).sum()
    };
    assert_eq!((sum(json!("svc-router"), "count"), sum(json!("svc-router"), "throttled")), (213, 192), "{failures:?}");
    assert_eq!(sum(Value::Null, "count"), 200);
    assert!(failures.iter().all(|line| line["peers"] == json!(["192.0.2.1"])), "{failures:?}");
    assert!(failures.len() < 20, "{}", failures.len());
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_in_the_same_network_is_the_same_peer() {
    let world = World::patient().await;
    let (standin, _clock) = standing(&world).await;
    for number in 0..10 {
        let answer = standin.handle(asked(&format!("[2001:db8::{number}]:1"), &wrong("svc-router", number))).await;
        assert_eq!(answer.status, 401);
    }
    let from = async |peer: &str| standin.handle(asked(peer, &basic("svc-router"))).await.status;
    assert_eq!(from("[2001:db8:0:0:ffff::1]:1").await, 429);
    assert_eq!(from("[2001:db8:0:1::1]:1").await, 200);
}

/// The JWT of a caller, right but for who signed it.
fn forged_caller(world: &World) -> String {
    let claims =
        json!({ "iss": CALLERS, "sub": "workload-7", "aud": "https://obo.example.com", "iat": now(), "exp": now() + 300 });
    world.idp.sign_as_stranger(&json!({ "alg": "ES256", "typ": "JWT", "kid": KID }), &claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_caller_jwts_are_guesses_too() {
    let world = World::patient().await;
    let (standin, _clock) = standing(&world).await;
    let forged = forged_caller(&world);
    let from = async |peer: &str, jws: &str| code(&standin.handle(asked(peer, &format!("Bearer {jws}"))).await);
    for _ in 0..10 {
        assert_eq!(from("192.0.2.1:1", &forged).await, (401, "caller.invalid".to_owned()));
    }
    assert_eq!(from("192.0.2.1:1", &forged).await, (429, "caller.throttled".to_owned()));
    let right = world.idp.caller(json!({}));
    assert_eq!(from("192.0.2.2:1", &right).await.0, 200);
    standin.close().await.unwrap();
    let counted = world.audit_lines().into_iter().filter(|line| line["event"] == "caller_failures");
    let counted: u64 = counted.filter(|line| line["client"] == "svc-bearer").map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_caller_jwt_begins_anew() {
    let world = World::patient().await;
    let (standin, _clock) = standing(&world).await;
    let forged = forged_caller(&world);
    let expired = world.idp.caller(json!({ "iat": now() - 600, "exp": now() - 60 }));
    let right = world.idp.caller(json!({}));
    let from = async |jws: &str| standin.handle(asked("192.0.2.1:1", &format!("Bearer {jws}"))).await.status;
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(from(&forged).await, 401);
        }
        assert_eq!(from(&right).await, 200);
    }
    // One that is over is none.
    for _ in 0..9 {
        assert_eq!(from(&forged).await, 401);
    }
    assert_eq!((from(&expired).await, from(&forged).await, from(&forged).await), (401, 401, 429));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedding_program_answers_for_its_callers() {
    let world = World::patient().await;
    let standin = world.standin().await;
    for number in 0..40 {
        let caller = Credential::ClientSecret(ClientSecret { client_id: "svc-router".into(), secret: format!("wrong-{number}") });
        let refused = standin.mint_on_behalf(Request { caller, ..request("svc-router", user("bob@example.com")) }).await;
        assert_eq!(refused.unwrap_err().code, "caller.invalid");
    }
    let unvouched = Credential::Attested("svc-router".into());
    let refused = standin.mint_on_behalf(Request { caller: unvouched, ..request("svc-router", user("bob@example.com")) }).await;
    assert_eq!(refused.unwrap_err().code, "caller.invalid");
    assert!(standin.mint_on_behalf(request("svc-router", user("bob@example.com"))).await.is_ok());
    standin.close().await.unwrap();
    let counted = world.audit_lines().into_iter().filter(|line| line["event"] == "caller_failures");
    let counted: u64 = counted.filter(|line| line["client"] == "svc-router").map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_wrong_secrets_stand_in_the_log_and_in_a_metric_while_it_runs() {
    let world = World::patient().await;
    let process = Process::start(&world);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (url, metrics) = (process.url(MINT), process.url("/metrics"));
    for number in 0..2_000 {
        let body = json!({ "id_type": "user", "id": "email.bob@example.com" });
        let sent = client.post(&url).header("authorization", wrong("svc-router", number)).json(&body);
        let answer = sent.send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 401 | 429), "{number}: {}", answer.status());
    }
    let page = client.get(&metrics).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("standin_caller_failures_total{client=\"svc-router\"} 2000"), "{page}");
    let throttled = page.lines().find_map(|line| line.strip_prefix("standin_callers_throttled_total ")).unwrap();
    assert!(throttled.parse::<u64>().unwrap() > 0, "{throttled}");
    let counted = || -> u64 {
        let lines = world.audit_lines();
        let failures = lines.iter().filter(|line| line["event"] == "caller_failures" && line["client"] == "svc-router");
        failures.map(|line| line["count"].as_u64().unwrap()).sum()
    };
    let all = async {
        while counted() < 2_000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), all).await.unwrap();
    assert!(world.audit_lines().len() < 100, "the log does not grow with the attack");
    assert!(process.stop().success());
    world.verify_audit();
}
