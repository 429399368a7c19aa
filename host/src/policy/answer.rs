//! Whether an answer can be used: what it says must not contradict itself.

use std::collections::BTreeSet;

use serde::de::IgnoredAny;

use crate::bindings::types::{Effect, Verdict};

/// Length of a text that is kept, in bytes.
const TEXT: usize = 1024;

/// The text, cut where it is too long.
pub(super) fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT));
    text
}

/// Names of attributes are unique and not empty, values are JSON, scopes and audiences can be what they say they are.
pub(super) fn is_well_formed(verdict: &Verdict) -> bool {
    let mut names = BTreeSet::new();
    let attributes = verdict.attributes.iter().all(|attribute| {
        !attribute.name.is_empty()
            && names.insert(&attribute.name)
            && serde_json::from_str::<IgnoredAny>(&attribute.value).is_ok()
    });
    attributes
        && match &verdict.effect {
            Effect::Permit(allowance) => {
                allowance.scope.iter().flatten().all(|scope| is_scope_token(scope))
                    && allowance.audience.iter().flatten().all(|audience| !audience.is_empty())
            }
            Effect::Deny => true,
            Effect::StepUp(acr) => !acr.is_empty(),
        }
}

/// RFC 6749 §3.3: one or more of `%x21 / %x23-5B / %x5D-7E`.
fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types::{Allowance, Attribute};

    fn verdict(effect: Effect, attributes: &[(&str, &str)]) -> Verdict {
        let attributes = attributes.iter().map(|(name, value)| Attribute { name: (*name).into(), value: (*value).into() });
        Verdict { effect, reasons: Vec::new(), attributes: attributes.collect() }
    }

    fn permit(scope: &[&str], audience: &[&str]) -> Effect {
        let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).into()).collect());
        Effect::Permit(Allowance { scope: texts(scope), audience: texts(audience), ttl: None })
    }

    #[test]
    fn what_is_well_formed_passes() {
        assert!(is_well_formed(&verdict(Effect::Deny, &[])));
        assert!(is_well_formed(&verdict(Effect::StepUp("urn:mfa".into()), &[])));
        assert!(is_well_formed(&verdict(permit(&["expenses:read"], &["https://api.example.com"]), &[("a", "1"), ("b", "{}")])));
        assert!(is_well_formed(&verdict(permit(&[], &[]), &[])));
    }

    #[test]
    fn what_contradicts_itself_does_not() {
        for attributes in [&[("a", "1"), ("a", "2")][..], &[("", "1")], &[("a", "not json")], &[("a", "")]] {
            assert!(!is_well_formed(&verdict(Effect::Deny, attributes)));
        }
        for effect in [permit(&["a b"], &[]), permit(&[""], &[]), permit(&["\""], &[]), permit(&[], &[""])] {
            assert!(!is_well_formed(&verdict(effect, &[])));
        }
        assert!(!is_well_formed(&verdict(Effect::StepUp(String::new()), &[])));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(bounded("ä".repeat(1000)).len(), TEXT);
        assert_eq!(bounded(format!("x{}", "ä".repeat(1000))).len(), TEXT - 1);
        assert_eq!(bounded("short".into()), "short");
    }
}
