//! A compact JWS taken apart, strictly: whatever could be read two ways is not read at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use crate::json::{self, JsonError};

/// Why a text is not a JWS we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedJws {
    /// Over the limit.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of canonical, unpadded base64url (RFC 7515 §3.1).
    #[error("the token has not three parts of base64url")]
    Parts,
    /// The header is not a JSON object with a text `alg`, or its `kid` or `typ` is no text.
    #[error("the header is malformed")]
    Header,
    /// The header has critical extensions; we understand none (RFC 7515 §4.1.11).
    #[error("the header has critical extensions")]
    Critical,
    /// The claims are not a JSON object within the limits.
    #[error("the claims are malformed: {0}")]
    Claims(JsonError),
    /// The key that came with the request is none.
    #[error("the inline key is malformed")]
    Jwk,
}

/// A compact JWS whose signature has not been checked.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    /// What is signed.
    pub(super) message: &'a str,
    /// The claims as they stand.
    pub(super) text: String,
    /// The claims, read.
    pub(super) claims: Map<String, Value>,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str, max_bytes: usize, max_depth: u8) -> Result<Self, MalformedJws> {
        if token.len() > max_bytes {
            return Err(MalformedJws::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(MalformedJws::Parts)?;
        // A part more would have a dot in `payload`, which is not base64url.
        let (header, payload) = message.split_once('.').ok_or(MalformedJws::Parts)?;
        let (header, payload) = (text(header)?, text(payload)?);
        let mut header = json::object(&header.ok_or(MalformedJws::Header)?, max_depth).map_err(|_| MalformedJws::Header)?;
        let alg = member(&mut header, "alg")?.ok_or(MalformedJws::Header)?;
        let (kid, typ) = (member(&mut header, "kid")?, member(&mut header, "typ")?);
        if header.contains_key("crit") {
            return Err(MalformedJws::Critical);
        }
        let text = payload.ok_or(MalformedJws::Claims(JsonError::Syntax))?;
        let claims = json::object(&text, max_depth).map_err(MalformedJws::Claims)?;
        Ok(Self { alg, kid, typ, message, text, claims, signature })
    }

    /// The signature's bytes; there must be some.
    pub(super) fn signature(&self) -> Result<Vec<u8>, MalformedJws> {
        part(self.signature)
    }
}

/// A part that stands there, canonically encoded: no padding, no stray bits, nothing outside the alphabet.
fn part(encoded: &str) -> Result<Vec<u8>, MalformedJws> {
    if encoded.is_empty() {
        return Err(MalformedJws::Parts);
    }
    BASE64URL.decode(encoded).map_err(|_| MalformedJws::Parts)
}

fn text(encoded: &str) -> Result<Option<String>, MalformedJws> {
    Ok(String::from_utf8(part(encoded)?).ok())
}

/// A text of the header, if it is there.
fn member(header: &mut Map<String, Value>, name: &str) -> Result<Option<String>, MalformedJws> {
    match header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(MalformedJws::Header),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", BASE64URL.encode(header), BASE64URL.encode(claims))
    }

    fn parse(token: &str) -> Result<Jws<'_>, MalformedJws> {
        Jws::parse(token, 16 * 1024, 8)
    }

    #[test]
    fn takes_a_token_apart() {
        let token = token(r#"{"alg":"EdDSA","kid":"k","typ":"JWT","x5u":"https://a"}"#, r#"{"iss":"i"}"#);
        let jws = parse(&token).unwrap();
        assert_eq!((jws.alg.as_str(), jws.kid.as_deref(), jws.typ.as_deref()), ("EdDSA", Some("k"), Some("JWT")));
        assert_eq!((jws.text.as_str(), jws.claims.get("iss")), (r#"{"iss":"i"}"#, Some(&Value::from("i"))));
        assert_eq!(jws.signature().unwrap(), b"sig");
        assert_eq!(format!("{}.c2ln", jws.message), token);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::one_part("e30")]
    #[case::two_parts("e30.e30")]
    #[case::four_parts("e30.e30.e30.e30")]
    #[case::five_parts("e30.e30.e30.e30.e30")]
    #[case::no_header(".e30.e30")]
    #[case::padded("e30=.e30.e30")]
    #[case::not_base64("e3!.e30.e30")]
    #[case::standard_alphabet("e+/0.e30.e30")]
    #[case::stray_bits("e31.e30.e30")]
    #[case::space(" e30.e30.e30")]
    #[case::not_ascii("é30.e30.e30")]
    #[case::no_claims("eyJhbGciOiJFUzI1NiJ9..e30")]
    fn refuses_other_than_three_parts(#[case] token: &str) {
        assert_eq!(parse(token).err(), Some(MalformedJws::Parts));
    }

    #[rstest]
    #[case("")]
    #[case("c2l=")]
    #[case("c2lh.c2lh")]
    fn refuses_such_signatures(#[case] signature: &str) {
        let token = format!("{}.e30.{signature}", BASE64URL.encode(r#"{"alg":"ES256"}"#));
        assert_eq!(parse(&token).and_then(|jws| jws.signature()).err(), Some(MalformedJws::Parts));
    }

    #[rstest]
    #[case::array("[]")]
    #[case::no_alg("{}")]
    #[case::alg_is_no_text(r#"{"alg":1}"#)]
    #[case::kid_is_no_text(r#"{"alg":"ES256","kid":1}"#)]
    #[case::typ_is_no_text(r#"{"alg":"ES256","typ":[]}"#)]
    #[case::alg_twice(r#"{"alg":"none","alg":"ES256"}"#)]
    #[case::deep(r#"{"alg":"ES256","x":[[[[[[[[]]]]]]]]}"#)]
    fn refuses_such_headers(#[case] header: &str) {
        assert_eq!(parse(&token(header, "{}")).err(), Some(MalformedJws::Header));
    }

    #[rstest]
    #[case(r#"["b64"]"#)]
    #[case("[]")]
    #[case("null")]
    fn refuses_critical_extensions(#[case] crit: &str) {
        let token = token(&format!(r#"{{"alg":"ES256","crit":{crit}}}"#), "{}");
        assert_eq!(parse(&token).err(), Some(MalformedJws::Critical));
    }

    #[rstest]
    #[case::array("[]", JsonError::Syntax)]
    #[case::text("text", JsonError::Syntax)]
    #[case::sub_twice(r#"{"sub":"a","sub":"b"}"#, JsonError::Syntax)]
    #[case::deep(r#"{"act":{"act":{"act":{"act":{"act":{"act":{"act":{"act":{}}}}}}}}}"#, JsonError::Depth)]
    fn refuses_such_claims(#[case] claims: &str, #[case] error: JsonError) {
        assert_eq!(parse(&token(r#"{"alg":"ES256"}"#, claims)).err(), Some(MalformedJws::Claims(error)));
    }

    #[test]
    fn refuses_claims_that_are_not_utf8() {
        let token = format!("{}.{}.c2ln", BASE64URL.encode(r#"{"alg":"ES256"}"#), BASE64URL.encode([b'{', 0xff, b'}']));
        assert_eq!(parse(&token).err(), Some(MalformedJws::Claims(JsonError::Syntax)));
    }

    #[test]
    fn refuses_long_tokens() {
        let token = token(r#"{"alg":"ES256"}"#, "{}");
        assert!(Jws::parse(&token, token.len(), 8).is_ok());
        assert_eq!(Jws::parse(&token, token.len() - 1, 8).err(), Some(MalformedJws::TooLong));
    }
}
