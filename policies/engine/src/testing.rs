//! The decision suite of `tests/policies`, which every engine has to pass.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on ends")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Allowance, Attribute, Effect, Failure, Input, Party, PolicyEngine, Source, Verdict};

/// A question and the answer it has to get.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its file.
    pub file: String,
    /// What it is about.
    pub name: String,
    /// The question.
    pub input: Input,
    /// The answer, as [`said`] has it.
    pub expect: Value,
}

/// A folder of the suite.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/policies").join(name)
}

/// The files of a folder and of those within, in the order of their names.
pub fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = sources(&path).into_iter();
            found.extend(inner.map(|source| Source { name: format!("{name}/{}", source.name), ..source }));
        } else {
            found.push(Source { name, content: fs::read_to_string(path).unwrap() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Every case of the suite.
pub fn cases() -> Vec<Case> {
    let base: Value = serde_json::from_str(&fs::read_to_string(folder("base.json")).unwrap()).unwrap();
    let mut all = Vec::new();
    for Source { name: file, content } in sources(&folder("cases")) {
        let cases: Value = serde_json::from_str(&content).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            let mut asked = base.clone();
            merge(&mut asked, &case["input"]);
            let (file, name, expect) = (file.clone(), text(&case["name"]), case["expect"].clone());
            all.push(Case { file, name, input: input(&asked), expect });
        }
    }
    all
}

/// The bundle of a folder, loaded.
///
/// # Panics
/// Where it has faults, which it names.
pub fn loaded<E: PolicyEngine>(folder: &Path) -> E {
    E::load(&sources(folder)).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    })
}

/// Asks an engine, with its own bundle of the suite, every case.
///
/// # Panics
/// Where a case is decided otherwise than it expects, there are too few, or no case expects one of the bundle's rules.
pub fn decide_every_case<E: PolicyEngine>() {
    let engine: E = loaded(&folder(E::NAME));
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = engine.evaluate(&case.input);
        let (file, name, expected, got) = (&case.file, &case.name, &case.expect, said(&answer));
        if got != *expected {
            wrong.push(format!("{file}: {name}\n  expected {expected}\n  got      {got}\n  {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let expected: String = cases.iter().map(|case| case.expect.to_string()).collect();
    for rule in engine.rule_names() {
        assert!(expected.contains(&format!("\"{rule}\"")), "no case expects `{rule}`");
    }
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

/// A question as cases write it.
///
/// # Panics
/// Where it is none.
pub fn input(value: &Value) -> Input {
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
pub fn said(answer: &Result<Verdict, Failure>) -> Value {
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
