//! Interface `endpoint`.

use super::Certificate;

/// One HTTP request, body read to its end.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port.
    pub authority: String,
    /// Path, as it came.
    pub path: String,
    /// Query without its question mark, or empty.
    pub query: String,
    /// Headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Address of the TCP peer.
    pub peer: String,
    /// What the TLS terminator verified.
    pub certificate: Option<Certificate>,
    /// The request's correlation id.
    pub correlation_id: String,
}

/// One HTTP answer.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// Headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}
