//! HTTP in front of the component: connections, limits, TLS, graceful stop. What a request means is the component's business.

mod activity;
mod admin;
mod answer;
pub mod meters;
mod readiness;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use self::activity::Activity;
pub use self::admin::AdminServer;
use self::answer::Answerer;
pub use self::tls::TlsError;
use crate::config;
use crate::standin::Standin;

/// How long accepting rests after the system had no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes, where tokens are short.
const HEAD: usize = 64 * 1024;
/// The most streams of one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The socket cannot be had.
    #[error("cannot listen on {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The TLS material cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Whether the server could use the TLS material it is configured with, if any.
///
/// # Errors
/// Where it could not.
pub fn check_tls(server: &config::Server) -> Result<(), TlsError> {
    server.tls.as_ref().map_or(Ok(()), |tls| tls::acceptor(tls).map(drop))
}

/// What the server keeps to.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `[server]` of the configuration.
    pub server: config::Server,
    /// The longest request body, in bytes.
    pub max_body: u32,
    /// The longest token, in bytes: one may stand in a header.
    pub max_token: u32,
}

/// A server that listens but does not serve yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: ServerOptions,
    tls: Option<tokio_rustls::TlsAcceptor>,
    answerer: Arc<Answerer>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// Where the address cannot be had or the TLS material cannot be used.
    pub async fn bind(
        address: SocketAddr,
        options: ServerOptions,
        standin: Standin,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Listen { address, source };
        let tls = options.server.tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let answerer = Arc::new(Answerer::new(standin, metrics, tls.is_some(), &options));
        Ok(Self { listener, address, options, tls, answerer })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves, then finishes what is in flight, for the configured grace at most. Answers whether all of it
    /// was finished.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let slots = Arc::new(Semaphore::new(usize::try_from(self.options.server.max_connections).unwrap_or(usize::MAX)));
        let graceful = GracefulShutdown::new();
        let builder = self.connections();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.next(&slots) => accepted,
            };
            let Some((stream, peer, slot)) = accepted else { continue };
            let (builder, answerer, tls) = (builder.clone(), Arc::clone(&self.answerer), self.tls.clone());
            let (watcher, idle) = (graceful.watcher(), self.options.server.idle_timeout);
            tokio::spawn(async move {
                let _slot = slot;
                // The protocol is settled before a byte is read: telling them apart by their first bytes has no time limit.
                match tls {
                    None => connection(&builder.http1_only(), stream, peer, answerer, watcher, idle).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
                            connection(&builder, stream, peer, answerer, watcher, idle).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "tls handshake"),
                        Err(_elapsed) => tracing::debug!(%peer, "tls handshake timed out"),
                    },
                }
            });
        }
        drop(self.listener);
        // A request outlives its connection; it is waited for by itself.
        let ending = async {
            graceful.shutdown().await;
            self.answerer.idle().await;
        };
        tokio::time::timeout(self.options.server.grace, ending).await.is_ok()
    }

    async fn next(&self, slots: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        // Waiting for a slot before accepting leaves the rest in the kernel's queue, which is bounded.
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "nodelay");
                }
                Some((stream, peer, slot))
            }
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_REST).await;
                None
            }
        }
    }

    /// A request's head, in bytes: a token, and as much as is usual beside it.
    fn longest_head(&self) -> usize {
        HEAD.max(usize::try_from(self.options.max_token).unwrap_or(HEAD) + HEAD / 2)
    }

    fn connections(&self) -> auto::Builder<TokioExecutor> {
        let server = &self.options.server;
        let max_headers = usize::try_from(server.max_headers).unwrap_or(usize::MAX);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(server.header_timeout)
            .max_headers(max_headers)
            .max_buf_size(self.longest_head());
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(self.longest_head()).unwrap_or(u32::MAX))
            .keep_alive_interval(server.header_timeout)
            .keep_alive_timeout(server.header_timeout);
        builder
    }
}

async fn connection(
    builder: &auto::Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: SocketAddr,
    answerer: Arc<Answerer>,
    watcher: Watcher,
    idle: Duration,
) {
    let activity = Arc::new(Activity::default());
    let service = hyper::service::service_fn(|request| {
        let (answerer, answering) = (Arc::clone(&answerer), activity.begin());
        async move {
            let _answering = answering;
            Ok::<_, std::convert::Infallible>(answerer.answer(request, peer).await)
        }
    });
    let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection");
        },
        () = activity.rests(idle) => tracing::debug!(%peer, "connection idle"),
    }
}
