//! JSON facts as Cedar values, by the type the schema declares.

use std::collections::BTreeMap;
use std::fmt;

use cedar_policy_core::ast::{Eid, EntityType, EntityUID, Literal, Value};
use cedar_policy_core::validator::types::{EntityKind, Type};
use serde_json::Value as Json;

/// A type that JSON has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    String,
    /// A string: the entity's id.
    Entity(EntityType),
    Set(Box<Kind>),
    /// Members and whether they have to be there.
    Record(BTreeMap<String, (Kind, bool)>),
}

impl Kind {
    /// Of a type of the schema; `None` for one that JSON does not have.
    pub(crate) fn of(declared: &Type) -> Option<Self> {
        match declared {
            Type::Bool(_) => Some(Self::Bool),
            Type::Long => Some(Self::Long),
            Type::String => Some(Self::String),
            Type::Entity(EntityKind::Entity(types)) => types.get_single_entity().cloned().map(Self::Entity),
            Type::Set { element_type } => Some(Self::Set(Box::new(Self::of(element_type.as_ref()?)?))),
            Type::Record { attrs, .. } => {
                let members = attrs
                    .iter()
                    .map(|(name, member)| Some((name.to_string(), (Self::of(&member.attr_type)?, member.is_required))));
                Some(Self::Record(members.collect::<Option<_>>()?))
            }
            Type::Never | Type::Entity(EntityKind::AnyEntity) | Type::ExtensionType { .. } => None,
        }
    }

    /// The value, if it is of this type. A single value stands for the set of it, as `aud` does (RFC 7519 §4.1.3).
    pub(crate) fn value(&self, json: &Json) -> Option<Value> {
        match (self, json) {
            (Self::Bool, Json::Bool(bool)) => Some(Value::from(*bool)),
            (Self::Long, Json::Number(number)) => Some(Value::from(number.as_i64()?)),
            (Self::String, Json::String(text)) => Some(Value::from(text.as_str())),
            (Self::Entity(entity_type), Json::String(id)) => Some(uid(entity_type, id).into()),
            (Self::Set(kind), Json::Array(items)) => {
                let items: Option<Vec<_>> = items.iter().map(|item| kind.value(item)).collect();
                Some(Value::set(items?, None))
            }
            (Self::Set(kind), single) => Some(Value::set([kind.value(single)?], None)),
            (Self::Record(members), Json::Object(object)) => {
                let mut record = Vec::with_capacity(members.len());
                for (name, (kind, required)) in members {
                    match object.get(name) {
                        Some(member) => record.push((name.as_str(), kind.value(member)?)),
                        None if *required => return None,
                        None => {}
                    }
                }
                Some(Value::record(record, None))
            }
            (Self::Bool | Self::Long | Self::String | Self::Entity(_) | Self::Record(_), _) => None,
        }
    }

    /// A fact as it came. Where a string is wanted, anything else is its own JSON text.
    pub(crate) fn tag(&self, text: &str) -> Option<Value> {
        let json: Json = serde_json::from_str(text).ok()?;
        match (self, &json) {
            (Self::String, Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                Some(Value::from(json.to_string()))
            }
            (_, json) => self.value(json),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Long => f.write_str("Long"),
            Self::String => f.write_str("String"),
            Self::Entity(entity_type) => entity_type.fmt(f),
            Self::Set(kind) => write!(f, "Set<{kind}>"),
            Self::Record(members) => {
                let members = members.iter().map(|(name, (kind, required))| {
                    let mark = if *required { "" } else { "?" };
                    format!("{name}{mark}: {kind}")
                });
                write!(f, "{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// An entity's name.
pub(crate) fn uid(entity_type: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(entity_type.clone(), Eid::new(id), None)
}

/// Strings as a set.
pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Value {
    Value::set_of_lits(texts.into_iter().map(|text| Literal::from(text.as_str())), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Kind {
        let members = [("id", (Kind::Entity("User".parse().unwrap()), true)), ("level", (Kind::Long, false))];
        Kind::Record(members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect())
    }

    #[test]
    fn what_has_the_type_becomes_a_value() {
        let shown = |kind: &Kind, json: Json| kind.value(&json).map(|value| value.to_string());
        let texts = Kind::Set(Box::new(Kind::String));
        assert_eq!(shown(&Kind::Bool, json!(true)).unwrap(), "true");
        assert_eq!(shown(&Kind::Long, json!(-7)).unwrap(), "-7");
        assert_eq!(shown(&Kind::String, json!("a")).unwrap(), "\"a\"");
        assert_eq!(shown(&texts, json!(["b", "a", "b"])).unwrap(), "[\"a\", \"b\"]");
        assert_eq!(shown(&texts, json!("a")).unwrap(), "[\"a\"]");
        assert_eq!(shown(&record(), json!({"id": "u", "more": null})).unwrap(), "{id: User::\"u\"}");
        assert_eq!(shown(&record(), json!({"id": "u", "level": 1})).unwrap(), "{id: User::\"u\", level: 1}");
    }

    #[test]
    fn what_has_not_does_not() {
        let texts = Kind::Set(Box::new(Kind::String));
        for (kind, json) in [
            (Kind::Bool, json!("true")),
            (Kind::Bool, json!(null)),
            (Kind::Long, json!(1.0)),
            (Kind::Long, json!(u64::MAX)),
            (Kind::Long, json!("1")),
            (Kind::String, json!(1)),
            (Kind::String, json!(null)),
            (texts.clone(), json!([1])),
            (texts.clone(), json!({})),
            (texts, json!(null)),
            (record(), json!({"level": 1})),
            (record(), json!({"id": "u", "level": "high"})),
            (record(), json!({"id": "u", "level": null})),
        ] {
            assert_eq!(kind.value(&json), None, "{kind} {json}");
        }
    }

    #[test]
    fn a_tag_of_strings_takes_everything() {
        let shown = |text: &str| Kind::String.tag(text).map(|value| value.to_string());
        assert_eq!(shown("\"DE\"").unwrap(), "\"DE\"");
        assert_eq!(shown(" 1.50").unwrap(), "\"1.5\"");
        assert_eq!(shown("true").unwrap(), "\"true\"");
        assert_eq!(shown("null").unwrap(), "\"null\"");
        assert_eq!(shown("[1, 2]").unwrap(), "\"[1,2]\"");
        assert_eq!(shown("not json"), None);
        assert!(Kind::Long.tag("\"1\"").is_none());
        assert!(Kind::Long.tag("1").is_some());
    }
}
