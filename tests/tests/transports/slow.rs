//! Connections that say nothing, or too little, in each step before their first packet: they are closed in time, and
//! while they wait everybody else is served.

use parlance_tests::{
    Broker, Device, PATIENCE, QuicStream, Server, Via, endpoint, eventually, in_time, mqtt::ReasonCode,
    trusting,
};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// How many of each kind.
const EACH: usize = 40;

type Stalled = Box<dyn AsyncRead + Send + Unpin>;

async fn tcp(broker: &Broker, said: &[u8]) -> Stalled {
    let mut stream = TcpStream::connect(broker.mqtt()).await.expect("a server");
    stream.write_all(said).await.expect("sent");
    Box::new(stream)
}

async fn tls_hello(broker: &Broker, said: &[u8]) -> Stalled {
    let mut stream = TcpStream::connect(broker.mqtts()).await.expect("a server");
    stream.write_all(said).await.expect("sent");
    Box::new(stream)
}

async fn tls(broker: &Broker, https: bool, said: &[u8]) -> Stalled {
    let address = if https { broker.https() } else { broker.mqtts() };
    let stream = TcpStream::connect(address).await.expect("a server");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(trusting(broker))).connect(name, stream).await.expect("TLS");
    stream.write_all(said).await.expect("sent");
    Box::new(stream)
}

async fn http(broker: &Broker, said: &[u8]) -> Stalled {
    let mut stream = TcpStream::connect(broker.http()).await.expect("a server");
    stream.write_all(said).await.expect("sent");
    Box::new(stream)
}

const UPGRADE: &[u8] = b"GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: mqtt\r\n\r\n";

async fn quic(broker: &Broker, said: &[u8]) -> Stalled {
    let mut config = trusting(broker);
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let mut stream = QuicStream::open(endpoint(), broker.quic(), config).await.expect("QUIC");
    stream.write_all(said).await.expect("sent");
    Box::new(stream)
}

#[tokio::test]
async fn who_says_too_little_is_closed_and_keeps_nobody_waiting() {
    let options = Server::options().quic().set("LIMITS__CONNECT_TIMEOUT_MS", 3_000);
    let server = Server::start(options).await;
    let alice = server.user("alice").await;
    let half_connect = &b"\x10\x40\0\x04MQTT\x05"[..];
    let mut stalled: Vec<(&str, Stalled)> = Vec::new();
    for _ in 0..EACH {
        stalled.push(("TCP, nothing", tcp(&server, b"").await));
        stalled.push(("TCP, half a CONNECT", tcp(&server, half_connect).await));
        stalled.push(("TLS, nothing", tls_hello(&server, b"").await));
        stalled.push(("TLS, half a hello", tls_hello(&server, b"\x16\x03\x01\x02\0\x01").await));
        stalled.push(("HTTP, nothing", http(&server, b"").await));
        stalled.push(("HTTP, half a head", http(&server, b"GET /health HTTP/1.1\r\nhos").await));
        stalled.push(("HTTP/2, half a preface", http(&server, b"PRI * HTTP/2.0\r\n\r\n").await));
        stalled.push(("WebSocket, nothing", http(&server, UPGRADE).await));
    }
    for _ in 0..EACH / 4 {
        stalled.push(("TLS, no CONNECT", tls(&server, false, b"").await));
        stalled.push(("HTTPS, nothing", tls(&server, true, b"").await));
        stalled.push(("QUIC, nothing", quic(&server, b"").await));
        stalled.push(("QUIC, half a CONNECT", quic(&server, half_connect).await));
    }
    for via in Via::ALL {
        Device::new(format!("{via:?}")).via(via).connect(&server, &alice).await.ping().await;
    }
    for (what, mut stream) in stalled {
        let mut answer = Vec::new();
        // A reset is an end like any other.
        let _ = in_time(what, stream.read_to_end(&mut answer)).await;
    }
    eventually(PATIENCE, "no handshake is left", async || {
        (server.metric("parlance_handshakes").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn handshakes_that_fill_the_house_leave_it_again() {
    let options =
        Server::options().set("LIMITS__HANDSHAKES_MAX", 20).set("LIMITS__CONNECT_TIMEOUT_MS", 15_000);
    let server = Server::start(options).await;
    let alice = server.user("alice").await;
    let mut silent = Vec::new();
    // More than fit: whichever come first fill it.
    for _ in 0..40 {
        silent.push(TcpStream::connect(server.mqtt()).await.expect("a server"));
    }
    // The threads take them in as they come, and let them go when their time is over. Who asks has no account: no time is
    // spent on a password.
    let answer = eventually(PATIENCE, "the house is full", async || {
        silent.push(TcpStream::connect(server.mqtt()).await.expect("a server"));
        let mut stream = TcpStream::connect(server.mqtt()).await.expect("a server");
        stream.write_all(b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x03who").await.expect("sent");
        let mut answer = Vec::new();
        let _ = in_time("an answer", stream.read_to_end(&mut answer)).await;
        (answer.first() == Some(&0x20) && answer.get(3) == Some(&(ReasonCode::ServerBusy as u8)))
            .then_some(answer)
    })
    .await;
    let words = String::from_utf8_lossy(&answer);
    assert!(words.contains("try again in 5 s"), "{words:?}");
    // It serves again when the time of the silent ones is over.
    eventually(PATIENCE, "there is room again", async || {
        Device::new("phone").try_connect(&server, &alice).await.ok().map(drop)
    })
    .await;
}
