//! What policies see of a request.

use rstest::rstest;
use serde_json::{Value, json};
use standin_policy_engine::{Attribute, Input};

use crate::document::{self, DocumentError};

fn fact(name: &str, value: &Value) -> Attribute {
    Attribute { name: name.into(), value: value.to_string() }
}

fn document(edit: impl FnOnce(&mut Input)) -> Result<Value, DocumentError> {
    let mut input = Input::rehearsal();
    edit(&mut input);
    document::of(&input).map(|document| serde_json::from_str(&document.to_json_str().unwrap()).unwrap())
}

/// The example of `docs/rego.md` is what an engine sees.
#[test]
fn the_document_is_as_described() {
    let page = include_str!("../../../../docs/rego.md");
    let example: Value = serde_json::from_str(page.split("```json\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
    let seen = document(|input| {
        input.caller.id = "client:router".into();
        input.caller.tenants = vec!["acme".into(), "globex".into()];
        input.caller.attributes = Vec::new();
        input.subject.id = "user:globex:bob".into();
        input.subject.tenants = vec!["globex".into()];
        input.subject.attributes = vec![
            fact("protected", &json!(false)),
            fact("acr", &json!("urn:acme:acr:mfa")),
            fact("auth_time", &json!(1_768_386_000)),
            fact("roles", &json!("approver")),
            fact("department", &json!("finance")),
            fact("provisional", &json!("what the directory says does not count")),
        ];
        input.chain = vec!["client:portal".into()];
        input.tenant = "globex".into();
        input.audience = vec!["https://api.example.com".into()];
        input.scope = vec!["expenses:read".into(), "expenses:write".into()];
        input.ttl = 300;
        input.step = Some("approve-expense".into());
        input.now = 1_768_386_600;
        input.attributes = vec![
            fact("cross_tenant.from", &json!("acme")),
            fact("edge.country", &json!("DE")),
            fact("edge.device", &json!({"managed": true, "risk": 0.2})),
        ];
    });
    assert_eq!(seen.unwrap(), example);
}

#[test]
fn what_is_not_there_is_not_there() {
    let seen = document(|input| input.attributes.clear()).unwrap();
    assert_eq!((seen.get("step"), &seen["edge"], &seen["attributes"]), (None, &json!({}), &json!({})));
}

#[test]
fn unknown_kinds_and_flows_are_errors() {
    let kind = |error: &str| DocumentError::Kind(error.into());
    assert_eq!(document(|input| input.caller.kind = "robot".into()).unwrap_err(), kind("robot"));
    assert_eq!(document(|input| input.subject.kind = String::new()).unwrap_err(), kind(""));
    assert_eq!(document(|input| input.flow = "teleport".into()).unwrap_err(), DocumentError::Flow("teleport".into()));
}

#[rstest]
#[case("protected", json!("no"), "true or false")]
#[case("acr", json!(2), "a string")]
#[case("issuer", json!(null), "a string")]
#[case("auth_time", json!(1.5), "an integer")]
#[case("auth_time", json!("1"), "an integer")]
#[case("auth_time", json!(1_u64 << 50), "an integer")]
#[case("groups", json!([1]), "a list of strings")]
#[case("roles", json!({}), "a list of strings")]
#[case("amr", json!(null), "a list of strings")]
fn a_known_fact_of_another_type_is_an_error(#[case] name: &str, #[case] value: Value, #[case] expected: &'static str) {
    let wrong = Err(DocumentError::Fact { name: name.into(), expected });
    assert_eq!(document(|input| input.subject.attributes = vec![fact(name, &value)]), wrong);
    assert_eq!(document(|input| input.caller.attributes = vec![fact(name, &value)]), wrong);
    // What the edge says has no known types.
    assert!(document(|input| input.attributes = vec![fact(&format!("edge.{name}"), &value)]).is_ok());
}

#[test]
fn a_number_that_loses_digits_is_an_error() {
    for number in ["12345678901234567890123", "0.1234567890123456789", "1e400", "[{\"a\": -0}]"] {
        let fact = Attribute { name: "edge.x".into(), value: number.into() };
        assert_eq!(document(|input| input.attributes = vec![fact]), Err(DocumentError::Number("edge.x".into())), "{number}");
    }
    for number in ["1.0", "0.1", "-9223372036854775808", "18446744073709551615", "1e3", "\"12345678901234567890123\"", "0"] {
        let fact = Attribute { name: "edge.x".into(), value: number.into() };
        assert!(document(|input| input.attributes = vec![fact]).is_ok(), "{number}");
    }
}

#[test]
fn a_crossing_is_a_string_and_every_fact_is_json() {
    let wrong = |name: &str, expected| Err(DocumentError::Fact { name: name.into(), expected });
    let crossing = vec![fact("cross_tenant.from", &json!(["acme"]))];
    assert_eq!(document(|input| input.attributes = crossing), wrong("cross_tenant.from", "a string"));
    for name in ["x", "edge.x"] {
        let broken = vec![Attribute { name: name.into(), value: "{".into() }];
        assert_eq!(document(|input| input.attributes = broken), wrong(name, "JSON"));
    }
}
