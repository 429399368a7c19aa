//! Import `http`: HTTP to configured providers. The port, and its link to the component.

use std::time::Duration;

use async_trait::async_trait;

/// An outbound request.
#[derive(Debug, Clone)]
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

/// Its answer.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// HTTP status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
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
    /// The answer is too long.
    #[error("the answer is too long")]
    TooLarge,
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
