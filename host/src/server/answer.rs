//! One HTTP request: the operator's pages are answered here, everything else by the component.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::ServerOptions;
use super::readiness::Readiness;
use crate::bindings::endpoint::{HttpRequest, HttpResponse};
use crate::clock::Clock;
use crate::shared::failure;
use crate::standin::{Standin, error_response};
use standin_guest::error::{Error, RequestError, RuntimeError};

/// The most answers being worked out at once; far above what the component serves at once, it only bounds the waiting room.
const WORKING: u32 = 65_536;

/// Memory for bodies that are still being read, in KiB: whoever sends slowly holds what has come, and no more than this together.
const BODIES: u32 = 64 * 1024;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// What frames the answer on its connection is ours to say: a length that is not the body's would make the rest of one answer the
/// beginning of the next (RFC 9112 §11.1).
const FRAMING: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Answers requests.
pub(super) struct Answerer {
    standin: Standin,
    metrics: Option<PrometheusHandle>,
    readiness: Readiness,
    scheme: &'static str,
    max_headers: usize,
    max_body: usize,
    body_timeout: Duration,
    working: Arc<Semaphore>,
    bodies: Semaphore,
    clock: Arc<dyn Clock>,
}

impl Answerer {
    pub(super) fn new(standin: Standin, metrics: Option<PrometheusHandle>, tls: bool, options: &ServerOptions) -> Self {
        Self {
            clock: standin.clock(),
            readiness: Readiness::new(standin.clone()),
            standin,
            metrics,
            scheme: if tls { "https" } else { "http" },
            max_headers: usize::try_from(options.server.max_headers).unwrap_or(usize::MAX),
            max_body: usize::try_from(options.max_body).unwrap_or(usize::MAX),
            body_timeout: options.server.request_timeout,
            working: Arc::new(Semaphore::new(usize::try_from(WORKING).unwrap_or(usize::MAX))),
            bodies: Semaphore::new(usize::try_from(BODIES).unwrap_or(usize::MAX)),
        }
    }

    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        // HTTP/1.1 requests with more do not come this far; HTTP/2 limits the fields' size only.
        if request.headers().len() > self.max_headers {
            return page(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "text/plain; charset=utf-8",
                "too many header fields\n".into(),
            );
        }
        let read_only = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/healthz" if read_only => page(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
            "/readyz" if read_only => self.readiness().await,
            "/metrics" if read_only => self.metrics(),
            _ => self.component(request, peer).await,
        }
    }

    async fn component(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let correlation_id = self.standin.correlation_id(header(&request, &CORRELATION_ID));
        let Ok(working) = Arc::clone(&self.working).try_acquire_owned() else {
            return refuse(&correlation_id, RuntimeError::Overloaded.into());
        };
        let request = match self.read(request, peer, correlation_id).await {
            Ok(request) => request,
            Err(refusal) => return *refusal,
        };
        let this = Arc::clone(&self);
        let correlation_id = request.correlation_id.clone();
        let began = self.clock.monotonic();
        // In a task of its own: a client that hangs up does not cut an attempt off before it is recorded.
        let answered = tokio::spawn(async move {
            let _working = working;
            this.standin.handle(request).await
        });
        let answered = answered.await;
        metrics::histogram!("standin_http_request_seconds").record(self.clock.monotonic().saturating_sub(began).as_secs_f64());
        match answered {
            Ok(answer) => respond(&correlation_id, answer),
            Err(error) => {
                tracing::error!(%correlation_id, %error, "request task");
                refuse(&correlation_id, RuntimeError::Trapped.into())
            }
        }
    }

    /// Reads the whole request, within the limits of length and time.
    async fn read(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        correlation_id: String,
    ) -> Result<HttpRequest, Box<Response<Full<Bytes>>>> {
        let refused = |error: Error| Box::new(refuse(&correlation_id, error));
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(self.body_timeout, self.collect(body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(refused(error)),
            Err(_elapsed) => return Err(refused(RuntimeError::TimedOut.into())),
        };
        let authority = head.uri.authority().map(ToString::to_string);
        let authority = authority.or_else(|| head.headers.get(http::header::HOST)?.to_str().ok().map(str::to_owned));
        Ok(HttpRequest {
            method: head.method.as_str().to_owned(),
            scheme: self.scheme.to_owned(),
            authority: authority.unwrap_or_default(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
            body,
            peer: peer.to_string(),
            certificate: None,
            correlation_id,
        })
    }

    /// The body, as far as there is memory for it.
    async fn collect(&self, body: Incoming) -> Result<Vec<u8>, Error> {
        let mut body = Limited::new(body, self.max_body);
        let (mut bytes, mut held) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() { Error::from(RequestError::TooLarge) } else { RequestError::Malformed.into() }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let kibibytes = u32::try_from(data.len().div_ceil(1024)).unwrap_or(u32::MAX);
            held.push(self.bodies.try_acquire_many(kibibytes).map_err(|_full| RuntimeError::Overloaded)?);
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        // A stranger may read this page: it names the part; the cause is in the log.
        let parts = self.readiness.unavailable().await;
        let status = if parts.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut body = serde_json::json!({ "ready": parts.is_empty(), "unavailable": *parts });
        // The old modules serve on: nobody is to be sent elsewhere for that.
        if let (Some(refusal), Some(body)) = (self.standin.policy_status().refused.values().next(), body.as_object_mut()) {
            body.insert("policy_refused".to_owned(), refusal.code.into());
        }
        page(status, "application/json", body.to_string())
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match &self.metrics {
            Some(metrics) => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
            None => page(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "no metrics are kept\n".into()),
        }
    }

    /// Waits until nothing is worked on.
    pub(super) async fn idle(&self) {
        // Closed it never is; if it were, nothing would be worked on either.
        let _all = self.working.acquire_many(WORKING).await;
    }
}

fn header<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refuse(correlation_id: &str, error: Error) -> Response<Full<Bytes>> {
    respond(correlation_id, error_response(&failure(correlation_id, error)))
}

/// The answer as it is sent; in place of one that breaks the protocol, what a component that traps is answered with.
fn respond(correlation_id: &str, answer: HttpResponse) -> Response<Full<Bytes>> {
    let response = checked(answer).unwrap_or_else(|broken| {
        tracing::error!(%correlation_id, broken, "the component's answer breaks the protocol");
        let trapped = error_response(&failure(correlation_id, RuntimeError::Trapped.into()));
        checked(trapped).unwrap_or_else(|_| page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", String::new()))
    });
    metrics::counter!("standin_http_responses_total", "status" => status_class(response.status())).increment(1);
    if response.headers().contains_key(RETRY_AFTER) {
        metrics::counter!("standin_http_retry_after_total").increment(1);
    }
    response
}

/// What the component answers, or what of it breaks the protocol. Nothing is left out without a word: a page without its
/// `cache-control` would be another answer.
fn checked(answer: HttpResponse) -> Result<Response<Full<Bytes>>, &'static str> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
    *response.status_mut() = status.ok_or("the status")?;
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).map_err(|_| "a header's name")?;
        let value = HeaderValue::try_from(value).map_err(|_| "a header's value")?;
        if FRAMING.contains(&name) {
            return Err("a header that frames the answer");
        }
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
