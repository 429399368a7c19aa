//! The sources of a policy in Rego, up to what `standin policy pack` packs; and Open Policy Agent's reading of the same.

mod opa;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use standin_policy_engine::{Attribute, Effect, Input, Party, PolicyEngine as _, Reason, Source, Verdict};
use standin_policy_rego::Engine;

use self::opa::Outcome;
use crate::sources;

/// The rules that are asked (docs/rego.md).
const RULES: [&str; 7] = ["allow", "deny", "scope", "audience", "max_ttl", "step_up", "reasons"];

/// Bundles are refused with places, or loaded whatever the order of their files, and decide the same each time: as Open Policy Agent
/// decides, or not at all, which denies.
pub fn holds(data: &[u8]) {
    let Some(sources) = sources::of(data, "house.rego") else { return };
    let Some(engine) = sources::loaded::<Engine>(&sources) else { return };
    let questions = sources::questions();
    let documents = questions.each_ref().map(document);
    let Some((modules, data)) = bundle(&sources) else { return };
    let Some(answers) = opa::ask(&modules, &data, &RULES, &documents) else { return };
    for ((question, document), answers) in questions.iter().zip(&documents).zip(&answers) {
        // Whatever fails here denies; and which builtin of several fails is nobody's promise.
        let (Ok(ours), Some(said)) = (engine.evaluate(question), values(answers)) else { continue };
        let theirs = verdict(&said, document);
        assert_eq!(Some(&shown(&ours)), theirs.as_ref(), "OPA says {said:?} of {document}\n{sources:?}");
    }
}

/// The policies and the data of a bundle, for a reader that knows nothing of ours; none where data lie in folders.
fn bundle(sources: &[Source]) -> Option<(Map<String, Value>, Value)> {
    let is_policy = |source: &&Source| source.name.ends_with(".rego") && !source.name.ends_with("_test.rego");
    let modules = sources.iter().filter(is_policy).map(|source| (source.name.clone(), source.content.clone().into())).collect();
    if sources.iter().any(|source| source.name.ends_with("/data.json")) {
        return None;
    }
    let data = sources.iter().find(|source| source.name == "data.json");
    let data = data.map_or_else(|| Some(json!({})), |data| serde_json::from_str(&data.content).ok())?;
    Some((modules, data))
}

/// The input document (docs/rego.md).
fn document(question: &Input) -> Value {
    let Input { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes } = question;
    let facts = |wanted: bool| {
        let named = |fact: &Attribute| {
            let edge = fact.name.strip_prefix("edge.");
            (edge.is_some() == wanted).then(|| (edge.unwrap_or(&fact.name).to_owned(), value(fact)))
        };
        attributes.iter().filter_map(named).collect::<Map<_, _>>()
    };
    let mut document = json!({
        "caller": party(caller), "subject": party(subject), "chain": chain, "tenant": tenant, "audience": audience, "scope": scope,
        "ttl": ttl, "flow": flow, "now": now, "attributes": facts(false), "edge": facts(true),
    });
    if let (Some(members), Some(step)) = (document.as_object_mut(), step) {
        members.insert("step".into(), step.as_str().into());
    }
    document
}

fn party(party: &Party) -> Value {
    let Party { kind, id, tenants, provisional, attributes } = party;
    let attributes: Map<_, _> = attributes.iter().map(|fact| (fact.name.clone(), value(fact))).collect();
    json!({ "kind": kind, "id": id, "tenants": tenants, "provisional": provisional, "attributes": attributes })
}

fn value(fact: &Attribute) -> Value {
    serde_json::from_str(&fact.value).expect("a fact is JSON")
}

/// What the rules say, if none of them fails.
fn values(answers: &[Outcome]) -> Option<Map<String, Value>> {
    let mut said = Map::new();
    for (rule, answer) in RULES.iter().zip(answers) {
        match answer {
            Outcome::Value(value) => drop(said.insert((*rule).to_owned(), value.clone())),
            Outcome::Undefined => {}
            Outcome::Failed(_) => return None,
        }
    }
    Some(said)
}

/// The verdict of what the rules say, as docs/rego.md has it; none where one of them is not of its type.
fn verdict(said: &Map<String, Value>, document: &Value) -> Option<Value> {
    let (denied, because) = (reasons(said, "deny")?, reasons(said, "reasons")?);
    let because = |rule: &str| if because.is_empty() { BTreeSet::from([rule.to_owned()]) } else { because.clone() };
    if !denied.is_empty() {
        return Some(json!({ "deny": denied }));
    }
    if said.get("allow") != Some(&Value::from(true)) {
        return Some(json!({ "deny": ["default"] }));
    }
    if let Some(acr) = said.get("step_up").filter(|acr| document.pointer("/subject/attributes/acr") != Some(*acr)) {
        return Some(json!({ "step_up": acr, "reasons": because("step_up") }));
    }
    let ttl = match said.get("max_ttl") {
        None => Value::Null,
        Some(Value::Number(seconds)) => json!(seconds.as_f64()?),
        Some(Value::String(text)) => json!(f64::from(standin_policy_engine::seconds(text)?)),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return None,
    };
    let limit = |rule: &str| said.get(rule).map_or_else(|| Some(Value::Null), texts);
    Some(json!({ "scope": limit("scope")?, "audience": limit("audience")?, "ttl": ttl, "reasons": because("allow") }))
}

/// The names of a rule's reasons, as far as they are shown.
fn reasons(said: &Map<String, Value>, rule: &str) -> Option<BTreeSet<String>> {
    let Some(reasons) = said.get(rule) else { return Some(BTreeSet::new()) };
    let name = |reason: &Value| {
        reason.as_str().or_else(|| reason.get("rule")?.as_str()).map(|name| name.chars().take(256).collect::<String>())
    };
    reasons.as_array()?.iter().map(name).collect()
}

/// The texts of a set or a list, each once.
fn texts(items: &Value) -> Option<Value> {
    let texts: Option<BTreeSet<&str>> = items.as_array()?.iter().map(Value::as_str).collect();
    Some(json!(texts?))
}

/// Our verdict in the same words.
fn shown(verdict: &Verdict) -> Value {
    let rules: BTreeSet<_> = verdict.reasons.iter().map(|Reason { rule, .. }| rule).collect();
    match &verdict.effect {
        Effect::Deny => json!({ "deny": rules }),
        Effect::StepUp(acr) => json!({ "step_up": acr, "reasons": rules }),
        Effect::Permit(allowance) => {
            json!({ "scope": allowance.scope, "audience": allowance.audience, "ttl": allowance.ttl.map(f64::from), "reasons": rules })
        }
    }
}
