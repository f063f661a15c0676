//! QUIC: a client that changes its address keeps its session; one stream, one protocol.

use parlance_tests::{Device, PATIENCE, Port, QuicStream, Server, endpoint, eventually, trusting};
use std::{net::UdpSocket, time::Duration};
use tokio::{io::AsyncReadExt, time::timeout};

fn mqtt(server: &Server) -> rustls::ClientConfig {
    let mut config = trusting(server);
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    config
}

#[tokio::test]
async fn a_phone_that_changes_its_network_keeps_its_session() {
    let server = Server::start(Server::options().quic()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let stream = QuicStream::open(endpoint(), server.quic(), mqtt(&server)).await.expect("QUIC");
    let (network, before) = (stream.endpoint.clone(), stream.endpoint.local_addr().expect("an address"));
    let mut phone = Device::new("phone").connect_over(stream, &alice).await.expect("let in");
    phone.subscribe("me/text/inbox/#").await;
    let mut desk = Device::new("desk").connect(&server, &bob).await;
    desk.subscribe("me/text/inbox/#").await;
    for round in 0..5 {
        network.rebind(UdpSocket::bind("127.0.0.1:0").expect("a port")).expect("another port");
        assert_ne!(network.local_addr().expect("an address"), before);
        // The phone speaks first: so the server learns where it is.
        phone.publish("user/@bob/text", format!("from {round}")).await;
        assert_eq!(desk.next().await.text(), format!("from {round}"));
        desk.publish("user/@alice/text", format!("to {round}")).await;
        assert_eq!(phone.next().await.text(), format!("to {round}"));
    }
    // It was one connection all the time.
    assert_eq!(server.metric("parlance_connections").await, 2.0);
    assert_eq!(network.open_connections(), 1);
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let server = Server::start(Server::options().quic()).await;
    for protocols in [vec![], vec![b"h3".to_vec()]] {
        let mut config = trusting(&server);
        config.alpn_protocols = protocols;
        assert!(QuicStream::open(endpoint(), server.quic(), config).await.is_err());
    }
}

#[tokio::test]
async fn a_connection_has_one_stream() {
    let server = Server::start(Server::options().quic()).await;
    let alice = server.user("alice").await;
    let stream = QuicStream::open(endpoint(), server.quic(), mqtt(&server)).await.expect("QUIC");
    let connection = stream.connection.clone();
    let mut phone = Device::new("phone").connect_over(stream, &alice).await.expect("let in");
    let second = timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(second.is_err(), "there is no room for a second one");
    let other = timeout(Duration::from_millis(300), connection.open_uni()).await;
    assert!(other.is_err(), "nor for one of one direction");
    phone.ping().await;
    phone.disconnect().await;
    connection.closed().await;
}

#[tokio::test]
async fn a_session_of_tls_is_resumed_without_0rtt() {
    let server = Server::start(Server::options().quic()).await;
    let alice = server.user("alice").await;
    let mut config = mqtt(&server);
    config.enable_early_data = true;
    for _ in 0..2 {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config.clone()).expect("TLS 1.3");
        let client = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
        let connecting = endpoint().connect_with(client, server.quic(), "localhost").expect("an attempt");
        assert!(connecting.into_0rtt().is_err(), "nothing travels before the handshake");
        let stream = QuicStream::open(endpoint(), server.quic(), config.clone()).await.expect("QUIC");
        Device::new("phone").connect_over(stream, &alice).await.expect("let in").ping().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_session_alone() {
    let server = Server::start(Server::options().quic()).await;
    let alice = server.user("alice").await;
    let mut other = Device::new("other").via(parlance_tests::Via::Quic).connect(&server, &alice).await;
    let mut stream = QuicStream::open(endpoint(), server.quic(), mqtt(&server)).await.expect("QUIC");
    stream.connection.close(7u32.into(), b"gone");
    assert!(stream.read_u8().await.is_err());
    other.ping().await;
}

#[tokio::test]
async fn a_listener_that_goes_keeps_its_connections_and_can_come_back() {
    let port = Port::reserve();
    let text = format!("[[listener]]\nname = 'udp'\naddress = '{}'\ntransport = 'quic'\n", port.address);
    let server = Server::start(Server::options().config(&text)).await;
    let alice = server.user("alice").await;
    let open = async || QuicStream::open(endpoint(), port.address, mqtt(&server)).await;
    let stream = eventually(PATIENCE, "QUIC listens", async || open().await.ok()).await;
    let mut phone = Device::new("phone").connect_over(stream, &alice).await.expect("let in");
    server.configure("");
    let said = server.reload().await;
    assert!(said.contains("closed=[\"udp\"]"), "{said}");
    phone.ping().await;
    eventually(PATIENCE, "nobody new is let in", async || open().await.err()).await;
    phone.ping().await;
    // Its socket is still there for the old connection: the listener takes it up again.
    server.configure(&text);
    let said = server.reload().await;
    assert!(said.contains("opened=[\"udp\"]"), "{said}");
    let stream = eventually(PATIENCE, "QUIC listens again", async || open().await.ok()).await;
    Device::new("desk").connect_over(stream, &alice).await.expect("let in").ping().await;
    phone.ping().await;
}
