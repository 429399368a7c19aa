//! Floods and sudden death: no wrong answer, no token without its event, no broken chain.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use standin::types::Request;
use standin_tests::idp::claims_of;
use standin_tests::process::Process;
use standin_tests::requests::{basic, request, user};
use standin_tests::world::{API, World};

const MINT: &str = "/v2/session/svc/obo_mint";
const USERS: usize = 100;
const REQUESTS: usize = 10_000;
/// Requests that may be in flight.
const SLOTS: usize = 32;
/// More than the log writes of one kind of anonymous failure.
const SHED: usize = 50;
const SHED_AFTER: Duration = Duration::from_secs(5);
const PATIENT: Duration = Duration::from_secs(300);
const HTTP_REQUESTS: usize = 1_000;
const KILLS: usize = 3;
/// How many tokens are seen before the process is killed.
const BEFORE_KILL: usize = 60;

/// A world of [`USERS`] users whose ids tell them apart; time limits are wide, in-flight limits narrow, so that some are shed.
async fn crowded(more: &str) -> World {
    let limits = format!("\n[limits]\nmax_in_flight = {SLOTS}\n[policy]\ndeadline = \"10s\"\n[runtime]\ncpu = \"10s\"\n{more}");
    let change = |config: &mut String| config.push_str(&limits);
    World::with(change, |directory| {
        let users = (0..USERS).map(|at| {
            json!({ "id": format!("u-{at}"), "email": format!("user-{at}@example.com"), "accounts": ["acme-eu"], "primary_account": "acme-eu" })
        });
        directory["users"].as_array_mut().unwrap().extend(users);
    })
    .await
}

/// The events of a closed log by correlation id, and how many anonymous failures it only counts.
fn tally(world: &World) -> (HashMap<String, Vec<Value>>, u64) {
    let (mut attempts, mut counted) = (HashMap::<String, Vec<Value>>::new(), 0);
    for line in world.audit_lines() {
        match line["event"].as_str() {
            Some("attempt") => attempts.entry(line["correlation_id"].as_str().unwrap().to_owned()).or_default().push(line),
            Some("anonymous_failures") => counted += line["count"].as_u64().unwrap(),
            _ => {}
        }
    }
    (attempts, counted)
}

