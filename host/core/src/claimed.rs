//! Who a request claims to come from, before anything of it is proven: only good for telling apart what one peer sends, and for counting
//! what failed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use standin_domain::contract::{ClientSecret, Credential};
use standin_domain::endpoint::authorization;

use crate::json;

/// The longest payload that is looked into, in bytes.
const MAX_LOOKED_INTO: usize = 16 * 1024;

/// The issuer and subject that a JWT names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// Its issuer.
    pub iss: String,
    /// Its subject.
    pub sub: String,
}

impl Identity {
    /// Of a compact JWS, whoever made it.
    pub fn of(jws: &str) -> Option<Self> {
        let payload = jws.split('.').nth(1).filter(|payload| payload.len() <= MAX_LOOKED_INTO)?;
        json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    /// One text for both. No client id has a space.
    pub fn name(&self) -> String {
        format!("{} {}", self.iss, self.sub)
    }
}

/// Whom a credential names.
pub fn by_credential(credential: &Credential) -> Option<String> {
    match credential {
        Credential::ClientSecret(ClientSecret { client_id, secret: _ }) => Some(client_id.clone()),
        Credential::Attested(client) => Some(client.clone()),
        Credential::Bearer(jws) | Credential::ClientAssertion(jws) => Identity::of(jws).map(|identity| identity.name()),
        Credential::Certificate(_) => None,
    }
}

/// Whom an HTTP request with these headers and this body names: in `authorization`, or else in its form.
pub fn by_http(headers: &[(String, Vec<u8>)], body: &[u8]) -> Option<String> {
    let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let Some((_, value)) = header else { return in_form(body) };
    match authorization(std::str::from_utf8(value).ok()?).ok()? {
        Credential::ClientSecret(shown) => Some(shown.client_id),
        Credential::Bearer(jws) | Credential::ClientAssertion(jws) => Identity::of(&jws).map(|identity| identity.name()),
        Credential::Attested(_) | Credential::Certificate(_) => None,
    }
}

/// RFC 6749 §2.3.1. A client id is the same however it is encoded; here it need only be the same each time.
fn in_form(body: &[u8]) -> Option<String> {
    let parameters = body.split(|byte| *byte == b'&').take(64);
    let id = parameters.filter_map(|parameter| parameter.strip_prefix(b"client_id=")).next()?;
    Some(String::from_utf8_lossy(id.get(..id.len().min(256))?).into_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(headers: &[(&str, &str)], body: &str) -> Option<String> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        by_http(&headers, body.as_bytes())
    }

    #[rstest]
    #[case::basic("Basic c3ZjOnNlY3JldA==", Some("svc"))]
    #[case::form_encoded("basic c3ZjJTNBYTpzZSUzQWNyZXQ=", Some("svc:a"))]
    #[case::without_colon("basic c3Zj", None)]
    #[case::bearer("Bearer e30.eyJpc3MiOiJpIiwic3ViIjoicyIsImEiOjF9.x", Some("i s"))]
    #[case::no_subject("Bearer e30.eyJpc3MiOiJpIn0.x", None)]
    #[case::list("Bearer e30.WyJpIiwicyJd.x", None)]
    #[case::garbage("Bearer x", None)]
    #[case::no_base64("Basic ???", None)]
    #[case::unknown("Digest x", None)]
    #[case::nothing("", None)]
    fn the_header_names_somebody(#[case] value: &str, #[case] somebody: Option<&str>) {
        assert_eq!(named(&[("Authorization", value)], "client_id=other").as_deref(), somebody);
    }

    #[rstest]
    #[case("client_id=a", Some("a"))]
    #[case("grant_type=x&client_id=a%20b&client_secret=c", Some("a%20b"))]
    #[case("xclient_id=a", None)]
    #[case("", None)]
    fn the_form_names_somebody(#[case] body: &str, #[case] somebody: Option<&str>) {
        assert_eq!(named(&[], body).as_deref(), somebody);
    }
}
