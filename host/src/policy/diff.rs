//! Two modules asked the same: whether they answer the same, and whether it makes a difference to what is granted.

use serde::Serialize;

use super::PolicyModule;
use super::cases::{Difference, Expected, describe};
use crate::approval::Grant;
use crate::bindings::decision_point::JudgeError;
use crate::bindings::types::{Effect, Input, Verdict};

/// Two answers that are not the same.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// What the old module says; its lists are sorted.
    pub old: Expected,
    /// What the new one says.
    pub new: Expected,
    /// Whether what the caller gets is another: a token or none, its scope, audience or lifetime, or which step-up is asked for.
    pub granted: bool,
    /// What the old module, or its sandbox, said of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_error: Option<String>,
    /// The same of the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_error: Option<String>,
}

/// Asks both modules. None where they say the same: the same effect with the same limits, for the same reasons by name.
pub fn compare(old: &PolicyModule, new: &PolicyModule, input: &Input) -> Option<Change> {
    changed(input, &old.evaluate(input), &new.evaluate(input))
}

fn changed(input: &Input, old: &Result<Verdict, JudgeError>, new: &Result<Verdict, JudgeError>) -> Option<Change> {
    let error = |answer: &Result<Verdict, JudgeError>| answer.as_ref().err().map(describe);
    let change = Change {
        old: Expected::from(old).sorted(),
        new: Expected::from(new).sorted(),
        granted: Left::of(input, old) != Left::of(input, new),
        old_error: error(old),
        new_error: error(new),
    };
    (change.old != change.new).then_some(change)
}

/// Whether both decide the same, for whatever reasons. What has no verdict denies, whatever the cause.
pub(super) fn decide_alike(one: &Result<Verdict, JudgeError>, other: &Result<Verdict, JudgeError>) -> bool {
    let differences = Expected::from(one).sorted().differences(&Expected::from(other).sorted());
    differences.iter().all(|(name, _, _)| name == "reasons")
}

impl Change {
    /// The fields in which the answers differ: their name, the old value, the new one.
    pub fn differences(&self) -> Vec<Difference> {
        self.old.differences(&self.new)
    }
}

/// What an answer leaves of a question.
#[derive(PartialEq)]
enum Left<'a> {
    Granted(Grant),
    StepUp(&'a str),
    Nothing,
}

impl<'a> Left<'a> {
    fn of(input: &Input, answer: &'a Result<Verdict, JudgeError>) -> Self {
        match answer.as_ref().map(|verdict| &verdict.effect) {
            Ok(Effect::Permit(allowance)) => Grant::narrow(input, allowance).map_or(Self::Nothing, Self::Granted),
            Ok(Effect::StepUp(acr)) => Self::StepUp(acr),
            Ok(Effect::Deny) | Err(_) => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::approval::testing::{World, texts};
    use crate::bindings::types::{Allowance, Reason};

    type Answer = Result<Verdict, JudgeError>;

    fn answer(effect: Effect, rules: &[&str]) -> Answer {
        let reasons = rules.iter().map(|&rule| Reason { rule: rule.into(), text: "why".into() }).collect();
        Ok(Verdict { effect, reasons, attributes: vec![] })
    }

    fn permit(scope: Option<&[&str]>, ttl: Option<u32>) -> Answer {
        let scope = scope.map(texts);
        answer(Effect::Permit(Allowance { scope, audience: None, ttl }), &["a"])
    }

    /// The question is for `read`, for 300 seconds.
    #[rstest]
    #[case(permit(None, None), answer(Effect::Deny, &["a"]), &["effect"], true)]
    #[case(permit(None, None), answer(Effect::StepUp("mfa".into()), &["a"]), &["effect", "acr"], true)]
    #[case(answer(Effect::StepUp("mfa".into()), &[]), answer(Effect::StepUp("otp".into()), &[]), &["acr"], true)]
    #[case(permit(None, None), permit(None, Some(120)), &["ttl"], true)]
    #[case(permit(None, None), permit(None, Some(600)), &["ttl"], false)]
    #[case(permit(None, None), permit(Some(&["read", "write"]), None), &["scope"], false)]
    #[case(permit(Some(&["read"]), None), permit(Some(&["write"]), None), &["scope"], true)]
    #[case(answer(Effect::Deny, &["a"]), answer(Effect::Deny, &["a", "b"]), &["reasons"], false)]
    #[case(answer(Effect::Deny, &["a"]), Err(JudgeError::Module("broken".into())), &["effect", "reasons"], false)]
    #[case(Err(JudgeError::TimedOut), permit(None, None), &["effect"], true)]
    fn what_changes_is_named(#[case] old: Answer, #[case] new: Answer, #[case] fields: &[&str], #[case] granted: bool) {
        let input = World::user().input;
        let change = changed(&input, &old, &new).unwrap();
        let named: Vec<String> = change.differences().into_iter().map(|(name, _, _)| name).collect();
        assert_eq!((named.iter().map(String::as_str).collect::<Vec<_>>(), change.granted), (fields.to_vec(), granted));
        assert_eq!((change.old_error.is_some(), change.new_error.is_some()), (old.is_err(), new.is_err()));
    }

    #[rstest]
    #[case(permit(Some(&["a", "b"]), None), permit(Some(&["b", "a"]), None), true)]
    #[case(answer(Effect::Deny, &["a"]), answer(Effect::Deny, &["b"]), true)]
    #[case(Err(JudgeError::Trapped), Err(JudgeError::TimedOut), true)]
    #[case(permit(Some(&["a"]), None), permit(None, None), false)]
    #[case(permit(None, Some(60)), permit(None, Some(61)), false)]
    #[case(answer(Effect::StepUp("mfa".into()), &[]), answer(Effect::StepUp("otp".into()), &[]), false)]
    #[case(answer(Effect::Deny, &[]), Err(JudgeError::Trapped), false)]
    fn decisions_are_compared_without_their_reasons(#[case] one: Answer, #[case] other: Answer, #[case] alike: bool) {
        assert_eq!(decide_alike(&one, &other), alike);
    }

    #[rstest]
    #[case(permit(Some(&["read", "write"]), Some(60)), permit(Some(&["write", "read", "read"]), Some(60)))]
    #[case(answer(Effect::Deny, &["a", "b"]), answer(Effect::Deny, &["b", "a"]))]
    #[case(Err(JudgeError::Trapped), Err(JudgeError::Trapped))]
    fn order_and_repetition_are_no_change(#[case] old: Answer, #[case] new: Answer) {
        assert!(changed(&World::user().input, &old, &new).is_none());
    }
}
