//! Connections over TCP: accepted, told from each other, brought to their first packet.

use super::{Serving, http, identity, proxy};
use crate::{
    connection,
    context::Context,
    door::{Door, Transport},
};
use futures_util::FutureExt;
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Silence after which the kernel asks whether a peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(120);
/// How long accepting rests when the process is out of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts until the listener is taken away (`None`: who waits in the socket is still served) or the server stops.
pub(super) async fn accept_each(
    context: Arc<Context>,
    listener: TcpListener,
    mut serving: watch::Receiver<Option<Arc<Serving>>>,
) {
    let Some(mut current) = serving.borrow_and_update().clone() else { return };
    loop {
        let accepted = tokio::select! {
            biased;
            changed = serving.changed() => {
                if changed.is_err() {
                    return;
                }
                match serving.borrow_and_update().clone() {
                    Some(exchanged) => current = exchanged,
                    None => break,
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => begin(&context, &current, stream, from),
            Err(error) if is_passing(&error) => {
                metrics::counter!("parlance_accept_failures_total").increment(1);
                tokio::time::sleep(ACCEPT_REST).await;
            }
            Err(error) => {
                tracing::error!(listener = current.name, %error, "a listener failed");
                return;
            }
        }
    }
    while let Some(Ok((stream, from))) = listener.accept().now_or_never() {
        begin(&context, &current, stream, from);
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

/// One connection, as a task of its own.
fn begin(context: &Arc<Context>, serving: &Arc<Serving>, stream: TcpStream, from: SocketAddr) {
    // Without it small packets wait for each other; failing to set it costs speed only.
    let _ = stream.set_nodelay(true);
    // Finds peers that are gone where MQTT's own keep alive is off.
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE));
    if serving.proxies.is_none() {
        enter(context, serving, stream, from);
        return;
    }
    let (context, serving) = (context.clone(), serving.clone());
    tokio::spawn(async move {
        match behind_proxy(&serving, stream, from).await {
            Some((stream, from)) => enter(&context, &serving, stream, from),
            None => metrics::counter!("parlance_proxy_headers_refused_total").increment(1),
        }
    });
}

/// Reads where the client is.
async fn behind_proxy(
    serving: &Serving,
    mut stream: TcpStream,
    proxy: SocketAddr,
) -> Option<(TcpStream, SocketAddr)> {
    let trusted = serving.proxies.iter().flatten().any(|network| network.contains(proxy.ip()));
    if !trusted {
        tracing::warn!(listener = serving.name, %proxy, "not among the load balancers of proxy_from: closed");
        return None;
    }
    match timeout(proxy::HEADER_WAIT, proxy::read(&mut stream)).await {
        Ok(Ok(client)) => Some((stream, client.unwrap_or(proxy))),
        Ok(Err(error)) => {
            tracing::warn!(listener = serving.name, %proxy, %error, "closed");
            None
        }
        Err(_) => {
            tracing::warn!(listener = serving.name, %proxy, "no PROXY header in time: closed");
            None
        }
    }
}

/// Judges the connection by its address and goes on with it.
fn enter(context: &Arc<Context>, serving: &Arc<Serving>, stream: TcpStream, from: SocketAddr) {
    let Some(permit) = context.admission.enter(from.ip()) else { return };
    let transport = Transport::of(serving.transport);
    let door = Door { from, profile: serving.profile, transport, certificate: None, permit };
    let Some(tls) = serving.tls.clone() else {
        serve(context, serving, stream, door);
        return;
    };
    let (context, serving) = (context.clone(), serving.clone());
    // The task of the handshake ends before that of the connection begins: its memory goes with it.
    tokio::spawn(async move {
        if let Some((stream, door)) = secure(tls, &serving, stream, door).await {
            serve(&context, &serving, stream, door);
        }
    });
}

async fn secure(
    tls: Arc<rustls::ServerConfig>,
    serving: &Serving,
    stream: TcpStream,
    mut door: Door,
) -> Option<(TlsStream<TcpStream>, Door)> {
    let failed = |why| metrics::counter!("parlance_tls_handshakes_failed_total", "why" => why).increment(1);
    let (listener, from) = (&serving.name, door.from);
    let wait = door.permit.handshake_wait();
    let stream = match timeout(wait, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            failed("refused");
            tracing::debug!(listener, %from, %error, "a TLS handshake failed");
            return None;
        }
        Err(_) => {
            failed("time");
            tracing::debug!(listener, %from, "a TLS handshake took too long");
            return None;
        }
    };
    match identity::of(stream.get_ref().1.peer_certificates()) {
        Ok(certificate) => door.certificate = certificate,
        Err(error) => {
            failed("certificate");
            tracing::debug!(listener, %from, %error, "a TLS handshake failed");
            return None;
        }
    }
    Some((stream, door))
}

fn serve<S>(context: &Arc<Context>, serving: &Arc<Serving>, stream: S, door: Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match &serving.router {
        None => drop(tokio::spawn(connection::serve(context.clone(), stream, door))),
        Some(router) => {
            drop(tokio::spawn(http::serve(context.clone(), router.clone(), stream, door)));
        }
    }
}
