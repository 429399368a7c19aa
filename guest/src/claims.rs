//! Claims of a verified JWT (RFC 7519 §4), read strictly.

use serde_json::{Map, Value};

/// A claim set.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// Text that is no claim set, or a claim of the wrong type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Claims {
    /// Reads a JSON object nested at most `max_depth` deep.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn parse(json: &str, max_depth: u8) -> Result<Self, Malformed> {
        if depth(json.as_bytes()) > usize::from(max_depth) {
            return Err(Malformed);
        }
        serde_json::from_str(json).map(Self).map_err(|_| Malformed)
    }

    /// A claim as it stands.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A string claim.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn string(&self, name: &str) -> Result<Option<&str>, Malformed> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Malformed),
        }
    }

    /// A NumericDate claim (RFC 7519 §2) in whole seconds.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn seconds(&self, name: &str) -> Result<Option<u64>, Malformed> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(seconds) => Ok(Some(seconds)),
                None => whole_seconds(number.as_f64().ok_or(Malformed)?).map(Some),
            },
            Some(_) => Err(Malformed),
        }
    }

    /// A claim of one string or several (RFC 7519 §4.1.3).
    ///
    /// # Errors
    /// Where it is something else.
    pub fn strings(&self, name: &str) -> Result<Vec<&str>, Malformed> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or(Malformed)).collect(),
            Some(_) => Err(Malformed),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie within 2^53")]
fn whole_seconds(number: f64) -> Result<u64, Malformed> {
    if (0.0..9_007_199_254_740_992.0).contains(&number) { Ok(number as u64) } else { Err(Malformed) }
}

/// How deep objects and arrays nest in a JSON text, before anything parses it.
pub fn depth(json: &[u8]) -> usize {
    let (mut deepest, mut open, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_strictly() {
        let claims = Claims::parse(r#"{"a":"x","n":12,"f":12.9,"neg":-1,"l":["a","b"],"bad":[1]}"#, 2).unwrap();
        assert_eq!(claims.string("a"), Ok(Some("x")));
        assert_eq!(claims.string("n"), Err(Malformed));
        assert_eq!(claims.string("none"), Ok(None));
        assert_eq!(claims.seconds("n"), Ok(Some(12)));
        assert_eq!(claims.seconds("f"), Ok(Some(12)));
        assert_eq!(claims.seconds("neg"), Err(Malformed));
        assert_eq!(claims.seconds("a"), Err(Malformed));
        assert_eq!(claims.strings("l"), Ok(vec!["a", "b"]));
        assert_eq!(claims.strings("a"), Ok(vec!["x"]));
        assert_eq!(claims.strings("bad"), Err(Malformed));
        assert_eq!(Claims::parse("[]", 2), Err(Malformed));
        assert_eq!(Claims::parse(r#"{"a":{"b":{}}}"#, 2), Err(Malformed));
    }

    #[test]
    fn depth_looks_past_strings() {
        assert_eq!(depth(br#"{"a":"[[[\"{{{","b":[{}]}"#), 3);
        assert_eq!(depth(b"1"), 0);
    }
}
