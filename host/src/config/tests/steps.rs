//! `[[client.step]]`.

use rstest::rstest;

use super::*;

#[rstest]
#[case("\"look:around\"", "\"look around\"", "client[0].step[1].name: must be 1 to 128 characters of `A-Z a-z 0-9 . _ : -`")]
#[case("\"look:around\"", "\"approve-expense\"", "client[0].step[1].name: is already there in line 49")]
#[case("name = \"look:around\"\n", "", "client[0].step[1].name: is missing")]
#[case("scopes = []", "", "client[0].step[1].scopes: is missing")]
#[case("scopes = []", "scopes = [\"reports:read\"]", "client[0].step[1].scopes[0]: is not among the client's `scopes`")]
#[case("scopes = []", "scopes = []\naudiences = []", "client[0].step[1].audiences: must not be empty")]
#[case(
    "scopes = []",
    "scopes = []\naudiences = [\"reports\"]",
    "client[0].step[1].audiences[0]: is not among the client's `audiences`"
)]
#[case("scopes = []", "scopes = []\nttl = 1", "client[0].step[1].ttl: unknown key; known here: audiences, name, scopes")]
#[case(
    "subjects = [\"token\"]",
    "subjects = [\"token\"]\nstep = \"look\"",
    "client[1].step: must be an array of tables, not string"
)]
fn a_fault_of_a_step_is_named(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    assert_eq!(faults(&edited(from, to)), [expected]);
}

#[test]
fn the_steps_of_a_client_have_a_bound() {
    let steps = |count| (0..count).map(|number| format!("{{ name = \"s{number}\", scopes = [] }}")).collect::<Vec<_>>();
    let text = |count| edited("subjects = [\"token\"]", &format!("subjects = [\"token\"]\nstep = [{}]", steps(count).join(", ")));
    assert_eq!(faults(&text(64)), [""; 0]);
    assert_eq!(faults(&text(65)), ["client[1].step: at most 64 are allowed"]);
}
