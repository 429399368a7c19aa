//! One connection, from its acceptance to its end. Nothing of it waits without a limit: not the handshake, not the first bytes by
//! which the protocols are told apart, not the first request, not a rest between requests, and not the end of the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;

use super::ServerOptions;
use super::answer::{Face, Line};
use super::room::Room;
use super::seats::Seat;
use super::tls::Certificates;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the last answer of a connection that ends with the server may take to its reader.
const LINGER: Duration = Duration::from_secs(1);
/// The most streams of one HTTP/2 connection.
const STREAMS: u32 = 128;
/// What a stream's sender may send before it is read, in bytes: most bodies are shorter.
const STREAM_WINDOW: u32 = 16 * 1024;
/// What all streams of a connection may have sent before it is read: some that wait do not hold up the others.
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// What a request on a connection that has been sent away ends in: it was not begun.
#[derive(Debug, thiserror::Error)]
#[error("the connection was sent away")]
struct SentAway;

/// How the connections of a listener are served.
pub(super) struct Connections {
    builder: auto::Builder<TokioExecutor>,
    face: Face,
    room: Arc<Room>,
    certificates: Option<Certificates>,
    header_timeout: Duration,
    idle_timeout: Duration,
    stopping: watch::Receiver<bool>,
}

impl Connections {
    pub(super) fn new(
        options: &ServerOptions,
        face: Face,
        room: Arc<Room>,
        certificates: Option<Certificates>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (header_timeout, idle_timeout) = (options.server.header_timeout, options.server.idle_timeout);
        Self { builder: builder(options), face, room, certificates, header_timeout, idle_timeout, stopping }
    }

    /// Serves one to its end.
    pub(super) async fn serve(&self, stream: TcpStream, from: SocketAddr, seat: &Arc<Seat>) {
        tokio::select! {
            biased;
            () = seat.sent_away() => tracing::debug!(%from, "the connection has rested longest, and others wait"),
            () = self.handshake(stream, from, seat) => {}
        }
    }

    async fn handshake(&self, stream: TcpStream, from: SocketAddr, seat: &Arc<Seat>) {
        let Some(certificates) = &self.certificates else {
            // HTTP/2 with prior knowledge (RFC 9113 §3.3) is told by its preface; `Upgrade: h2c` is never followed.
            return self.converse(&self.builder, stream, from, seat).await;
        };
        let accepting = tokio::time::timeout(HANDSHAKE, certificates.acceptor().accept(stream));
        let accepted = tokio::select! {
            biased;
            accepted = accepting => accepted,
            () = self.stopped() => return,
        };
        match accepted {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let builder = self.builder.clone();
                let builder = if http2 { builder.http2_only() } else { builder.http1_only() };
                self.converse(&builder, stream, from, seat).await;
            }
            Ok(Err(error)) => tracing::debug!(%from, %error, "tls handshake"),
            Err(_elapsed) => tracing::debug!(%from, "tls handshake timed out"),
        }
    }

    async fn converse(
        &self,
        builder: &auto::Builder<TokioExecutor>,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        from: SocketAddr,
        seat: &Arc<Seat>,
    ) {
        let line = Arc::new(Line { from, allowance: self.room.allowance(seat.peer()) });
        let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
            let (face, line, answering) = (self.face.clone(), Arc::clone(&line), seat.begin());
            async move {
                let _answering = answering.ok_or(SentAway)?;
                Ok::<_, SentAway>(face.answer(request, line).await)
            }
        });
        // Whoever takes nothing of what is written to it counts as answering for as long: hyper polls no further.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.idle_timeout));
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%from, %error, "connection");
                }
                return;
            }
            () = self.unasked(seat) => return tracing::debug!(%from, "no request in time"),
            () = seat.idle(self.idle_timeout) => return tracing::debug!(%from, "connection idle"),
            () = self.stopped() => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ended = connection => {}
            () = seat.answered(LINGER) => {}
        }
    }

    /// Resolves where no request was begun in time. For what comes first on a connection nobody else has a limit: telling the
    /// protocols apart has none, and neither has the preface of HTTP/2.
    async fn unasked(&self, seat: &Seat) {
        if tokio::time::timeout(self.header_timeout, seat.asked()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    }

    async fn stopped(&self) {
        // Whoever could say it is gone only where the server is.
        let mut stopping = self.stopping.clone();
        let _gone = stopping.wait_for(|stopping| *stopping).await.is_ok();
    }
}

fn builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let (server, longest_head) = (&options.server, options.longest_head());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(server.header_timeout)
        .max_headers(options.max_headers())
        .max_buf_size(longest_head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(longest_head).unwrap_or(u32::MAX))
        .keep_alive_interval(server.header_timeout)
        .keep_alive_timeout(server.header_timeout);
    builder
}
