//! The answer from the rules that were picked is the answer of the whole set.

use std::collections::BTreeSet;
use std::str::FromStr;

use cedar_policy::PolicySet;
use cedar_policy_core::ast::PolicyID;
use cedar_policy_core::authorizer::{Authorizer, Decision};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use standin_policy_engine::{Effect, Input, Party, PolicyEngine as _};

use super::{input, load, source, with};
use crate::request::Question;
use crate::{BUILT_IN_SCHEMA, Engine};

const CLIENTS: [&str; 3] = ["Client::\"c0\"", "Client::\"c1\"", "Client::\"c2\""];
const SUBJECTS: [&str; 6] = ["User::\"u0\"", "User::\"u1\"", "Host::\"h0\"", "Envoy::\"u0\"", "Client::\"c0\"", "Client::\"c1\""];
const ABOVE: [&str; 7] =
    ["Tenant::\"t0\"", "Tenant::\"t1\"", "Tenant::\"t2\"", "Group::\"g0\"", "Group::\"g1\"", "Group::\"g2\"", "Group::\"g3\""];
const TYPES: [&str; 4] = ["User", "Host", "Envoy", "Client"];
const ACTIONS: [&str; 7] = [
    "action",
    "action == Action::\"mint\"",
    "action == Action::\"exchange\"",
    "action in Action::\"making\"",
    "action in [Action::\"mint\", Action::\"delegate\"]",
    "action in [Action::\"making\", Action::\"exchange\"]",
    "action in Action::\"delegate\"",
];
const CONDITIONS: [&str; 10] = [
    "",
    "",
    "",
    "when { context.hops > 0 }",
    "unless { resource.provisional }",
    // Fails where two have acted before.
    "when { context.hops * 9223372036854775807 > 1 }",
    "when { Group::\"g0\" in Group::\"g1\" }",
    "when { context.tenant in Group::\"g2\" }",
    "when { resource.hasTag(\"colour\") && resource.getTag(\"colour\") == \"red\" }",
    "when { Group::\"g3\".hasTag(\"colour\") }",
];

/// Mint and delegate are in a group of actions.
fn schema() -> String {
    let grouped = BUILT_IN_SCHEMA.replace("action mint appliesTo", "action making;\naction mint in [making] appliesTo");
    grouped.replace("action delegate appliesTo", "action delegate in [making] appliesTo")
}

fn principal() -> impl Strategy<Value = String> {
    let above = [&CLIENTS[..], &ABOVE[..]].concat();
    prop_oneof![
        Just("principal".to_owned()),
        Just("principal is Client".to_owned()),
        select(&CLIENTS[..]).prop_map(|uid| format!("principal == {uid}")),
        select(above.clone()).prop_map(|uid| format!("principal in {uid}")),
        select(above).prop_map(|uid| format!("principal is Client in {uid}")),
    ]
}

