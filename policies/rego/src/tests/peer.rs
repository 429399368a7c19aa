//! The independent reading: rego-cpp, which shares no code with regorus, gives the same decisions on the same policies and documents.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use standin_policy_engine::testing::{Case, cases, folder, sources};

use crate::document;
use crate::program::RULES;

/// What the rules say of each document, by their names.
fn rego_cpp(documents: &[Value]) -> Vec<Value> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
    assert!(peers.join("python_modules/regopy").is_dir(), "the interpreter of PyPI is not installed: run `make peers`");
    let (policies, data): (Vec<_>, Vec<_>) =
        sources(&folder("rego")).into_iter().partition(|source| source.name.ends_with(".rego"));
    let [data] = data.as_slice() else { panic!("{data:?}") };
    let modules: serde_json::Map<_, _> = policies.into_iter().map(|policy| (policy.name, policy.content.into())).collect();
    let queries = RULES.map(|rule| format!("data.standin.{rule}"));
    let data: Value = serde_json::from_str(&data.content).unwrap();
    let question = json!({ "modules": modules, "data": data, "queries": queries, "inputs": documents });
    let mut python = Command::new("python3");
    python.arg(peers.join("rego.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

/// Strings of a set or a list, sorted.
fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// The verdict as `docs/rego.md` has it, in the words of the cases.
fn verdict(said: &Value, document: &Value) -> Value {
    assert_eq!(said.get("error"), None, "{said}");
    let rule = |name: &str| said.get(format!("data.standin.{name}"));
    let names = |name: &str| {
        let reasons = rule(name).into_iter().flat_map(|reasons| reasons.as_array().unwrap());
        reasons.map(|reason| reason["rule"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    if !names("deny").is_empty() {
        return json!({ "effect": "deny", "reasons": names("deny") });
    }
    if rule("allow") != Some(&json!(true)) {
        return json!({ "effect": "deny", "reasons": ["default"] });
    }
    if let Some(acr) = rule("step_up").filter(|acr| document["subject"]["attributes"].get("acr") != Some(acr)) {
        return json!({ "effect": "step-up", "acr": acr, "reasons": names("reasons") });
    }
    let mut permit = json!({ "effect": "permit", "reasons": names("reasons") });
    for limit in ["scope", "audience"] {
        if let Some(items) = rule(limit) {
            permit[limit] = json!(texts(items));
        }
    }
    if let Some(ttl) = rule("max_ttl") {
        permit["ttl"] = ttl.clone();
    }
    permit
}

#[test]
fn an_independent_interpreter_decides_every_case_alike() {
    let (mut asked, mut documents) = (Vec::new(), Vec::new());
    for case in cases() {
        match document::of(&case.input) {
            Ok(document) => {
                documents.push(serde_json::from_str(&document.to_json_str().unwrap()).unwrap());
                asked.push(case);
            }
            // What is no question is asked of nobody.
            Err(_) => assert_eq!(case.expect["effect"], "error", "{}: {}", case.file, case.name),
        }
    }
    assert!(asked.len() >= 60, "only {} cases", asked.len());
    let said = rego_cpp(&documents);
    assert_eq!(said.len(), asked.len());
    for ((Case { file, name, expect, .. }, document), said) in asked.iter().zip(&documents).zip(&said) {
        assert_eq!(verdict(said, document), *expect, "{file}: {name}");
    }
}
