//! Limits on what the component may ask and on what a policy may answer, and the AND of two verdicts.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use standin_domain::contract::{Allowance, Attribute, Effect, Input, JudgeError, Verdict};

/// The most scopes or audiences in one list.
const MAX_ITEMS: usize = 128;
/// The longest such list of a question, in bytes: what was asked stands in the audit log.
const MAX_LIST: usize = 16 * 1024;
/// The most reasons of one verdict.
const MAX_REASONS: usize = 64;
/// The most attributes in one list.
const MAX_ATTRIBUTES: usize = 64;
/// The longest text, in bytes.
const MAX_TEXT: usize = 1024;
/// The longest name of a party in a question, in bytes: every byte of a `sub` may take three.
const MAX_NAME: usize = 4 * 1024;
/// The longest attribute value of a question, in bytes.
const MAX_FACT: usize = 8 * 1024;

/// A question must be small and well formed before anything is done with it.
///
/// # Errors
/// Where it is not.
pub fn question(input: &Input) -> Result<(), JudgeError> {
    let texts = [&input.caller.id, &input.subject.id, &input.subject.kind, &input.tenant, &input.flow];
    if texts.into_iter().chain(&input.step).any(|text| text.len() > MAX_NAME) {
        return Err(JudgeError::TooLarge);
    }
    if [&input.scope, &input.audience].into_iter().any(|list| list.iter().map(String::len).sum::<usize>() > MAX_LIST) {
        return Err(JudgeError::TooLarge);
    }
    items(&input.scope, is_scope)?;
    items(&input.audience, is_audience)?;
    edge(&input.attributes)
}

/// The same of what the edge says: few facts, none twice. One that is no JSON is left out later.
///
/// # Errors
/// Where it is not.
pub fn edge(facts: &[Attribute]) -> Result<(), JudgeError> {
    let mut names = HashSet::new();
    for fact in facts.iter().filter(|fact| fact.name.starts_with("edge.")) {
        if names.len() >= MAX_ATTRIBUTES || fact.name.len() > MAX_TEXT || fact.value.len() > MAX_FACT {
            return Err(JudgeError::TooLarge);
        }
        if !names.insert(fact.name.as_str()) {
            return Err(JudgeError::Invalid);
        }
    }
    Ok(())
}

/// A module's verdict must be small, well formed and free of contradictions.
///
/// # Errors
/// Where it is not.
pub fn verdict(verdict: &Verdict) -> Result<(), JudgeError> {
    judgement(verdict, 1)
}

/// The same of what two modules, the platform's and a tenant's, say together.
///
/// # Errors
/// Where it is not.
pub fn joined(verdict: &Verdict) -> Result<(), JudgeError> {
    judgement(verdict, 2)
}

fn judgement(verdict: &Verdict, modules: usize) -> Result<(), JudgeError> {
    let too_long = |text: &String| text.len() > MAX_TEXT;
    if verdict.reasons.len() > modules * MAX_REASONS
        || verdict.reasons.iter().any(|reason| too_long(&reason.rule) || too_long(&reason.text))
    {
        return Err(JudgeError::TooLarge);
    }
    attributes(&verdict.attributes, modules * MAX_ATTRIBUTES)?;
    match &verdict.effect {
        Effect::Permit(Allowance { scope, audience, ttl: _ }) => {
            items(scope.as_deref().unwrap_or_default(), is_scope)?;
            items(audience.as_deref().unwrap_or_default(), is_audience)
        }
        Effect::Deny => Ok(()),
        Effect::StepUp(acr) if too_long(acr) => Err(JudgeError::TooLarge),
        Effect::StepUp(acr) if acr.is_empty() || acr.chars().any(char::is_control) => Err(JudgeError::Invalid),
        Effect::StepUp(_) => Ok(()),
    }
}

/// Two permits leave what both leave; otherwise the first that is none decides.
///
/// # Errors
/// Where they contradict each other.
pub fn both(target: Verdict, origin: Verdict) -> Result<Verdict, JudgeError> {
    let effect = match (target.effect, origin.effect) {
        (Effect::Permit(one), Effect::Permit(other)) => Effect::Permit(Allowance {
            scope: meet(one.scope, other.scope),
            audience: meet(one.audience, other.audience),
            ttl: [one.ttl, other.ttl].into_iter().flatten().min(),
        }),
        (Effect::Permit(_), refused @ (Effect::Deny | Effect::StepUp(_))) => refused,
        (refused @ (Effect::Deny | Effect::StepUp(_)), _) => refused,
    };
    let mut attributes = target.attributes;
    for attribute in origin.attributes {
        match attributes.iter().find(|known| known.name == attribute.name) {
            None => attributes.push(attribute),
            Some(known) if known.value == attribute.value => {}
            Some(_contradiction) => return Err(JudgeError::Invalid),
        }
    }
    let reasons = target.reasons.into_iter().chain(origin.reasons).collect();
    Ok(Verdict { effect, reasons, attributes })
}

/// `none` is no opinion.
fn meet(one: Option<Vec<String>>, other: Option<Vec<String>>) -> Option<Vec<String>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.into_iter().filter(|item| other.contains(item)).collect()),
        (one, other) => one.or(other),
    }
}

/// For the audit record.
pub fn describe(why: &JudgeError) -> String {
    match why {
        JudgeError::Module(text) => format!("the policy answered with an error: {}", shorten(text)),
        JudgeError::Trapped => "the policy trapped".to_owned(),
        JudgeError::TimedOut => "the policy timed out".to_owned(),
        JudgeError::TooLarge => "the policy's answer is too large".to_owned(),
        JudgeError::Invalid => "the policy's answer is invalid".to_owned(),
        JudgeError::Unavailable => "the policy is unavailable".to_owned(),
        JudgeError::Other(text) => format!("the policy failed: {}", shorten(text.as_deref().unwrap_or_default())),
    }
}

/// The text, cut between two characters where it is too long.
pub fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

fn items(list: &[String], valid: fn(&str) -> bool) -> Result<(), JudgeError> {
    if list.len() > MAX_ITEMS || list.iter().any(|item| item.len() > MAX_TEXT) {
        return Err(JudgeError::TooLarge);
    }
    if list.iter().all(|item| valid(item)) { Ok(()) } else { Err(JudgeError::Invalid) }
}

/// Names are unique, values are JSON text.
fn attributes(list: &[Attribute], most: usize) -> Result<(), JudgeError> {
    let mut names = HashSet::new();
    for attribute in list {
        if names.len() >= most || attribute.name.len() > MAX_TEXT || attribute.value.len() > MAX_TEXT {
            return Err(JudgeError::TooLarge);
        }
        let is_json = serde_json::from_str::<IgnoredAny>(&attribute.value).is_ok();
        if attribute.name.is_empty() || !is_json || !names.insert(attribute.name.as_str()) {
            return Err(JudgeError::Invalid);
        }
    }
    Ok(())
}

/// A scope token (RFC 6749 §3.3).
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// A URI or a name: visible ASCII.
fn is_audience(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
