//! Listeners: anything that becomes one byte stream, accepted on the thread that will serve it.

pub(crate) mod certificates;
pub(crate) mod descriptors;
mod http;
mod sockets;
mod websocket;

pub(crate) use http::serve_http;
pub(crate) use sockets::{Bound, bind};
pub(crate) use websocket::route as websocket_route;

use crate::{connection, context::Context};
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Silence after which the kernel asks whether a peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(120);
/// How long accepting rests when the process is out of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts until the listener fails for good; each connection is a task of its own, handshakes included.
async fn accept_each(listener: TcpListener, mut spawn: impl FnMut(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Without it small packets wait for each other; failing to set it costs speed only.
                let _ = stream.set_nodelay(true);
                // Finds peers that are gone where MQTT's own keep alive is off.
                let _ =
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE));
                spawn(stream, from);
            }
            Err(error) if is_passing(&error) => {
                metrics::counter!("parlance_accept_failures_total").increment(1);
                tokio::time::sleep(ACCEPT_REST).await;
            }
            Err(error) => {
                tracing::error!(%error, "a listener failed");
                return;
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, OutOfMemory, WouldBlock};
    // Out of descriptors (EMFILE, ENFILE) has no kind of its own.
    matches!(error.raw_os_error(), Some(23 | 24))
        || matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted | OutOfMemory | WouldBlock
        )
}

/// Serves MQTT over TCP, or over TLS with an acceptor.
pub(crate) async fn serve_mqtt(context: Arc<Context>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let wait = Duration::from_millis(context.config.limits.connect_timeout_ms);
    accept_each(listener, |stream, from| {
        let context = context.clone();
        match tls.clone() {
            None => {
                tokio::spawn(connection::serve(context, stream, from.ip()));
            }
            Some(acceptor) => {
                tokio::spawn(async move {
                    match tokio::time::timeout(wait, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => connection::serve(context, stream, from.ip()).await,
                        Ok(Err(error)) => tracing::debug!(%from, %error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%from, "a TLS handshake took too long"),
                    }
                });
            }
        }
    })
    .await;
}
