//! Certificates of clients: devices log in with them, and nobody else gets in by them.

use crate::{pki::Authority, refused, secure, secure_again};
use parlance_tests::{Device, Port, QuicStream, Server, endpoint, mqtt::ReasonCode};
use rustls::ClientConfig;
use serde_json::json;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::io::AsyncReadExt;

struct Fleet {
    server: Server,
    servers: Authority,
    devices: Authority,
    required: Port,
    optional: Port,
    quic: SocketAddr,
}

/// A server with listeners that take certificates of one authority, and a service account.
async fn fleet() -> Fleet {
    let server = Server::start(Server::options().set("TLS__FILES_CHECKED_EVERY_S", 0)).await;
    let (servers, devices) = (Authority::new("Servers"), Authority::new("Devices"));
    servers.server(&["localhost"]).write(server.folder(), "own");
    devices.write(&server.folder().join("devices.pem"));
    let (required, optional, udp) = (Port::reserve(), Port::reserve(), Port::reserve());
    let listener = |name: &str, transport: &str, wanted: &str, at: SocketAddr| {
        format!(
            "[[listener]]\nname = '{name}'\naddress = '{at}'\ntransport = '{transport}'\n\
             client_certificates = '{wanted}'\nclient_ca = '{{folder}}/devices.pem'\n"
        )
    };
    server.configure(&format!(
        "[tls]\ncertificate = '{{folder}}/own.pem'\nkey = '{{folder}}/own.key'\n{}{}{}",
        listener("required", "tls", "required", required.address),
        listener("optional", "tls", "optional", optional.address),
        listener("quic", "quic", "required", udp.address).replace("'quic'\na", "'devices-quic'\na"),
    ));
    let said = server.reload().await;
    assert!(said.contains("were read again"), "{said}");
    server.admin("addUsers", json!({"users": [{"handle": "sensor-1", "service": true}]})).await;
    Fleet { server, servers, devices, required, optional, quic: udp.address }
}

