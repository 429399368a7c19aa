//! The decision suite of `tests/policies`, which every engine has to pass.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::source;
use crate::{Allowance, Attribute, Effect, Engine, Failure, Input, Party, Source, Verdict};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/policies").join(name)
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn bundle(folder: &Path) -> Engine {
    let sources: Vec<Source> = files(folder).iter().map(|(name, content)| source(name, content)).collect();
    Engine::load(&sources).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    })
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

fn attributes(value: &Value) -> Vec<Attribute> {
    let members = value.as_object().unwrap().iter();
    members.map(|(name, value)| Attribute { name: name.clone(), value: value.to_string() }).collect()
}

fn party(value: &Value) -> Party {
    Party {
        kind: text(&value["kind"]),
        id: text(&value["id"]),
        tenants: texts(&value["tenants"]),
        provisional: value["provisional"].as_bool().unwrap(),
        attributes: attributes(&value["attributes"]),
    }
}

fn input(value: &Value) -> Input {
    Input {
        caller: party(&value["caller"]),
        subject: party(&value["subject"]),
        chain: texts(&value["chain"]),
        tenant: text(&value["tenant"]),
        audience: texts(&value["audience"]),
        scope: texts(&value["scope"]),
        ttl: value["ttl"].as_u64().unwrap().try_into().unwrap(),
        flow: text(&value["flow"]),
        step: value["step"].as_str().map(str::to_owned),
        now: value["now"].as_u64().unwrap(),
        attributes: attributes(&value["attributes"]),
    }
}

/// As the cases say it: a limit that is not there is no opinion.
fn said(answer: &Result<Verdict, Failure>) -> Value {
    let Ok(verdict) = answer else { return json!({ "effect": "error" }) };
    let mut said = match &verdict.effect {
        Effect::Permit(Allowance { scope, audience, ttl }) => {
            let mut said = json!({ "effect": "permit" });
            let limits = [("scope", json!(scope)), ("audience", json!(audience)), ("ttl", json!(ttl))];
            for (name, limit) in limits.into_iter().filter(|(_, limit)| !limit.is_null()) {
                said[name] = limit;
            }
            said
        }
        Effect::Deny => json!({ "effect": "deny" }),
        Effect::StepUp(acr) => json!({ "effect": "step-up", "acr": acr }),
    };
    said["reasons"] = verdict.reasons.iter().map(|reason| reason.rule.as_str()).collect();
    said
}

#[test]
fn every_case_is_decided_as_expected() {
    let engine = bundle(&folder("cedar"));
    let base: Value = serde_json::from_str(&fs::read_to_string(folder("base.json")).unwrap()).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (file, content) in files(&folder("cases")) {
        let cases: Value = serde_json::from_str(&content).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            let mut asked = base.clone();
            merge(&mut asked, &case["input"]);
            let answer = engine.evaluate(&input(&asked));
            count += 1;
            if said(&answer) != case["expect"] {
                wrong.push(format!(
                    "{file}: {}\n  expected {}\n  got      {}\n  {answer:?}",
                    case["name"],
                    case["expect"],
                    said(&answer)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 60, "only {count} cases");
}

#[test]
fn every_policy_of_the_suite_decides_a_case() {
    let engine = bundle(&folder("cedar"));
    let cases: String = files(&folder("cases")).into_iter().map(|(_, content)| content).collect();
    for rule in &engine.rules {
        assert!(cases.contains(&format!("\"{}\"", rule.id)), "no case expects `{}`", rule.id);
    }
}

#[test]
fn the_example_is_a_bundle() {
    let engine = bundle(&Path::new(env!("CARGO_MANIFEST_DIR")).join("example"));
    assert!(engine.policies() > 0);
}
