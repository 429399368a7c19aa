//! HTTP in front of the component: connections, limits, TLS, graceful stop. What a request means is the component's business.

mod admin;
mod answer;
mod authority;
mod connection;
mod listener;
pub mod meters;
mod pages;
mod readiness;
mod room;
mod scrape;
mod seats;
mod tls;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

pub use self::admin::AdminServer;
use self::answer::{Answerer, Face};
use self::connection::Connections;
use self::listener::{ACCEPT_REST, Listener};
use self::pages::Pages;
use self::room::Room;
use self::seats::Seats;
pub use self::tls::{Certificates, Pair, TlsError};
use self::workers::Workers;
use crate::config;
use crate::standin::Standin;

/// The most connections to the listener of the operator's pages.
const HEALTH_CONNECTIONS: u32 = 64;
/// The longest head of a request, in bytes, where tokens are short.
const HEAD: usize = 64 * 1024;

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
    /// The system gives no threads.
    #[error("cannot start the threads that requests compute on: {0}")]
    Threads(std::io::Error),
    /// The TLS material cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Whether the server could use the TLS material it is configured with, if any.
///
/// # Errors
/// Where it could not.
pub fn check_tls(server: &config::Server) -> Result<(), TlsError> {
    server.tls.clone().map_or(Ok(()), |tls| Certificates::open(tls).map(drop))
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

impl ServerOptions {
    fn max_headers(&self) -> usize {
        usize::try_from(self.server.max_headers).unwrap_or(usize::MAX)
    }

    /// A request's head, in bytes: a token, and as much as is usual beside it.
    fn longest_head(&self) -> usize {
        HEAD.max(usize::try_from(self.max_token).unwrap_or(HEAD) + HEAD / 2)
    }
}

/// A server that listens but does not serve yet.
pub struct Server {
    listener: Listener,
    /// The listener of the operator's pages, where they have one of their own.
    health: Option<Listener>,
    options: ServerOptions,
    certificates: Option<Certificates>,
    answerer: Arc<Answerer>,
    pages: Arc<Pages>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// Where the address cannot be had, the TLS material cannot be used or the system gives no threads.
    pub async fn bind(
        address: SocketAddr,
        options: ServerOptions,
        standin: Standin,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, ServerError> {
        let failed = |address| move |source| ServerError::Listen { address, source };
        let server = &options.server;
        let certificates = server.tls.clone().map(Certificates::open).transpose()?;
        let seats = Seats::new(server.max_connections, server.max_connections_per_peer);
        let listener = Listener::bind(address, seats).await.map_err(failed(address))?;
        let health = match server.health_listen {
            Some(address) => {
                let seats = Seats::new(HEALTH_CONNECTIONS, HEALTH_CONNECTIONS);
                Some(Listener::bind(address, seats).await.map_err(failed(address))?)
            }
            None => None,
        };
        let pages = Arc::new(Pages::new(standin.clone(), metrics));
        let shared = health.is_none().then(|| Arc::clone(&pages));
        let workers = Workers::start(standin.computing_at_once()).map_err(ServerError::Threads)?;
        let answerer = Arc::new(Answerer::new(standin, workers, shared, &options));
        Ok(Self { listener, health, options, certificates, answerer, pages })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Where the operator's pages are, where they have a listener of their own.
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health.as_ref().map(Listener::address)
    }

    /// The certificate and key in use, where it speaks TLS.
    pub fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    /// Serves until `stop` resolves, then finishes what is in flight, for the configured grace at most. Answers whether all of it
    /// was finished. The operator's pages are served to the end where they have a listener of their own.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let Self { listener, health, options, certificates, answerer, pages } = self;
        let (stopping, stopped) = watch::channel(false);
        // The operator is answered to the end: it goes with this function.
        let (_ended, never) = watch::channel(false);
        let room = Room::new();
        let connections = Connections::new(&options, Face::Component(answerer), Arc::clone(&room), certificates.clone(), stopped);
        // Whoever asks there is the operator, and never waits for room that others take.
        let face = Face::Pages(Arc::clone(&pages), options.max_headers());
        let operator = Connections::new(&options, face, Room::new(), None, never);
        let serving = async {
            let seats = listener.serve(connections, stop).await;
            pages.stop();
            stopping.send_replace(true);
            // A request outlives its connection; it is waited for by itself.
            let ending = async {
                seats.emptied().await;
                room.emptied().await;
            };
            tokio::time::timeout(options.server.grace, ending).await.is_ok()
        };
        let beside = async {
            match health {
                Some(health) => drop(health.serve(operator, std::future::pending()).await),
                None => std::future::pending().await,
            }
        };
        let watching = async {
            match certificates {
                Some(certificates) => certificates.watch().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            finished = serving => finished,
            () = beside => false,
            () = watching => false,
        }
    }
}
