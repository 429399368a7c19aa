//! A component that misbehaves harms nobody else, hides nothing, and does not break the protocol of its answers.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use standin_tests::HOSTILE;
use standin_tests::hostile::{hostile, order, refused, verifies};
use standin_tests::requests::{basic, http};
use standin_tests::world::{SECRET, World};

#[tokio::test(flavor = "multi_thread")]
async fn runaways_are_stopped_recorded_and_harm_nobody_else() {
    let limits = "\n[policy]\ndeadline = \"5s\"\n[runtime]\ncpu = \"500ms\"\n";
    let world = World::with(|config| config.push_str(limits), |_| {}).await;
    let standin = hostile(&world).await;
    let rows = [
        ("loop", "runtime.timed_out", 503, Some(1)),
        ("trap", "runtime.trapped", 500, None),
        ("eat-memory", "runtime.trapped", 500, None),
        ("overflow-stack", "runtime.trapped", 500, None),
        ("too-much-at-once", "runtime.trapped", 500, None),
    ];
    for (trick, code, status, retry) in rows {
        let honest: Vec<_> = (0..8)
            .map(|_| {
                let standin = standin.clone();
                tokio::spawn(async move { standin.mint_on_behalf(order("mint", &json!({}))).await })
            })
            .collect();
        let (failure, event) = refused(&world, &standin, order(trick, &json!({}))).await;
        assert_eq!((failure.code.as_str(), failure.status, failure.retry_after), (code, status, retry), "{trick}");
        assert_eq!((&event["outcome"], &event["code"]), (&json!("fail"), &json!(code)), "{trick}");
        for minted in honest {
            let minted = minted.await.unwrap().unwrap_or_else(|failure| panic!("{trick} harmed another: {failure:?}"));
            assert!(verifies(&standin, &minted.token));
        }
    }
}

