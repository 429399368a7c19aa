//! The proxy of the gateway example. The inbound token ends here: it is exchanged or the request is refused; it is never forwarded,
//! also where the request carries it a second time, as it stands or percent-encoded.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use standin::config::Config;
use standin::types::{Credential, Failure, Request as OboRequest, Subject, Token};
use standin::{JWT_TYPE, Standin};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The longest body in either direction, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The most connections at once.
const CONNECTIONS: usize = 1024;
/// For the headers of a request.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// For the body of a request.
const BODY_TIME: Duration = Duration::from_secs(30);
/// For the upstream's answer.
const UPSTREAM_TIME: Duration = Duration::from_secs(30);

/// What is wrong with the inbound token itself (RFC 6750 §3.1): another one may do. Everything else is refused whatever the token.
const INVALID_TOKEN: [&str; 13] = [
    "subject.algorithm",
    "subject.audience",
    "subject.bound",
    "subject.expired",
    "subject.malformed",
    "subject.missing_claim",
    "subject.not_yet_valid",
    "subject.revoked",
    "subject.signature",
    "subject.too_large",
    "subject.type",
    "subject.unknown_key",
    "subject.untrusted_issuer",
];

/// What is forwarded. TRACE (RFC 9110 §9.3.8) would send the minted token back to whoever asked.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
const METHOD_NAMES: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// How often escapes may be nested in a path: an upstream that undoes more than one is not rare, one that undoes so many is none.
const ROUNDS: usize = 4;

/// What belongs to one connection (RFC 9110 §7.6.1), what the gateway has met already (RFC 9110 §10.1.1), and what could carry the inbound
/// credential on.
const NOT_FORWARDED: [HeaderName; 13] = [
    AUTHORIZATION,
    COOKIE,
    HOST,
    CONTENT_LENGTH,
    CONNECTION,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
];

/// Where a path goes, and what a token for it may do.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    prefix: String,
    upstream: String,
    audience: String,
    scopes: Vec<String>,
}

impl FromStr for Route {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, rest) = text.split_once('=').context("a route is PREFIX=UPSTREAM,AUDIENCE[,SCOPE…]")?;
        let mut parts = rest.split(',').map(str::to_owned);
        let upstream = parts.next().filter(|upstream| !upstream.is_empty()).context("the route has no upstream")?;
        let audience = parts.next().filter(|audience| !audience.is_empty()).context("the route has no audience")?;
        Ok(Self {
            prefix: prefix.to_owned(),
            upstream: upstream.trim_end_matches('/').to_owned(),
            audience,
            scopes: parts.collect(),
        })
    }
}

impl Route {
    /// Whole path segments only, without their parameters (RFC 3986 §3.3): an upstream may find the same behind each.
    fn covers(&self, path: &str) -> bool {
        let name = |segment: &str| segment.split(';').next().map(str::to_owned);
        let mut segments = path.split('/').map(name);
        self.prefix.trim_end_matches('/').split('/').all(|wanted| segments.next().flatten().as_deref() == Some(wanted))
    }
}

/// Whether the configuration has this client, and lets an embedding program vouch for it.
///
/// # Errors
/// Where it does not.
pub(crate) fn check_client(config: &Config, id: &str) -> anyhow::Result<()> {
    let client = config.clients.iter().map(|registered| &registered.client).find(|client| client.id == id);
    let client = client.with_context(|| format!("there is no client {id}: `standin client add {id} --attested …`"))?;
    ensure!(client.attested, "client {id} is not registered with `attested = true`");
    Ok(())
}

/// The proxy.
pub(crate) struct Gateway {
    standin: Standin,
    client: String,
    routes: Vec<Route>,
    http: reqwest::Client,
}

impl Gateway {
    /// Vouches for `client` at the embedded Standin; the first route that covers a path serves it.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub(crate) fn new(standin: Standin, client: String, routes: Vec<Route>) -> anyhow::Result<Arc<Self>> {
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(UPSTREAM_TIME).build()?;
        Ok(Arc::new(Self { standin, client, routes, http }))
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        // Without telling protocols apart by their first bytes, which has no time limit.
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    eprintln!("accept: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (gateway, builder) = (Arc::clone(&self), builder.clone());
            tokio::spawn(async move {
                let _slot = slot;
                let service = hyper::service::service_fn(|request| {
                    let gateway = Arc::clone(&gateway);
                    async move { Ok::<_, Infallible>(gateway.answer(request).await) }
                });
                if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                    eprintln!("connection: {error}");
                }
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !METHODS.contains(request.method()) {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "method", "");
            response.headers_mut().insert(ALLOW, METHOD_NAMES);
            return response;
        }
        if is_read_two_ways(request.uri().path()) {
            return refusal(StatusCode::BAD_REQUEST, "path", "");
        }
        let Some(route) = self.routes.iter().find(|route| route.covers(request.uri().path())) else {
            return refusal(StatusCode::NOT_FOUND, "no_route", "");
        };
        let Some(inbound) = bearer(request.headers()) else {
            return challenge("Bearer", "token_required", "");
        };
        match self.exchange(route, inbound.clone()).await {
            Ok(minted) => self.forward(route, request, &inbound, &minted).await.unwrap_or_else(|error| {
                eprintln!("upstream {}: {error:#}", route.upstream);
                refusal(StatusCode::BAD_GATEWAY, "upstream_failed", "")
            }),
            Err(failure) if INVALID_TOKEN.contains(&failure.code.as_str()) => {
                challenge("Bearer error=\"invalid_token\"", &failure.code, &failure.correlation_id)
            }
            Err(failure) => {
                let status = if failure.status >= 500 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
                refusal(status, &failure.code, &failure.correlation_id)
            }
        }
    }

