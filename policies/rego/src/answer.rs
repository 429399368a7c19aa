//! What the rules say as a verdict.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use standin_policy_engine::{Allowance, Effect, Input, Reason, Verdict, is_scope_token, is_visible, seconds};

/// The longest name and text of a reason, in characters.
const MAX_REASON: usize = 256;
/// The most scopes or audiences.
const MAX_ITEMS: usize = 128;
/// The longest `acr`.
const MAX_ACR: usize = 256;

/// Why what the rules say is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Not true or false.
    #[error("`allow` is neither true nor false")]
    Allow,
    /// Not reasons.
    #[error("`{0}` is no set or list of strings, or of objects with a `rule` and a `text`")]
    Reasons(&'static str),
    /// Not scopes.
    #[error("`scope` is no set or list of at most 128 scope tokens (RFC 6749 §3.3)")]
    Scope,
    /// Not audiences.
    #[error("`audience` is no set or list of at most 128 names or URIs of visible ASCII")]
    Audience,
    /// Not a lifetime.
    #[error("`max_ttl` is no whole number of seconds, nor a lifetime such as \"90s\", \"5m\" or \"1h\", of at least one second")]
    MaxTtl,
    /// Not an `acr`.
    #[error("`step_up` is no string of 1 to 256 visible ASCII characters")]
    StepUp,
}

/// The rules' values by their names; those that are not defined are not there.
pub(crate) struct Answer<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Answer<'a> {
    /// From the values of the rules that were asked.
    pub(crate) fn of(asked: &[&'a str], values: &'a [Option<Value>]) -> Self {
        let defined = |(rule, value): (&&'a str, &'a Option<Value>)| value.as_ref().map(|value| (*rule, value));
        Self(asked.iter().zip(values).filter_map(defined).collect())
    }

    fn get(&self, rule: &str) -> Option<&'a Value> {
        self.0.get(rule).copied()
    }

    /// Everything that is said has to be of its type, whatever comes of it.
    pub(crate) fn verdict(&self, input: &Input) -> Result<Verdict, AnswerError> {
        let denials = self.reasons("deny")?;
        let reasons = self.reasons("reasons")?;
        let allow = match self.get("allow") {
            None => false,
            Some(Value::Bool(allow)) => *allow,
            Some(_) => return Err(AnswerError::Allow),
        };
        let allowance = Allowance {
            scope: self.items("scope", is_scope_token, AnswerError::Scope)?,
            audience: self.items("audience", is_visible, AnswerError::Audience)?,
            ttl: self.get("max_ttl").map(|ttl| lifetime(ttl).ok_or(AnswerError::MaxTtl)).transpose()?,
        };
        let step_up = self.get("step_up").map(|acr| level(acr).ok_or(AnswerError::StepUp)).transpose()?;
        if !denials.is_empty() {
            return Ok(Verdict { effect: Effect::Deny, reasons: Reason::bounded(denials) });
        }
        if !allow {
            return Ok(Verdict::default_deny());
        }
        let because = |rule: &str, text: &str| {
            let stated = Reason { rule: rule.to_owned(), text: text.to_owned() };
            if reasons.is_empty() { vec![stated] } else { Reason::bounded(reasons) }
        };
        match step_up.filter(|acr| input.subject.acr().as_deref() != Some(acr)) {
            Some(acr) => {
                let reasons = because("step_up", "the user has to authenticate more strongly");
                Ok(Verdict { effect: Effect::StepUp(acr.to_owned()), reasons })
            }
            None => Ok(Verdict { effect: Effect::Permit(allowance), reasons: because("allow", "`allow` is true") }),
        }
    }

    fn reasons(&self, rule: &'static str) -> Result<Vec<Reason>, AnswerError> {
        let Some(value) = self.get(rule) else { return Ok(Vec::new()) };
        let reasons: Option<BTreeSet<_>> = items(value).ok_or(AnswerError::Reasons(rule))?.map(reason).collect();
        Ok(reasons.ok_or(AnswerError::Reasons(rule))?.into_iter().collect())
    }

    /// Sorted, each once.
    fn items(&self, rule: &str, valid: fn(&str) -> bool, wrong: AnswerError) -> Result<Option<Vec<String>>, AnswerError> {
        let Some(value) = self.get(rule) else { return Ok(None) };
        let text = |item: &Value| item.as_string().ok().filter(|text| valid(text)).map(|text| text.to_string());
        let texts: Option<BTreeSet<_>> = items(value).and_then(|items| items.map(text).collect());
        let texts = texts.filter(|texts| texts.len() <= MAX_ITEMS).ok_or(wrong)?;
        Ok(Some(texts.into_iter().collect()))
    }
}

/// What is in a set or a list.
fn items<'a>(value: &'a Value) -> Option<Box<dyn Iterator<Item = &'a Value> + 'a>> {
    match value {
        Value::Set(set) => Some(Box::new(set.iter_sorted())),
        Value::Array(array) => Some(Box::new(array.iter())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) | Value::Undefined => None,
    }
}

/// A string is name and text in one.
fn reason(value: &Value) -> Option<Reason> {
    let cut = |text: &str| text.chars().take(MAX_REASON).collect::<String>();
    let text = |value: &Value| value.as_string().ok().filter(|text| !text.is_empty()).map(|text| cut(text));
    match value {
        Value::String(_) => text(value).map(|both| Reason { rule: both.clone(), text: both }),
        Value::Object(members) => {
            let rule = text(members.get(&Value::from("rule"))?)?;
            let text = members.get(&Value::from("text")).map_or_else(|| Some(rule.clone()), text)?;
            Some(Reason { rule, text })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Set(_) | Value::Array(_) | Value::Undefined => None,
    }
}

fn lifetime(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => seconds(text),
        Value::Number(_) => value.as_u32().ok().filter(|seconds| *seconds > 0),
        Value::Null | Value::Bool(_) | Value::Set(_) | Value::Array(_) | Value::Object(_) | Value::Undefined => None,
    }
}

fn level(value: &Value) -> Option<&str> {
    value.as_string().ok().map(AsRef::as_ref).filter(|acr: &&str| acr.len() <= MAX_ACR && is_visible(acr))
}
