//! What the rules come to.

use rstest::rstest;
use serde_json::json;
use standin_policy_engine::{Allowance, Attribute, Effect, Failure, Input, PolicyEngine as _, Reason, Source, Verdict};

use crate::Engine;

fn evaluate(policies: &str, input: &Input) -> Result<Verdict, Failure> {
    let content = format!("package standin\n{policies}\n");
    let engine = Engine::load(&[Source { name: "p.rego".into(), content }]);
    engine.unwrap_or_else(|faults| panic!("{faults:#?}")).evaluate(input)
}

fn verdict(policies: &str) -> Verdict {
    evaluate(policies, &Input::rehearsal()).unwrap()
}

fn failure(policies: &str) -> String {
    evaluate(policies, &Input::rehearsal()).unwrap_err().to_string()
}

fn reason(rule: &str, text: &str) -> Reason {
    Reason { rule: rule.into(), text: text.into() }
}

fn fact(name: &str, value: serde_json::Value) -> Attribute {
    Attribute { name: name.into(), value: value.to_string() }
}

fn asked(edit: impl FnOnce(&mut Input)) -> Input {
    let mut input = Input::rehearsal();
    edit(&mut input);
    input
}

#[test]
fn a_permit_without_limits_has_no_opinion_of_limits() {
    let permitted = verdict("allow := true");
    assert_eq!(permitted.effect, Effect::Permit(Allowance::default()));
    assert_eq!(permitted.reasons, [reason("allow", "`allow` is true")]);
}

#[rstest]
#[case::undefined("allow if input.ttl > 9")]
#[case::default_value("default allow := false\nallow if input.ttl > 9")]
#[case::is_false("allow := false")]
#[case::step_up_alone("allow if input.ttl > 9\nstep_up := \"mfa\"")]
fn without_allow_it_is_denied(#[case] policies: &str) {
    assert_eq!(verdict(policies), Verdict::default_deny());
}

/// The engine that is packed counts with 32 bits.
#[rstest]
#[case::slice("array.slice([\"a\", \"b\"], input.edge.n, 2) == [\"b\"]")]
#[case::find("count(regex.find_n(\"a\", \"aaa\", input.edge.n)) == 1")]
#[case::get("object.get({\"list\": [\"a\", \"b\"]}, [\"list\", input.edge.n], \"none\") == \"b\"")]
#[case::text("substring(\"ab\", input.edge.n, 1) == \"b\"")]
fn a_place_of_more_than_32_bits_fails(#[case] condition: &str) {
    let decide = |number: u64| {
        let input = asked(|input| input.attributes = vec![fact("edge.n", json!(number))]);
        evaluate(&format!("allow if {condition}"), &input)
    };
    assert!(matches!(decide(1).unwrap().effect, Effect::Permit(_)));
    for number in [1 << 31, (1 << 32) + 1, (1 << 53) + 1, (1 << 63) + 1] {
        let failed = decide(number).unwrap_err().to_string();
        assert!(failed.contains("1000000000") || failed.contains("64-bit"), "{failed}");
    }
}

#[test]
fn a_denial_wins_and_says_why() {
    let policies = "allow := true\nstep_up := \"mfa\"\nreasons contains \"r\"\n\
                    deny contains \"no\"\ndeny contains {\"rule\": \"a\", \"text\": \"never\"}\ndeny contains {\"rule\": \"b\"}";
    let denied = verdict(policies);
    assert_eq!(denied.effect, Effect::Deny);
    assert_eq!(denied.reasons, [reason("a", "never"), reason("b", "b"), reason("no", "no")]);
    assert_eq!(verdict("allow := true\ndeny := [\"no\"]").effect, Effect::Deny);
    assert!(matches!(verdict("allow := true\ndeny contains \"no\" if input.ttl > 9").effect, Effect::Permit(_)));
}

