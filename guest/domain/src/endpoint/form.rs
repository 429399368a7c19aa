//! `application/x-www-form-urlencoded` bodies, read strictly.

use super::not_utf8;
use crate::error::{Problem, RequestError};
use crate::percent;

/// The most parameters in one form.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a form in their order. An empty value counts as absent (RFC 6749 §3.2).
///
/// # Errors
/// Where it is empty, malformed, or has too many.
pub fn parse(body: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    if body.is_empty() {
        return Err(RequestError::Empty.into());
    }
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(&error))?;
    let mut parameters = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if parameters.len() == MAX_PARAMETERS {
            return Err(RequestError::TooLarge.into());
        }
        parameters.push((decode(name)?, decode(value)?));
    }
    parameters.retain(|(_, value)| !value.is_empty());
    Ok(parameters)
}

/// Undoes `%XX` and `+`.
pub(super) fn decode(text: &str) -> Result<String, RequestError> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = bytes.next().zip(bytes.next());
                digits.and_then(|(high, low)| percent::byte(high, low)).ok_or(RequestError::Malformed)?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| RequestError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        assert_eq!(decode("a%20b+c%C3%A4"), Ok("a b cä".to_owned()));
        assert_eq!(decode("%"), Err(RequestError::Malformed));
        assert_eq!(decode("%zz"), Err(RequestError::Malformed));
        assert_eq!(decode("%ff"), Err(RequestError::NotUtf8));
    }

    #[test]
    fn parses() {
        let parameters = parse(b"a=1&b=&c=x%26y&&d").unwrap();
        assert_eq!(parameters, [("a".to_owned(), "1".to_owned()), ("c".to_owned(), "x&y".to_owned())]);
        assert_eq!(parse(b"").unwrap_err().error, RequestError::Empty.into());
        assert_eq!(parse(b"\xff").unwrap_err().error, RequestError::NotUtf8.into());
        assert_eq!(parse("a=1&".repeat(65).as_bytes()).unwrap_err().error, RequestError::TooLarge.into());
    }
}
