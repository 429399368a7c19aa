//! JSON bodies, read strictly: one flat object, no member twice.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{not_utf8, shown};
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
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(&error))?;
    if claims::depth(body) > max_depth {
        return Err(RequestError::TooDeep.into());
    }
    let Members(members) = serde_json::from_str(text).map_err(|error| {
        // Where, and not what: the text may hold a secret.
        Problem::from(RequestError::Malformed).because(format!("line {}, column {}", error.line(), error.column()))
    })?;
    let mut fields: Vec<(&'static str, Value)> = Vec::new();
    for (name, value) in members {
        let Some(name) = known.iter().find(|known| **known == name) else {
            return Err(Problem::from(RequestError::UnknownField).because(shown(&name)));
        };
        if fields.iter().any(|(seen, _)| seen == name) {
            return Err(Problem::at(RequestError::DuplicateField, name).because(shown(name)));
        }
        fields.push((name, value));
    }
    fields.retain(|(_, value)| !value.is_null());
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(br#"{"a":1,"b\u0007\"":2}"#, RequestError::UnknownField, "b\\u{7}\\\"")]
    #[case(br#"{"a":1,"a":2}"#, RequestError::DuplicateField, "a")]
    #[case(b"{\n\"a\":1,", RequestError::Malformed, "line 2, column 6")]
    #[case(b"{\"a\":\"secret\"} x", RequestError::Malformed, "line 1, column 16")]
    #[case(b"{\"\xff", RequestError::NotUtf8, "byte 2")]
    fn the_cause_says_where(#[case] body: &[u8], #[case] error: RequestError, #[case] cause: &str) {
        let problem = parse(body, 8, &["a"]).unwrap_err();
        assert_eq!((problem.error, problem.cause.as_deref()), (error.into(), Some(cause)));
    }

    #[test]
    fn a_long_name_is_cut() {
        let body = format!("{{\"{}\":1}}", "é".repeat(100));
        assert_eq!(parse(body.as_bytes(), 8, &[]).unwrap_err().cause, Some("é".repeat(64)));
    }
}
