//! Actor chains (RFC 8693 §4.1): who acted, nearest first.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::id;

/// One actor, with those before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// Who names the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The actor.
    pub sub: String,
    /// Who acted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

/// An `act` claim that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainError {
    /// Not nested objects of strings with a `sub` each.
    Malformed,
    /// More actors than allowed.
    TooLong,
    /// An actor of ours in a token that is not.
    Ours,
}

impl Actor {
    /// Reads an `act` claim of at most `max` actors. Members other than `iss`, `sub` and `act` mean nothing here.
    ///
    /// # Errors
    /// Where it is malformed or too long.
    pub fn parse(claim: &Value, max: usize) -> Result<Self, ChainError> {
        let object = claim.as_object().ok_or(ChainError::Malformed)?;
        let left = max.checked_sub(1).ok_or(ChainError::TooLong)?;
        let act = object.get("act").map(|inner| Self::parse(inner, left)).transpose()?;
        let sub = member(object, "sub")?.ok_or(ChainError::Malformed)?;
        Ok(Self { iss: member(object, "iss")?, sub, act: act.map(Box::new) })
    }

    /// The chain of a token that `issuer` signed, who is not us: an actor without `iss` is one of its own. Our actors only we name: anybody
    /// else who could would have every rule about them met.
    ///
    /// # Errors
    /// Where it names an actor of `ours`.
    pub fn foreign(self, issuer: &str, ours: &str) -> Result<Self, ChainError> {
        let Self { iss, sub, act } = self;
        let iss = iss.unwrap_or_else(|| issuer.to_owned());
        if iss == ours {
            return Err(ChainError::Ours);
        }
        let act = act.map(|before| before.foreign(issuer, ours)).transpose()?;
        Ok(Self { iss: Some(iss), sub, act: act.map(Box::new) })
    }

    /// The chain with one more actor in front.
    ///
    /// # Errors
    /// Where that would be more than `max` actors.
    pub fn in_front_of(iss: &str, sub: &str, before: Option<Self>, max: usize) -> Result<Self, ChainError> {
        if before.as_ref().map_or(0, Self::len) >= max {
            return Err(ChainError::TooLong);
        }
        Ok(Self { iss: Some(iss.to_owned()), sub: sub.to_owned(), act: before.map(Box::new) })
    }

    /// How many actors there are.
    #[expect(clippy::len_without_is_empty, reason = "a chain has at least one actor")]
    pub fn len(&self) -> usize {
        1 + self.act.as_deref().map_or(0, Self::len)
    }

    /// The actors, nearest first, as policies and the audit log name them: ours by `sub`, all others `ext:<issuer name>:<sub>`. `name_of`
    /// is the registered name of an issuer. One that is not registered, or not any more, is named by its URL, which no registered name
    /// can be.
    pub fn names(&self, ours: &str, name_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let named = |actor: &Self| match actor.iss.as_deref() {
            Some(iss) if iss == ours => actor.sub.clone(),
            Some(iss) => id::external(&name_of(iss).unwrap_or_else(|| iss.to_owned()), &actor.sub),
            // Our own actors have an `iss`.
            None => id::external("", &actor.sub),
        };
        std::iter::successors(Some(self), |actor| actor.act.as_deref()).map(named).collect()
    }
}

fn member(object: &Map<String, Value>, name: &str) -> Result<Option<String>, ChainError> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= 512 => Ok(Some(text.clone())),
        Some(_) => Err(ChainError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nests_nearest_first() {
        let before = Actor::parse(&json!({"sub": "b", "act": {"iss": "i", "sub": "a"}}), 5).unwrap();
        let chain = Actor::in_front_of("me", "c", Some(before), 5).unwrap();
        let known = |iss: &str| (iss == "i").then(|| "corp".to_owned());
        assert_eq!(chain.names("me", known), ["c", "ext::b", "ext:corp:a"]);
        assert_eq!(chain.names("me", |_| None), ["c", "ext::b", "ext:i:a"]);
        assert_eq!(
            serde_json::to_value(&chain).unwrap(),
            json!({"iss": "me", "sub": "c", "act": {"sub": "b", "act": {"iss": "i", "sub": "a"}}})
        );
    }

    #[test]
    fn a_foreign_chain_is_the_issuers_own_and_never_ours() {
        let parse = |claim: Value| Actor::parse(&claim, 5).unwrap().foreign("https://idp", "https://us");
        let chain = parse(json!({"sub": "client:a", "act": {"iss": "https://b", "sub": "b", "act": {"sub": "c"}}})).unwrap();
        assert_eq!(
            serde_json::to_value(&chain).unwrap(),
            json!({"iss": "https://idp", "sub": "client:a", "act": {"iss": "https://b", "sub": "b", "act": {"iss": "https://idp", "sub": "c"}}})
        );
        let known = |iss: &str| (iss == "https://idp").then(|| "corp".to_owned());
        assert_eq!(chain.names("https://us", known), ["ext:corp:client%3Aa", "ext:https%3A%2F%2Fb:b", "ext:corp:c"]);
        for claim in [
            json!({"iss": "https://us", "sub": "client:a"}),
            json!({"sub": "a", "act": {"iss": "https://us", "sub": "client:a"}}),
            json!({"sub": "a", "act": {"iss": "https://b", "sub": "b", "act": {"iss": "https://us", "sub": "x"}}}),
        ] {
            assert_eq!(parse(claim), Err(ChainError::Ours));
        }
    }

    #[rstest::rstest]
    #[case(json!("a"))]
    #[case(json!({}))]
    #[case(json!({"sub": 1}))]
    #[case(json!({"sub": ""}))]
    #[case(json!({"sub": "a", "act": []}))]
    #[case(json!({"sub": "a", "act": {"iss": "i"}}))]
    #[case(json!({"sub": "a", "iss": {}}))]
    fn malformed(#[case] claim: Value) {
        assert_eq!(Actor::parse(&claim, 5), Err(ChainError::Malformed));
    }

    #[test]
    fn too_long() {
        let claim = json!({"sub": "a", "act": {"sub": "b", "act": {"sub": "c"}}});
        assert_eq!(Actor::parse(&claim, 2), Err(ChainError::TooLong));
        let three = Actor::parse(&claim, 3).unwrap();
        assert_eq!(Actor::in_front_of("i", "d", Some(three), 3), Err(ChainError::TooLong));
    }
}
