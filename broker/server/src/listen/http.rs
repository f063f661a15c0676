//! HTTP and WebSocket on one port, plain or over TLS.

use super::accept_each;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// How long a client may take to send the head of a request, and to greet with TLS.
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Serves a router on a listener.
pub(crate) async fn serve_http(router: Router, listener: TcpListener, tls: Option<TlsAcceptor>) {
    accept_each(listener, |stream, from| {
        let router = router.clone();
        match tls.clone() {
            None => {
                tokio::spawn(serve_connection(router, stream, from));
            }
            Some(acceptor) => {
                tokio::spawn(async move {
                    match tokio::time::timeout(HEAD_WAIT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => serve_connection(router, stream, from).await,
                        Ok(Err(error)) => tracing::debug!(%from, %error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%from, "a TLS handshake took too long"),
                    }
                });
            }
        }
    })
    .await;
}

async fn serve_connection(
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        request.map(Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(64);
    let served =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service)).await;
    if let Err(error) = served {
        tracing::debug!(%from, %error, "an HTTP connection ended early");
    }
}
