//! What stands in an event, and what cannot get in.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::approval::Purpose;
use crate::approval::testing::{API, DIGEST, NOW, World};
use crate::evidence::{Stage, TokenRole};

fn read(event: &Event) -> Value {
    assert!(!event.json.contains(['\n', '\r']));
    serde_json::from_str(&event.json).unwrap()
}

fn signed(detail: &str) -> Result<Event, RecordError> {
    let mut world = World::user();
    world.examine().unwrap();
    let mut claims = world.claims();
    claims["account_id"] = json!("a-1");
    let mut approval = world.approve();
    let covered = approval.cover(Purpose::AccessToken, &claims.to_string(), NOW, "abcdefghijklmnopqrstuv").unwrap();
    world.evidence.stages.end(Stage::Authenticate, Duration::from_micros(3));
    minted("corr-1", &world.evidence, &approval, &covered, detail)
}

#[test]
fn a_minted_token_is_recorded_with_all_that_was_asked() {
    let detail = r#"{"outcome":"permit",  "asked":{"ttl":3}}"#;
    let event = signed(detail).unwrap();
    assert!(event.json.ends_with(r#""detail":{"asked":{"ttl":3},"outcome":"permit"}}"#), "{}", event.json);
    assert_eq!(event.anonymous, None);
    let event = read(&event);
    let expected = json!({
        "event": "attempt", "outcome": "permit", "correlation_id": "corr-1", "requester": "svc-router",
        "target": "user:acme:u-1", "obo_type": "user", "tenant": "acme", "account_id": "a-1", "jti": "abcdefghijklmnopqrstuv",
        "flow": "local", "chain": [], "lineage": [], "policy": DIGEST,
        "granted": { "scope": ["read"], "audience": [API], "ttl": 300, "expires_at": NOW + 300, "provisional": false },
        "rules": [{ "rule": "r1", "text": "registered" }],
        "asked": {
            "caller": {
                "kind": "client", "id": "client:svc-router", "tenants": ["acme"], "provisional": false,
                "attributes": [{ "name": "team", "value": "\"edge\"" }],
            },
            "subject": {
                "kind": "user", "id": "user:acme:u-1", "tenants": ["acme"], "provisional": false,
                "attributes": [{ "name": "protected", "value": "false" }, { "name": "department", "value": "\"sales\"" }],
            },
            "chain": [], "tenant": "acme", "audience": [API], "scope": ["read"], "ttl": 300, "flow": "local", "step": null,
            "now": NOW, "attributes": [],
        },
        "stages_us": { "authenticate": 3 },
        "detail": { "outcome": "permit", "asked": { "ttl": 3 } },
    });
    assert_eq!(event, expected);
}

#[rstest]
#[case("")]
#[case("[]")]
#[case("null")]
#[case("{")]
#[case("{}x")]
#[case("{\"a\":\n1}")]
#[case("{}\r")]
#[case("{\"a\":\"\\ud800\"}")]
#[case("{\"a\":[\"\\udc00\\ud800\"]}")]
#[case("{\"\\udfff\":1}")]
#[case("{\"a\":1,\"a\":2}")]
#[case("{\"a\":1e999}")]
#[case("{\"a\":01}")]
#[case("{\"a\":\"\t\"}")]
#[case(" {}")]
fn a_malformed_detail_stops_the_signature(#[case] detail: &str) {
    assert_eq!(signed(detail), Err(RecordError::Malformed));
    assert_eq!(attempt("corr-1", &Evidence::default(), detail), Err(RecordError::Malformed));
}

#[test]
fn a_long_or_deep_detail_stops_the_signature() {
    let nested = |depth: u8| {
        let inner = usize::from(depth - 1);
        format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
    };
    assert_eq!(signed(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_DETAIL))), Err(RecordError::Malformed));
    assert_eq!(signed(&nested(MAX_DEPTH + 1)), Err(RecordError::Malformed));
    signed(&nested(MAX_DEPTH)).unwrap();
    signed("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"{{\"}").unwrap();
}

#[test]
fn a_strangers_attempt_is_counted_by_its_code() {
    let event = attempt("corr-1", &Evidence::default(), r#"{"outcome":"deny","code":"caller.invalid","requester":"svc-router"}"#);
    let event = event.unwrap();
    assert_eq!(event.anonymous.as_deref(), Some("caller.invalid"));
    let event = read(&event);
    assert_eq!(
        (&event["requester"], &event["outcome"], &event["code"]),
        (&json!(null), &json!("deny"), &json!("caller.invalid"))
    );
}

#[test]
fn a_known_callers_attempt_is_written_with_the_last_decision() {
    let mut world = World::user();
    world.examine().unwrap();
    let decision = std::sync::Arc::new(world.approve().decision().clone());
    world.evidence.decided(std::sync::Arc::clone(&decision));
    world.evidence.decided(decision);
    world.evidence.refused("sub is not the approved subject".into());
    let event = attempt("corr-1", &world.evidence, r#"{"outcome":"fail","code":"audit.unavailable"}"#).unwrap();
    assert_eq!(event.anonymous, None);
    let event = read(&event);
    assert_eq!(event["requester"], "svc-router");
    assert_eq!(event["decision"]["policy"], DIGEST);
    assert_eq!(event["decision"]["effect"], json!({ "permit": { "scope": null, "audience": null, "ttl": null } }));
    assert_eq!(event["decision"]["asked"]["subject"]["id"], "user:acme:u-1");
    // What it tried before is not forgotten.
    assert_eq!(event["earlier_decisions"].as_array().unwrap().len(), 1);
    assert_eq!(event["refused_signatures"], json!(["sub is not the approved subject"]));
}

#[test]
fn a_caller_with_a_verified_token_is_a_stranger_until_a_client_names_it() {
    let mut evidence = Evidence::default();
    let claims = json!({ "sub": "router", "jti": "not-recorded" }).as_object().unwrap().clone();
    evidence.saw_token(TokenRole::Caller, "https://callers.example.com", "name-of-the-callers", Some("jwt"), claims);
    let event = host_failure("corr-1", &evidence, "runtime.trap").unwrap();
    assert_eq!(event.anonymous.as_deref(), Some("runtime.trap"));
    assert!(!event.json.contains("not-recorded"));
    assert_eq!(read(&event)["requester"], json!({ "iss": "https://callers.example.com", "sub": "router" }));

    assert_eq!(evidence.requester(), None);
    evidence.saw_identity("svc-router");
    let event = host_failure("corr-1", &evidence, "runtime.trap").unwrap();
    assert_eq!((event.anonymous.clone(), &read(&event)["requester"]), (None, &json!("svc-router")));
}

#[test]
fn whose_secret_a_stranger_tried_is_written() {
    let mut evidence = Evidence::default();
    evidence.saw_wrong_secret("svc-router");
    let event = host_failure("corr-1", &evidence, "caller.invalid").unwrap();
    assert_eq!((&read(&event)["requester"], &read(&event)["tried"]), (&json!(null), &json!("svc-router")));
    evidence.saw_wrong_secret("not an id\n");
    assert_eq!(read(&host_failure("corr-1", &evidence, "caller.invalid").unwrap()).get("tried"), None);
    evidence.saw_caller("svc-router");
    assert_eq!(read(&host_failure("corr-1", &evidence, "caller.invalid").unwrap()).get("tried"), None);
}

#[test]
fn a_dry_run_needs_no_code() {
    let event = attempt("corr-1", &World::user().evidence, r#"{"outcome":"explain"}"#).unwrap();
    assert_eq!(read(&event)["outcome"], "explain");
}

#[test]
fn the_host_records_its_own_failures() {
    let event = host_failure("corr-1", &Evidence::default(), "runtime.shed").unwrap();
    assert_eq!(event.anonymous.as_deref(), Some("runtime.shed"));
    assert_eq!(
        read(&event),
        json!({ "event": "attempt", "outcome": "fail", "code": "runtime.shed", "correlation_id": "corr-1", "requester": null })
    );
    assert_eq!(host_failure("corr-1", &Evidence::default(), "Not A Code"), Err(RecordError::Code));
}

#[rstest]
#[case(r#"{"code":"a.b"}"#, RecordError::Outcome)]
#[case(r#"{"outcome":"permit","code":"a.b"}"#, RecordError::Outcome)]
#[case(r#"{"outcome":1,"code":"a.b"}"#, RecordError::Malformed)]
#[case(r#"{"outcome":"deny","outcome":"fail","code":"a.b"}"#, RecordError::Malformed)]
#[case(r#"{"outcome":"deny"}"#, RecordError::Code)]
#[case(r#"{"outcome":"deny","code":""}"#, RecordError::Code)]
#[case(r#"{"outcome":"deny","code":"a b"}"#, RecordError::Code)]
#[case(r#"{"outcome":"deny","code":"ABC"}"#, RecordError::Code)]
fn an_event_says_how_it_ended(#[case] detail: &str, #[case] why: RecordError) {
    assert_eq!(attempt("corr-1", &World::user().evidence, detail), Err(why));
}

#[rstest]
#[case("mint.not_released")]
#[case("runtime.unrecorded")]
#[case("runtime.trapped")]
#[case("runtime.timed_out")]
#[case("runtime.overloaded")]
fn what_only_the_host_may_say_is_not_taken_from_the_component(#[case] code: &str) {
    for outcome in ["deny", "fail", "explain"] {
        let detail = json!({ "outcome": outcome, "code": code }).to_string();
        assert_eq!(attempt("corr-1", &World::user().evidence, &detail), Err(RecordError::Code));
    }
    host_failure("corr-1", &World::user().evidence, code).unwrap();
}

#[test]
fn what_the_component_says_is_written_anew() {
    let detail = r#"{"outcome":"deny","code":"a","text":"\u0041\ud83d\ude00\u0000\/","list":[ 1.0 , 1e2 ]}"#;
    let event = attempt("corr-1", &Evidence::default(), detail).unwrap();
    let expected = "\"detail\":{\"code\":\"a\",\"list\":[1.0,100.0],\"outcome\":\"deny\",\"text\":\"A😀\\u0000/\"}}";
    assert!(event.json.ends_with(expected), "{}", event.json);
}

#[test]
fn nothing_an_event_says_breaks_its_line() {
    let event = attempt("a\n\"b\u{2028}", &Evidence::default(), r#"{"outcome":"deny","code":"a"}"#).unwrap();
    assert_eq!(read(&event)["correlation_id"], "a\n\"b\u{2028}");
}
