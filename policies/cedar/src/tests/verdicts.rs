//! What satisfied, forbidding and failing policies come to.

use standin_policy_engine::{Allowance, Effect, PolicyEngine as _, Reason};

use super::{engine, fact, input, load, rules, with};

const PERMIT: &str = "@id(\"all\") @reason(\"everybody may\") permit(principal, action, resource);";
/// Fails for every request: the product exceeds an integer.
const OVERFLOW: &str = "context.now * 9223372036854775807 == 1";

fn effect(policies: &str) -> Effect {
    engine(policies).evaluate(&input()).unwrap().effect
}

fn allowance(scope: Option<&[&str]>, audience: Option<&[&str]>, ttl: Option<u32>) -> Effect {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Effect::Permit(Allowance { scope: scope.map(texts), audience: audience.map(texts), ttl })
}

#[test]
fn a_permit_without_limits_has_no_opinion_of_limits() {
    let verdict = engine(PERMIT).evaluate(&input()).unwrap();
    assert_eq!(verdict.effect, Effect::Permit(Allowance::default()));
    assert_eq!(verdict.reasons, [Reason { rule: "all".into(), text: "everybody may".into() }]);
}

#[test]
fn without_a_permit_it_is_denied() {
    for policies in [
        "",
        "forbid(principal, action, resource) when { context.hops > 0 };",
        "permit(principal == Client::\"x\", action, resource);",
    ] {
        let verdict = engine(policies).evaluate(&input()).unwrap();
        assert_eq!(verdict.effect, Effect::Deny);
        assert_eq!(verdict.reasons, [Reason { rule: "default".into(), text: "no policy permits it".into() }]);
    }
}

#[test]
fn a_forbid_wins_and_only_forbids_are_named() {
    let policies =
        format!("{PERMIT}\n\n@id(\"z\") forbid(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);");
    let verdict = engine(&policies).evaluate(&input()).unwrap();
    assert_eq!(verdict.effect, Effect::Deny);
    let reason = |rule: &str, text: &str| Reason { rule: rule.into(), text: text.into() };
    assert_eq!(verdict.reasons, [reason("a", "p.cedar:4"), reason("z", "p.cedar:3")]);
}

#[test]
fn a_policy_without_an_id_is_named_by_its_place() {
    let bundle = [
        ("b.cedar", "permit(principal, action, resource);"),
        ("a.cedar", "\npermit(principal, action, resource);\npermit(principal, action, resource);"),
    ];
    let verdict = load(&bundle).evaluate(&input()).unwrap();
    assert_eq!(rules(&verdict), ["a.cedar#1", "a.cedar#2", "b.cedar#1"]);
    assert_eq!(verdict.reasons[1].text, "a.cedar:3");
}

#[test]
fn whatever_fails_denies() {
    for (failing, other) in
        [("forbid", PERMIT), ("permit", PERMIT), ("permit", ""), ("forbid", "forbid(principal, action, resource);")]
    {
        let policies = format!("@id(\"fails\") {failing}(principal, action, resource) when {{ {OVERFLOW} }};\n{other}");
        let failure = engine(&policies).evaluate(&input()).unwrap_err();
        assert!(failure.to_string().starts_with("policy `fails` failed: "), "{failure}");
    }
}

#[test]
fn what_cannot_match_cannot_fail() {
    let policies = format!("{PERMIT} forbid(principal == Client::\"client:other\", action, resource) when {{ {OVERFLOW} }};");
    assert_eq!(effect(&policies), Effect::Permit(Allowance::default()));
}

#[test]
fn every_failure_is_named_in_order_and_within_bounds() {
    let mut policies = String::new();
    for id in (0..200).rev() {
        policies += &format!("@id(\"{id:03}\") permit(principal, action, resource) when {{ {OVERFLOW} }};\n");
    }
    let failure = engine(&policies).evaluate(&input()).unwrap_err().to_string();
    assert!(failure.starts_with("policy `000` failed: "));
    assert!(failure.contains("; policy `001` failed: "));
    assert!(failure.len() <= 1024);
}

#[test]
fn every_permit_that_applies_limits() {
    let limited = |limits: &[&str]| {
        let policies = limits.iter().map(|limits| format!("{limits} permit(principal, action, resource);\n"));
        effect(&policies.collect::<String>())
    };
    assert_eq!(limited(&["@scope(\"b a\")"]), allowance(Some(&["a", "b"]), None, None));
    assert_eq!(limited(&["@scope(\"a b\")", "@scope(\"b c\")"]), allowance(Some(&["b"]), None, None));
    assert_eq!(limited(&["@scope(\"a\")", "@scope(\"b\")"]), allowance(Some(&[]), None, None));
    assert_eq!(limited(&["@scope(\"a\")", ""]), allowance(Some(&["a"]), None, None));
    assert_eq!(limited(&["@max_ttl(\"5m\")", "@max_ttl(\"90s\")", ""]), allowance(None, None, Some(90)));
    assert_eq!(limited(&["@audience(\"x y\")", "@audience(\"y\")"]), allowance(None, Some(&["y"]), None));
    assert_eq!(
        limited(&["@audience(\"x\") @scope(\"a\")", "@max_ttl(\"1h\")"]),
        allowance(Some(&["a"]), Some(&["x"]), Some(3600))
    );
}

