//! A WebSocket as a byte stream: binary frames one after the other, whatever their borders (MQTT-6.0.0-2).
//!
//! Nothing here knows the server: the fuzz target `websocket` builds this file alone.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use std::{
    io,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The subprotocols that are spoken: MQTT-6.0.0-3, and what clients of the time before 3.1.1 was a standard still say.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// "The endpoint received a type of data that it cannot accept" (RFC 6455, 7.4.1).
const UNSUPPORTED_DATA: u16 = 1003;
/// Bytes read from the socket at once. Each connection holds a buffer of this size as long as it lives, also when it
/// is idle: the library's own 128 KiB would be most of what a connection costs.
const READ_BYTES: usize = 4 * 1024;
/// Written frames gather up to here before they go out together, bytes. The buffer stays with the connection.
const WRITE_GATHER_BYTES: usize = 4 * 1024;
/// Largest frame written, bytes.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// What a client is granted: the subprotocol `mqtt`, and frames and messages that hold the largest packet twice, since
/// they need not keep to the borders of packets.
pub(crate) fn terms(request: WebSocketUpgrade, packet_bytes_max: usize) -> WebSocketUpgrade {
    let bytes_max = packet_bytes_max.saturating_mul(2);
    request
        .protocols(PROTOCOLS)
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_GATHER_BYTES)
}

/// See the module.
pub(crate) struct WebSocketStream {
    socket: WebSocket,
    unread: Bytes,
}

impl WebSocketStream {
    pub(crate) fn new(socket: WebSocket) -> Self {
        Self { socket, unread: Bytes::new() }
    }

    /// MQTT-6.0.0-1: anything but binary frames ends the connection. The client is told why, if it can be at once.
    fn refuse_text(&mut self, cx: &mut Task<'_>) -> io::Error {
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.socket).poll_ready(cx) {
            let close = CloseFrame { code: UNSUPPORTED_DATA, reason: "MQTT travels in binary frames".into() };
            // Who has gone need not be told.
            let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(close)));
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
        }
        io::ErrorKind::InvalidData.into()
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
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(self.refuse_text(cx))),
                // Pings are answered by the library.
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