#[test]
fn limits_are_sorted_and_lifetimes_have_two_forms() {
    let limits = |scope: &str, ttl: &str| {
        let policies = format!("allow := true\nscope := {scope}\naudience contains \"x\"\nmax_ttl := {ttl}");
        verdict(&policies).effect
    };
    let expected = |scope: &[&str], ttl| {
        let scope = Some(scope.iter().map(|scope| (*scope).to_owned()).collect());
        Effect::Permit(Allowance { scope, audience: Some(vec!["x".into()]), ttl: Some(ttl) })
    };
    assert_eq!(limits("[\"b\", \"a\", \"b\"]", "300"), expected(&["a", "b"], 300));
    assert_eq!(limits("{\"b\", \"a\"}", "\"5m\""), expected(&["a", "b"], 300));
    assert_eq!(limits("[]", "round(600 / 2)"), expected(&[], 300));
}

#[rstest]
#[case("allow := \"yes\"", "`allow` is neither")]
#[case("allow := null", "`allow` is neither")]
#[case("allow := true\nscope := \"a\"", "`scope` is no set")]
#[case("allow := true\nscope := [1]", "`scope` is no set")]
#[case("allow := true\nscope contains \"a b\"", "`scope` is no set")]
#[case("allow := true\nscope := numbers.range(1, 129)", "`scope` is no set")]
#[case("allow := true\naudience := {\"a\": 1}", "`audience` is no set")]
#[case("allow := true\naudience contains \"\"", "`audience` is no set")]
#[case("allow := true\nmax_ttl := 0", "`max_ttl` is no whole number")]
#[case("allow := true\nmax_ttl := -1", "`max_ttl` is no whole number")]
#[case("allow := true\nmax_ttl := 1.5", "`max_ttl` is no whole number")]
#[case("allow := true\nmax_ttl := 4294967296", "`max_ttl` is no whole number")]
#[case("allow := true\nmax_ttl := \"5 minutes\"", "`max_ttl` is no whole number")]
#[case("allow := true\nmax_ttl := true", "`max_ttl` is no whole number")]
#[case("allow := true\nstep_up := true", "`step_up` is no string")]
#[case("allow := true\nstep_up := \"\"", "`step_up` is no string")]
#[case("allow := true\nreasons := \"r\"", "`reasons` is no set")]
#[case("allow := true\nreasons contains 1", "`reasons` is no set")]
#[case("allow := true\nreasons contains {\"text\": \"x\"}", "`reasons` is no set")]
#[case("allow := true\nreasons contains {\"rule\": \"x\", \"text\": 1}", "`reasons` is no set")]
#[case("allow := true\nreasons contains {\"rule\": \"\"}", "`reasons` is no set")]
#[case("allow := true\ndeny := true", "`deny` is no set")]
#[case("allow := true\ndeny contains {\"msg\": \"no\"}", "`deny` is no set")]
#[case("allow := false\nmax_ttl := 0", "`max_ttl` is no whole number")]
#[case("allow := true\ndeny contains \"no\"\nscope := 1", "`scope` is no set")]
fn a_value_of_another_type_is_an_error(#[case] policies: &str, #[case] says: &str) {
    assert!(failure(policies).contains(says), "{}", failure(policies));
}