#[test]
fn a_permit_that_does_not_apply_limits_nothing() {
    let policies = format!("{PERMIT} @scope(\"a\") permit(principal, action, resource) when {{ context.hops > 0 }};");
    assert_eq!(effect(&policies), Effect::Permit(Allowance::default()));
}

#[test]
fn a_step_up_is_asked_for_until_it_is_reached() {
    let engine = engine(&format!("{PERMIT} @id(\"s\") @step_up(\"mfa\") @max_ttl(\"1m\") permit(principal, action, resource);"));
    let verdict = engine.evaluate(&input()).unwrap();
    assert_eq!(verdict.effect, Effect::StepUp("mfa".into()));
    assert_eq!(rules(&verdict), ["s"]);
    let reached = |acr: &str| engine.evaluate(&with(|input| input.subject.attributes = vec![fact("acr", acr)])).unwrap();
    assert_eq!(reached("pwd").effect, Effect::StepUp("mfa".into()));
    assert_eq!(reached("mfa").effect, allowance(None, None, Some(60)));
    assert_eq!(rules(&reached("mfa")), ["all", "s"]);
}

#[test]
fn nobody_but_the_host_says_that_a_step_up_is_reached() {
    let engine = engine("@step_up(\"mfa\") permit(principal, action, resource);");
    let asked = with(|input| {
        input.attributes = vec![fact("edge.acr", "mfa"), fact("acr", "mfa")];
        input.caller.attributes = vec![fact("acr", "mfa")];
    });
    assert_eq!(engine.evaluate(&asked).unwrap().effect, Effect::StepUp("mfa".into()));
}

#[test]
fn of_several_step_ups_the_first_by_name_is_asked_for() {
    let policies = "@step_up(\"b\") permit(principal, action, resource); @step_up(\"a\") permit(principal, action, resource);";
    assert_eq!(effect(policies), Effect::StepUp("a".into()));
    let forbidden = format!("{policies} forbid(principal, action, resource);");
    assert_eq!(effect(&forbidden), Effect::Deny);
}

#[test]
fn reasons_are_no_more_than_the_host_takes() {
    for (policies, named) in [(64, 64), (65, 64), (300, 64)] {
        let text: String = (0..policies).map(|id| format!("@id(\"{id:03}\") permit(principal, action, resource);\n")).collect();
        let verdict = engine(&text).evaluate(&input()).unwrap();
        assert_eq!(verdict.reasons.len(), named);
        let last = verdict.reasons.last().unwrap();
        assert_eq!(last.text.starts_with("and "), policies > 64, "{last:?}");
    }
}

#[test]
fn flows_are_actions() {
    let policies = ["mint", "exchange", "delegate"]
        .map(|action| format!("@id(\"{action}\") permit(principal, action == Action::\"{action}\", resource);"));
    let engine = engine(&policies.join("\n"));
    for (flow, action) in [
        ("local", "mint"),
        ("none", "mint"),
        ("exchange", "exchange"),
        ("client-credentials", "exchange"),
        ("delegation", "delegate"),
    ] {
        assert_eq!(rules(&engine.evaluate(&with(|input| input.flow = flow.into())).unwrap()), [action]);
    }
    let failure = engine.evaluate(&with(|input| input.flow = "teleport".into())).unwrap_err();
    assert_eq!(failure.to_string(), "`teleport` is no flow");
}

#[test]
fn the_same_question_has_the_same_answer() {
    let policies: String = (0..40)
        .map(|id| format!("@id(\"{id}\") @scope(\"a b c s{}\") permit(principal, action, resource) when {{ context.scope.contains(\"expenses:read\") }};\n", id % 3))
        .collect();
    let first = engine(&policies).evaluate(&input()).unwrap();
    for _ in 0..20 {
        let engine = engine(&policies);
        assert_eq!(engine.evaluate(&input()).unwrap(), first);
        assert_eq!(engine.evaluate(&input()).unwrap(), first);
    }
}

#[test]
fn what_the_validator_accepts_the_evaluator_knows() {
    let policy = "permit(principal, action, resource) when { ip(\"10.1.2.3\").isInRange(ip(\"10.0.0.0/8\")) };";
    assert_eq!(effect(policy), Effect::Permit(Allowance::default()));
}
