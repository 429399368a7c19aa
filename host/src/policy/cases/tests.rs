use std::time::Duration;

use super::*;
use crate::engine::{Runtime, RuntimeOptions};
use crate::policy::{BASELINE, PolicyLimits};

fn suite(cases: &str) -> Result<Suite, CaseError> {
    Suite::of([("a.json", format!(r#"{{"cases": [{cases}]}}"#).as_str())], None)
}

fn baseline() -> PolicyModule {
    let runtime = Runtime::new(RuntimeOptions { slots: 1, ahead: 0, ..RuntimeOptions::default() }).unwrap();
    let limits = PolicyLimits { deadline: Duration::from_secs(5), ..PolicyLimits::default() };
    PolicyModule::load(&runtime, None, BASELINE, limits).unwrap()
}

#[test]
fn the_base_is_the_one_of_the_suite_that_every_engine_passes() {
    let theirs = include_str!("../../../../tests/policies/base.json");
    assert_eq!(serde_json::from_str::<Value>(BASE).unwrap(), serde_json::from_str::<Value>(theirs).unwrap());
}

#[test]
fn what_is_no_case_is_refused_with_its_place() {
    let fault = |cases: &str| suite(cases).unwrap_err().to_string();
    assert!(fault("{").starts_with("a.json: ") && fault("{").contains("line 1 column"), "{}", fault("{"));
    assert!(fault(r#"{"name": "x", "expect": {"effect": "maybe"}}"#).contains("maybe"));
    assert!(fault(r#"{"name": "x", "expect": {"effect": "deny"}, "exepct": 1}"#).contains("exepct"));
    let question = fault(r#"{"name": "x", "input": {"tll": 1}, "expect": {"effect": "deny"}}"#);
    assert!(question.starts_with("a.json: case \"x\": ") && question.contains("tll"), "{question}");
    let typed = fault(r#"{"name": "x", "input": {"ttl": "5m"}, "expect": {"effect": "deny"}}"#);
    assert!(typed.contains("case \"x\""), "{typed}");
    assert!(matches!(suite(""), Err(CaseError::Empty)));
    let base = Suite::of([("a.json", "{\"cases\": []}")], Some(("base.json", "{")));
    assert!(matches!(base, Err(CaseError::File { file, .. }) if file == "base.json"));
    for base in ["[]", r#"{"a":1,"a":2}"#, &crate::json::testing::bomb(300)] {
        let refused = Suite::of([("a.json", "{\"cases\": []}")], Some(("base.json", base)));
        assert!(matches!(refused, Err(CaseError::File { file, .. }) if file == "base.json"));
    }
    for input in [r#"{"ttl": 1, "ttl": 2}"#.to_owned(), format!(r#"{{"tenant": {}}}"#, crate::json::testing::bomb(45))] {
        let refused = suite(&format!(r#"{{"name": "x", "input": {input}, "expect": {{"effect": "deny"}}}}"#));
        assert!(matches!(refused, Err(CaseError::File { file, .. }) if file == "a.json"));
    }
}

#[test]
fn an_answer_that_is_another_is_shown_by_its_fields() {
    let cases = r#"{"name": "right", "expect": {"effect": "permit"}},
        {"name": "wrong", "input": {"ttl": 7}, "expect": {"effect": "permit", "ttl": 7, "scope": [], "reasons": ["a"]}},
        {"name": "quite wrong", "expect": {"effect": "step-up", "acr": "mfa"}}"#;
    let rules = ["baseline".to_owned(), "never".to_owned()];
    let report = suite(cases).unwrap().run(&baseline(), Some(&rules)).unwrap();
    assert_eq!((report.ok, report.cases, report.failures.len()), (false, 3, 2));
    let differences = |at: usize| {
        let differences = report.failures[at].differences();
        differences.into_iter().map(|(name, expected, got)| format!("{name}: {expected} {got}")).collect::<Vec<_>>()
    };
    assert_eq!(differences(0)[..2], ["scope: [] ", "ttl: 7 "]);
    assert!(differences(0)[2].starts_with("reasons: [\"a\"] ["), "{:?}", differences(0));
    assert_eq!(differences(1), ["effect: \"step-up\" \"permit\"", "acr: \"mfa\" "]);
    assert!(report.unreached.unwrap().contains(&"never".to_owned()));
}

#[test]
fn a_patch_takes_away_and_puts_in() {
    let merged = |patch: Value| {
        let mut target = serde_json::json!({"a": 1, "b": {"c": [1], "d": 2}});
        merge(&mut target, &patch);
        target
    };
    assert_eq!(merged(serde_json::json!({"a": null, "b": {"c": [2]}})), serde_json::json!({"b": {"c": [2], "d": 2}}));
    assert_eq!(merged(serde_json::json!({"b": 1, "e": {"f": null}})), serde_json::json!({"a": 1, "b": 1, "e": {}}));
    assert_eq!(merged(serde_json::json!([])), serde_json::json!([]));
}
