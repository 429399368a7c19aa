//! JSON that reads only one way: an object without duplicate names at any depth, so that no other parser sees other claims in it
//! (RFC 8259 §4, RFC 7519 §4).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The longest claims set, in bytes.
pub(super) const MAX_CLAIMS: usize = 16 * 1024;

/// Not a JSON object that reads only one way, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotStrict;

/// Parses an object.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, NotStrict> {
    if text.len() > MAX_CLAIMS {
        return Err(NotStrict);
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut parser).map_err(|_| NotStrict)?;
    parser.end().map_err(|_| NotStrict)?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(NotStrict),
    }
}

struct Strict;

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
            let value = members.next_value_seed(Self)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate name"));
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
    #[case("")]
    #[case("[]")]
    #[case("null")]
    #[case("{} {}")]
    #[case("{\"a\":1,\"a\":1}")]
    #[case("{\"a\":1,\"\\u0061\":2}")]
    #[case("{\"act\":{\"sub\":\"a\",\"sub\":\"b\"}}")]
    #[case("{\"list\":[{\"x\":1,\"x\":1}]}")]
    #[case("{\"a\":1e999}")]
    #[case("{\"a\":\"\\ud800\"}")]
    fn what_reads_two_ways_is_refused(#[case] text: &str) {
        assert_eq!(object(text), Err(NotStrict));
    }

    #[test]
    fn deep_and_long_texts_are_refused() {
        assert_eq!(object(&format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000))), Err(NotStrict));
        assert_eq!(object(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_CLAIMS))), Err(NotStrict));
    }

    #[test]
    fn everything_else_reads_as_it_stands() {
        let text = r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"c":{}}}"#;
        assert_eq!(Value::Object(object(text).unwrap()), serde_json::from_str::<Value>(text).unwrap());
    }
}