/// Every good answer is on record exactly once and every shed one is written or counted; nothing else is on record.
fn check_tally(world: &World, minted: &HashMap<String, String>, shed: usize) {
    let (attempts, counted) = tally(world);
    for (id, jti) in minted {
        let events = attempts.get(id).map(Vec::as_slice).unwrap_or_default();
        // Before that it may have been shed, and have come back under the same name.
        let permits: Vec<_> = events.iter().filter(|event| event["outcome"] == "permit").collect();
        assert_eq!(permits.len(), 1, "{id}: {events:?}");
        assert_eq!(permits[0]["jti"].as_str(), Some(jti.as_str()));
    }
    let failed: Vec<_> = attempts.values().flatten().filter(|event| event["outcome"] != "permit").collect();
    assert!(failed.iter().all(|event| event["code"] == "runtime.overloaded"), "{failed:?}");
    assert_eq!(attempts.values().map(Vec::len).sum::<usize>(), minted.len() + failed.len());
    assert_eq!(failed.len() as u64 + counted, shed as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_at_once_get_no_wrong_answer() {
    let world = crowded("").await;
    let mut config = world.config();
    // Whoever finds every slot taken waits, for the time of a request.
    config.server.request_timeout = SHED_AFTER;
    let standin = world.builder().config(config).build().await.unwrap();
    let (mut minted, mut shed) = (HashMap::new(), 0);
    // While every slot is taken, everybody is shed; the takers end in order.
    let mut held = Vec::new();
    for at in 0..SLOTS {
        let asked = Request { correlation_id: format!("held-{at}"), ..request("svc-router", user("user-0@example.com")) };
        held.push(standin.resolve_target(asked).await.unwrap());
    }
    let too_many = (0..SHED).map(|_| {
        let standin = standin.clone();
        tokio::spawn(async move { standin.mint_on_behalf(request("svc-router", user("user-1@example.com"))).await })
    });
    for one in too_many.collect::<Vec<_>>() {
        let failure = one.await.unwrap().unwrap_err();
        assert_eq!((failure.code.as_str(), failure.status, failure.retry_after), ("runtime.overloaded", 503, Some(1)));
        shed += 1;
    }
    for target in held {
        let Ok(standin::Decision::Permit(permit)) = target.evaluate_policy().await else { panic!("it is permitted") };
        let answer = permit.mint().await.unwrap();
        minted.insert(answer.correlation_id, claims_of(&answer.token)["jti"].as_str().unwrap().to_owned());
    }
    standin.close().await.unwrap();
    drop(standin);

    // From here on nobody is too late, however busy the machine: who is shed finds too many waiting.
    let mut config = world.config();
    config.server.request_timeout = PATIENT;
    let standin = world.builder().config(config).build().await.unwrap();
    let flood: Vec<_> = (0..REQUESTS)
        .map(|at| {
            let standin = standin.clone();
            let asked = request("svc-router", user(&format!("user-{}@example.com", at % USERS)));
            let asked = Request { correlation_id: format!("r-{at}"), ..asked };
            // Half of them come back until they are served.
            let patient = at % 2 == 0;
            tokio::spawn(async move {
                let mut shed = 0;
                loop {
                    match standin.mint_on_behalf(asked.clone()).await {
                        Err(failure) if failure.code == "runtime.overloaded" => {
                            assert_eq!((failure.status, failure.retry_after), (503, Some(1)));
                            shed += 1;
                            if !patient {
                                return (at, None, shed);
                            }
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        answer => return (at, Some(answer), shed),
                    }
                }
            })
        })
        .collect();
    for one in flood {
        let (at, answer, refused) = one.await.unwrap();
        shed += refused;
        if let Some(answer) = answer {
            let answer = answer.unwrap_or_else(|failure| panic!("{at}: {failure:?}"));
            let claims = claims_of(&answer.token);
            assert_eq!(claims["sub"], format!("user:acme:u-{}", at % USERS));
            assert_eq!(answer.correlation_id, format!("r-{at}"));
            minted.insert(answer.correlation_id, claims["jti"].as_str().unwrap().to_owned());
        }
    }
    assert!(minted.len() >= REQUESTS / 2, "{} minted, {shed} shed", minted.len());
    standin.close().await.unwrap();
    check_tally(&world, &minted, shed);
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_over_http_gets_no_wrong_answer() {
    let server = "[server]\nmax_connections = 2000\nmax_connections_per_peer = 2000\nrequest_timeout = \"5m\"\n";
    let world = crowded(server).await;
    let standin = world.standin().await;
    let server = world.serve(&standin).await;
    let client = reqwest::Client::new();
    let url = server.url(MINT);
    let flood: Vec<_> = (0..HTTP_REQUESTS)
        .map(|at| {
            let body = json!({ "id_type": "user", "id": format!("email.user-{}@example.com", at % USERS), "audience": API });
            let asked = client
                .post(&url)
                .header("authorization", basic("svc-router"))
                .header("x-correlation-id", format!("h-{at}"))
                .json(&body);
            tokio::spawn(async move {
                let answer = asked.send().await.unwrap();
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                assert_eq!(headers["x-correlation-id"], format!("h-{at}"));
                (at, status, headers.contains_key("retry-after"), answer.json::<Value>().await.unwrap())
            })
        })
        .collect();
    let (mut minted, mut shed) = (HashMap::new(), 0);
    for one in flood {
        let (at, status, retry, body) = one.await.unwrap();
        if status == 200 {
            let claims = claims_of(body["access_token"].as_str().unwrap());
            assert_eq!(claims["sub"], format!("user:acme:u-{}", at % USERS));
            assert_eq!(body["sub"], claims["sub"]);
            minted.insert(format!("h-{at}"), claims["jti"].as_str().unwrap().to_owned());
        } else {
            assert_eq!((status, retry, &body["code"]), (503, true, &json!("runtime.overloaded")), "{body}");
            shed += 1;
        }
    }
    assert!(!minted.is_empty());
    assert!(server.stop().await);
    standin.close().await.unwrap();
    check_tally(&world, &minted, shed);
    world.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_token_stands_in_the_log_after_kill_9() {
    let world = crowded("").await;
    let config = world.config_text().replace("durability = \"os\"", "durability = \"fsync\"");
    std::fs::write(world.path("standin.toml"), config).unwrap();
    let received = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..KILLS {
        let mut process = Process::start(&world);
        let url = process.url(MINT);
        let before = received.lock().unwrap().len();
        let clients: Vec<_> = (0..8).map(|at| tokio::spawn(keep_asking(url.clone(), at, Arc::clone(&received)))).collect();
        let enough = async {
            while received.lock().unwrap().len() < before + BEFORE_KILL {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), enough).await.expect("tokens come");
        // SIGKILL, while eight clients wait for tokens.
        process.kill();
        for client in clients {
            client.await.unwrap();
        }
    }
    // It starts again, mints again, and the chain holds.
    let process = Process::start(&world);
    let before = received.lock().unwrap().len();
    assert!(ask(&reqwest::Client::new(), &process.url(MINT), 0, &received).await);
    assert!(process.stop().success());
    world.verify_audit();
    let received = received.lock().unwrap();
    assert_eq!(received.len(), before + 1);
    let lines = world.audit_lines();
    let mut recorded = HashMap::<&str, usize>::new();
    for line in lines.iter().filter(|line| line["outcome"] == "permit") {
        *recorded.entry(line["jti"].as_str().unwrap()).or_default() += 1;
    }
    for jti in received.iter() {
        assert_eq!(recorded.get(jti.as_str()), Some(&1), "{jti}");
    }
}

/// Asks until nobody answers any more.
async fn keep_asking(url: String, at: usize, received: Arc<Mutex<Vec<String>>>) {
    let client = reqwest::Client::new();
    while ask(&client, &url, at, &received).await {}
}

/// Whether there was a whole answer.
async fn ask(client: &reqwest::Client, url: &str, at: usize, received: &Mutex<Vec<String>>) -> bool {
    let body = json!({ "id_type": "user", "id": format!("email.user-{at}@example.com"), "audience": API });
    let Ok(answer) = client.post(url).header("authorization", basic("svc-router")).json(&body).send().await else { return false };
    let Ok(body) = answer.json::<Value>().await else { return false };
    let claims = claims_of(body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")));
    assert_eq!(claims["sub"], format!("user:acme:u-{at}"));
    received.lock().unwrap().push(claims["jti"].as_str().unwrap().to_owned());
    true
}
