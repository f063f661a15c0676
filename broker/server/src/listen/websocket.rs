//! MQTT over WebSocket (MQTT-6): binary frames as one byte stream, whatever their borders.

use crate::{connection, context::Context};
use axum::{
    Router,
    extract::{
        ConnectInfo, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
};
use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `GET /mqtt`, subprotocol `mqtt` (MQTT-6.0.0-3).
pub(crate) fn route(context: Arc<Context>) -> Router {
    Router::new().route("/mqtt", get(upgrade)).with_state(context)
}

async fn upgrade(
    State(context): State<Arc<Context>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: WebSocketUpgrade,
) -> Response {
    let packet_max = context.config.limits.packet_bytes_max as usize;
    request
        .protocols(["mqtt", "mqttv3.1"])
        .max_message_size(packet_max.saturating_mul(2))
        .max_frame_size(packet_max.saturating_mul(2))
        .on_upgrade(move |socket| connection::serve(context, WebSocketStream::new(socket), from.ip()))
}

/// Largest frame written, bytes.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// A WebSocket as a byte stream.
struct WebSocketStream {
    socket: WebSocket,
    unread: Bytes,
}

impl WebSocketStream {
    fn new(socket: WebSocket) -> Self {
        Self { socket, unread: Bytes::new() }
    }
}

fn broken(error: axum::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

impl AsyncRead for WebSocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                // MQTT-6.0.0-1: text frames end the connection. Pings are answered by the library.
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(broken)?;
        let count = bytes.len().min(FRAME_BYTES_MAX);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(&mut self.socket).start_send(frame).map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(broken)
    }
}
