//! MQTT over WebSocket (MQTT-6) as one byte stream.

use crate::Stream;
use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use std::{io, net::SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

const BUFFER_BYTES: usize = 64 << 10;

/// Opens `/mqtt`. What is written goes out as binary frames; what comes in them can be read.
pub(crate) async fn open(socket: impl Stream + 'static, address: SocketAddr) -> io::Result<DuplexStream> {
    let mut request = format!("ws://{address}/mqtt").into_client_request().expect("an address makes a URL");
    // MQTT-6.0.0-3
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
    let (socket, _) = client_async(request, socket).await.map_err(io::Error::other)?;
    let (near, far) = duplex(BUFFER_BYTES);
    tokio::spawn(carry(socket, far));
    Ok(near)
}

/// Carries bytes both ways until one end closes; then the other is closed, too.
async fn carry(mut socket: WebSocketStream<impl Stream>, mut pipe: DuplexStream) {
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
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
