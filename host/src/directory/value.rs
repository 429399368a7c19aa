//! The values in a directory, valid by construction: an import's rows are made of them, and so are the keys of a lookup.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use standin_domain::id;

use crate::address::Address;
use crate::bindings::directory::State;
use crate::bindings::types::Attribute;
use crate::json;

const MAX_ID: usize = 128;
const MAX_ATTRIBUTES: usize = 64;
const MAX_ATTRIBUTES_TEXT: usize = 16 * 1024;

/// Why something is no value of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Of an id.
    #[error("an id is 1 to 128 printable ASCII characters without spaces")]
    Id,
    /// Of an id that a descriptor may carry.
    #[error("an id of an account or a host is 1 to 128 characters of A-Z a-z 0-9 . _ : -")]
    Opaque,
    /// Of an email address.
    #[error("not a valid email address")]
    Email,
    /// Of a host id.
    #[error("a host id is a UUID in its hyphenated form")]
    HostId,
    /// Of a scope.
    #[error("a scope is 1 to 128 characters of those in RFC 6749 section 3.3")]
    Scope,
    /// Of the name of an attribute.
    #[error("an attribute's name is an id, once in a row, and does not start with `edge.`")]
    AttributeName,
    /// Of all attributes together.
    #[error("a row has at most 64 attributes and 16 KiB of them")]
    Attributes,
}

/// An id whose form its owner chooses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Id(String);

impl TryFrom<String> for Id {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if printable && (1..=MAX_ID).contains(&text.len()) { Ok(Self(text)) } else { Err(ValueError::Id) }
    }
}

impl Id {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id that a descriptor may carry. The component refuses others, so that no entry could be found by them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Opaque(String);

impl TryFrom<String> for Opaque {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        if id::is_opaque(&text) { Ok(Self(text)) } else { Err(ValueError::Opaque) }
    }
}

impl Opaque {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An email address in the form in which addresses are compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Email(Address);

impl TryFrom<String> for Email {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Address::parse(&text).map(Self).ok_or(ValueError::Email)
    }
}

impl Email {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The form in which addresses are compared, of a text that need not be one.
pub(super) fn normalised(email: &str) -> String {
    Address::parse(email).map_or_else(|| email.to_owned(), Address::into_string)
}

/// The UUID of a host, hyphenated and lowercase.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HostId(String);

impl TryFrom<String> for HostId {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        id::parse_uuid(&text).map(Self).ok_or(ValueError::HostId)
    }
}

impl HostId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One scope token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Scope(String);

impl TryFrom<String> for Scope {
    type Error = ValueError;

    /// RFC 6749 §3.3: `1*( %x21 / %x23-5B / %x5D-7E )`.
    fn try_from(text: String) -> Result<Self, ValueError> {
        let allowed = text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if allowed && (1..=MAX_ID).contains(&text.len()) { Ok(Self(text)) } else { Err(ValueError::Scope) }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

/// The attributes of a row: a JSON object of any values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Attributes(String);

impl Attributes {
    /// As the text of a JSON object; [`attributes_from_text`] reads it.
    pub(super) fn as_text(&self) -> &str {
        if self.0.is_empty() { "{}" } else { &self.0 }
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributesVisitor)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Attributes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(json::Strict)?;
            let name = Id::try_from(name).map_err(|_| A::Error::custom(ValueError::AttributeName))?;
            // Facts of the edge's own request carry this prefix; nothing that was verified may look like one.
            if name.0.starts_with("edge.") || all.insert(name.0, value).is_some() {
                return Err(A::Error::custom(ValueError::AttributeName));
            }
        }
        let text = serde_json::to_string(&all).map_err(A::Error::custom)?;
        if all.len() > MAX_ATTRIBUTES || text.len() > MAX_ATTRIBUTES_TEXT {
            return Err(A::Error::custom(ValueError::Attributes));
        }
        Ok(Attributes(text))
    }
}

/// Reads what [`Attributes::as_text`] wrote.
pub(super) fn attributes_from_text(text: &str) -> Result<Vec<Attribute>, serde_json::Error> {
    if text == "{}" {
        return Ok(Vec::new());
    }
    let all: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text)?;
    Ok(all.into_iter().map(|(name, value)| Attribute { name, value: value.get().to_owned() }).collect())
}

/// [`State`] as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateName {
    #[default]
    Active,
    Disabled,
    Pending,
}

impl StateName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Pending => "pending",
        }
    }

    /// The state of this name.
    pub(super) fn named(name: &str) -> Option<State> {
        match name {
            "active" => Some(State::Active),
            "disabled" => Some(State::Disabled),
            "pending" => Some(State::Pending),
            _ => None,
        }
    }
}

