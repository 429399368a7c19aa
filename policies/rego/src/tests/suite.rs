//! The decision suite of `tests/policies`, which every engine has to pass.

use standin_policy_engine::testing::decide_every_case;

use crate::Engine;

#[test]
fn every_case_is_decided_as_expected() {
    decide_every_case::<Engine>();
}
