//! The endpoint for whoever operates this server: what is live, why a request is decided as it is, and a rollback. It listens on
//! loopback or on a Unix socket, asks for a secret of its own, and is off by default.

mod request;

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use self::request::ExplainRequest;
use super::authority::authority;
use super::{ACCEPT_REST, ServerError};
use crate::builder::{BuildError, LoadError};
use crate::config::{Admin, AdminListener};
use crate::json;
use crate::policy::PLATFORM;
use crate::standin::{Standin, explained_failure};

/// Connections at once; one answers one request.
const CONNECTIONS: usize = 256;
/// Requests that are worked on at once: only those that showed the secret.
const WORKING: usize = 16;
/// How long one connection may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to say what it wants: nobody has shown anything by then.
const HEADERS: Duration = Duration::from_secs(2);
/// The longest body, in bytes: a subject token and a caller's of the longest that may be configured, and what stands beside them.
const MAX_BODY: usize = 192 * 1024;
/// What stands before the secret, in any case (RFC 9110 §11.1).
const SCHEME: &[u8] = b"Bearer ";

type Answer = Response<Full<Bytes>>;

/// The endpoint, listening and not yet serving.
pub struct AdminServer {
    listener: Listener,
    admin: Arc<Administration>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A socket in the file system. It goes when the server does.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(socket = %self.0.display(), %error, "the admin socket stays behind");
        }
    }
}

impl AdminServer {
    /// Listens.
    ///
    /// # Errors
    /// Where the address or the socket cannot be had.
    pub async fn bind(config: &Admin, standin: Standin) -> Result<Self, ServerError> {
        let listener = match &config.listener {
            AdminListener::Tcp(address) => {
                let failed = |source| ServerError::Listen { address: *address, source };
                Listener::Tcp(TcpListener::bind(address).await.map_err(failed)?)
            }
            AdminListener::Unix(path) => {
                let failed = |source| ServerError::Socket { path: path.clone(), source };
                let (listener, file) = socket(path).map_err(failed)?;
                Listener::Unix(listener, file)
            }
        };
        let secrets = config.secret_digests.clone();
        let admin = Administration { standin, secrets, working: Semaphore::new(WORKING) };
        Ok(Self { listener, admin: Arc::new(admin) })
    }

    /// Where it listens, for people.
    pub fn place(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Listener::Unix(_, file) => file.0.display().to_string(),
        }
    }

    /// Serves until it is dropped.
    pub async fn serve(self) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
                Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept on the admin endpoint");
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            let admin = Arc::clone(&self.admin);
            tokio::spawn(async move {
                let _slot = slot;
                let served = async {
                    match stream {
                        Stream::Tcp(stream) => connection(stream, admin).await,
                        Stream::Unix(stream) => connection(stream, admin).await,
                    }
                };
                if tokio::time::timeout(PATIENCE, served).await.is_err() {
                    tracing::debug!("a connection of the admin endpoint took too long");
                }
            });
        }
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, admin: Arc<Administration>) {
    let service = hyper::service::service_fn(|request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, std::convert::Infallible>(admin.answer(request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).keep_alive(false).max_buf_size(MAX_BODY);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection of the admin endpoint");
    }
}

/// A socket of mode 0600. A file that is left of a server that is no more is replaced; one that is served is not.
fn socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if BlockingUnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok((listener, file))
}