impl From<State> for StateName {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Disabled => Self::Disabled,
            State::Pending => Self::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("alice@example.com", "alice@example.com")]
    #[case("  Alice.O'Hara+tag@EXAMPLE.co.uk ", "alice.o'hara+tag@example.co.uk")]
    #[case("A\u{308}lice@Bücher.example", "älice@xn--bcher-kva.example")]
    #[case("root@LOCALHOST", "root@localhost")]
    fn addresses_are_normalised(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Email::try_from(text.to_owned()).unwrap().as_str(), expected);
        assert_eq!(normalised(text), expected);
    }

    #[rstest]
    #[case("")]
    #[case("alice")]
    #[case("@example.com")]
    #[case("alice@")]
    #[case("alice@@example.com")]
    #[case("al ice@example.com")]
    #[case("alice@example..com")]
    #[case(".alice@example.com")]
    #[case("alice@-example.com")]
    #[case("\"alice\"@example.com")]
    #[case("alice@xn--a.example")]
    #[case("alice@example.com\nbob@example.com")]
    fn other_addresses_are_refused(#[case] text: &str) {
        assert_eq!(Email::try_from(text.to_owned()), Err(ValueError::Email));
    }

    #[test]
    fn long_addresses_are_refused() {
        let local = "a".repeat(65);
        assert_eq!(Email::try_from(format!("{local}@example.com")), Err(ValueError::Email));
        let domain = vec!["a".repeat(60); 5].join(".");
        assert_eq!(Email::try_from(format!("a@{domain}")), Err(ValueError::Email));
    }

    #[rstest]
    #[case("", ValueError::Id)]
    #[case("a b", ValueError::Id)]
    #[case("ü", ValueError::Id)]
    fn ids_are_printable(#[case] text: &str, #[case] error: ValueError) {
        assert_eq!(Id::try_from(text.to_owned()), Err(error));
        assert_eq!(Id::try_from("x".repeat(129)), Err(error));
        assert_eq!(Id::try_from("auth0|12:3".to_owned()).unwrap().as_str(), "auth0|12:3");
    }

    #[rstest]
    #[case("")]
    #[case("auth0|123")]
    #[case("a b")]
    fn ids_of_descriptors_are_narrower(#[case] text: &str) {
        assert_eq!(Opaque::try_from(text.to_owned()), Err(ValueError::Opaque));
        assert_eq!(Opaque::try_from("acme-eu.1:2_3".to_owned()).unwrap().as_str(), "acme-eu.1:2_3");
    }

    #[rstest]
    #[case("6F9619FF-8B86-D011-B42D-00C04FC964FF", Ok("6f9619ff-8b86-d011-b42d-00c04fc964ff"))]
    #[case("6f9619ff8b86d011b42d00c04fc964ff", Err(ValueError::HostId))]
    #[case("{6f9619ff-8b86-d011-b42d-00c04fc964ff}", Err(ValueError::HostId))]
    #[case("urn:uuid:6f9619ff-8b86-d011-b42d-00c04fc964ff", Err(ValueError::HostId))]
    #[case("host-1", Err(ValueError::HostId))]
    fn host_ids_are_hyphenated_uuids(#[case] text: &str, #[case] expected: Result<&str, ValueError>) {
        assert_eq!(HostId::try_from(text.to_owned()).as_ref().map(HostId::as_str).map_err(|error| *error), expected);
    }

    #[rstest]
    #[case("")]
    #[case("a b")]
    #[case("a\"b")]
    #[case("a\\b")]
    fn scopes_are_tokens(#[case] text: &str) {
        assert_eq!(Scope::try_from(text.to_owned()), Err(ValueError::Scope));
    }

    #[rstest]
    #[case(r#"{"edge.ip": 1}"#, ValueError::AttributeName)]
    #[case(r#"{"a": 1, "a": 2}"#, ValueError::AttributeName)]
    #[case(r#"{"": 1}"#, ValueError::AttributeName)]
    fn attribute_names_are_checked(#[case] json: &str, #[case] error: ValueError) {
        assert!(serde_json::from_str::<Attributes>(json).unwrap_err().to_string().starts_with(&error.to_string()));
    }

    #[test]
    fn attributes_are_bounded_and_come_back() {
        let many: BTreeMap<String, u32> = (0..65).map(|n| (format!("a{n}"), n)).collect();
        for json in [serde_json::to_string(&many).unwrap(), format!(r#"{{"a":"{}"}}"#, "x".repeat(17_000))] {
            let error = serde_json::from_str::<Attributes>(&json).unwrap_err().to_string();
            assert!(error.starts_with(&ValueError::Attributes.to_string()), "{error}");
        }
        let attributes: Attributes = serde_json::from_str(r#"{"b": {"c": [1, null]}, "a": "x"}"#).unwrap();
        let read = attributes_from_text(attributes.as_text()).unwrap();
        let read: Vec<_> = read.iter().map(|attribute| (attribute.name.as_str(), attribute.value.as_str())).collect();
        assert_eq!(read, [("a", "\"x\""), ("b", r#"{"c":[1,null]}"#)]);
        assert!(attributes_from_text(Attributes::default().as_text()).unwrap().is_empty());
    }

    #[test]
    fn states_have_names() {
        for state in [State::Active, State::Disabled, State::Pending] {
            assert_eq!(StateName::named(StateName::from(state).as_str()), Some(state));
        }
        assert_eq!(StateName::named("Active"), None);
    }
}
