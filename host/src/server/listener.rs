//! A listening socket: whoever comes is given a seat, or goes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

use super::connection::Connections;
use super::seats::{Seat, Seats};
use crate::peer::Peer;

/// How long accepting rests after the system had no descriptor left.
pub(super) const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A socket that listens.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    seats: Arc<Seats>,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub(super) async fn bind(address: SocketAddr, seats: Arc<Seats>) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { address: socket.local_addr()?, socket, seats })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `stop` resolves, then listens no more. Answers where to wait for those that are still connected.
    pub(super) async fn serve(self, connections: Connections, stop: impl Future<Output = ()>) -> Arc<Seats> {
        let connections = Arc::new(connections);
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => return self.seats,
                accepted = self.next() => accepted,
            };
            let Some((stream, from, seat)) = accepted else { continue };
            let connections = Arc::clone(&connections);
            tokio::spawn(async move { connections.serve(stream, from, &seat).await });
        }
    }

    async fn next(&self) -> Option<(TcpStream, SocketAddr, Arc<Seat>)> {
        let (stream, from) = match self.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept");
                if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) {
                    self.seats.relieve();
                }
                tokio::time::sleep(ACCEPT_REST).await;
                return None;
            }
        };
        // Until there is a seat, whoever else comes waits in the kernel's queue, which is bounded.
        let Some(seat) = self.seats.take(Peer::from(from.ip())).await else {
            tracing::debug!(%from, "the peer has as many connections as it may have");
            metrics::counter!("standin_connections_refused_total").increment(1);
            return None;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%from, %error, "nodelay");
        }
        Some((stream, from, seat))
    }
}