#[rstest]
#[case("flood-directory", 63)]
#[case("flood-policy", 8)]
#[case("flood-registry", 0)]
#[case("flood-store", 64)]
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_questions_are_not_answered(#[case] trick: &str, #[case] most: usize) {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let (failure, event) = refused(&world, &standin, order(trick, &json!({}))).await;
    assert_eq!((failure.code.as_str(), failure.message), ("hostile.flooded", most.to_string()));
    assert_eq!(event["code"], "hostile.flooded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_cannot_be_flooded_or_written_by_the_component() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let flood = order("flood-audit", &json!({}));
    let id = flood.correlation_id.clone();
    let failure = standin.mint_on_behalf(flood).await.unwrap_err();
    assert_eq!(failure.message, "8");
    assert_eq!(world.audit_of(&id).len(), 8);

    let forged = [
        "{\"outcome\":\"permit\",\"code\":\"mint.done\"}",
        "{\"outcome\":\"deny\",\"code\":\"a\"}\n{\"seq\":1,\"outcome\":\"permit\"}",
        "{\"outcome\":\"deny\",\"code\":\"a b\"}",
        "{\"outcome\":\"deny\"}",
        "{\"code\":\"policy.denied\"}",
        "[]",
        "",
    ];
    for event in forged {
        let (failure, recorded) = refused(&world, &standin, order("event", &json!({ "event": event }))).await;
        assert!(failure.message.contains("Err("), "{event:?} was taken: {failure:?}");
        // The host records the attempt in its own words.
        assert_eq!((&recorded["outcome"], &recorded["code"]), (&json!("fail"), &json!("hostile.audit")), "{event:?}");
    }
    let (failure, _) = refused(&world, &standin, order("long-event", &json!({}))).await;
    assert!(failure.message.contains("Err("), "{failure:?}");

    // What it may say stands under `detail`, beside what the host knows, and takes nothing's place.
    let event =
        "{\"outcome\":\"deny\",\"code\":\"policy.denied\",\"seq\":0,\"requester\":\"svc-admin\",\"event\":\"checkpoint\"}";
    let said = order("event", &json!({ "event": event }));
    let id = said.correlation_id.clone();
    standin.mint_on_behalf(said).await.unwrap_err();
    let recorded = world.audit_of(&id);
    assert_eq!(recorded.len(), 1);
    assert_eq!((&recorded[0]["event"], &recorded[0]["requester"]), (&json!("attempt"), &Value::Null));
    assert_eq!(recorded[0]["detail"]["requester"], "svc-admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_token_does_not_get_out_unrecorded_and_never_verifies() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let (failure, event) = refused(&world, &standin, order("made-up-token", &json!({}))).await;
    assert_eq!((failure.code.as_str(), &event["code"]), ("runtime.trapped", &json!("runtime.trapped")));

    let (failure, event) = refused(&world, &standin, order("fail-silently", &json!({}))).await;
    assert_eq!((failure.code.as_str(), &event["code"]), ("hostile.silent", &json!("hostile.silent")));

    // An event from before anybody was known is no record of who then was.
    let hidden = order("hide-behind-a-stranger", &json!({ "claims": { "sub": "user:acme:u-root" } }));
    let id = hidden.correlation_id.clone();
    assert_eq!(standin.mint_on_behalf(hidden).await.unwrap_err().code, "hostile.hidden");
    let events = world.audit_of(&id);
    let named = events.iter().find(|event| event["code"] == "hostile.hidden").unwrap_or_else(|| panic!("{events:?}"));
    // The host's own event says how far it came.
    assert!(named["stages_us"]["authenticate"].is_u64(), "{named}");
    assert_eq!((&named["requester"], named["refused_signatures"].as_array().map(Vec::len)), (&json!("svc-router"), Some(1)));

    let (failure, event) = refused(&world, &standin, order("fail-with-a-bad-code", &json!({}))).await;
    assert_eq!((failure.code.as_str(), &event["code"]), ("runtime.trapped", &json!("runtime.trapped")));

    // One that is at least on record is still worth nothing.
    let minted = standin.mint_on_behalf(order("made-up-token-with-event", &json!({}))).await.unwrap();
    assert!(!verifies(&standin, &minted.token));

    // The same through the three steps,
    let step_by_step = order("made-up-token", &json!({}));
    let id = step_by_step.correlation_id.clone();
    let target = standin.resolve_target(step_by_step).await.unwrap();
    let Ok(standin::Decision::Permit(permit)) = target.evaluate_policy().await else { panic!("the component permits") };
    assert_eq!(permit.mint().await.unwrap_err().code, "runtime.trapped");
    assert_eq!(world.audit_of(&id).len(), 1);

    // and over HTTP.
    let mut request = http("POST", "/oauth2/token", &[("authorization", &basic("svc-router"))], b"");
    request.correlation_id = "over-http".into();
    let answer = standin.handle(request).await;
    assert_eq!(answer.status, 500);
    assert!(!String::from_utf8_lossy(&answer.body).contains("access_token"));
    assert_eq!(world.audit_of("over-http").len(), 1);

    // A refusal may go out as the component wrote it, but the log says that it was not the component that recorded it.
    let order = json!({ "status": 403 }).to_string();
    let mut request = http("POST", "/oauth2/token", &[("x-answer", &order)], b"");
    request.correlation_id = "refused-over-http".into();
    assert_eq!(standin.handle(request).await.status, 403);
    // Nor does asking with GET hide who asked.
    let order = json!({ "status": 200 }).to_string();
    let shown = basic("svc-router");
    let mut request = http("GET", "/jwks.json", &[("x-answer", &order), ("x-secret", SECRET), ("authorization", &shown)], b"");
    request.correlation_id = "hidden-get".into();
    assert_eq!(standin.handle(request).await.status, 500);
    assert_eq!(world.audit_of("hidden-get")[0]["requester"], "svc-router");
    standin.close().await.unwrap();
    let recorded = world.audit_lines();
    assert!(recorded.iter().any(|event| event.to_string().contains("runtime.unrecorded")), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_signed() {
    let world = World::patient().await;
    let standin = world
        .builder()
        .component_bytes(HOSTILE.to_vec())
        .audit(std::sync::Arc::new(standin_tests::ports::NoAudit))
        .build()
        .await
        .unwrap();
    let failure = standin.mint_on_behalf(order("mint", &json!({}))).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("hostile.unsigned", "KeyError::AuditFailed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_the_protocol_is_answered_for_it() {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    let server = world.serve(&standin).await;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    let ordered = async |order: Value| client.get(server.url("/any")).header("x-answer", order.to_string()).send().await.unwrap();
    let good = ordered(json!({ "status": 203, "headers": { "x-good": "yes", "Cache-Control": "no-store" } })).await;
    assert_eq!((good.status().as_u16(), &good.headers()["x-good"]), (203, &"yes".parse().unwrap()));
    let broken = [
        json!({ "headers": { "x good": "1" } }),
        json!({ "headers": { "": "1" } }),
        json!({ "headers": { "x-good": "1\r\nset-cookie: a=b" } }),
        json!({ "headers": { "x-good": "1", "x-bad": "\u{0}" } }),
        json!({ "headers": { "Content-Length": "0" } }),
        json!({ "headers": { "content-length": "200" } }),
        json!({ "headers": { "transfer-encoding": "chunked" } }),
        json!({ "headers": { "connection": "upgrade" } }),
        json!({ "status": 0 }),
        json!({ "status": 101 }),
        json!({ "status": 600 }),
        json!({ "status": 1000 }),
    ];
    for order in broken {
        let answer = ordered(order.clone()).await;
        assert_eq!(answer.status(), 500, "{order}");
        assert!(answer.headers().get("x-good").is_none() && answer.headers().get("set-cookie").is_none(), "{order}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{order}");
        let id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        let said: Value = answer.json().await.unwrap();
        assert_eq!((&said["code"], &said["correlation_id"]), (&json!("runtime.trapped"), &json!(id)), "{order}");
        // The connection is as it was: the next answer on it is whole.
        assert_eq!(ordered(json!({})).await.bytes().await.unwrap(), "{}");
    }
    assert!(server.stop().await);
}