#[rstest]
#[case::two_values("allow := true\nmax_ttl := 1 if input.ttl > 0\nmax_ttl := 2 if input.ttl > 0", "")]
#[case::division("allow if floor(1 / (input.ttl - 1)) > 0", "p.rego:2: ")]
#[case::builtin("allow := true\ndeny contains \"no\" if to_number(input.tenant) > 1", "p.rego:3: ")]
#[case::format(
    "allow := true\ndeny contains \"p\" if sprintf(concat(\"\", [\"%.2\", \"s\"]), [input.tenant]) == \"ac\"",
    "p.rego:3: `sprintf`: "
)]
#[case::pattern(
    "allow := true\ndeny contains \"p\" if regex.match(concat(\"\", [\"(?i)\", input.tenant]), \"T\")",
    "p.rego:3: `regex.match`: "
)]
#[case::argument(
    "allow := true\ndeny contains \"p\" if startswith(input.ttl, \"a\")",
    "p.rego:3: `startswith`: argument 1 is not a string"
)]
#[case::behind_a_denial("allow if to_number(input.tenant) > 1\ndeny contains \"no\"", "p.rego:2: ")]
#[case::recursion("allow if x\nx if y\ny if x", "p.rego:3: recursion")]
#[case::function_of_two_values("allow if f(1) == 1\nf(x) := 1 if x > 0\nf(x) := 2 if x > 0", "")]
fn whatever_fails_denies(#[case] policies: &str, #[case] says: &str) {
    assert!(failure(policies).starts_with(says), "{}", failure(policies));
}

#[test]
fn a_step_up_is_asked_for_until_it_is_reached() {
    let policies = "allow := true\nstep_up := \"mfa\"\nmax_ttl := 60";
    let said = verdict(policies);
    assert_eq!(said.effect, Effect::StepUp("mfa".into()));
    assert_eq!(said.reasons, [reason("step_up", "the user has to authenticate more strongly")]);
    let reached = |edit: fn(&mut Input)| evaluate(policies, &asked(edit)).unwrap().effect;
    assert!(matches!(reached(|input| input.subject.attributes = vec![fact("acr", json!("mfa"))]), Effect::Permit(_)));
    assert!(matches!(reached(|input| input.subject.attributes = vec![fact("acr", json!("pwd"))]), Effect::StepUp(_)));
    // Nobody but the host says that it is.
    assert!(matches!(reached(|input| input.caller.attributes = vec![fact("acr", json!("mfa"))]), Effect::StepUp(_)));
    assert!(matches!(reached(|input| input.attributes = vec![fact("edge.acr", json!("mfa"))]), Effect::StepUp(_)));
}

#[test]
fn reasons_are_no_more_and_no_longer_than_the_host_takes() {
    let many = verdict("allow := true\nreasons := [sprintf(\"%d\", [n]) | some n in numbers.range(1, 300)]");
    assert_eq!((many.reasons.len(), many.reasons[63].text.as_str()), (64, "and 237 more policies"));
    let long = verdict("allow := true\nreasons contains concat(\"\", [\"ä\" | some n in numbers.range(1, 300)])");
    assert_eq!(long.reasons[0].text.chars().count(), 256);
}

#[test]
fn what_was_asked_before_leaves_nothing() {
    let content = "package standin\nallow if input.ttl > 1\nreasons contains input.tenant\n".to_owned();
    let engine = Engine::load(&[Source { name: "p.rego".into(), content }]).unwrap();
    let ask =
        |ttl: u32, tenant: &str| engine.evaluate(&asked(|input| (input.ttl, input.tenant) = (ttl, tenant.to_owned()))).unwrap();
    let first = ask(2, "a");
    assert_eq!(first.reasons, [reason("a", "a")]);
    assert_eq!(ask(1, "b"), Verdict::default_deny());
    assert_eq!(ask(2, "a"), first);
}

#[test]
fn helpers_data_and_packages_are_read() {
    let sources = [
        (
            "a.rego",
            "package standin\nimport data.lib.here\nallow if {\n\there(input.tenant)\n\tinput.tenant in data.lib.tenants\n}",
        ),
        ("lib/here.rego", "package lib\nhere(name) if name in data.tenants"),
        ("data.json", "{\"tenants\": [\"tenant\"]}"),
        ("lib/data.json", "{\"tenants\": [\"tenant\"]}"),
    ];
    let sources = sources.map(|(name, content)| Source { name: name.into(), content: content.into() });
    let engine = Engine::load(&sources).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert!(matches!(engine.evaluate(&Input::rehearsal()).unwrap().effect, Effect::Permit(_)));
}
