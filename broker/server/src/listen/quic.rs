//! MQTT over QUIC: the first stream that a client opens is its byte stream.
//!
//! There is one endpoint, on one thread, and its connections are served there. With one socket for each thread
//! (SO_REUSEPORT) the kernel would choose the thread by the client's address, and a client that changes its address would
//! reach a thread that does not know its connection: the migration that QUIC is for would not work.
//!
//! 0-RTT is off: what came in it could be replayed. A connection has one stream; the transport parameters leave no room for
//! a second one.

use super::{Serving, certificates::CertificateError, identity};
use crate::{
    connection,
    context::Context,
    door::{Door, Transport},
};
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream, TokioRuntime,
    TransportConfig, VarInt, crypto::rustls::QuicServerConfig,
};
use rustls::pki_types::CertificateDer;
use std::{
    future::Future,
    io,
    net::UdpSocket,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::timeout,
};

/// Silence after which a connection is given up.
const IDLE_MAX: VarInt = VarInt::from_u32(60_000);
/// Silence after which the server asks: it keeps the way through routers open, and finds out who is gone.
const ASK_AFTER: Duration = Duration::from_secs(20);
/// Bytes of a connection that may be under way to the server, and from it.
const RECEIVE_WINDOW: VarInt = VarInt::from_u32(256 * 1024);
const SEND_WINDOW: u64 = 512 * 1024;
/// Connections that may wait to be accepted.
const INCOMING_MAX: usize = 4_096;
/// Codes of the application at the end of a connection.
const DONE: VarInt = VarInt::from_u32(0);
const NO_STREAM: VarInt = VarInt::from_u32(1);
const NO_CERTIFICATE: VarInt = VarInt::from_u32(2);

/// QUIC with the certificates of a listener.
///
/// # Errors
/// TLS cannot do what QUIC needs.
pub(super) fn server_config(tls: rustls::ServerConfig) -> Result<quinn::ServerConfig, CertificateError> {
    let crypto =
        QuicServerConfig::try_from(tls).map_err(|error| CertificateError::Quic(error.to_string()))?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(RECEIVE_WINDOW)
        .receive_window(RECEIVE_WINDOW)
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(IdleTimeout::from(IDLE_MAX)))
        .keep_alive_interval(Some(ASK_AFTER));
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport)).migration(true).max_incoming(INCOMING_MAX);
    Ok(config)
}

/// Accepts until the listener is taken away and its connections have ended, or the server stops.
pub(super) async fn accept_each(
    context: Arc<Context>,
    socket: UdpSocket,
    mut serving: watch::Receiver<Option<Arc<Serving>>>,
) {
    let mut current = serving.borrow_and_update().clone();
    let config = current.as_ref().and_then(|serving| serving.quic.clone());
    let endpoint = Endpoint::new(EndpointConfig::default(), config, socket, Arc::new(TokioRuntime));
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(error) => {
            tracing::error!(%error, "a QUIC listener could not be started");
            return;
        }
    };
    loop {
        tokio::select! {
            biased;
            changed = serving.changed() => {
                if changed.is_err() {
                    return;
                }
                // Taken away, it takes nobody in; it can come back while old connections hold the socket.
                current = serving.borrow_and_update().clone();
                endpoint.set_server_config(current.as_ref().and_then(|serving| serving.quic.clone()));
            }
            () = endpoint.wait_idle(), if current.is_none() => return,
            incoming = endpoint.accept() => match (incoming, &current) {
                (Some(incoming), Some(serving)) => begin(&context, serving, incoming),
                (Some(incoming), None) => incoming.refuse(),
                (None, _) => return,
            },
        }
    }
}

fn begin(context: &Arc<Context>, serving: &Arc<Serving>, incoming: Incoming) {
    // A sender of UDP can lie about its address. While few are connecting that does no harm; else it must answer first.
    if !incoming.remote_address_validated() && context.admission.is_crowded() && incoming.may_retry() {
        // It fails only for who has answered already.
        let _ = incoming.retry();
        return;
    }
    let from = incoming.remote_address();
    let Some(permit) = context.admission.enter(from.ip()) else {
        incoming.refuse();
        return;
    };
    let door = Door { from, profile: serving.profile, transport: Transport::Quic, certificate: None, permit };
    let (context, serving) = (context.clone(), serving.clone());
    tokio::spawn(async move {
        let wait = door.permit.handshake_wait();
        match timeout(wait, handshake(incoming, door)).await {
            Ok(Some((stream, door))) => drop(tokio::spawn(connection::serve(context, stream, door))),
            Ok(None) => {}
            Err(_) => tracing::debug!(listener = serving.name, %from, "a QUIC handshake took too long"),
        }
    });
}

async fn handshake(incoming: Incoming, mut door: Door) -> Option<(QuicStream, Door)> {
    let from = door.from;
    let connecting = incoming.accept();
    let connection = match connecting {
        Ok(connecting) => connecting.await,
        Err(error) => Err(error),
    };
    let connection =
        connection.inspect_err(|error| tracing::debug!(%from, %error, "a QUIC handshake failed"));
    let connection = connection.ok()?;
    let identity =
        connection.peer_identity().and_then(|it| it.downcast::<Vec<CertificateDer<'static>>>().ok());
    match identity::of(identity.as_ref().map(|chain| chain.as_slice())) {
        Ok(certificate) => door.certificate = certificate,
        Err(error) => {
            tracing::debug!(%from, %error, "a QUIC handshake failed");
            connection.close(NO_CERTIFICATE, error.to_string().as_bytes());
            return None;
        }
    }
    match connection.accept_bi().await {
        Ok((send, receive)) => Some((QuicStream { connection, send, receive, closing: Closing::Not }, door)),
        Err(error) => {
            tracing::debug!(%from, %error, "a QUIC connection opened no stream");
            connection.close(NO_STREAM, b"no stream");
            None
        }
    }
}

/// How far the server's side of a stream is closed.
enum Closing {
    Not,
    /// Until the client has all of it.
    Acknowledged(Pin<Box<dyn Future<Output = ()> + Send>>),
    Done,
}

/// A stream and its connection, which ends with it.
struct QuicStream {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    closing: Closing,
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ready when the client has what was written: the end of the connection would take it away.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::Not) {
            // It fails only where the client has refused the stream: nothing is owed then.
            let _ = self.send.finish();
            let stopped = self.send.stopped();
            self.closing = Closing::Acknowledged(Box::pin(async move {
                let _ = stopped.await;
            }));
        }
        if let Closing::Acknowledged(acknowledged) = &mut self.closing {
            ready!(acknowledged.as_mut().poll(cx));
            self.closing = Closing::Done;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        self.connection.close(DONE, b"");
    }
}
