//! JSON, read more strictly than `serde_json` does. [`object`]: one object, nested within a bound, that names no member twice at any depth, so
//! that no other parser sees something else in it (RFC 8259 §4, RFC 7519 §4, RFC 8725 §2.4). [`value`]: the same of any value. [`from_slice`],
//! [`from_str`], [`from_value`]: into a struct, from an object alone.
//!
//! `serde_json` takes an object whose first member has one of its private names for something else, such as a text that is JSON in turn: nested
//! within each other, 32 KB of them overflow a stack, past its own limit of depth. Such names are refused here, so nothing else reads JSON.

mod objects;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use standin_domain::claims;

pub use self::objects::{Objects, from_slice, from_str, from_value};

/// How the names begin that `serde_json` keeps for itself: `RawValue` and `Number` behind it.
const PRIVATE: &str = "$serde_json::private::";
/// The newtype in whose place a text stands as it is, whatever is in it.
const RAW: &str = "$serde_json::private::RawValue";

/// Whether a name means data. As an error where it does not.
fn check_name<E: serde::de::Error>(name: &str) -> Result<(), E> {
    if name.starts_with(PRIVATE) { Err(E::custom("a member has a name that is no data")) } else { Ok(()) }
}

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Objects and arrays within each other beyond the limit.
    #[error("nested too deep")]
    Depth,
    /// Not one JSON object, or a member stands in it twice.
    #[error("not a json object without repetitions")]
    Syntax,
}

/// Parses one object that nests at most `max_depth` deep, itself included.
///
/// # Errors
/// Where it is something else.
pub fn object(text: &str, max_depth: u8) -> Result<Map<String, Value>, JsonError> {
    // Before parsing, so that no parser recurses further than the limit.
    if claims::depth(text.as_bytes()) > usize::from(max_depth) {
        return Err(JsonError::Depth);
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    match value {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
            Err(JsonError::Syntax)
        }
    }
}

/// Any value that names no member twice at any depth. It nests as deep as `serde_json` lets it.
///
/// # Errors
/// Where it is something else.
pub fn value(text: &str) -> serde_json::Result<Value> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut parser)?;
    parser.end().map(|()| value)
}

/// The same for a field: `#[serde(deserialize_with)]`.
///
/// # Errors
/// Where it is something else.
pub fn field<'de, D: Deserializer<'de>>(parser: D) -> Result<Value, D::Error> {
    Strict.deserialize(parser)
}

/// The same for a field that is an object.
///
/// # Errors
/// Where it is something else.
pub fn members<'de, D: Deserializer<'de>>(parser: D) -> Result<Map<String, Value>, D::Error> {
    match Strict.deserialize(parser)? {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(D::Error::custom("not an object"))
        }
    }
}

/// Reads any value so.
pub struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON without duplicate names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            check_name(&name)?;
            let value = members.next_value_seed(Self)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("{}")]
    #[case::spaced(" \n{\"a\": [1, -2, 1.5, true, null, \"[{\"]}\t")]
    #[case::braces_in_strings(r#"{"a":"{{{{[[[[\"{{{{"}"#)]
    #[case::same_name_at_two_levels(r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#)]
    #[case::every_kind(r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"c":{}}}"#)]
    fn reads_as_it_stands(#[case] text: &str) {
        assert_eq!(object(text, 3).map(Value::Object), Ok(serde_json::from_str(text).unwrap()));
    }

    #[rstest]
    #[case::array("[]", JsonError::Syntax)]
    #[case::null("null", JsonError::Syntax)]
    #[case::nothing("", JsonError::Syntax)]
    #[case::two("{} {}", JsonError::Syntax)]
    #[case::cut(r#"{"a":"#, JsonError::Syntax)]
    #[case::repeated(r#"{"a":1,"a":1}"#, JsonError::Syntax)]
    #[case::repeated_by_escape(r#"{"a":1,"\u0061":2}"#, JsonError::Syntax)]
    #[case::repeated_within(r#"{"act":{"sub":1,"sub":2}}"#, JsonError::Syntax)]
    #[case::repeated_in_a_list(r#"{"a":[{"x":1,"x":1}]}"#, JsonError::Syntax)]
    #[case::no_number(r#"{"a":1e999}"#, JsonError::Syntax)]
    #[case::half_a_character(r#"{"a":"\ud800"}"#, JsonError::Syntax)]
    #[case::private(r#"{"a":{"$serde_json::private::RawValue":"1"}}"#, JsonError::Syntax)]
    #[case::private_too(r#"{"\u0024serde_json::private::Number":"1"}"#, JsonError::Syntax)]
    #[case::deep(r#"{"a":[[[]]]}"#, JsonError::Depth)]
    fn refuses(#[case] text: &str, #[case] error: JsonError) {
        assert_eq!(object(text, 3), Err(error));
    }

    #[test]
    fn a_megabyte_of_brackets_is_refused_before_it_is_parsed() {
        assert_eq!(object(&"[".repeat(1 << 20), 255), Err(JsonError::Depth));
    }

    #[test]
    fn nothing_is_read_within_a_text() {
        #[derive(Debug, serde::Deserialize)]
        struct Holder {
            #[expect(dead_code, reason = "nothing comes so far")]
            any: Value,
        }
        let bomb = testing::bomb(45);
        assert!(bomb.len() < 40_000 && serde_json::from_str::<serde::de::IgnoredAny>(&bomb).is_ok(), "{}", bomb.len());
        // A worker thread of the server has no more.
        let small = std::thread::Builder::new().stack_size(2 << 20);
        let read = move || {
            assert_eq!(object(&format!("{{\"any\":{bomb}}}"), 255), Err(JsonError::Syntax));
            assert!(value(&bomb).is_err());
            assert!(from_str::<Holder>(&format!("{{\"any\":{bomb}}}")).is_err());
            assert!(from_slice::<Vec<Value>>(bomb.as_bytes()).is_err());
        };
        small.spawn(read).unwrap().join().unwrap();
        let hidden = format!(r#"{{"{RAW}":"{{\"n\":1}}"}}"#);
        assert!(serde_json::from_str::<Value>(&hidden).is_ok_and(|value| value["n"] == 1), "what is refused here");
        assert!(value(&hidden).is_err() && from_str::<Value>(&hidden).is_err());
        assert!(from_value::<Value>(serde_json::from_str(r#"{"a":1}"#).unwrap()).is_ok());
    }

    #[test]
    fn any_value_is_read_strictly() {
        assert_eq!(value(r#"[1,"a",null]"#).unwrap(), serde_json::json!([1, "a", null]));
        for refused in ["", "1 2", r#"[{"a":1,"a":2}]"#, "[1", r#"{"a":1e999}"#] {
            assert!(value(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn many_members_are_compared_too() {
        let members: Vec<String> = (0..5_000).map(|n| format!("\"m{n}\":{n}")).collect();
        assert!(object(&format!("{{{}}}", members.join(",")), 3).is_ok());
        assert_eq!(object(&format!("{{{},\"m4999\":1}}", members.join(",")), 3), Err(JsonError::Syntax));
    }
}
