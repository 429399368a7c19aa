//! `record`.

use rstest::rstest;

use super::*;

#[rstest]
#[case("sample = 0.25", "sample = true", "record.sample: must be a number, not boolean")]
#[case("sample = 0.25", "sample = -0.1", "record.sample: must be between 0.0 and 1.0")]
#[case("sample = 0.25", "sample = 2", "record.sample: must be between 0.0 and 1.0")]
#[case("sample = 0.25", "sample = nan", "record.sample: must be between 0.0 and 1.0")]
#[case("sample = 0.25", "sample = 1", "")]
fn a_share_is_a_number_from_0_to_1(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let found = faults(&edited(from, to));
    assert_eq!(found, if expected.is_empty() { vec![] } else { vec![expected] });
}
