//! MQTT in the binary frames of a WebSocket (MQTT-6).

use super::Stream;
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, Response},
    },
};

const BUFFER_BYTES: usize = 64 << 10;

/// A WebSocket with the subprotocol that was asked for, and the answer of the server to that.
pub(crate) async fn upgrade(
    carrier: Box<dyn Stream>,
    host: &str,
    path: &str,
    protocol: &str,
) -> io::Result<(WebSocketStream<Box<dyn Stream>>, Response<Option<Vec<u8>>>)> {
    let mut request = format!("ws://{host}{path}").into_client_request().map_err(io::Error::other)?;
    let protocol = HeaderValue::from_str(protocol).map_err(io::Error::other)?;
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    client_async(request, carrier).await.map_err(io::Error::other)
}

/// The frames as a byte stream: what is written goes out in binary frames, what comes in them can be read.
pub(super) fn as_stream(socket: WebSocketStream<Box<dyn Stream>>) -> DuplexStream {
    let (near, far) = duplex(BUFFER_BYTES);
    tokio::spawn(carry(socket, far));
    near
}

/// Carries bytes both ways until one end closes; then the other is closed, too.
async fn carry(mut socket: WebSocketStream<Box<dyn Stream>>, mut pipe: DuplexStream) {
    let mut bytes = BytesMut::with_capacity(BUFFER_BYTES);
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Binary(payload))) => {
                    if pipe.write_all(&payload).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
            read = pipe.read_buf(&mut bytes) => match read {
                Ok(count) if count > 0 => {
                    if socket.send(Message::Binary(bytes.split().freeze())).await.is_err() {
                        // What the server said before it closed is still to be read.
                        drain(&mut socket, &mut pipe).await;
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

async fn drain(socket: &mut WebSocketStream<Box<dyn Stream>>, pipe: &mut DuplexStream) {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(payload) = message
            && pipe.write_all(&payload).await.is_err()
        {
            return;
        }
    }
}
