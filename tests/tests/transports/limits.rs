//! Over a limit: always an answer, with a time to come back.

use crate::refused;
use parlance_tests::{
    Client, Closed, Device, Options, PATIENCE, Server, Via, eventually, in_time,
    mqtt::{ConnAck, ReasonCode, Version},
    property,
};

/// A server that trusts nobody: this machine counts like any other.
fn strict() -> Options {
    Server::options().set("LIMITS__TRUSTED_ADDRESSES", "").quic()
}

fn retry_after(connack: &ConnAck) -> u32 {
    let seconds = property(&connack.properties.user_properties, "retry-after").expect("retry-after");
    seconds.parse().expect("seconds")
}

#[tokio::test]
async fn an_address_has_so_many_connections_on_every_transport() {
    let server = Server::start(strict().set("LIMITS__CONNECTIONS_PER_ADDRESS_MAX", 8)).await;
    let alice = server.user("alice").await;
    let mut inside: Vec<Client> = Vec::new();
    // The harness's own HTTP connections count, too: it has some of the eight.
    let connack = loop {
        match Device::new(format!("d{}", inside.len())).try_connect(&server, &alice).await {
            Ok(client) => inside.push(client),
            Err(Closed::Refused(connack)) => break connack,
            Err(other) => panic!("{other:?}"),
        }
        assert!(inside.len() <= 8);
    };
    assert_eq!(connack.reason, ReasonCode::QuotaExceeded);
    assert_eq!(retry_after(&connack), 60);
    let words = connack.properties.reason_string.expect("words");
    assert!(words.ends_with(b"try again in 60 s"), "{words:?}");
    for via in Via::ALL {
        let connack = refused(Device::new("one").via(via).try_connect(&server, &alice).await);
        assert_eq!(connack.reason, ReasonCode::QuotaExceeded, "{via:?}");
        let connack = refused(Device::new("one").v3().via(via).try_connect(&server, &alice).await);
        assert_eq!(code_of_v3(&connack), 3, "{via:?}");
    }
    for client in &mut inside {
        client.ping().await;
    }
    inside.pop().expect("some").disconnect().await;
    eventually(PATIENCE, "the place is free again", async || {
        Device::new("next").try_connect(&server, &alice).await.ok().map(drop)
    })
    .await;
}

/// The return code that 3.1.1 has for a reason, as it came over the wire.
fn code_of_v3(connack: &ConnAck) -> u8 {
    match connack.reason {
        ReasonCode::ServerUnavailable => 3,
        other => other as u8,
    }
}

#[tokio::test]
async fn an_address_connects_so_often() {
    let options = strict()
        .set("LIMITS__CONNECTS_PER_SECOND_PER_ADDRESS", 1)
        .set("LIMITS__CONNECTS_BURST_PER_ADDRESS", 20);
    let server = Server::start(options).await;
    let alice = server.user("alice").await;
    let refusal = in_time("the burst ends", async {
        loop {
            match Device::new("phone").try_connect(&server, &alice).await {
                Ok(client) => client.vanish(),
                Err(Closed::Refused(connack)) => break connack,
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    let connack = refusal.await;
    assert_eq!(connack.reason, ReasonCode::ConnectionRateExceeded);
    let wait_s = retry_after(&connack);
    assert!((1..=2).contains(&wait_s), "{wait_s}");
    let connack = refused(Device::new("phone").v3().try_connect(&server, &alice).await);
    assert_eq!(code_of_v3(&connack), 3);
    tokio::time::sleep(std::time::Duration::from_secs(u64::from(wait_s))).await;
    Device::new("phone").connect(&server, &alice).await.ping().await;
}

#[tokio::test]
async fn a_user_has_so_many_connections_and_may_come_again_to_its_own() {
    let server = Server::start(Server::options().set("LIMITS__CONNECTIONS_PER_USER_MAX", 2)).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut one = Device::new("one").connect(&server, &alice).await;
    let _two = Device::new("two").connect(&server, &alice).await;
    for version in [Version::V5, Version::V3] {
        let device = Device::new("three").version(version);
        let connack = refused(device.try_connect(&server, &alice).await);
        if version == Version::V5 {
            assert_eq!(connack.reason, ReasonCode::QuotaExceeded);
            assert_eq!(retry_after(&connack), 60);
        } else {
            assert_eq!(code_of_v3(&connack), 3);
        }
    }
    Device::new("one").connect(&server, &bob).await.ping().await;
    one.ping().await;
    // The same device again takes its own place.
    let mut again = Device::new("one").connect(&server, &alice).await;
    again.ping().await;
    assert_eq!(one.closed().await.reason(), Some(ReasonCode::SessionTakenOver));
}

#[tokio::test]
async fn the_server_has_so_many_connections() {
    let server = Server::start(Server::options().set("LIMITS__CONNECTIONS_MAX", 5)).await;
    let alice = server.user("alice").await;
    let mut inside: Vec<Client> = Vec::new();
    let connack = loop {
        match Device::new(format!("d{}", inside.len())).try_connect(&server, &alice).await {
            Ok(client) => inside.push(client),
            Err(Closed::Refused(connack)) => break connack,
            Err(other) => panic!("{other:?}"),
        }
        assert!(inside.len() <= 5);
    };
    assert_eq!(connack.reason, ReasonCode::ServerBusy);
    assert_eq!(retry_after(&connack), 10);
    for client in &mut inside {
        client.ping().await;
    }
}
