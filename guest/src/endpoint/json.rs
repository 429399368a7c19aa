//! JSON bodies, read strictly: one flat object, no member twice.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::claims;
use crate::error::{Problem, RequestError};

/// The members of an object in their order.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The body's members, each one of `known`; `null` counts as absent.
pub(super) fn parse(body: &[u8], max_depth: usize, known: &[&'static str]) -> Result<Vec<(&'static str, Value)>, Problem> {
    if body.is_empty() {
        return Err(RequestError::Empty.into());
    }
    let text = std::str::from_utf8(body).map_err(|_| RequestError::NotUtf8)?;
    if claims::depth(body) > max_depth {
        return Err(RequestError::TooDeep.into());
    }
    let Members(members) = serde_json::from_str(text).map_err(|_| RequestError::Malformed)?;
    let mut fields: Vec<(&'static str, Value)> = Vec::new();
    for (name, value) in members {
        let name = known.iter().find(|known| **known == name).ok_or(RequestError::UnknownField)?;
        if fields.iter().any(|(seen, _)| seen == name) {
            return Err(Problem::at(RequestError::DuplicateField, name));
        }
        fields.push((name, value));
    }
    fields.retain(|(_, value)| !value.is_null());
    Ok(fields)
}
