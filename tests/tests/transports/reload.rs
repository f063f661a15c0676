//! The configuration is followed while the server runs: listeners come and go, and connections stay.

use crate::refused;
use parlance_tests::{Device, PATIENCE, Port, Server, User, eventually, mqtt::ReasonCode};
use tokio::net::TcpStream;

fn listener(name: &str, port: &Port, keys: &str) -> String {
    format!("[[listener]]\nname = '{name}'\naddress = '{}'\n{keys}\n", port.address)
}

async fn connect(
    port: &Port,
    user: &User,
    id: &str,
) -> Result<parlance_tests::Client, parlance_tests::Closed> {
    let stream = TcpStream::connect(port.address).await.map_err(|_| parlance_tests::Closed::Ended)?;
    Device::new(id).connect_over(stream, user).await
}

#[tokio::test]
async fn a_listener_comes_and_goes_under_live_connections() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let mut old = Device::new("old").connect(&server, &alice).await;
    let (first, second) = (Port::reserve(), Port::reserve());
    assert!(TcpStream::connect(first.address).await.is_err());

    server.configure(&(listener("first", &first, "") + &listener("second", &second, "transport = 'ws'")));
    let said = server.reload().await;
    assert!(said.contains("opened=[\"first\", \"second\"] closed=[] changed=[]"), "{said}");
    let mut guest = connect(&first, &alice, "guest").await.expect("let in");
    TcpStream::connect(second.address).await.expect("it listens");
    old.ping().await;

    server.configure(&listener("second", &second, "transport = 'ws'"));
    let said = server.reload().await;
    assert!(said.contains("opened=[] closed=[\"first\"] changed=[]"), "{said}");
    eventually(PATIENCE, "the listener is gone", async || TcpStream::connect(first.address).await.err())
        .await;
    guest.ping().await;
    guest.publish("user/@alice/text", "still here").await;
    old.ping().await;

    // It can come back where it was.
    server.configure(&listener("again", &first, ""));
    let said = server.reload().await;
    assert!(said.contains("opened=[\"again\"] closed=[\"second\"] changed=[]"), "{said}");
    connect(&first, &alice, "back").await.expect("let in").ping().await;
    guest.ping().await;
    old.ping().await;
}

#[tokio::test]
async fn a_listener_changes_where_it_stands() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let port = Port::reserve();
    server.configure(&listener("it", &port, ""));
    server.reload().await;
    let mut plain = connect(&port, &alice, "plain").await.expect("let in");
    server.configure(&listener("it", &port, "transport = 'http'"));
    let said = server.reload().await;
    assert!(said.contains("opened=[] closed=[] changed=[\"it\"]"), "{said}");
    let ready = reqwest::get(format!("http://{}/ready", port.address)).await.expect("HTTP");
    assert!(ready.status().is_success());
    plain.ping().await;
}

#[tokio::test]
async fn what_cannot_be_followed_changes_nothing_and_is_told() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let (port, taken) = (Port::reserve(), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    server.configure(&listener("it", &port, ""));
    server.reload().await;
    let mut client = connect(&port, &alice, "one").await.expect("let in");
    let occupied = taken.local_addr().expect("an address");
    let broken = [
        ("[listen\n".to_owned(), "parlance.toml:1: "),
        ("[limits]\nconnections_mxa = 1\n".to_owned(), "did you mean"),
        (format!("[[listener]]\nname = 'new'\naddress = '{occupied}'\n"), "cannot listen on"),
        (
            listener("it", &port, "transport = 'tls'\ncertificate = '/no'\nkey = '/no'"),
            "/no holds no usable PEM",
        ),
        (listener("it", &port, "profile = 'open'\nopen_to_the_network = 1"), "must be true or false"),
    ];
    for (text, why) in broken {
        server.configure(&text);
        let said = server.reload().await;
        assert!(said.contains("everything stays as it was"), "{said}");
        server.says(why).await;
        client.ping().await;
        connect(&port, &alice, "two").await.expect("let in").ping().await;
    }
}

#[tokio::test]
async fn limits_are_followed_and_what_waits_for_a_start_is_named() {
    let server = Server::start(Server::options().set("LIMITS__TRUSTED_ADDRESSES", "")).await;
    let alice = server.user("alice").await;
    let mut one = Device::new("one").connect(&server, &alice).await;
    server.configure("[limits]\nconnections_per_user_max = 1\npacket_bytes_max = 2_000_000\n");
    let said = server.reload().await;
    assert!(said.contains("were read again"), "{said}");
    server.says("take effect at the next start: limits.packet_bytes_max").await;
    let connack = refused(Device::new("two").try_connect(&server, &alice).await);
    assert_eq!(connack.reason, ReasonCode::QuotaExceeded);
    one.ping().await;
    server.configure("");
    server.reload().await;
    Device::new("two").connect(&server, &alice).await.ping().await;
}

#[tokio::test]
async fn an_open_listener_is_loud() {
    let port = Port::reserve();
    let text = listener("lab", &port, "profile = 'open'");
    let server = Server::start(Server::options().config(text)).await;
    // Once in the log, and once for who starts it.
    eventually(PATIENCE, "two warnings", async || {
        (server.log().matches("the listener \"lab\" on").count() == 2).then_some(())
    })
    .await;
    assert!(server.log().contains("is OPEN: anybody who reaches it"));
}
