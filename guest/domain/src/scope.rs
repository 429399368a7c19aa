//! Scopes (RFC 6749 §3.3): tokens valid by construction, and sets that only ever shrink.

/// The most scope tokens in one set.
pub const MAX_SCOPES: usize = 128;
/// The longest scope token, in bytes.
pub const MAX_SCOPE_LEN: usize = 256;

/// A list that is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidScope;

/// Distinct scope tokens in the order they were named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeSet(Vec<String>);

impl ScopeSet {
    /// From scope tokens; repeated ones count once.
    ///
    /// # Errors
    /// Where a token has characters outside RFC 6749 §3.3 or there are too many.
    pub fn new(tokens: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, InvalidScope> {
        let mut set = Vec::new();
        for token in tokens {
            let token = token.into();
            if !is_scope_token(&token) {
                return Err(InvalidScope);
            }
            if !set.contains(&token) {
                set.push(token);
            }
            if set.len() > MAX_SCOPES {
                return Err(InvalidScope);
            }
        }
        Ok(Self(set))
    }

    /// What both have, in this set's order. A term that does not exist (`None`) limits nothing.
    #[must_use]
    pub fn narrowed_by(&self, term: Option<&[String]>) -> Self {
        match term {
            None => self.clone(),
            Some(term) => Self(self.0.iter().filter(|token| term.contains(token)).cloned().collect()),
        }
    }

    /// What this has and `other` has not.
    pub fn without(&self, other: &Self) -> Vec<String> {
        self.0.iter().filter(|token| !other.0.contains(token)).cloned().collect()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// `1*( %x21 / %x23-5B / %x5D-7E )`.
fn is_scope_token(token: &str) -> bool {
    (1..=MAX_SCOPE_LEN).contains(&token.len()) && token.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// A policy's allowance leaves nothing of what was put to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NothingLeft;

/// What a policy's allowance leaves of the scope that was put to it, whoever named that scope: the request, the step or the client's
/// registration. `None` is no opinion, an empty list is nothing; nothing left of something is a refusal, not a token without scope.
///
/// # Errors
/// Where nothing is left of something.
pub fn left_by_policy(asked: &[String], allowed: Option<&[String]>) -> Result<Vec<String>, NothingLeft> {
    let left: Vec<_> = asked.iter().filter(|token| allowed.is_none_or(|allowed| allowed.contains(token))).cloned().collect();
    if left.is_empty() && !asked.is_empty() { Err(NothingLeft) } else { Ok(left) }
}

/// The tokens of the space-delimited form (RFC 6749 §3.3), whether they are valid or not.
pub fn split(text: &str) -> Vec<String> {
    text.split(' ').filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_strictly() {
        assert_eq!(ScopeSet::new(split("a  b a ")).unwrap().as_slice(), ["a", "b"]);
        assert_eq!(ScopeSet::new(split("")).unwrap(), ScopeSet::default());
        assert_eq!(ScopeSet::new(split("a\"b")), Err(InvalidScope));
        assert_eq!(ScopeSet::new(split("a\tb")), Err(InvalidScope));
        assert_eq!(ScopeSet::new((0..=MAX_SCOPES).map(|n| format!("s{n}"))), Err(InvalidScope));
        assert_eq!(ScopeSet::new(["a".repeat(MAX_SCOPE_LEN + 1)]), Err(InvalidScope));
    }

    #[rstest::rstest]
    #[case("a b", Some("b c"), Ok("b"))]
    #[case("a b", None, Ok("a b"))]
    #[case("a", Some("b"), Err(NothingLeft))]
    #[case("a", Some(""), Err(NothingLeft))]
    #[case("", Some("b"), Ok(""))]
    #[case("", Some(""), Ok(""))]
    fn nothing_of_something_is_refused(
        #[case] asked: &str,
        #[case] allowed: Option<&str>,
        #[case] left: Result<&str, NothingLeft>,
    ) {
        assert_eq!(left_by_policy(&split(asked), allowed.map(split).as_deref()), left.map(split));
    }

    proptest! {
        #[test]
        fn narrowing_never_widens(have in proptest::collection::vec("[a-e]", 0..6), term in proptest::collection::vec("[a-h]", 0..6)) {
            let have = ScopeSet::new(have).unwrap();
            let narrowed = have.narrowed_by(Some(&term));
            prop_assert!(narrowed.as_slice().iter().all(|token| have.as_slice().contains(token) && term.contains(token)));
            prop_assert_eq!(have.narrowed_by(None), have);
        }
    }
}
