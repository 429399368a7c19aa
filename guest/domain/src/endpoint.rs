//! Path -> face. Every edge that loads the component speaks the same protocols.

mod answer;
mod credential;
mod form;
mod json;
mod metadata;
mod obo_mint;
mod token;

use serde_json::{Map, Value};

use self::answer::{Answer, failed, header};
pub use self::credential::authorization;
pub use self::form::parse as parse_form;
use crate::audit;
use crate::contract::{HttpRequest, HttpResponse};
use crate::error::{Problem, RequestError};
use crate::ports::{Attribute, Failure, Minted, Ports, System};

/// Answers one request; every failure is an answer.
pub fn handle(ports: &impl Ports, request: &HttpRequest) -> HttpResponse {
    let settings = ports.settings();
    match route(ports, &settings, request) {
        Ok(answer) => answer.finish(&request.correlation_id),
        Err(failure) => {
            let mut response = failed(request, &failure);
            if failure.code == RequestError::Method.entry().code
                && let Some(face) = Face::at(&request.path, issuer_path(&settings.issuer))
            {
                // RFC 9110 §15.5.6: what this path does answer.
                response.headers.push(header(("allow", &face.methods().join(", "))));
            }
            response
        }
    }
}

fn route(ports: &impl Ports, settings: &System, request: &HttpRequest) -> Result<Answer, Failure> {
    let refuse = |error: RequestError| audit::failure(&request.correlation_id, &Problem::from(error));
    if request.body.len() > settings.max_body as usize {
        return Err(refuse(RequestError::TooLarge));
    }
    let face = Face::at(&request.path, issuer_path(&settings.issuer)).ok_or_else(|| refuse(RequestError::NotFound))?;
    if !face.methods().contains(&request.method.as_str()) {
        return Err(refuse(RequestError::Method));
    }
    if request.method == "OPTIONS" {
        return Ok(Answer::options());
    }
    match face {
        Face::Token => token::answer(ports, request),
        Face::OboMint => obo_mint::answer(ports, settings, request),
        Face::Jwks => Ok(Answer::public("application/jwk-set+json", ports.jwks())),
        Face::Metadata => Ok(Answer::public("application/json", metadata::document(&settings.issuer, &ports.jwks()).to_string())),
    }
}

/// What stands behind a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Token,
    OboMint,
    Jwks,
    Metadata,
}

impl Face {
    /// RFC 8414 §3.1 inserts the well-known path before the issuer's, OpenID Connect Discovery §4 puts it behind; both are served.
    fn at(path: &str, issuer_path: &str) -> Option<Self> {
        for (name, before) in
            [("oauth-authorization-server", true), ("openid-configuration", true), ("openid-configuration", false)]
        {
            let well_known = format!("/.well-known/{name}");
            let full = if before { format!("{well_known}{issuer_path}") } else { format!("{issuer_path}{well_known}") };
            if path == full {
                return Some(Self::Metadata);
            }
        }
        match path.strip_prefix(issuer_path).unwrap_or(path) {
            "/oauth2/token" => Some(Self::Token),
            "/v2/session/svc/obo_mint" => Some(Self::OboMint),
            "/jwks.json" => Some(Self::Jwks),
            _ => None,
        }
    }

    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Token | Self::OboMint => &["POST"],
            // From any page (CORS): nobody's secret, and what a client in a browser looks up first.
            Self::Jwks | Self::Metadata => &["GET", "HEAD", "OPTIONS"],
        }
    }
}

/// The path of the issuer's URL, without a slash at its end.
fn issuer_path(issuer: &str) -> &str {
    let after_scheme = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default().trim_end_matches('/')
}

/// The members of a token response (RFC 8693 §2.2.1).
fn token_response(minted: &Minted) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("access_token".into(), minted.token.clone().into());
    body.insert("issued_token_type".into(), minted.issued_token_type.clone().into());
    body.insert("token_type".into(), minted.token_type.clone().into());
    body.insert("expires_in".into(), minted.expires_in.into());
    // RFC 6749 §3.3: a scope has one token at least.
    if !minted.scope.is_empty() {
        body.insert("scope".into(), minted.scope.join(" ").into());
    }
    for attribute in minted.attributes.iter().filter(|attribute| attribute.name == "dropped_scope") {
        insert(&mut body, attribute);
    }
    body
}

fn insert(body: &mut Map<String, Value>, attribute: &Attribute) {
    body.insert(attribute.name.clone(), serde_json::from_str(&attribute.value).unwrap_or(Value::Null));
}

/// The one value of a header, which may stand once.
fn single_header<'a>(request: &'a HttpRequest, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let mut values = request.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value).map(Some).map_err(|_| Problem::at(RequestError::NotUtf8, name)),
        (Some(_), Some(_)) => Err(Problem::at(RequestError::DuplicateField, name)),
    }
}

/// Checks the media type, without its parameters.
fn expect_media_type(request: &HttpRequest, expected: &str) -> Result<(), Problem> {
    let content_type = single_header(request, "content-type")?.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(expected) { Ok(()) } else { Err(RequestError::MediaType.into()) }
}

/// The longest name of a field that the audit record shows, in characters.
const MAX_SHOWN: usize = 64;

/// A field's name as the audit record shows it: bounded, and with nothing in it that a terminal would obey.
fn shown(name: &str) -> String {
    name.escape_debug().take(MAX_SHOWN).collect()
}

fn not_utf8(error: &std::str::Utf8Error) -> Problem {
    Problem::from(RequestError::NotUtf8).because(format!("byte {}", error.valid_up_to()))
}

/// A failure before there was an attempt: recorded all the same.
fn refused(ports: &impl Ports, request: &HttpRequest, problem: &Problem) -> Failure {
    audit::refused(ports, &request.correlation_id, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/oauth2/token", "", Some(Face::Token))]
    #[case("/t1/oauth2/token", "/t1", Some(Face::Token))]
    #[case("/jwks.json", "/t1", Some(Face::Jwks))]
    #[case("/.well-known/oauth-authorization-server", "", Some(Face::Metadata))]
    #[case("/.well-known/oauth-authorization-server/t1", "/t1", Some(Face::Metadata))]
    #[case("/t1/.well-known/openid-configuration", "/t1", Some(Face::Metadata))]
    #[case("/t1/.well-known/oauth-authorization-server", "/t1", None)]
    #[case("/oauth2/token/", "", None)]
    fn paths(#[case] path: &str, #[case] issuer_path: &str, #[case] face: Option<Face>) {
        assert_eq!(Face::at(path, issuer_path), face);
    }

    #[test]
    fn issuer_paths() {
        assert_eq!(issuer_path("https://a.example"), "");
        assert_eq!(issuer_path("https://a.example/"), "");
        assert_eq!(issuer_path("https://a.example/t1/"), "/t1");
    }
}
