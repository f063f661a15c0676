//! MQTT on one bidirectional stream of a QUIC connection.

use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, VarInt, crypto::rustls::QuicClientConfig,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ALPN: &[u8] = b"mqtt";

/// A UDP socket from which connections are opened. It lives as long as its connections say goodbye.
pub(super) fn endpoint(server: SocketAddr, tls: &rustls::ClientConfig) -> io::Result<Endpoint> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let config = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    let mut endpoint = Endpoint::client(local)?;
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(config)));
    Ok(endpoint)
}

pub(super) async fn open(endpoint: &Endpoint, address: SocketAddr, name: &str) -> io::Result<QuicStream> {
    let connection = endpoint.connect(address, name).map_err(io::Error::other)?.await?;
    let (send, receive) = connection.open_bi().await?;
    Ok(QuicStream { send, receive, connection })
}

/// A stream and its connection. Dropped, it closes the connection, as a TCP socket would.
pub(super) struct QuicStream {
    send: SendStream,
    receive: RecvStream,
    connection: Connection,
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
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx)
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}
