//! The steps of a client.

use rstest::rstest;

use crate::approval::Unproven;
use crate::approval::testing::{API, World, texts};

#[rstest]
#[case("look", &["read"], API, Ok(()))]
#[case("look", &["read"], "https://other.example.com", Ok(()))]
#[case("look", &[], API, Ok(()))]
#[case("look", &["write"], API, Err(Unproven::StepScope))]
#[case("approve", &["write"], API, Ok(()))]
#[case("approve", &["read"], API, Err(Unproven::StepScope))]
#[case("approve", &["write"], "https://other.example.com", Err(Unproven::StepAudience))]
#[case("approve", &["write"], "https://third.example.com", Err(Unproven::ClientAudience))]
#[case("pay", &["read"], API, Err(Unproven::Step))]
#[case("", &["read"], API, Err(Unproven::Step))]
fn a_step_is_one_of_the_clients_and_asks_for_no_more_than_it_may(
    #[case] step: &str,
    #[case] scope: &[&str],
    #[case] audience: &str,
    #[case] outcome: Result<(), Unproven>,
) {
    let mut world = World::user();
    world.input.step = Some(step.into());
    world.input.scope = texts(scope);
    world.input.audience = texts(&[audience]);
    assert_eq!(world.examine(), outcome);
    // The policy is told of it where the client is registered with it.
    assert_eq!(world.input.step.as_deref(), Some(step).filter(|step| ["look", "approve"].contains(step)));
}

#[test]
fn a_step_never_exceeds_its_client() {
    let mut world = World::user();
    world.client().steps[0].scopes = texts(&["read", "delete"]);
    world.client().steps[0].audiences = Some(texts(&["https://third.example.com"]));
    world.input.step = Some("look".into());
    world.input.scope = texts(&["delete"]);
    assert_eq!(world.examine(), Err(Unproven::ClientScope));
    world.input.step = Some("look".into());
    world.input.scope = texts(&["read"]);
    world.input.audience = texts(&["https://third.example.com"]);
    assert_eq!(world.examine(), Err(Unproven::ClientAudience));
}

#[rstest]
#[case(None, Some("look"), Ok(()))]
#[case(Some(Some("look")), Some("look"), Ok(()))]
#[case(Some(None), None, Ok(()))]
#[case(Some(None), Some("look"), Err(Unproven::AnotherStep))]
#[case(Some(Some("look")), None, Err(Unproven::AnotherStep))]
#[case(Some(Some("approve")), Some("look"), Err(Unproven::AnotherStep))]
fn the_step_is_the_one_that_the_embedding_program_named(
    #[case] seen: Option<Option<&str>>,
    #[case] said: Option<&str>,
    #[case] outcome: Result<(), Unproven>,
) {
    let mut world = World::user();
    world.evidence.step = seen.map(|seen| seen.map(str::to_owned));
    world.input.step = said.map(str::to_owned);
    assert_eq!(world.examine(), outcome);
}

#[test]
fn the_step_of_nobody_reaches_no_policy() {
    let mut world = World::user();
    world.evidence.callers.clear();
    world.input.step = Some("look".into());
    assert_eq!(world.examine(), Err(Unproven::Caller));
    assert_eq!(world.input.step, None);
}
