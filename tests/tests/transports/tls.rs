//! TLS: versions, resumption, names, and certificates that change while the server runs.

use crate::{pki::Authority, secure, secure_again, shown};
use parlance_tests::{Device, PATIENCE, Port, Server, eventually, trusting};
use rustls::{HandshakeKind, version};
use std::{fs, sync::Arc};

/// The own certificate of a server that was started with [`with_own`].
fn own_config() -> &'static str {
    "[tls]\ncertificate = '{folder}/own.pem'\nkey = '{folder}/own.key'\n"
}

struct Own {
    server: Server,
    authority: Authority,
    first: Vec<u8>,
}

/// A server with a certificate of a test's own authority. It begins with development certificates, since its folder is
/// known only when it is there, and is told of the others then.
async fn with_own(more: &str) -> Own {
    let server = Server::start(Server::options().set("TLS__FILES_CHECKED_EVERY_S", 0)).await;
    let authority = Authority::new("Test CA");
    let own = authority.server(&["localhost", "own.example"]);
    own.write(server.folder(), "own");
    server.configure(&format!("{}{more}", own_config()));
    let said = server.reload().await;
    assert!(said.contains("were read again"), "{said}");
    Own { first: own.certificate.to_vec(), server, authority }
}

#[tokio::test]
async fn tls_1_2_and_1_3_and_sessions_of_both_are_resumed() {
    let Own { server, authority, .. } = with_own("").await;
    let alice = server.user("alice").await;
    for only_version in [&version::TLS12, &version::TLS13] {
        let config = Arc::new(authority.trusting_in(only_version));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let stream = secure_again(server.mqtts(), &config, "localhost").await.expect("TLS");
            let version = stream.get_ref().1.protocol_version();
            assert_eq!(version, Some(only_version.version));
            let (kind, device) = (stream.get_ref().1.handshake_kind(), Device::new("phone"));
            // Tickets of 1.3 come with the first data.
            let mut client = device.connect_over(stream, &alice).await.expect("let in");
            client.ping().await;
            // The first handshake of 1.3 may be one with a second hello.
            let resumed = kind == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, expected == HandshakeKind::Resumed, "{only_version:?}: {kind:?}");
            client.disconnect().await;
        }
    }
}

#[tokio::test]
async fn a_resumed_session_carries_nothing_before_its_handshake() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let mut config = trusting(&server);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for round in 0..2 {
        let stream = secure_again(server.mqtts(), &config, "localhost").await.expect("TLS");
        let tls = stream.get_ref().1;
        assert_eq!(tls.handshake_kind() == Some(HandshakeKind::Resumed), round == 1);
        assert!(!tls.is_early_data_accepted());
        let mut client = Device::new("phone").connect_over(stream, &alice).await.expect("let in");
        client.ping().await;
        client.disconnect().await;
    }
    let socket = std::net::TcpStream::connect(server.mqtts()).expect("a socket");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let mut again = rustls::ClientConnection::new(config, name).expect("a client");
    assert!(again.early_data().is_none(), "the ticket allows none");
    drop(socket);
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let Own { server, authority, first } = with_own("").await;
    let named = authority.server(&["a.example", "x.b.example"]);
    named.write(server.folder(), "named");
    let port = Port::reserve();
    let special = authority.server(&["special.example"]);
    special.write(server.folder(), "special");
    server.configure(&format!(
        "{}[[tls.certificate_for]]\nnames = ['a.example', '*.b.example']\n\
         certificate = '{{folder}}/named.pem'\nkey = '{{folder}}/named.key'\n\
         [[listener]]\nname = 'special'\naddress = '{}'\ntransport = 'tls'\n\
         certificate = '{{folder}}/special.pem'\nkey = '{{folder}}/special.key'\n",
        own_config(),
        port.address
    ));
    let said = server.reload().await;
    assert!(said.contains("opened=[\"special\"]"), "{said}");
    for (name, expected) in [
        ("own.example", &first),
        ("a.example", &named.certificate.to_vec()),
        ("x.b.example", &named.certificate.to_vec()),
    ] {
        for address in [server.mqtts(), server.https()] {
            let stream = secure(address, authority.trusting(), name).await.expect(name);
            assert_eq!(&shown(&stream), expected, "{name}");
        }
    }
    let stream = secure(port.address, authority.trusting(), "special.example").await.expect("its own");
    assert_eq!(shown(&stream), special.certificate.to_vec());
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_keeps_those_that_are_there() {
    let Own { server, authority, first } = with_own("").await;
    let alice = server.user("alice").await;
    let stream = secure(server.mqtts(), authority.trusting(), "localhost").await.expect("TLS");
    assert_eq!(shown(&stream), first);
    let mut client = Device::new("phone").connect_over(stream, &alice).await.expect("let in");
    let second = authority.server(&["localhost"]);
    second.write(server.folder(), "own");
    let said = server.reload().await;
    assert!(said.contains("were read again"), "{said}");
    let stream = secure(server.mqtts(), authority.trusting(), "localhost").await.expect("TLS");
    assert_eq!(shown(&stream), second.certificate.to_vec());
    client.ping().await;
    client.publish("user/@alice/text", "still here").await;
}

#[tokio::test]
async fn files_that_change_are_seen_without_a_signal_and_broken_ones_are_not_taken() {
    let Own { mut server, authority, first } = with_own("").await;
    server.restart_with("TLS__FILES_CHECKED_EVERY_S", 1).await;
    let now = async |server: &Server| {
        let stream = secure(server.mqtts(), authority.trusting(), "localhost").await.expect("TLS");
        shown(&stream)
    };
    assert_eq!(now(&server).await, first);
    // Certificate and key of two: somebody copies one file after the other.
    let second = authority.server(&["localhost"]);
    let key = fs::read(server.folder().join("own.key")).expect("a key");
    second.write(server.folder(), "second");
    fs::rename(server.folder().join("second.pem"), server.folder().join("own.pem")).expect("a file");
    server.says("certificates changed and cannot be used; those from before stay").await;
    assert!(server.log().contains("own.pem and its key do not fit"), "it says why");
    assert_eq!(now(&server).await, first);
    fs::rename(server.folder().join("second.key"), server.folder().join("own.key")).expect("a file");
    eventually(PATIENCE, "the new certificate is shown", async || {
        (now(&server).await == second.certificate.to_vec()).then_some(())
    })
    .await;
    // SIGHUP says the same of what is broken.
    fs::write(server.folder().join("own.key"), key).expect("a key");
    let said = server.reload().await;
    assert!(said.contains("everything stays as it was") && said.contains("do not fit"), "{said}");
    assert_eq!(now(&server).await, second.certificate.to_vec());
}
