//! What goes out: tokens, public documents, and error responses with the challenge that fits what was tried.

use serde_json::{Map, Value};

use super::credential::{self, Tried};
use super::insert;
use crate::contract::{HttpRequest, HttpResponse};
use crate::error::OAuthError;
use crate::ports::Failure;

const BASIC: (&str, &str) = ("www-authenticate", "Basic realm=\"standin\", charset=\"UTF-8\"");
const BEARER: (&str, &str) = ("www-authenticate", "Bearer realm=\"standin\"");
/// RFC 6750 §3.1.
const INVALID_BEARER: (&str, &str) = ("www-authenticate", "Bearer realm=\"standin\", error=\"invalid_token\"");
/// Of everything that holds a token or says something of one request (RFC 6749 §5.1, §5.2).
const NOT_STORED: [(&str, &str); 2] = [("cache-control", "no-store"), ("pragma", "no-cache")];
/// Any page may read what is public; nothing else has such a header, so no page can mint.
const ANY_ORIGIN: (&str, &str) = ("access-control-allow-origin", "*");

/// A good answer.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Answer {
    /// A document that is nobody's secret.
    pub(super) fn public(content_type: &'static str, body: String) -> Self {
        let headers = vec![("content-type", content_type), ("cache-control", "public, max-age=300"), ANY_ORIGIN];
        Self { status: 200, headers, body }
    }

    /// What a public document's path answers to OPTIONS: also a preflight (Fetch §3.2.2). Credentials are never allowed.
    pub(super) fn options() -> Self {
        let headers = vec![
            ("allow", "GET, HEAD, OPTIONS"),
            ANY_ORIGIN,
            ("access-control-allow-methods", "GET, HEAD"),
            ("access-control-allow-headers", "*"),
            ("access-control-max-age", "86400"),
        ];
        Self { status: 204, headers, body: String::new() }
    }

    /// A token response.
    pub(super) fn token(body: &Value) -> Self {
        let headers = [&[("content-type", "application/json")][..], &NOT_STORED].concat();
        Self { status: 200, headers, body: body.to_string() }
    }

    pub(super) fn finish(self, correlation_id: &str) -> HttpResponse {
        let mut headers: Vec<_> = self.headers.into_iter().map(header).collect();
        headers.push(header(("x-correlation-id", correlation_id)));
        HttpResponse { status: self.status, headers, body: self.body.into_bytes() }
    }
}

pub(super) fn header((name, value): (&str, &str)) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

/// An error response (RFC 6749 §5.2).
pub(super) fn failed(request: &HttpRequest, failure: &Failure) -> HttpResponse {
    let mut body = Map::new();
    body.insert("error".into(), failure.oauth_error.clone().into());
    body.insert("error_description".into(), failure.message.clone().into());
    body.insert("code".into(), failure.code.clone().into());
    body.insert("correlation_id".into(), failure.correlation_id.clone().into());
    for attribute in &failure.attributes {
        insert(&mut body, attribute);
    }
    // RFC 9470 §3 has another name for it.
    if let Some(acr) = body.get("acr").cloned() {
        body.insert("acr_values".into(), acr);
    }
    let (status, challenges) = challenged(request, failure);
    let mut headers = vec![header(("content-type", "application/json"))];
    headers.extend(NOT_STORED.into_iter().chain(challenges.iter().copied()).map(header));
    headers.push(header(("x-correlation-id", &failure.correlation_id)));
    if let Some(seconds) = failure.retry_after {
        headers.push(header(("retry-after", &seconds.to_string())));
    }
    HttpResponse { status, headers, body: Value::Object(body).to_string().into_bytes() }
}

/// The status and the challenges: whoever used the header is told by the scheme that it used, whoever used the form is answered 400,
/// and whoever used nothing learns what there is (RFC 6749 §5.2, RFC 9110 §15.5.2).
fn challenged(request: &HttpRequest, failure: &Failure) -> (u16, &'static [(&'static str, &'static str)]) {
    if failure.oauth_error != OAuthError::InvalidClient.name() {
        return (failure.status, &[]);
    }
    match credential::tried(request) {
        Tried::Basic => (failure.status, &[BASIC]),
        Tried::Bearer => (failure.status, &[INVALID_BEARER]),
        Tried::Form => (400, &[]),
        Tried::OtherOrNothing => (failure.status, &[BASIC, BEARER]),
    }
}
