//! Wills on free topics: when they are published, when not, and that a stop of the server does not forget them.

use crate::{
    QUIET, VERSIONS,
    free::{device, lab, payloads, subscribed},
};
use parlance_tests::{
    Client, Device, Message, Server,
    mqtt::{Disconnect, Packet, QoS, ReasonCode, Version},
};
use std::time::{Duration, Instant};

/// A device with a will of this delay.
fn sensor(server: &Server, delay_s: u32) -> Device {
    device(server, "sensor").will("wills/sensor", "gone").with_will(|will| will.delay_s = Some(delay_s))
}

async fn witness(server: &Server) -> Client {
    subscribed(&device(server, "witness"), "wills/#").await
}

#[tokio::test]
async fn a_will_is_a_publish_like_any_other() {
    let server = lab().await;
    for version in VERSIONS {
        let mut witness = witness(&server).await;
        let sensor =
            device(&server, "sensor").version(version).will("wills/sensor", "gone").with_will(|will| {
                (will.qos, will.retain) = (QoS::ExactlyOnce, true);
                if version == Version::V5 {
                    will.properties.content_type = Some("text/plain".into());
                    will.properties.message_expiry_s = Some(600);
                    will.properties.user_properties = vec![("name".into(), "value".into())];
                }
            });
        // Not after a goodbye, but after one that asks for it (5).
        sensor.connect_open().await.disconnect().await;
        assert_eq!(witness.next_within(QUIET).await, None);
        let mut connected = sensor.connect_open().await;
        match version {
            Version::V3 => connected.vanish(),
            Version::V5 => {
                let goodbye = Disconnect::with(ReasonCode::DisconnectWithWill);
                connected.send_packet(&Packet::Disconnect(goodbye)).await;
                connected.closed().await;
            }
        }
        let delivery = witness.next().await;
        assert_eq!((delivery.text(), delivery.0.qos), ("gone", QoS::ExactlyOnce));
        if version == Version::V5 {
            assert_eq!(delivery.property("name"), Some("value"));
            assert_eq!(delivery.0.properties.content_type.as_deref(), Some(&b"text/plain"[..]));
            assert!(delivery.0.properties.message_expiry_s.is_some_and(|left| (590..=600).contains(&left)));
        }
        let mut late = subscribed(&device(&server, "late").clean(), "wills/#").await;
        assert!(late.next().await.0.retain);
        late.publish_message(&Message::new("wills/sensor", "").retain()).await;
        assert_eq!(witness.next().await.text(), "");
        witness.disconnect().await;
    }
}

#[tokio::test]
async fn a_delay_is_kept_and_coming_back_takes_the_will_back() {
    let server = lab().await;
    let mut witness = witness(&server).await;
    let began = Instant::now();
    sensor(&server, 2).connect_open().await.vanish();
    assert_eq!(payloads(&mut witness, 1).await, ["gone"]);
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());

    sensor(&server, 2).connect_open().await.vanish();
    let back = device(&server, "sensor").connect_open().await;
    assert!(back.session_present());
    assert_eq!(witness.next_within(Duration::from_millis(2_500)).await, None);
}

/// MQTT-3.1.2-8: the end of the session ends the delay.
#[tokio::test]
async fn the_end_of_the_session_does_not_wait_for_the_delay() {
    let server = lab().await;
    let mut witness = witness(&server).await;
    sensor(&server, 3_600).connect_open().await.vanish();
    device(&server, "sensor").clean().connect_open().await.disconnect().await;
    assert_eq!(payloads(&mut witness, 1).await, ["gone"]);
    sensor(&server, 3_600).expiry_s(1).connect_open().await.vanish();
    assert_eq!(payloads(&mut witness, 1).await, ["gone"]);
    sensor(&server, 3_600).expiry_s(0).connect_open().await.vanish();
    assert_eq!(payloads(&mut witness, 1).await, ["gone"]);
}

#[tokio::test]
async fn a_takeover_is_an_end_without_a_goodbye() {
    let server = lab().await;
    let mut witness = witness(&server).await;
    let mut first = sensor(&server, 0).connect_open().await;
    let second = device(&server, "sensor").connect_open().await;
    assert_eq!(first.closed().await.reason(), Some(ReasonCode::SessionTakenOver));
    assert_eq!(payloads(&mut witness, 1).await, ["gone"]);
    second.disconnect().await;
    // With a delay the session goes on before it is over.
    let mut first = sensor(&server, 1).connect_open().await;
    let _second = device(&server, "sensor").connect_open().await;
    first.closed().await;
    assert_eq!(witness.next_within(Duration::from_millis(1_500)).await, None);
}

/// Also a server that is killed publishes the wills of those who do not come back, and of nobody else.
#[tokio::test]
async fn a_will_outlives_the_server() {
    for killed in [true, false] {
        let mut server = lab().await;
        witness(&server).await.disconnect().await;
        let quick =
            device(&server, "quick").will("wills/quick", "quick").with_will(|will| will.delay_s = Some(4));
        let polite = device(&server, "polite").will("wills/polite", "polite");
        let waiting = sensor(&server, 3);
        let mut connected = Vec::new();
        for device in [&quick, &polite] {
            connected.push(device.connect_open().await);
        }
        waiting.connect_open().await.vanish();
        connected.pop().expect("polite").disconnect().await;
        if killed {
            server.kill();
        } else {
            server.terminate().await;
        }
        server.restart().await;
        let back = device(&server, "quick").connect_open().await;
        assert!(back.session_present());
        let mut witness = device(&server, "witness").connect_open().await;
        assert_eq!(payloads(&mut witness, 1).await, ["gone"], "killed {killed}");
        assert_eq!(witness.next_within(Duration::from_secs(4)).await, None, "killed {killed}");
        // It was published once: another start does not repeat it.
        witness.disconnect().await;
        server.kill();
        server.restart().await;
        let mut witness = device(&server, "witness").connect_open().await;
        assert_eq!(witness.next_within(QUIET).await, None, "killed {killed}");
    }
}

#[tokio::test]
async fn a_stop_of_the_server_is_an_end_without_a_goodbye() {
    let mut server = lab().await;
    witness(&server).await.disconnect().await;
    let _durable = sensor(&server, 0).connect_open().await;
    let short = device(&server, "short").expiry_s(0).will("wills/short", "short");
    let _short = short.with_will(|will| will.delay_s = Some(3_600)).connect_open().await;
    server.restart().await;
    let mut witness = device(&server, "witness").connect_open().await;
    let mut got = payloads(&mut witness, 2).await;
    got.sort();
    assert_eq!(got, ["gone", "short"]);
    assert_eq!(witness.next_within(QUIET).await, None);
}

/// Many clients that are lost at once: their wills go out at a pace, and every one does.
#[tokio::test]
async fn a_storm_of_wills_is_paced() {
    let options = Server::options().open().set("TOPICS__WILLS_PER_SECOND_MAX", 20);
    let server = Server::start(options).await;
    let mut witness = witness(&server).await;
    let mut lost = Vec::new();
    for number in 0..60 {
        let name = format!("lost-{number}");
        lost.push(device(&server, &name).will(&format!("wills/{name}"), &name).connect_open().await);
    }
    let began = Instant::now();
    lost.into_iter().for_each(Client::vanish);
    let mut got = payloads(&mut witness, 60).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 60);
    // The server has time for others meanwhile.
    let mut writer = device(&server, "writer").connect_open().await;
    assert!(!writer.publish_message(&Message::new("wills/x", "x")).await.reason().is_error());
}