/// TLS 1.3 ends its handshake before the server has looked at the certificate: what it thinks shows with the first read.
async fn is_let_in(to: SocketAddr, config: ClientConfig) -> io::Result<()> {
    let mut stream = secure(to, config, "localhost").await?;
    let mut byte = [0];
    match tokio::time::timeout(std::time::Duration::from_millis(500), stream.read(&mut byte)).await {
        // It waits for a CONNECT.
        Err(_) => Ok(()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[tokio::test]
async fn a_device_is_the_account_that_its_certificate_names() {
    let fleet = fleet().await;
    let alice = fleet.server.user("alice").await;
    let mut phone = Device::new("phone").connect(&fleet.server, &alice).await;
    phone.subscribe("me/json/inbox/#").await;
    let identity = fleet.devices.client("sensor-1");
    let config = Arc::new(fleet.servers.trusting_as(&identity));
    // The second time the session of TLS is resumed, and it is still the same device.
    for at in [&fleet.required, &fleet.required, &fleet.optional] {
        let stream = secure_again(at.address, &config, "localhost").await.expect("TLS");
        let mut device = Device::new("s1").connect_as_nobody(stream).await.expect("let in");
        device.publish("user/@alice/text", "21.5").await;
        assert_eq!(phone.next().await.topic(), "me/json/inbox/@sensor-1/@sensor-1");
        device.disconnect().await;
    }
    let mut tls = fleet.servers.trusting_as(&identity);
    tls.alpn_protocols = vec![b"mqtt".to_vec()];
    let stream = QuicStream::open(endpoint(), fleet.quic, tls).await.expect("QUIC");
    let mut device = Device::new("s2").connect_as_nobody(stream).await.expect("let in");
    device.publish("user/@alice/text", "22").await;
    assert_eq!(phone.next().await.topic(), "me/json/inbox/@sensor-1/@sensor-1");
    // A user name may be there, if it is the same.
    for (name, expected) in [("sensor-1", true), ("@sensor-1", true), ("alice", false)] {
        let stream = secure_again(fleet.required.address, &config, "localhost").await.expect("TLS");
        let device = Device::new("s3").login(Some(name), None);
        let outcome = device.connect_as_nobody(stream).await;
        assert_eq!(outcome.is_ok(), expected, "{name}");
    }
}

#[tokio::test]
async fn who_has_no_valid_certificate_is_not_let_in() {
    let fleet = fleet().await;
    let foreign = Authority::new("Devices");
    let cases = [
        ("good", fleet.servers.trusting_as(&fleet.devices.client("sensor-1")), true, true),
        ("none", fleet.servers.trusting(), false, true),
        ("foreign", fleet.servers.trusting_as(&foreign.client("sensor-1")), false, false),
        ("expired", fleet.servers.trusting_as(&fleet.devices.expired_client("sensor-1")), false, false),
    ];
    for (which, config, required, optional) in cases {
        let outcome = is_let_in(fleet.required.address, config.clone()).await;
        assert_eq!(outcome.is_ok(), required, "{which}, required: {outcome:?}");
        let outcome = is_let_in(fleet.optional.address, config).await;
        assert_eq!(outcome.is_ok(), optional, "{which}, optional: {outcome:?}");
    }
}

#[tokio::test]
async fn a_certificate_speaks_for_devices_alone() {
    let fleet = fleet().await;
    let alice = fleet.server.user("alice").await;
    for (name, expected) in [
        ("alice", ReasonCode::NotAuthorized),
        ("nobody", ReasonCode::BadUserNameOrPassword),
        ("admin", ReasonCode::BadUserNameOrPassword),
    ] {
        let config = fleet.servers.trusting_as(&fleet.devices.client(name));
        let stream = secure(fleet.required.address, config, "localhost").await.expect("TLS");
        let connack = refused(Device::new("x").connect_as_nobody(stream).await);
        assert!(connack.reason.is_error(), "{name}");
        assert_ne!(connack.reason, ReasonCode::UnspecifiedError, "{name}: {expected:?}");
    }
    // A person behind a device's certificate logs in as everywhere.
    let config = fleet.servers.trusting_as(&fleet.devices.client("sensor-1"));
    let stream = secure(fleet.required.address, config, "localhost").await.expect("TLS");
    let mut phone = Device::new("phone").connect_over(stream, &alice).await.expect("let in");
    phone.ping().await;
    // Without a certificate, where it is optional, a password is needed.
    let stream = secure(fleet.optional.address, fleet.servers.trusting(), "localhost").await.expect("TLS");
    assert!(refused(Device::new("x").connect_as_nobody(stream).await).reason.is_error());
    let stream = secure(fleet.optional.address, fleet.servers.trusting(), "localhost").await.expect("TLS");
    Device::new("y").connect_over(stream, &alice).await.expect("let in");
}

#[tokio::test]
async fn an_account_that_is_disabled_is_gone_with_its_certificate() {
    let fleet = fleet().await;
    let config = Arc::new(fleet.servers.trusting_as(&fleet.devices.client("sensor-1")));
    let stream = secure_again(fleet.required.address, &config, "localhost").await.expect("TLS");
    let mut device = Device::new("s1").connect_as_nobody(stream).await.expect("let in");
    fleet.server.admin("setDisabled", json!({"user": "@sensor-1", "disabled": true})).await;
    assert_eq!(device.closed().await.reason(), Some(ReasonCode::NotAuthorized));
    let stream = secure_again(fleet.required.address, &config, "localhost").await.expect("TLS");
    assert!(refused(Device::new("s1").connect_as_nobody(stream).await).reason.is_error());
}

#[tokio::test]
async fn a_session_that_began_under_another_authority_is_not_resumed() {
    let fleet = fleet().await;
    let config = Arc::new(fleet.servers.trusting_as(&fleet.devices.client("sensor-1")));
    let stream = secure_again(fleet.required.address, &config, "localhost").await.expect("TLS");
    let mut device = Device::new("s1").connect_as_nobody(stream).await.expect("let in");
    device.ping().await;
    Authority::new("Other devices").write(&fleet.server.folder().join("devices.pem"));
    let said = fleet.server.reload().await;
    assert!(said.contains("were read again"), "{said}");
    let again = async {
        let mut stream = secure_again(fleet.required.address, &config, "localhost").await?;
        stream.read_u8().await
    };
    assert!(again.await.is_err());
    device.ping().await;
}
