//! How fast a connection may speak, and how much all of them may hold.

use parlance_tests::{
    Client, Device, Message, Options, PATIENCE, Server, eventually, in_time,
    mqtt::{Packet, ReasonCode},
};
use std::time::{Duration, Instant};

fn strict() -> Options {
    Server::options().set("LIMITS__TRUSTED_ADDRESSES", "")
}

async fn send(client: &mut Client, topic: &str, text: &str) {
    let sent = client.send(&Message::new(topic, text.to_owned())).await;
    sent.unwrap_or_else(|closed| panic!("{closed:?}"));
}

#[tokio::test]
async fn who_is_too_fast_waits_and_loses_nothing() {
    const MESSAGES: usize = 60;
    let server = Server::start(strict().set("LIMITS__PACKETS_PER_SECOND_MAX", 20)).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    let mut other = Device::new("other").connect(&server, &bob).await;
    let begun = Instant::now();
    for number in 0..MESSAGES {
        send(&mut phone, "user/@alice/text", &number.to_string()).await;
    }
    // Another connection is not slower for it.
    let asked = Instant::now();
    other.ping().await;
    assert!(asked.elapsed() < Duration::from_secs(1));
    for _ in 0..MESSAGES {
        assert!(!phone.next_ack().await.expect("an acknowledgement").reason().is_error());
    }
    // Sixty at twenty in a second: the first twenty at once, the last after two turns of the second at least.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn bytes_count_as_well() {
    let server = Server::start(strict().set("LIMITS__BYTES_PER_SECOND_MAX", 100_000)).await;
    let alice = server.user("alice").await;
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    let (begun, text) = (Instant::now(), "x".repeat(50_000));
    for _ in 0..6 {
        send(&mut phone, "user/@alice/text", &text).await;
    }
    for _ in 0..6 {
        assert!(!phone.next_ack().await.expect("an acknowledgement").reason().is_error());
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_is_too_fast_for_too_long_is_told_so() {
    let options = strict().set("LIMITS__PACKETS_PER_SECOND_MAX", 10).set("LIMITS__OVER_RATE_S_MAX", 2);
    let server = Server::start(options).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut flood = Device::new("flood").connect(&server, &alice).await;
    let mut calm = Device::new("calm").connect(&server, &bob).await;
    let closed = in_time("the flood is closed", async {
        // More than the server reads in that time; what is not read stays in the socket.
        for _ in 0..200 {
            if flood.try_send(&Packet::PingReq).await.is_err() {
                break;
            }
        }
        flood.closed().await
    });
    assert_eq!(closed.await.reason(), Some(ReasonCode::MessageRateTooHigh));
    calm.ping().await;
}

#[tokio::test]
async fn those_who_hold_most_go_when_memory_is_short() {
    let options = Server::options()
        .set("LIMITS__INFLIGHT_BYTES_MAX", 2_097_152)
        .set("LIMITS__PACKET_BYTES_MAX", 4_194_304);
    let server = Server::start(options).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut calm = Device::new("calm").connect(&server, &bob).await;
    // All of them are in before the first of them asks for much: after that nobody is let in for a while.
    let mut greedy = Vec::new();
    for number in 0..3 {
        greedy.push(Device::new(format!("greedy{number}")).connect(&server, &alice).await);
    }
    // Packets that never end: what has come of them is held.
    let begun = [&[0x30, 0xff, 0xff, 0xbf, 0x01][..], &vec![0; 1_500_000]].concat();
    for client in &mut greedy {
        // It may be closed before all of it is sent.
        let _ = client.raw(&begun).await;
    }
    let mut closed = 0;
    for client in &mut greedy {
        if let Ok(how) = tokio::time::timeout(Duration::from_secs(5), client.closed()).await {
            closed += usize::from(how.reason() == Some(ReasonCode::QuotaExceeded));
        }
    }
    assert!((2..=3).contains(&closed), "{closed} were closed");
    calm.ping().await;
    eventually(PATIENCE, "there is room for new ones", async || {
        Device::new("new").try_connect(&server, &bob).await.ok().map(drop)
    })
    .await;
    assert!(server.metric("parlance_closed_for_memory_total").await >= 2.0);
}
