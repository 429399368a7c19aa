//! HTTP in front of the component: connections, limits, TLS, graceful stop. What a request means is the component's business.

mod answer;
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

use self::answer::Answerer;
pub use self::tls::TlsError;
use crate::config;
use crate::standin::Standin;

/// How long accepting rests after the system had no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
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
    /// The TLS material cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What the server keeps to.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `[server]` of the configuration.
    pub server: config::Server,
    /// The longest request body, in bytes.
    pub max_body: u32,
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
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _slot = slot;
                // The protocol is settled before a byte is read: telling them apart by their first bytes has no time limit.
                match tls {
                    None => connection(&builder.http1_only(), stream, peer, answerer, watcher).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
                            connection(&builder, stream, peer, answerer, watcher).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "tls handshake"),
                        Err(_elapsed) => tracing::debug!(%peer, "tls handshake timed out"),
                    },
                }
            });
        }
        drop(self.listener);
        let finished = tokio::time::timeout(self.options.server.grace, graceful.shutdown()).await.is_ok();
        // A request outlives its connection; it is waited for by itself.
        finished && self.answerer.idle(self.options.server.grace).await
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

    fn connections(&self) -> auto::Builder<TokioExecutor> {
        let server = &self.options.server;
        let max_headers = usize::try_from(server.max_headers).unwrap_or(usize::MAX);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(server.header_timeout)
            .max_headers(max_headers)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(64 * 1024)
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
) {
    let service = hyper::service::service_fn(move |request| {
        let answerer = Arc::clone(&answerer);
        async move { Ok::<_, std::convert::Infallible>(answerer.answer(request, peer).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "connection");
    }
}
