//! JSON that cannot be read two ways: bounded nesting and no member twice, at any level.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

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

/// Whether `text` is one JSON object that nests at most `max_depth` deep (itself included) and names no member twice (RFC 8725 §2.4).
///
/// # Errors
/// Where it is not.
pub fn check(text: &str, max_depth: u8) -> Result<(), JsonError> {
    // Before parsing, so that no parser recurses further than the limit.
    depth(text.as_bytes(), max_depth)?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(JsonError::Syntax);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Unrepeated.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|_| JsonError::Syntax)
}

fn depth(text: &[u8], max_depth: u8) -> Result<(), JsonError> {
    let (mut depth, mut in_string, mut escaped) = (0_u8, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth = depth.checked_add(1).filter(|depth| *depth <= max_depth).ok_or(JsonError::Depth)?;
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Reads any value and keeps nothing but the names of one object at a time.
struct Unrepeated;

impl<'de> DeserializeSeed<'de> for Unrepeated {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("json")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names: Names = Names::default();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(serde::de::Error::custom("a member stands there twice"));
            }
            members.next_value_seed(Self)?;
        }
        Ok(())
    }
}

/// Names seen so far. Objects are small as a rule, and comparing a handful is faster than hashing them.
#[derive(Default)]
struct Names {
    few: Vec<String>,
    many: HashSet<String>,
}

impl Names {
    fn insert(&mut self, name: String) -> bool {
        const FEW: usize = 24;
        if self.few.contains(&name) {
            false
        } else if self.few.len() < FEW {
            self.few.push(name);
            true
        } else {
            self.many.insert(name)
        }
    }
}

/// One top-level member that is a string; `Err` where it is something else. The text has passed [`check`].
///
/// # Errors
/// Where the member is not a string.
pub fn text_member(text: &str, name: &'static str) -> Result<Option<String>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Member(name)).map_err(|_| JsonError::Syntax)
}

struct Member(&'static str);

impl<'de> Visitor<'de> for Member {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object whose {} is a string", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if name == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
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
    fn takes(#[case] text: &str) {
        assert_eq!(check(text, 3), Ok(()));
    }

    #[rstest]
    #[case::array("[]", JsonError::Syntax)]
    #[case::nothing("", JsonError::Syntax)]
    #[case::two("{}{}", JsonError::Syntax)]
    #[case::cut(r#"{"a":"#, JsonError::Syntax)]
    #[case::repeated(r#"{"a":1,"a":2}"#, JsonError::Syntax)]
    #[case::repeated_by_escape(r#"{"a":1,"\u0061":2}"#, JsonError::Syntax)]
    #[case::repeated_within(r#"{"act":{"sub":1,"sub":2}}"#, JsonError::Syntax)]
    #[case::deep(r#"{"a":[[[]]]}"#, JsonError::Depth)]
    fn refuses(#[case] text: &str, #[case] error: JsonError) {
        assert_eq!(check(text, 3), Err(error));
    }

    #[test]
    fn a_megabyte_of_brackets_is_refused_at_once() {
        assert_eq!(check(&"[".repeat(1 << 20), 255), Err(JsonError::Depth));
    }

    #[test]
    fn many_members_are_compared_too() {
        let members: Vec<String> = (0..5_000).map(|n| format!("\"m{n}\":{n}")).collect();
        assert_eq!(check(&format!("{{{}}}", members.join(",")), 3), Ok(()));
        assert_eq!(check(&format!("{{{},\"m4999\":1}}", members.join(",")), 3), Err(JsonError::Syntax));
    }

    #[test]
    fn finds_a_member() {
        assert_eq!(text_member(r#"{"x":{"iss":"no"},"iss":"yes"}"#, "iss"), Ok(Some("yes".into())));
        assert_eq!(text_member("{}", "iss"), Ok(None));
        assert_eq!(text_member(r#"{"iss":5}"#, "iss"), Err(JsonError::Syntax));
    }
}
