//! The proxy of the gateway example. The inbound token ends here: it is exchanged or the request is refused; it is never forwarded,
//! also where the request carries it a second time.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
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
/// For the upstream's answer.
const UPSTREAM_TIME: Duration = Duration::from_secs(30);

/// What belongs to one connection (RFC 9110 §7.6.1), and what could carry the inbound credential on.
const NOT_FORWARDED: [HeaderName; 11] = [
    AUTHORIZATION,
    COOKIE,
    HOST,
    CONTENT_LENGTH,
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authorization"),
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
    /// Whole path segments only.
    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
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
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
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
        if leaves_its_folder(request.uri().path()) {
            return refusal(StatusCode::BAD_REQUEST, "path", "");
        }
        let Some(route) = self.routes.iter().find(|route| route.covers(request.uri().path())) else {
            return refusal(StatusCode::NOT_FOUND, "no_route", "");
        };
        let Some(inbound) = bearer(request.headers()) else {
            return refusal(StatusCode::UNAUTHORIZED, "token_required", "");
        };
        match self.exchange(route, inbound.clone()).await {
            Ok(minted) => self.forward(route, request, &inbound, &minted).await.unwrap_or_else(|error| {
                eprintln!("upstream {}: {error:#}", route.upstream);
                refusal(StatusCode::BAD_GATEWAY, "upstream_failed", "")
            }),
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
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let mut headers = head.headers;
        strip(&mut headers);
        let within = |bytes: &[u8]| bytes.windows(inbound.len()).any(|window| window == inbound.as_bytes());
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

/// Whether a segment is `.` or `..`, in any spelling: the upstream would see another path than the route did.
fn leaves_its_folder(path: &str) -> bool {
    let segments = path.split(['/', '\\']).map(|segment| segment.to_ascii_lowercase().replace("%2e", "."));
    path.to_ascii_lowercase().contains("%2f")
        || path.to_ascii_lowercase().contains("%5c")
        || segments.into_iter().any(|segment| segment == "." || segment == "..")
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

fn refusal(status: StatusCode, code: &str, correlation_id: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "code": code, "correlation_id": correlation_id }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