    async fn exchange(&self, route: &Route, inbound: String) -> Result<String, Failure> {
        let request = OboRequest {
            correlation_id: String::new(),
            caller: Credential::Attested(self.client.clone()),
            subject: Subject::Token(Token { value: inbound, token_type: JWT_TYPE.to_owned() }),
            actor: None,
            audience: vec![route.audience.clone()],
            resource: Vec::new(),
            scope: route.scopes.clone(),
            requested_token_type: None,
            requested_ttl: None,
            step: None,
            dpop: None,
            attributes: Vec::new(),
        };
        Ok(self.standin.mint_on_behalf(request).await?.token)
    }

    async fn forward(
        &self,
        route: &Route,
        request: Request<Incoming>,
        inbound: &str,
        minted: &str,
    ) -> anyhow::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let collecting = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect());
        let body = collecting.await?.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let mut headers = head.headers;
        strip(&mut headers);
        // Without its signature, of which an ECDSA token has a second one that is right too.
        let signed = inbound.rsplit_once('.').map_or(inbound, |(signed, _signature)| signed);
        let within = |bytes: &[u8]| {
            let found = |bytes: &[u8]| bytes.windows(signed.len()).any(|window| window == signed.as_bytes());
            let mut seen = bytes.to_vec();
            (0..=ROUNDS).any(|_round| {
                let there = found(&seen);
                seen = decoded(&seen);
                there
            })
        };
        if within(path.as_bytes()) || within(&body) || headers.values().any(|value| within(value.as_bytes())) {
            return Ok(refusal(StatusCode::BAD_REQUEST, "token_elsewhere", ""));
        }
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {minted}"))?);
        let sent = self.http.request(head.method, format!("{}{path}", route.upstream)).headers(headers).body(body).send().await?;
        let mut response = Response::builder().status(sent.status());
        if let Some(headers) = response.headers_mut() {
            *headers = sent.headers().clone();
            strip(headers);
        }
        let body = Limited::new(reqwest::Body::from(sent), MAX_BODY).collect().await.map_err(|error| anyhow::anyhow!(error))?;
        Ok(response.body(Full::new(body.to_bytes()))?)
    }
}

/// Whether the upstream could see another path than the route did: through `.` and `..`, with or without parameters (`..;a=b`), a segment
/// that is empty but for those, a backslash, a control character, an escaped delimiter, an escape of what needs none (RFC 3986 §6.2.2.2),
/// what is no UTF-8 or no escape, however often each is escaped.
fn is_read_two_ways(path: &str) -> bool {
    let delimiters = |path: &[u8]| path.iter().filter(|byte| b"/;?#".contains(byte)).count();
    let mut seen = path.as_bytes().to_vec();
    if seen
        .split(|byte| *byte == b'%')
        .skip(1)
        .any(|after| !after.get(..2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)))
    {
        return true;
    }
    for _round in 0..ROUNDS {
        let name = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_vec();
        let names: Vec<Vec<u8>> = seen.split(|byte| *byte == b'/').map(name).collect();
        // The first stands before the first slash, and the last may be nothing at all.
        let empty = names.iter().skip(1).rev().skip(1).any(Vec::is_empty) || bare_parameters(&seen);
        let hidden = seen.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\') || std::str::from_utf8(&seen).is_err();
        let hidden = hidden || empty || escapes_what_needs_none(&seen) || delimiters(&seen) > delimiters(path.as_bytes());
        if hidden || names.iter().any(|name| matches!(name.as_slice(), b"." | b"..")) {
            return true;
        }
        let undone = decoded(&seen);
        if undone == seen {
            return false;
        }
        seen = undone;
    }
    true
}

/// Whether the last segment has nothing before its parameters.
fn bare_parameters(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next().is_some_and(|last| last.starts_with(b";"))
}

fn escapes_what_needs_none(path: &[u8]) -> bool {
    let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let escapes = path.windows(3).filter(|escape| escape.first() == Some(&b'%'));
    escapes.map(decoded).any(|undone| undone.len() == 1 && undone.iter().all(unreserved))
}

/// With percent-encoding undone (RFC 3986 §2.1), where it is that.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (mut plain, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    plain
}

/// The one bearer token of the header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in NOT_FORWARDED {
        headers.remove(name);
    }
}

/// RFC 6750 §3: what would be taken. Without a token it names no error.
fn challenge(with: &'static str, code: &str, correlation_id: &str) -> Response<Full<Bytes>> {
    let mut response = refusal(StatusCode::UNAUTHORIZED, code, correlation_id);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(with));
    response
}

fn refusal(status: StatusCode, code: &str, correlation_id: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "code": code, "correlation_id": correlation_id }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
