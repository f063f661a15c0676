//! HTTP and WebSocket on one port, plain or over TLS.

use super::websocket;
use crate::{context::Context, door::Door, http};
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tower::ServiceExt as _;

/// How long a client may take to send the head of a request.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Largest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 64;
/// Silence after which an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const HTTP2_ASK: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// The door of a connection, for the request that makes a WebSocket of it; it goes with the connection otherwise.
#[derive(Clone)]
pub(super) struct Slot(Arc<Mutex<Option<Door>>>);

impl Slot {
    fn new(door: Door) -> Self {
        Self(Arc::new(Mutex::new(Some(door))))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Option<Door>) -> T) -> T {
        // Only looked at and taken out: there is no half of that.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The door, once.
    pub(super) fn take(&self) -> Option<Door> {
        self.with(Option::take)
    }
}

/// Serves the requests of one connection, until it becomes a WebSocket or ends.
pub(super) async fn serve(
    context: Arc<Context>,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Door,
) {
    let (from, refusal) = (door.from, door.permit.refusal());
    let wait = door.permit.handshake_wait().min(HEAD_WAIT);
    let router = match refusal {
        None => router,
        // MQTT says no by itself.
        Some(refusal) => websocket::route(context).fallback(move || async move { http::refused(refusal) }),
    };
    let slot = Slot::new(door);
    let seen = slot.clone();
    let service = router.map_request(move |mut request: Request<Incoming>| {
        // The handshake of a WebSocket goes on; that of HTTP is over with the head of its first request.
        if request.uri().path() != websocket::PATH {
            slot.with(|door| door.as_mut().map(|door| door.permit.settle()));
        }
        request.extensions_mut().insert(ConnectInfo(from));
        request.extensions_mut().insert(slot.clone());
        request.map(Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_BYTES_MAX);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    http2.max_header_list_size(HEAD_BYTES_MAX as u32);
    http2.keep_alive_interval(HTTP2_ASK.0).keep_alive_timeout(HTTP2_ASK.1);
    let served =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut served = pin!(served);
    // Which HTTP it is shows in the first bytes, and nobody but we waits for those with a clock.
    let ended = match timeout(wait, &mut served).await {
        Ok(ended) => ended,
        Err(_) if seen.with(|door| door.as_ref().is_some_and(|door| !door.permit.is_settled())) => {
            tracing::debug!(%from, "no HTTP request in time");
            return;
        }
        Err(_) => served.await,
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "an HTTP connection ended early");
    }
}
