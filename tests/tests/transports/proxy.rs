//! PROXY protocol version 2: what counts is where the client is, not where the load balancer is.

use crate::{refused, secure};
use parlance_tests::{Client, Closed, Device, Port, Server, User, mqtt::ReasonCode, trusting};
use rustls::pki_types::ServerName;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn header(from: Ipv4Addr) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0x21, 0x11, 0, 12]);
    bytes.extend(from.octets());
    bytes.extend([127, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b]);
    bytes
}

fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

struct Behind {
    server: Server,
    tcp: Port,
    tls: Port,
    alice: User,
}

async fn behind(options: parlance_tests::Options, from: &str) -> Behind {
    let (tcp, tls) = (Port::reserve(), Port::reserve());
    let listener = |name: &str, at: SocketAddr| {
        format!(
            "[[listener]]\nname = '{name}-behind'\naddress = '{at}'\ntransport = '{name}'\n\
             proxy_protocol = true\nproxy_from = ['{from}']\n"
        )
    };
    let text = listener("tcp", tcp.address) + &listener("tls", tls.address);
    let server = Server::start(options.config(text)).await;
    let alice = server.user("alice").await;
    Behind { server, tcp, tls, alice }
}

async fn connect(at: &Port, head: &[u8], user: &User, id: &str) -> Result<Client, Closed> {
    let mut stream = TcpStream::connect(at.address).await.expect("it listens");
    stream.write_all(head).await.expect("sent");
    Device::new(id).connect_over(stream, user).await
}

#[tokio::test]
async fn limits_count_the_client_and_not_the_balancer() {
    let options = Server::options().set("LIMITS__CONNECTIONS_PER_ADDRESS_MAX", 1);
    let Behind { tcp, tls, alice, server } = behind(options, "127.0.0.1").await;
    let (here, there) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let mut first = connect(&tcp, &header(here), &alice, "a").await.expect("let in");
    let connack = refused(connect(&tcp, &header(here), &alice, "b").await);
    assert_eq!(connack.reason, ReasonCode::QuotaExceeded);
    connect(&tcp, &header(there), &alice, "b").await.expect("let in").ping().await;
    // The balancer itself is this machine, which is trusted.
    for id in ["c", "d"] {
        connect(&tcp, &local(), &alice, id).await.expect("let in").ping().await;
    }
    // Behind it TLS, with the same count.
    for (from, expected) in [(here, false), (Ipv4Addr::new(10, 0, 0, 3), true)] {
        let mut socket = TcpStream::connect(tls.address).await.expect("it listens");
        socket.write_all(&header(from)).await.expect("sent");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream =
            TlsConnector::from(Arc::new(trusting(&server))).connect(name, socket).await.expect("TLS");
        let outcome = Device::new("e").connect_over(stream, &alice).await;
        assert_eq!(outcome.is_ok(), expected, "{from}");
    }
    first.ping().await;
}

#[tokio::test]
async fn guesses_are_counted_for_the_client() {
    let Behind { tcp, alice, server, .. } = behind(Server::options(), "127.0.0.1").await;
    server.register("victim").await;
    let (bad, good) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let guess = async |from: Ipv4Addr, name: String| {
        let mut stream = TcpStream::connect(tcp.address).await.expect("it listens");
        stream.write_all(&header(from)).await.expect("sent");
        let device = Device::new("guess").login(Some(&name), Some("wrong password"));
        refused(device.connect_as_nobody(stream).await).reason
    };
    // Many accounts from one address: the address is slowed down, not the accounts.
    let mut reasons = Vec::new();
    for number in 0..60 {
        reasons.push(guess(bad, format!("nobody{number}")).await);
        if reasons.last() == Some(&ReasonCode::QuotaExceeded) {
            break;
        }
    }
    assert_eq!(reasons.last(), Some(&ReasonCode::QuotaExceeded), "{reasons:?}");
    assert_ne!(guess(good, "somebody".into()).await, ReasonCode::QuotaExceeded);
    connect(&tcp, &header(good), &alice, "a").await.expect("let in").ping().await;
}

#[tokio::test]
async fn what_is_no_header_is_closed_and_told() {
    let Behind { tcp, alice, server, .. } = behind(Server::options(), "127.0.0.1").await;
    let mut unknown_family = header(Ipv4Addr::LOCALHOST);
    unknown_family[13] = 0x77;
    let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    for (bytes, says) in [
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), "version 1: set the load balancer to version 2"),
        (b"\x10\x0c\0\x04MQTT".to_vec(), "does not begin with a PROXY header"),
        (unknown_family, "an unknown family of addresses"),
        (too_long, "65535 bytes; at most"),
    ] {
        let mut stream = TcpStream::connect(tcp.address).await.expect("it listens");
        stream.write_all(&bytes).await.expect("sent");
        let mut answer = Vec::new();
        // A reset is an end like any other.
        let _ = timeout(parlance_tests::PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed");
        assert_eq!(answer, b"");
        server.says(says).await;
    }
    // Who says nothing keeps nobody waiting, and is closed in the end.
    let mut silent = TcpStream::connect(tcp.address).await.expect("it listens");
    connect(&tcp, &local(), &alice, "a").await.expect("let in").ping().await;
    assert_eq!(
        timeout(parlance_tests::PATIENCE, silent.read(&mut [0])).await.expect("closed").unwrap_or(0),
        0
    );
    server.says("no PROXY header in time").await;
}

#[tokio::test]
async fn only_the_balancers_are_believed() {
    let Behind { tcp, tls, alice, server } = behind(Server::options(), "10.9.9.9").await;
    assert_eq!(connect(&tcp, &header(Ipv4Addr::LOCALHOST), &alice, "a").await.err(), Some(Closed::Ended));
    server.says("not among the load balancers of proxy_from").await;
    assert!(secure(tls.address, trusting(&server), "localhost").await.is_err());
}
