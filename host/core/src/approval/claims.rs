//! Claims of a token whose signature is right: typed reading, nothing taken for granted.

use serde_json::{Map, Value};
use standin_domain::{claims, scope};

/// A claim is not what its specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Why a token is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeFault {
    /// `exp` is missing, or one of the times is no number.
    Malformed,
    /// `exp` has passed (RFC 7519 §4.1.4).
    Expired,
    /// `nbf` or `iat` is still to come (RFC 7519 §4.1.5, §4.1.6).
    NotYet,
}

/// A claims set being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Claims<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// Whether the token is bound to a key.
    pub(super) fn are_bound(self) -> bool {
        claims::are_bound(self.0)
    }

    /// A string, if it is there.
    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, Malformed> {
        self.get(name).map(|value| value.as_str().ok_or(Malformed)).transpose()
    }

    /// `aud`: a string or a list of them (RFC 7519 §4.1.3).
    pub(super) fn audience(self) -> Result<Vec<&'a str>, Malformed> {
        match self.get("aud") {
            Some(Value::String(one)) => Ok(vec![one]),
            Some(list) => strings(list),
            None => Err(Malformed),
        }
    }

    /// The scope (RFC 8693 §4.2), in the first of these claims that is there.
    pub(super) fn scope(self, names: &[String]) -> Result<Option<Vec<String>>, Malformed> {
        let texts = match names.iter().find_map(|name| self.get(name)) {
            None => return Ok(None),
            Some(Value::String(text)) => vec![text.as_str()],
            Some(list) => strings(list)?,
        };
        Ok(Some(texts.into_iter().flat_map(scope::split).collect()))
    }

    /// Seconds the token still lives, if it is live at all within the leeway.
    pub(super) fn remaining(self, now: u64, leeway: u64) -> Result<u64, TimeFault> {
        let time = |name| self.get(name).map(seconds).transpose().map_err(|Malformed| TimeFault::Malformed);
        let exp = time("exp")?.ok_or(TimeFault::Malformed)?;
        if exp.saturating_add(leeway) <= now {
            return Err(TimeFault::Expired);
        }
        for begin in ["nbf", "iat"] {
            if time(begin)?.is_some_and(|begin| begin > now.saturating_add(leeway)) {
                return Err(TimeFault::NotYet);
            }
        }
        Ok(exp.saturating_sub(now))
    }
}

fn seconds(value: &Value) -> Result<u64, Malformed> {
    claims::seconds(value).ok_or(Malformed)
}

fn strings(value: &Value) -> Result<Vec<&str>, Malformed> {
    value.as_array().ok_or(Malformed)?.iter().map(|item| item.as_str().ok_or(Malformed)).collect()
}
