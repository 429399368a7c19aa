//! What was decided about a request, or would have been.

use serde::Serialize;
use serde_json::{Value, json};

use super::difference::{read, redacted};
use super::player::Verdict;
use crate::bindings::decision_point::JudgeError;
use crate::bindings::keys::Purpose;
use crate::bindings::types::{Effect, Reason};
use crate::json;
use crate::tape::file::Opened;
use crate::tape::{Import, JudgeAnswer, Outcome, decode};

/// A decision and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decided {
    /// `permit`, `deny`, `fail`, or `none` where it did not come to one.
    pub outcome: &'static str,
    /// Lowercase hex SHA-256 of the module that was asked; none if it gave no verdict, or none was asked.
    pub policy: Option<String>,
    /// What the policy said: `permit`, `deny`, `step-up` or `error`; none if none was asked.
    pub verdict: Option<&'static str>,
    /// Why the policy said it.
    pub reasons: Vec<Told>,
    /// The claims that were signed, or would have been.
    pub claims: Option<Value>,
    /// The failure that was answered, or would have been.
    pub failure: Option<Value>,
}

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The rule.
    pub rule: String,
    /// What it says.
    pub text: String,
}

impl From<Reason> for Told {
    fn from(Reason { rule, text }: Reason) -> Self {
        Self { rule, text }
    }
}

impl Decided {
    pub(super) fn new(judged: Option<Verdict>, claims: Option<String>, outcome: Option<&Outcome>) -> Self {
        let (policy, verdict, reasons) = match judged {
            None => (None, None, Vec::new()),
            Some(Ok((verdict, digest))) => (Some(digest), Some(name(&verdict.effect)), verdict.reasons),
            Some(Err(why)) => (None, Some("error"), vec![Reason { rule: String::new(), text: text(why) }]),
        };
        let (outcome, page) = match (&claims, outcome) {
            (Some(_would_be_signed), _) => ("permit", Value::Null),
            (None, Some(outcome)) => ended(&read(outcome)),
            (None, None) => ("none", Value::Null),
        };
        let claims = claims.map(|claims| json::value(&claims).unwrap_or(Value::String(claims)));
        let claims = claims.or_else(|| page.get("claims").cloned());
        Self {
            outcome,
            policy,
            verdict,
            reasons: reasons.into_iter().map(Told::from).collect(),
            claims: claims.map(redacted),
            failure: page.get("failure").cloned().map(redacted),
        }
    }

    /// What the tape says: the last question to the policy, the last claims that were signed, the last outcome.
    pub(super) fn of_tape(tape: &Opened) -> Self {
        let asked = |import| tape.questions.iter().rev().filter(move |question| question.import == import);
        let judged = asked(Import::Judge).find_map(|question| decode(question.answer.as_ref()?)).map(|answer| match answer {
            JudgeAnswer::Judged { verdict, module_digest, approval: _ } => Ok((verdict, module_digest)),
            JudgeAnswer::Nothing(why) => Err(why),
        });
        let signed = asked(Import::Sign).find_map(|question| {
            let signed: Result<String, crate::bindings::keys::KeyError> = decode(question.answer.as_ref()?)?;
            let (_, _, claims, _): (u32, Purpose, String, String) = decode(&question.question)?;
            signed.ok().map(|_token| claims)
        });
        Self::new(judged, signed, tape.calls.iter().rev().find_map(|call| call.outcome.as_ref()))
    }

    /// Whether the other comes to the same: the digest of the policy may be another, in the claims too, and so may its reasons.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let code = |decided: &Self| decided.failure.as_ref().and_then(|failure| failure.get("code").cloned());
        let claims = |decided: &Self| {
            let mut claims = decided.claims.clone();
            if let Some(Value::Object(members)) = &mut claims {
                members.remove("policy");
            }
            claims
        };
        self.outcome == other.outcome && code(self) == code(other) && claims(self) == claims(other)
    }
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Permit(_) => "permit",
        Effect::Deny => "deny",
        Effect::StepUp(_) => "step-up",
    }
}

fn text(why: JudgeError) -> String {
    match why {
        JudgeError::Module(text) => text,
        JudgeError::Trapped => "it trapped".to_owned(),
        JudgeError::TimedOut => "it timed out".to_owned(),
        JudgeError::TooLarge => "its answer is too large".to_owned(),
        JudgeError::Invalid => "its answer is invalid".to_owned(),
        JudgeError::Unavailable => "it is unavailable".to_owned(),
        JudgeError::Other(text) => text.unwrap_or_default(),
    }
}

/// What an answer of the component means, and a page with `failure` or `claims` where it has one.
fn ended(answer: &Value) -> (&'static str, Value) {
    let refused = |failure: &Value, status: Option<u64>| {
        let outcome = if status.is_some_and(|status| status < 500) { "deny" } else { "fail" };
        (outcome, json!({ "failure": failure }))
    };
    let status = |failure: &Value| failure.get("status").and_then(Value::as_u64);
    let failure = answer.get("failure").or_else(|| answer.get("denial")?.get("failure"));
    if let Some(failure) = failure {
        return refused(failure, status(failure));
    }
    if let Some(page) = answer.get("explained") {
        let outcome = ["permit", "deny"].into_iter().find(|name| page.get("outcome").is_some_and(|outcome| outcome == name));
        return (outcome.unwrap_or("fail"), page.clone());
    }
    if let Some(page) = answer.get("http") {
        return match status(page) {
            Some(..400) => ("permit", Value::Null),
            other => refused(page.get("body").unwrap_or(&Value::Null), other),
        };
    }
    match answer.get("sandbox") {
        Some(why) => ("fail", json!({ "failure": { "sandbox": why } })),
        None if answer.get("minted").is_some() || answer.get("permit").is_some() => ("permit", Value::Null),
        None => ("none", Value::Null),
    }
}
