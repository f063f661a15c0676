//! MQTT over QUIC: the first stream of a connection as one byte stream.

use crate::{Broker, trusting as tls_trusting};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, crypto::rustls::QuicClientConfig};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream, with all that it needs to live.
#[derive(Debug)]
pub struct QuicStream {
    /// The client's end of UDP.
    pub endpoint: Endpoint,
    /// The connection.
    pub connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

/// A client's end of UDP on a port of its own.
///
/// # Panics
/// If there is none.
pub fn endpoint() -> Endpoint {
    Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a UDP port")
}

/// QUIC with ALPN `mqtt` that trusts the server's own root and nothing else.
pub(crate) fn trusting(broker: &Broker) -> rustls::ClientConfig {
    let mut config = tls_trusting(broker);
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    config
}

impl QuicStream {
    /// Connects and opens a stream. The server sees it with the first byte.
    ///
    /// # Errors
    /// The server refuses.
    ///
    /// # Panics
    /// If the configuration is not for QUIC.
    pub async fn open(endpoint: Endpoint, to: SocketAddr, tls: rustls::ClientConfig) -> io::Result<Self> {
        let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3");
        let config = ClientConfig::new(Arc::new(crypto));
        let connecting = endpoint.connect_with(config, to, "localhost").map_err(io::Error::other)?;
        let connection = connecting.await?;
        let (send, receive) = connection.open_bi().await?;
        Ok(Self { endpoint, connection, send, receive })
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.send).poll_shutdown(cx)
    }
}
