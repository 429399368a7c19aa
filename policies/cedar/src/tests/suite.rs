//! The decision suite of `tests/policies`, which every engine has to pass.

use std::path::Path;

use standin_policy_engine::testing::{decide_every_case, loaded};

use crate::Engine;

#[test]
fn every_case_is_decided_as_expected() {
    decide_every_case::<Engine>();
}

#[test]
fn the_example_is_a_bundle() {
    let engine: Engine = loaded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("example"));
    assert!(engine.policies() > 0);
}
