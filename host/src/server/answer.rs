//! One HTTP request: the operator's pages are answered here, everything else by the component.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use standin_domain::error::{Error, RequestError, RuntimeError};
use tokio::time::{Instant, timeout_at};

use super::ServerOptions;
use super::authority::authority;
use super::pages::{Pages, text};
use super::room::{Allowance, Memory};
use super::workers::Workers;
use crate::bindings::endpoint::{HttpRequest, HttpResponse};
use crate::clock::Clock;
use crate::shared::failure;
use crate::standin::{Standin, error_response};

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

/// What is answered on a listener.
#[derive(Clone)]
pub(super) enum Face {
    /// What the component answers, and the pages where they have no listener of their own.
    Component(Arc<Answerer>),
    /// The pages, with at most so many header fields.
    Pages(Arc<Pages>, usize),
}

/// The other end of a connection, and what it may take.
pub(super) struct Line {
    pub(super) from: SocketAddr,
    pub(super) allowance: Allowance,
}

impl Face {
    /// Answers one request.
    pub(super) async fn answer(self, request: Request<Incoming>, line: Arc<Line>) -> Response<Full<Bytes>> {
        match self {
            Self::Component(answerer) => answerer.answer(request, &line).await,
            Self::Pages(pages, max_headers) => {
                let (head, _unread) = request.into_parts();
                if head.headers.len() > max_headers {
                    return too_many_headers();
                }
                if authority(&head).is_err() {
                    return text(StatusCode::BAD_REQUEST, "the host is missing or malformed\n");
                }
                let page = pages.answer(&head.method, head.uri.path()).await;
                page.unwrap_or_else(|| text(StatusCode::NOT_FOUND, "there is no such page\n"))
            }
        }
    }
}

/// Answers requests.
pub(super) struct Answerer {
    standin: Standin,
    workers: Workers,
    /// None where they have a listener of their own.
    pages: Option<Arc<Pages>>,
    scheme: &'static str,
    max_headers: usize,
    max_body: usize,
    request_timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Answerer {
    pub(super) fn new(standin: Standin, workers: Workers, pages: Option<Arc<Pages>>, options: &ServerOptions) -> Self {
        Self {
            clock: standin.clock(),
            standin,
            workers,
            pages,
            scheme: if options.server.tls.is_some() { "https" } else { "http" },
            max_headers: options.max_headers(),
            max_body: usize::try_from(options.max_body).unwrap_or(usize::MAX),
            request_timeout: options.server.request_timeout,
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, line: &Line) -> Response<Full<Bytes>> {
        // HTTP/1.1 requests with more do not come this far; HTTP/2 limits the fields' size only.
        if request.headers().len() > self.max_headers {
            return too_many_headers();
        }
        let (head, body) = request.into_parts();
        let named = match authority(&head) {
            Ok(named) => named.to_owned(),
            Err(error) => {
                let correlation_id = self.standin.correlation_id(header(&head, &CORRELATION_ID));
                tracing::debug!(%correlation_id, from = %line.from, %error, "refused");
                return refuse(&correlation_id, RequestError::Malformed.into());
            }
        };
        if let Some(pages) = &self.pages
            && let Some(page) = pages.answer(&head.method, head.uri.path()).await
        {
            return page;
        }
        self.component(Head { parts: head, named }, body, line).await
    }

    async fn component(self: Arc<Self>, head: Head, body: Incoming, line: &Line) -> Response<Full<Bytes>> {
        let correlation_id = self.standin.correlation_id(header(&head.parts, &CORRELATION_ID));
        let Ok(admitted) = line.allowance.admit() else {
            return refuse(&correlation_id, RuntimeError::Overloaded.into());
        };
        let memory = line.allowance.memory(!head.parts.headers.contains_key(AUTHORIZATION));
        let came = self.clock.monotonic();
        let (body, memory) = match self.collect(body, memory).await {
            Ok(collected) => collected,
            Err(error) => return refuse(&correlation_id, error),
        };
        let request = self.request(head, body, line, correlation_id.clone());
        let began = self.clock.monotonic();
        let answering = self.standin.line_up(came, request);
        // In a task of its own: a client that hangs up does not cut an attempt off before it is recorded.
        let answered = self.workers.answer(async move {
            let _taken = (admitted, memory);
            answering.await
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

    fn request(&self, head: Head, body: Vec<u8>, line: &Line, correlation_id: String) -> HttpRequest {
        let Head { parts, named } = head;
        HttpRequest {
            method: parts.method.as_str().to_owned(),
            scheme: self.scheme.to_owned(),
            authority: named,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
            body,
            peer: line.from.to_string(),
            certificate: None,
            correlation_id,
        }
    }

    /// The whole body, within the limits of length and time. Where there is no memory for it, it waits in the request's time.
    async fn collect(&self, body: Incoming, mut memory: Memory) -> Result<(Vec<u8>, Memory), Error> {
        let deadline = Instant::now() + self.request_timeout;
        let mut body = Limited::new(body, self.max_body);
        let mut bytes = Vec::new();
        loop {
            let frame = timeout_at(deadline, body.frame()).await.map_err(|_elapsed| RuntimeError::TimedOut)?;
            let Some(frame) = frame else { return Ok((bytes, memory)) };
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() { Error::from(RequestError::TooLarge) } else { RequestError::Malformed.into() }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let grown = timeout_at(deadline, memory.grow(bytes.len() + data.len())).await;
            grown.map_err(|_elapsed| RuntimeError::Overloaded)?.map_err(|_closed| RuntimeError::Overloaded)?;
            bytes.extend_from_slice(&data);
        }
    }
}

/// The beginning of a request, and whom it names.
struct Head {
    parts: http::request::Parts,
    named: String,
}

fn header<'a>(head: &'a http::request::Parts, name: &HeaderName) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refuse(correlation_id: &str, error: Error) -> Response<Full<Bytes>> {
    respond(correlation_id, error_response(&failure(correlation_id, error)))
}

/// The answer as it is sent; in place of one that breaks the protocol, what a component that traps is answered with.
fn respond(correlation_id: &str, answer: HttpResponse) -> Response<Full<Bytes>> {
    let response = checked(answer).unwrap_or_else(|broken| {
        tracing::error!(%correlation_id, broken, "the component's answer breaks the protocol");
        let trapped = error_response(&failure(correlation_id, RuntimeError::Trapped.into()));
        checked(trapped).unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, ""))
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

fn too_many_headers() -> Response<Full<Bytes>> {
    text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields\n")
}
