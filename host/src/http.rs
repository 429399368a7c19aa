//! Import `http`: HTTP to configured providers. The port, and its link to the component.

mod client;
mod provider;
mod proxy;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker};

pub use self::client::ReqwestHttp;
pub use self::provider::{Provider, ProviderCredential, ProviderError};
pub use self::proxy::ProxyError;
use crate::bindings::http::{HttpError as WireError, Request, Response};
use crate::evidence::Evidence;
use crate::tape::Taped;

/// How we introduce ourselves to other servers.
pub const USER_AGENT: &str = concat!("standin/", env!("CARGO_PKG_VERSION"));
/// The longest body a component may send, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// The most headers a component may send.
const MAX_HEADERS: usize = 32;
/// What the host alone says: who we are, whom we talk to, and how the message is framed.
const OURS: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An outbound request.
#[derive(Clone)]
pub struct Outbound {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// For the whole exchange.
    pub timeout: Duration,
    /// The longest answer body, in bytes.
    pub max_body: usize,
}

impl std::fmt::Debug for Outbound {
    /// Headers and body may carry credentials.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Outbound({} {}, [redacted])", self.method, self.url)
    }
}

/// Its answer.
#[derive(Clone)]
pub struct Inbound {
    /// HTTP status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Inbound {
    /// Headers and body may carry tokens.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Inbound({}, [redacted])", self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Not allowed to ask: not https nor loopback, or no such provider.
    #[error("refused: {0}")]
    Refused(String),
    /// It took too long.
    #[error("timed out")]
    Timeout,
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection was there, but no whole answer came.
    #[error("the exchange broke off: {0}")]
    Broken(String),
    /// The answer is too long.
    #[error("the answer is too long")]
    TooLarge,
}

impl From<HttpError> for WireError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Refused(why) => Self::Refused(why),
            HttpError::Timeout => Self::Timeout,
            HttpError::Connect(_) => Self::Connect,
            HttpError::Broken(_) => Self::Other(Some("the exchange broke off".into())),
            HttpError::TooLarge => Self::TooLarge,
        }
    }
}

/// Sends requests. Never follows redirects; `https`, or `http` to loopback only.
#[async_trait]
pub trait Http: Send + Sync + 'static {
    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// Where there is no answer.
    async fn send(&self, request: Outbound) -> Result<Inbound, HttpError>;
}

/// The parsed URL, if it may be asked: `https`, or `http` to loopback; without user information.
///
/// # Errors
/// Where it may not.
pub fn allowed(url: &str) -> Result<reqwest::Url, HttpError> {
    let refuse = |why: &str| Err(HttpError::Refused(why.to_owned()));
    let Ok(parsed) = reqwest::Url::parse(url) else { return refuse("not an absolute url") };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return refuse("the url carries a credential");
    }
    match parsed.scheme() {
        "https" if parsed.has_host() => Ok(parsed),
        "http" if is_loopback(&parsed) => Ok(parsed),
        _ => refuse("neither https nor http to loopback"),
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What the import needs of one request.
pub struct HttpCtx {
    http: Arc<dyn Http>,
    providers: Arc<HashMap<String, Provider>>,
    timeout: Duration,
    max_body: usize,
}

impl HttpCtx {
    /// Sends through `http` to these providers, by name. Where a provider has no limits of its own, an exchange ends within
    /// `timeout` and an answer's body has at most `max_body` bytes.
    pub fn new(http: Arc<dyn Http>, providers: Arc<HashMap<String, Provider>>, timeout: Duration, max_body: usize) -> Self {
        Self { http, providers, timeout, max_body }
    }

    fn outbound(&self, request: Request) -> Result<Outbound, HttpError> {
        let refuse = |why: &str| HttpError::Refused(why.to_owned());
        let provider = self.providers.get(&request.provider).ok_or_else(|| refuse("no such provider"))?;
        if !matches!(request.method.as_str(), "GET" | "POST") {
            return Err(refuse("the method is neither GET nor POST"));
        }
        if request.body.len() > MAX_BODY || request.headers.len() > MAX_HEADERS {
            return Err(refuse("the request is too long"));
        }
        let url = allowed(&request.url)?;
        if !provider.covers(&url) {
            return Err(refuse("the url is not within the provider's origin"));
        }
        for (name, value) in &request.headers {
            let name = http::HeaderName::try_from(name).map_err(|_| refuse("a header name is malformed"))?;
            http::HeaderValue::try_from(value).map_err(|_| refuse("a header value is malformed"))?;
            if OURS.contains(&name.as_str()) {
                return Err(refuse("a header is not the component's to set"));
            }
        }
        let mut headers = request.headers;
        headers.extend(provider.authorization().map(|value| ("authorization".to_owned(), value)));
        let (timeout, max_body) = provider.limits().unwrap_or((self.timeout, self.max_body));
        Ok(Outbound { method: request.method, url: url.into(), headers, body: request.body, timeout, max_body })
    }

    async fn exchange(&self, request: Request) -> Result<Inbound, HttpError> {
        let outbound = self.outbound(request)?;
        let (timeout, max_body) = (outbound.timeout, outbound.max_body);
        // The port keeps the limits itself; this is for one that does not.
        let answer = tokio::time::timeout(timeout, self.http.send(outbound)).await;
        let inbound = answer.map_err(|_elapsed| HttpError::Timeout)??;
        if inbound.body.len() > max_body { Err(HttpError::TooLarge) } else { Ok(inbound) }
    }
}

/// The context with what it shares with the other imports.
pub struct HttpView<'a> {
    /// The import's own context.
    pub ctx: &'a HttpCtx,
    /// What the host has seen proven in this request.
    pub evidence: &'a mut Evidence,
}

impl crate::bindings::http::Host for HttpView<'_> {
    async fn send(&mut self, request: Request) -> Result<Response, WireError> {
        self.evidence.spend_lookup().map_err(|_| WireError::Refused("too many questions".into()))?;
        if !self.evidence.asks_a_provider() {
            return Err(WireError::Refused("no permitted flow asks a provider".into()));
        }
        let Inbound { status, headers, body } = self.ctx.exchange(request).await?;
        Ok(Response { status, headers, body })
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<HttpView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> Taped<HttpView<'_>>) -> wasmtime::Result<()> {
    crate::bindings::http::add_to_linker::<T, Import>(linker, view)
}

#[cfg(test)]
mod tests;
