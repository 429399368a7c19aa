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

    /// All of them.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
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

    /// The tenant that [`tenant`] finds.
    ///
    /// # Errors
    /// Where what stands there is no string.
    pub fn tenant(&self, claim: &str) -> Result<Option<&str>, Malformed> {
        tenant(&self.0, claim)
    }

    /// A NumericDate claim (RFC 7519 §2) in whole seconds.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn seconds(&self, name: &str) -> Result<Option<u64>, Malformed> {
        self.0.get(name).map(|value| seconds(value).ok_or(Malformed)).transpose()
    }

    /// Whether the token is bound to a key.
    pub fn are_bound(&self) -> bool {
        are_bound(&self.0)
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

/// The tenant that a token names in this claim, or where this JSON pointer (RFC 6901) leads: a string, or a list of just one. None where
/// nothing stands there, or several do. Component and host both read it with this.
///
/// # Errors
/// Where what stands there is no string.
pub fn tenant<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<Option<&'a str>, Malformed> {
    match found(claims, claim) {
        None => Ok(None),
        Some(Value::String(tenant)) => Ok(Some(tenant)),
        Some(Value::Array(tenants)) => match tenants.as_slice() {
            [Value::String(only)] => Ok(Some(only)),
            tenants if tenants.iter().all(Value::is_string) => Ok(None),
            _ => Err(Malformed),
        },
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(Malformed),
    }
}

/// A claim by its name, or by a JSON pointer where that begins as one.
fn found<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a Value> {
    let Some(pointer) = claim.strip_prefix('/') else { return claims.get(claim) };
    let (first, rest) = pointer.find('/').map_or((pointer, ""), |at| pointer.split_at(at));
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

/// Whether a text is a JSON pointer to a claim or into one (RFC 6901 §3).
pub fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|escaped| escaped.starts_with(['0', '1']))
}

/// A NumericDate (RFC 7519 §2), which may have a fraction, in whole seconds.
pub fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().and_then(whole_seconds))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie within 2^53")]
fn whole_seconds(number: f64) -> Option<u64> {
    (0.0..9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

/// Whether a token of these claims is bound to a key (RFC 7800 §3.1), so that it proves nothing in the hands of whoever merely has it:
/// with `cnf`, in whatever form and however malformed, or with a word for what it is that is none for a bearer token (RFC 9449 §6.2).
pub fn are_bound(claims: &Map<String, Value>) -> bool {
    let is_proof = |kind: &str| ["dpop", "pop"].iter().any(|proof| kind.eq_ignore_ascii_case(proof));
    let says_so = |name| claims.get(name).and_then(Value::as_str).is_some_and(is_proof);
    claims.contains_key("cnf") || says_so("token_type") || says_so("typ")
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

    #[rstest::rstest]
    #[case("tenant", Ok(Some("a")))]
    #[case("list", Ok(Some("b")))]
    #[case("/tenant", Ok(Some("a")))]
    #[case("/app/orgs/0/id", Ok(Some("c")))]
    #[case("/app/one", Ok(Some("d")))]
    #[case("/https:~1~1x.example~1t", Ok(Some("e")))]
    #[case("https://x.example/t", Ok(Some("e")))]
    #[case("/a~01", Ok(Some("f")))]
    #[case("/", Ok(Some("g")))]
    #[case("none", Ok(None))]
    #[case("/app/orgs/1/id", Ok(None))]
    #[case("/app/orgs/00/id", Ok(None))]
    #[case("/app/orgs/-", Ok(None))]
    #[case("/tenant/0", Ok(None))]
    #[case("two", Ok(None))]
    #[case("empty", Ok(None))]
    #[case("mixed", Err(Malformed))]
    #[case("app", Err(Malformed))]
    #[case("/app/orgs", Err(Malformed))]
    #[case("null", Err(Malformed))]
    fn the_tenant_of_a_token(#[case] claim: &str, #[case] expected: Result<Option<&str>, Malformed>) {
        let claims = Claims::parse(
            r#"{"tenant":"a","list":["b"],"two":["a","b"],"empty":[],"mixed":["a",1],"null":null,"":"g","a~1":"f",
                "app":{"orgs":[{"id":"c"}],"one":["d"]},"https://x.example/t":"e"}"#,
            8,
        )
        .unwrap();
        assert_eq!(claims.tenant(claim), expected);
    }

    #[test]
    fn pointers() {
        assert!(["/", "/a", "/a/0/b", "/~0~1", "/a//b"].into_iter().all(is_pointer));
        assert!(!["", "a", "a/b", "#/a", "/~", "/~2", "/a~"].into_iter().any(is_pointer));
    }

    #[rstest::rstest]
    #[case(r#"{"cnf":{"jkt":"x"}}"#, true)]
    #[case(r#"{"cnf":{"x5t#S256":"x"}}"#, true)]
    #[case(r#"{"cnf":{"jwk":{}}}"#, true)]
    #[case(r#"{"cnf":{}}"#, true)]
    #[case(r#"{"cnf":null}"#, true)]
    #[case(r#"{"cnf":"x"}"#, true)]
    #[case(r#"{"token_type":"DPoP"}"#, true)]
    #[case(r#"{"typ":"dpop"}"#, true)]
    #[case(r#"{"token_type":"pop"}"#, true)]
    #[case(r#"{"typ":"Bearer","token_type":"bearer"}"#, false)]
    #[case(r#"{"act":{"cnf":{}},"typ":["DPoP"]}"#, false)]
    fn a_key_that_has_to_be_proven_binds(#[case] json: &str, #[case] bound: bool) {
        assert_eq!(Claims::parse(json, 4).unwrap().are_bound(), bound);
    }

    #[test]
    fn depth_looks_past_strings() {
        assert_eq!(depth(br#"{"a":"[[[\"{{{","b":[{}]}"#), 3);
        assert_eq!(depth(b"1"), 0);
    }
}
