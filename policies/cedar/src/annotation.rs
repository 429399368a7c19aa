//! Limits and words on a policy.
//!
//! | annotation | on | value |
//! |---|---|---|
//! | `@id("…")` | both | 1 to 256 characters, no other policy's |
//! | `@reason("…")` | both | 1 to 256 characters |
//! | `@doc("…")` | both | anything; for readers |
//! | `@max_ttl("5m")` | `permit` | seconds, minutes or hours |
//! | `@scope("a b")` | `permit` | scope tokens (RFC 6749 §3.3) |
//! | `@audience("a b")` | `permit` | audiences |
//! | `@step_up("acr")` | `permit` | the `acr` the user must have authenticated with |
//!
//! An annotation that is not in this table is a fault: a limit that is misspelt would be none.

use std::collections::BTreeSet;

use cedar_policy_core::ast::{Effect, Policy};
use cedar_policy_core::parser::Loc;
use standin_policy_engine::{Reason, is_scope_token, is_text, is_visible, seconds};

/// The longest id, in characters.
const MAX_ID: usize = 256;
/// The longest reason, in characters: in bytes no more than the host takes.
const MAX_REASON: usize = 256;
/// The most scopes or audiences.
const MAX_ITEMS: usize = 128;

/// What a permit leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) scope: Option<BTreeSet<String>>,
    pub(crate) audience: Option<BTreeSet<String>>,
    pub(crate) ttl: Option<u32>,
    pub(crate) step_up: Option<String>,
}

/// What a policy says beside its rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) limits: Limits,
}

/// Why an annotation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnnotationError {
    /// Its name is none of ours.
    #[error("unknown annotation: known are `@id`, `@reason`, `@doc`, `@max_ttl`, `@scope`, `@audience` and `@step_up`")]
    Unknown,
    /// A limit on a `forbid`.
    #[error("a `forbid` grants nothing that this could limit")]
    OnForbid,
    /// Not an id.
    #[error("an id has 1 to 256 characters, none of them a control character, and is not `default`")]
    Id,
    /// Not a reason.
    #[error("a reason has 1 to 256 characters, none of them a control character")]
    Reason,
    /// Not a lifetime.
    #[error("a lifetime is a whole number of seconds, minutes or hours such as \"90s\", \"5m\" or \"1h\", at least one second")]
    MaxTtl,
    /// Not scopes.
    #[error("a scope is one to 128 scope tokens (RFC 6749 §3.3), a space between two")]
    Scope,
    /// Not audiences.
    #[error("audiences are one to 128 names or URIs of visible ASCII, a space between two")]
    Audience,
    /// Not an `acr`.
    #[error("an acr has 1 to 256 visible ASCII characters")]
    StepUp,
}

