//! Sessions: resumed, taken over, begun anew; what was under way comes again.

use crate::{QUIET, VERSIONS, listening, pair, texts};
use parlance_tests::{
    Closed, Device,
    mqtt::{ReasonCode, Version},
};

#[tokio::test]
async fn a_session_is_resumed_with_its_subscriptions() {
    let (server, alice, bob) = pair().await;
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    for version in VERSIONS {
        let device = Device::new(format!("phone-{version:?}")).version(version);
        let phone = listening(&device, &server, &bob).await;
        assert!(!phone.session_present());
        phone.vanish();
        writer.publish("user/@bob/text", "while away").await;
        let mut phone = device.connect(&server, &bob).await;
        assert!(phone.session_present());
        assert_eq!(texts(&mut phone, 1).await, ["while away"]);
        phone.disconnect().await;
    }
}

/// MQTT-4.4.0-1: with their packet ids, DUP, in the order in which they were sent first.
#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    for version in VERSIONS {
        let (server, alice, bob) = pair().await;
        let device = Device::new("phone").version(version);
        let mut phone = listening(&device, &server, &bob).await.manual_acks();
        let mut writer = Device::new("writer").connect(&server, &alice).await;
        for text in ["one", "two", "three", "four"] {
            writer.publish("user/@bob/text", text).await;
        }
        let first = phone.next_many(4).await;
        assert!(first.iter().all(|delivery| !delivery.dup()));
        phone.ack(&first[0]).await;
        phone.ping().await;
        phone.vanish();

        let mut phone = device.connect(&server, &bob).await.manual_acks();
        let again = phone.next_many(3).await;
        for (first, again) in first[1..].iter().zip(&again) {
            assert!(again.dup());
            assert_eq!((again.packet_id(), again.text()), (first.packet_id(), first.text()));
            phone.ack(again).await;
        }
        phone.disconnect().await;

        let mut phone = device.connect(&server, &bob).await;
        writer.publish("user/@bob/text", "five").await;
        let next = phone.next().await;
        assert_eq!((next.json()["text"].as_str(), next.dup()), (Some("five"), false));
    }
}

#[tokio::test]
async fn the_later_connection_takes_over() {
    let (server, alice, bob) = pair().await;
    for version in VERSIONS {
        let device = Device::new("phone").version(version);
        let mut earlier = listening(&device, &server, &bob).await;
        let mut later = device.connect(&server, &bob).await;
        assert!(later.session_present());
        let told = earlier.closed().await;
        match version {
            Version::V5 => assert_eq!(told.reason(), Some(ReasonCode::SessionTakenOver)),
            Version::V3 => assert_eq!(told, Closed::Ended),
        }
        let mut writer = Device::new("writer").connect(&server, &alice).await;
        writer.publish("user/@bob/text", "hello").await;
        assert_eq!(texts(&mut later, 1).await, ["hello"]);
        later.disconnect().await;
    }
}

#[tokio::test]
async fn the_same_client_id_of_another_user_is_another_session() {
    let (server, alice, bob) = pair().await;
    let device = Device::new("phone");
    let mut of_alice = listening(&device, &server, &alice).await;
    let mut of_bob = device.connect(&server, &bob).await;
    assert!(!of_bob.session_present());
    of_bob.publish("user/@alice/text", "hello").await;
    assert_eq!(texts(&mut of_alice, 1).await, ["hello"]);
    of_alice.ping().await;
    of_bob.ping().await;
}

/// Subscriptions go, positions stay: no message is lost by a clean start, and none comes twice.
#[tokio::test]
async fn a_clean_start_forgets_subscriptions_and_loses_nothing() {
    for version in VERSIONS {
        let (server, alice, bob) = pair().await;
        let device = Device::new("phone").version(version);
        let mut writer = Device::new("writer").connect(&server, &alice).await;
        let mut phone = listening(&device, &server, &bob).await;
        writer.publish("user/@bob/text", "one").await;
        assert_eq!(texts(&mut phone, 1).await, ["one"]);
        phone.disconnect().await;
        writer.publish("user/@bob/text", "two").await;

        let mut phone = device.clone().clean().connect(&server, &bob).await;
        assert!(!phone.session_present());
        assert_eq!(phone.next_within(QUIET).await, None);
        phone.subscribe("me/json/inbox/#").await;
        assert_eq!(texts(&mut phone, 1).await, ["two"]);
    }
}

#[tokio::test]
async fn a_session_that_was_not_to_stay_is_gone() {
    let (server, _, bob) = pair().await;
    for device in [Device::new("five").expiry_s(0), Device::new("three").v3().clean()] {
        listening(&device, &server, &bob).await.disconnect().await;
        let again = device.connect(&server, &bob).await;
        assert!(!again.session_present());
        again.disconnect().await;
    }
}

#[tokio::test]
async fn a_session_outlives_the_server() {
    let (mut server, alice, bob) = pair().await;
    let device = Device::new("phone");
    let mut phone = listening(&device, &server, &bob).await.manual_acks();
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    writer.publish("user/@bob/text", "one").await;
    phone.next().await;
    server.kill();
    server.restart().await;
    let mut phone = device.connect(&server, &bob).await;
    assert!(phone.session_present());
    assert_eq!(texts(&mut phone, 1).await, ["one"]);
    phone.disconnect().await;
    server.restart().await;
    let mut phone = device.connect(&server, &bob).await;
    assert!(phone.session_present());
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    writer.publish("user/@bob/text", "two").await;
    assert_eq!(texts(&mut phone, 1).await, ["two"]);
}

#[tokio::test]
async fn a_will_is_published_when_the_connection_breaks_and_only_then() {
    let (server, alice, bob) = pair().await;
    for version in VERSIONS {
        let mut phone = listening(&Device::new("phone").version(version), &server, &bob).await;
        let sensor = Device::new("sensor").version(version).will("user/@bob/text", "battery empty");
        sensor.connect(&server, &alice).await.disconnect().await;
        assert_eq!(phone.next_within(QUIET).await, None);
        sensor.connect(&server, &alice).await.vanish();
        assert_eq!(texts(&mut phone, 1).await, ["battery empty"]);
        // Its acknowledgement is heard before the goodbye.
        phone.disconnect().await;
    }
}
