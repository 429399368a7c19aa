//! Asks a running server through its admin endpoint.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use standin::config::{Admin, AdminListener, Config};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Usage, request};

/// The longest time for a question and its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// How to prove that one may ask.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    /// File with the admin endpoint's secret, `-` for standard input; otherwise the environment's STANDIN_ADMIN_SECRET.
    #[arg(long, value_name = "FILE")]
    admin_secret_file: Option<PathBuf>,
}

/// What the server answered.
pub(super) struct Answered {
    pub(super) ok: bool,
    pub(super) body: Value,
}

impl Answered {
    /// Why it refused, where it did.
    pub(super) fn said(&self) -> &str {
        self.body.get("error").and_then(Value::as_str).unwrap_or("it does not say why")
    }
}

/// Nobody listens where the server would.
#[derive(Debug, thiserror::Error)]
#[error("no server answers at {place}; is it running?")]
pub(super) struct NoServer {
    place: String,
    source: std::io::Error,
}

impl AdminArgs {
    /// Asks the server that runs on this configuration.
    pub(super) async fn ask(&self, config: &Config, method: Method, path: &str, body: &Value) -> anyhow::Result<Answered> {
        let Some(admin) = &config.admin else {
            return Err(Usage("standin.toml has no [admin]: a server on it cannot be asked".to_owned()).into());
        };
        let secret = request::secret(self.admin_secret_file.as_ref(), "STANDIN_ADMIN_SECRET", "give --admin-secret-file")?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(AUTHORIZATION, format!("Bearer {secret}"))
            .body(Full::new(Bytes::from(body.to_string())))
            .context("the secret is no header value")?;
        let asked = tokio::time::timeout(PATIENCE, send(admin, request)).await;
        asked.context("the admin endpoint did not answer in time")?
    }
}

async fn send(admin: &Admin, request: Request<Full<Bytes>>) -> anyhow::Result<Answered> {
    match &admin.listener {
        AdminListener::Tcp(address) => {
            let stream = TcpStream::connect(address).await;
            exchange(stream.map_err(|source| NoServer { place: address.to_string(), source })?, request).await
        }
        AdminListener::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            exchange(stream.map_err(|source| NoServer { place: path.display().to_string(), source })?, request).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Answered> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let ok = response.status().is_success();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
    driver.abort();
    Ok(Answered { ok, body: serde_json::from_slice(&body).context("the admin endpoint did not answer with JSON")? })
}