impl Annotations {
    /// Reads a policy's annotations; a fault comes with where it stands.
    pub(crate) fn of(policy: &Policy) -> Result<Self, Vec<(AnnotationError, Option<Loc>)>> {
        let mut read = Self::default();
        let mut faults = Vec::new();
        for (name, annotation) in policy.annotations() {
            if let Err(fault) = read.set(name.as_ref(), &annotation.val, policy.effect()) {
                faults.push((fault, annotation.loc.clone()));
            }
        }
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    fn set(&mut self, name: &str, value: &str, effect: Effect) -> Result<(), AnnotationError> {
        match name {
            "id" => {
                let fits = is_text(value, MAX_ID) && !Reason::is_default(value);
                self.id = Some(fits.then(|| value.to_owned()).ok_or(AnnotationError::Id)?);
                return Ok(());
            }
            "reason" => {
                self.reason = Some(is_text(value, MAX_REASON).then(|| value.to_owned()).ok_or(AnnotationError::Reason)?);
                return Ok(());
            }
            "doc" => return Ok(()),
            "max_ttl" => self.limits.ttl = Some(seconds(value).ok_or(AnnotationError::MaxTtl)?),
            "scope" => self.limits.scope = Some(items(value, is_scope_token).ok_or(AnnotationError::Scope)?),
            "audience" => self.limits.audience = Some(items(value, is_visible).ok_or(AnnotationError::Audience)?),
            "step_up" => {
                let fits = value.len() <= MAX_ID && is_visible(value);
                self.limits.step_up = Some(fits.then(|| value.to_owned()).ok_or(AnnotationError::StepUp)?);
            }
            _ => return Err(AnnotationError::Unknown),
        }
        match effect {
            Effect::Permit => Ok(()),
            Effect::Forbid => Err(AnnotationError::OnForbid),
        }
    }
}

fn items(text: &str, valid: fn(&str) -> bool) -> Option<BTreeSet<String>> {
    let items: BTreeSet<_> = text.split(' ').map(str::to_owned).collect();
    (items.len() <= MAX_ITEMS && items.iter().all(|item| valid(item))).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &str, effect: &str) -> Result<Annotations, Vec<AnnotationError>> {
        let text = format!("{annotations}\n{effect}(principal, action, resource);");
        let policy = cedar_policy::Policy::parse(None, text).unwrap();
        Annotations::of(policy.as_ref()).map_err(|faults| faults.into_iter().map(|(fault, _)| fault).collect())
    }

    #[test]
    fn limits_and_words_are_read() {
        let text = r#"@id("a") @reason("because") @doc("") @max_ttl("5m") @scope("b a") @audience("https://x") @step_up("mfa")"#;
        let set = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect());
        let limits =
            Limits { scope: set(&["a", "b"]), audience: set(&["https://x"]), ttl: Some(300), step_up: Some("mfa".into()) };
        let expected = Annotations { id: Some("a".into()), reason: Some("because".into()), limits };
        assert_eq!(read(text, "permit").unwrap(), expected);
        for (text, ttl) in [("1s", 1), ("90s", 90), ("2h", 7200)] {
            assert_eq!(read(&format!("@max_ttl(\"{text}\")"), "permit").unwrap().limits.ttl, Some(ttl));
        }
    }

    #[test]
    fn everything_else_is_a_fault() {
        use AnnotationError as E;
        let long = "x".repeat(257);
        let rows = [
            ("@max_tll(\"5m\")".to_owned(), E::Unknown),
            ("@id".to_owned(), E::Id),
            ("@id(\"default\")".to_owned(), E::Id),
            (format!("@id(\"{long}\")"), E::Id),
            ("@reason(\"a\\nb\")".to_owned(), E::Reason),
            ("@reason".to_owned(), E::Reason),
            (format!("@step_up(\"{long}\")"), E::StepUp),
            ("@step_up(\"a b\")".to_owned(), E::StepUp),
            ("@step_up".to_owned(), E::StepUp),
            ("@scope(\"\")".to_owned(), E::Scope),
            ("@scope(\"a  b\")".to_owned(), E::Scope),
            ("@scope(\"a\\\"b\")".to_owned(), E::Scope),
            ("@audience(\"ä\")".to_owned(), E::Audience),
            ("@audience".to_owned(), E::Audience),
        ];
        for (text, fault) in rows {
            assert_eq!(read(&text, "permit").unwrap_err(), [fault], "{text}");
        }
        for text in ["", "5", "m", "0s", "-1s", "+1s", "1.5m", "5 m", "5d", "4294967295m", "99999999999s", "ä"] {
            assert_eq!(read(&format!("@max_ttl(\"{text}\")"), "permit").unwrap_err(), [E::MaxTtl], "{text}");
        }
        for text in ["@max_ttl(\"5m\")", "@scope(\"a\")", "@audience(\"a\")", "@step_up(\"a\")"] {
            assert_eq!(read(text, "forbid").unwrap_err(), [E::OnForbid], "{text}");
        }
        assert_eq!(read("@id(\"a\") @reason(\"b\") @doc(\"c\")", "forbid").unwrap().id.unwrap(), "a");
    }
}
