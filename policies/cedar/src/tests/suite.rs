//! The decision suite of `tests/policies`, which every engine has to pass.

use std::path::Path;

use standin_policy_engine::PolicyEngine as _;
use standin_policy_engine::testing::{cases, folder, said, sources};

use crate::Engine;

fn bundle(folder: &Path) -> Engine {
    Engine::load(&sources(folder)).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    })
}

#[test]
fn every_case_is_decided_as_expected() {
    let engine = bundle(&folder("cedar"));
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
}

#[test]
fn every_policy_of_the_suite_decides_a_case() {
    let engine = bundle(&folder("cedar"));
    let expected: String = cases().iter().map(|case| case.expect.to_string()).collect();
    for rule in engine.rule_names() {
        assert!(expected.contains(&format!("\"{rule}\"")), "no case expects `{rule}`");
    }
}

#[test]
fn the_example_is_a_bundle() {
    let engine = bundle(&Path::new(env!("CARGO_MANIFEST_DIR")).join("example"));
    assert!(engine.policies() > 0);
}