fn resource() -> impl Strategy<Value = String> {
    let above = [&SUBJECTS[..], &ABOVE[..]].concat();
    prop_oneof![
        Just("resource".to_owned()),
        select(&TYPES[..]).prop_map(|name| format!("resource is {name}")),
        select(&SUBJECTS[..]).prop_map(|uid| format!("resource == {uid}")),
        select(above).prop_map(|uid| format!("resource in {uid}")),
        (select(&TYPES[..]), select(&ABOVE[..])).prop_map(|(name, uid)| format!("resource is {name} in {uid}")),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    (any::<bool>(), principal(), select(&ACTIONS[..]), resource(), select(&CONDITIONS[..])).prop_map(
        |(permits, principal, action, resource, condition)| {
            let effect = if permits { "permit" } else { "forbid" };
            format!("{effect}({principal}, {action}, {resource}) {condition};\n")
        },
    )
}

/// Entities in groups; a group only in later ones, so that there is no cycle.
fn entities() -> impl Strategy<Value = String> {
    let groups = || subsequence(vec![0_usize, 1, 2, 3], 0..=3);
    let listed = [&CLIENTS[..], &SUBJECTS[..4], &ABOVE[..]].concat();
    proptest::collection::vec(proptest::option::of((groups(), any::<bool>())), listed.len()).prop_map(move |members| {
        let mut all = Vec::new();
        for (uid, member) in listed.iter().zip(members) {
            let Some((groups, tagged)) = member else { continue };
            let (name, id) = uid.trim_end_matches('"').split_once("::\"").unwrap();
            let after = id.strip_prefix('g').map_or(0, |number| number.parse::<usize>().unwrap() + 1);
            let parents: Vec<_> = groups
                .into_iter()
                .filter(|group| *group >= after)
                .map(|group| serde_json::json!({"type": "Group", "id": format!("g{group}")}))
                .collect();
            let tags = if tagged { serde_json::json!({"colour": "red"}) } else { serde_json::json!({}) };
            all.push(serde_json::json!({"uid": {"type": name, "id": id}, "attrs": {}, "parents": parents, "tags": tags}));
        }
        serde_json::Value::Array(all).to_string()
    })
}

fn party(uid: &str, tenants: Vec<&str>) -> Party {
    let (name, id) = uid.trim_end_matches('"').split_once("::\"").unwrap();
    let tenants = tenants.into_iter().map(str::to_owned).collect();
    Party { kind: name.to_lowercase(), id: id.to_owned(), tenants, provisional: false, attributes: Vec::new() }
}

fn question() -> impl Strategy<Value = Input> {
    let tenants = || subsequence(vec!["t0", "t1", "t2"], 0..=2);
    let parties = (select(&CLIENTS[..]), tenants(), select(&SUBJECTS[..]), tenants(), any::<bool>());
    let flows = select(&["local", "exchange", "delegation"][..]);
    (parties, flows, 0_usize..3, select(&["t0", "t1", "t2"][..])).prop_map(|(parties, flow, hops, tenant)| {
        let (caller, callers, subject, subjects, provisional) = parties;
        with(|input| {
            input.caller = party(caller, callers);
            input.subject = party(subject, subjects);
            input.subject.provisional = provisional;
            input.chain = vec!["client:before".to_owned(); hops];
            input.flow = flow.to_owned();
            input.tenant = tenant.to_owned();
        })
    })
}

/// Cedar's own authorizer over every policy and every entity: which determine, or that there is an error.
fn whole(engine: &Engine, policies: &str, input: &Input) -> Option<(Decision, BTreeSet<String>)> {
    let question = Question::of(input, &engine.shapes, &engine.store).unwrap();
    let set = PolicySet::from_str(policies).unwrap();
    let entities = question.all_entities(&engine.store);
    let response = Authorizer::new().is_authorized(question.request.clone(), set.as_ref(), &entities);
    let id = |id: &PolicyID| {
        let number: usize = id.to_string().strip_prefix("policy").unwrap().parse().unwrap();
        format!("p.cedar#{}", number + 1)
    };
    let determining = response.diagnostics.reason.iter().map(id).collect();
    response.diagnostics.errors.is_empty().then_some((response.decision, determining))
}

fn picked(engine: &Engine, input: &Input) -> Option<(Decision, BTreeSet<String>)> {
    let verdict = engine.evaluate(input).ok()?;
    let rules = verdict.reasons.into_iter().map(|reason| reason.rule).filter(|rule| rule != "default").collect();
    Some(match verdict.effect {
        Effect::Permit(_) => (Decision::Allow, rules),
        Effect::Deny => (Decision::Deny, rules),
        Effect::StepUp(acr) => panic!("stepped up to {acr}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_picked_answer_is_the_whole_sets(
        policies in proptest::collection::vec(policy(), 1..24),
        entities in entities(),
        questions in proptest::collection::vec(question(), 8),
    ) {
        let policies = policies.concat();
        let sources = [("p.cedar", policies.clone()), ("entities.json", entities), ("s.cedarschema", schema())];
        let engine = Engine::load(&sources.map(|(name, content)| source(name, &content)));
        // What the validator finds impossible is no bundle.
        let Ok(engine) = engine else { return Err(TestCaseError::reject("not valid")) };
        for question in &questions {
            prop_assert_eq!(picked(&engine, question), whole(&engine, &policies, question));
        }
    }
}

#[test]
fn what_cannot_match_is_not_picked() {
    let mut policies: String =
        (0..1000).map(|id| format!("permit(principal, action, resource in Tenant::\"t{id}\");\n")).collect();
    policies +=
        "permit(principal, action, resource in Tenant::\"acme\"); permit(principal, action == Action::\"exchange\", resource);";
    let engine = load(&[("p.cedar", &policies)]);
    let input = input();
    let question = Question::of(&input, &engine.shapes, &engine.store).unwrap();
    assert_eq!(engine.index.pick(question.action, &question.principal, &question.resource), [1000]);
}