struct Administration {
    standin: Standin,
    secrets: Vec<[u8; 32]>,
    working: Semaphore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackRequest {
    #[serde(default = "platform")]
    slot: String,
}

fn platform() -> String {
    PLATFORM.to_owned()
}

impl Administration {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        if let Err(error) = authority(&head) {
            return refusal(StatusCode::BAD_REQUEST, &error.to_string());
        }
        let request = Request::from_parts(head, body);
        if !self.knows(&request) {
            tracing::warn!("a wrong secret on the admin endpoint");
            metrics::counter!("standin_admin_refused_total").increment(1);
            let mut answer = refusal(StatusCode::UNAUTHORIZED, "the secret is missing or wrong");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return answer;
        }
        let Ok(_working) = self.working.acquire().await else {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "the endpoint is closing");
        };
        match (request.method().clone(), request.uri().path()) {
            (Method::GET, "/v2/status") => page(StatusCode::OK, &self.status().await),
            (Method::POST, "/v2/policy/rollback") => self.roll_back(request).await,
            (Method::POST, "/v2/explain") => self.explain(request).await,
            (Method::POST, "/v2/audit/rotate") => self.rotate_audit().await,
            (_, "/v2/status" | "/v2/policy/rollback" | "/v2/explain" | "/v2/audit/rotate") => {
                refusal(StatusCode::METHOD_NOT_ALLOWED, "this page does not take that method")
            }
            (_, _) => refusal(StatusCode::NOT_FOUND, "there is no such page"),
        }
    }

    /// Every live secret is compared, so that the time says nothing about which of them is near.
    fn knows(&self, request: &Request<Incoming>) -> bool {
        let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let Some((scheme, secret)) = header.split_at_checked(SCHEME.len()) else { return false };
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return false;
        }
        let shown = digest(&SHA256, secret);
        self.secrets.iter().fold(false, |known, secret| known | verify_slices_are_equal(secret, shown.as_ref()).is_ok())
    }

    async fn status(&self) -> Value {
        let not_ready = self.standin.not_ready().await;
        let unavailable: Vec<Value> =
            not_ready.into_iter().map(|part| json!({ "part": part.part, "cause": part.cause })).collect();
        json!({ "version": env!("CARGO_PKG_VERSION"), "unavailable": unavailable, "policy": self.standin.policy_status() })
    }

    async fn roll_back(&self, request: Request<Incoming>) -> Answer {
        let wanted: RollbackRequest = match read(request).await {
            Ok(wanted) => wanted,
            Err(refusal) => return *refusal,
        };
        match self.standin.roll_back_policy(&wanted.slot).await {
            Ok(()) => page(StatusCode::OK, &self.status().await),
            Err(error @ BuildError::Policy { source: LoadError::NothingBefore, .. }) => {
                refusal(StatusCode::CONFLICT, &error.to_string())
            }
            Err(error) => {
                tracing::error!(%error, "rollback");
                refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }

    async fn rotate_audit(&self) -> Answer {
        match self.standin.rotate_audit().await {
            Ok(rotated) => page(StatusCode::OK, &json!(rotated)),
            Err(error) => {
                tracing::error!(%error, "audit rotate");
                refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }

    async fn explain(&self, request: Request<Incoming>) -> Answer {
        let asked: ExplainRequest = match read(request).await {
            Ok(asked) => asked,
            Err(refusal) => return *refusal,
        };
        let request = match asked.request() {
            Ok(request) => request,
            Err(wrong) => return refusal(StatusCode::BAD_REQUEST, &wrong.to_string()),
        };
        match self.standin.explain(request).await {
            Ok(explained) => body(StatusCode::OK, explained),
            Err(failure) => {
                let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                page(status, &explained_failure(&failure))
            }
        }
    }
}

async fn read<T: for<'a> Deserialize<'a>>(request: Request<Incoming>) -> Result<T, Box<Answer>> {
    let refused = |status, why: &str| Box::new(refusal(status, why));
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|_| refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or broke off"))?.to_bytes();
    // What serde says of a string names its place, not what is in it.
    json::from_slice(&body).map_err(|error| {
        let why = format!("the body is not what this page takes, line {} column {}", error.line(), error.column());
        refused(StatusCode::BAD_REQUEST, &why)
    })
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    page(status, &json!({ "error": why }))
}

fn page(status: StatusCode, value: &Value) -> Answer {
    body(status, value.to_string())
}

fn body(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
