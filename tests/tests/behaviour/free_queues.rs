//! What a durable session is owed while it is away, and what happens when that is too much.

use crate::{
    QUIET, VERSIONS,
    free::{device, lab, payloads, subscribed},
};
use parlance_tests::{
    Device, Message, PATIENCE, Server, eventually,
    mqtt::{QoS, ReasonCode},
};

#[tokio::test]
async fn a_durable_session_gets_what_came_while_it_was_away() {
    for version in VERSIONS {
        for restarted in [false, true] {
            let mut server = lab().await;
            let reader = device(&server, "reader").version(version);
            subscribed(&reader, "app/#").await.disconnect().await;
            let mut writer = device(&server, "writer").connect_open().await;
            let expected: Vec<String> = (0..300).map(|number| number.to_string()).collect();
            for (number, text) in expected.iter().enumerate() {
                let message = Message::new("app/a", text.clone());
                writer.publish_message(&if number % 3 == 0 { message.qos2() } else { message }).await;
            }
            writer.publish_qos0("app/a", "not for who is away").await;
            writer.ping().await;
            if restarted {
                server.restart().await;
            }
            let mut reading = reader.connect_open().await;
            assert!(reading.session_present());
            let deliveries = reading.next_many(300).await;
            assert!(deliveries.iter().all(|delivery| !delivery.dup()), "they are sent for the first time");
            let got: Vec<&str> = deliveries.iter().map(|delivery| delivery.text()).collect();
            assert_eq!(got, expected, "{version:?} restarted {restarted}");
            assert_eq!(reading.next_within(QUIET).await, None);
            reading.disconnect().await;
            let mut reading = reader.connect_open().await;
            assert_eq!(reading.next_within(QUIET).await, None, "nothing comes twice");
        }
    }
}

/// PUBACK after the entry is on disk: also a server that is killed at once has it.
#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let mut server = lab().await;
    let reader = device(&server, "reader");
    subscribed(&reader, "app/#").await.disconnect().await;
    let mut sent = 0;
    for _ in 0..3 {
        let mut writer = device(&server, "writer").connect_open().await;
        for _ in 0..20 {
            writer.publish("app/a", sent.to_string()).await;
            sent += 1;
        }
        server.kill();
        server.restart().await;
    }
    let mut reading = reader.connect_open().await;
    let expected: Vec<String> = (0..sent).map(|number: i32| number.to_string()).collect();
    assert_eq!(payloads(&mut reading, expected.len()).await, expected);
}

#[tokio::test]
async fn unacknowledged_deliveries_come_again_in_order() {
    for version in VERSIONS {
        let server = lab().await;
        let reader = device(&server, "reader").version(version);
        let mut reading = subscribed(&reader, "app/#").await.manual_acks();
        let mut writer = device(&server, "writer").connect_open().await;
        for text in ["one", "two", "three"] {
            writer.publish("app/a", text).await;
        }
        let first = reading.next_many(3).await;
        reading.ack(&first[0]).await;
        reading.ping().await;
        reading.vanish();
        let mut reading = reader.connect_open().await;
        for first in &first[1..] {
            let again = reading.next().await;
            assert!(again.dup());
            assert_eq!((again.text(), again.packet_id()), (first.text(), first.packet_id()));
        }
        assert_eq!(reading.next_within(QUIET).await, None);
    }
}

#[tokio::test]
async fn a_clean_start_discards_the_queue_and_the_subscriptions() {
    for version in VERSIONS {
        let server = lab().await;
        let reader = device(&server, "reader").version(version);
        subscribed(&reader, "app/#").await.disconnect().await;
        let mut writer = device(&server, "writer").connect_open().await;
        writer.publish("app/a", "owed").await;
        let mut clean = reader.clone().clean().connect_open().await;
        assert!(!clean.session_present());
        let nobody = writer.publish("app/a", "to nobody").await;
        if version == parlance_tests::mqtt::Version::V5 {
            assert_eq!(nobody.reason(), ReasonCode::NoMatchingSubscribers);
        }
        assert_eq!(clean.next_within(QUIET).await, None);
        clean.subscribe("app/#").await;
        writer.publish("app/a", "new").await;
        assert_eq!(payloads(&mut clean, 1).await, ["new"]);
    }
}

#[tokio::test]
async fn a_session_that_has_expired_is_owed_nothing() {
    let server = lab().await;
    let reader = device(&server, "reader").expiry_s(1);
    subscribed(&reader, "app/#").await.disconnect().await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish("app/a", "owed").await;
    let mut reading = eventually(PATIENCE, "the session expires", async || {
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        let reading = reader.connect_open().await;
        (!reading.session_present()).then_some(reading)
    })
    .await;
    assert_eq!(reading.next_within(QUIET).await, None);
}

#[tokio::test]
async fn a_full_queue_drops_its_oldest_and_says_so() {
    let options = Server::options().open().set("TOPICS__QUEUE_MESSAGES_MAX", 10);
    let server = Server::start(options).await;
    let reader = device(&server, "reader");
    subscribed(&reader, "app/#").await.disconnect().await;
    let mut writer = device(&server, "writer").connect_open().await;
    for number in 0..25 {
        assert_eq!(writer.publish("app/a", number.to_string()).await.reason(), ReasonCode::Success);
    }
    let mut reading = reader.connect_open().await;
    let expected: Vec<String> = (15..25).map(|number| number.to_string()).collect();
    assert_eq!(payloads(&mut reading, 10).await, expected);
    assert_eq!(reading.next_within(QUIET).await, None);
    assert!((server.metric("parlance_queue_dropped_total").await - 15.0).abs() < 0.5);
}

#[tokio::test]
async fn a_full_queue_refuses_its_publishers_where_that_is_wanted() {
    let options =
        Server::options().open().set("TOPICS__QUEUE_MESSAGES_MAX", 10).set("TOPICS__QUEUE_FULL", "refuse");
    let server = Server::start(options).await;
    let reader = device(&server, "reader");
    subscribed(&reader, "app/#").await.disconnect().await;
    let mut witness = subscribed(&device(&server, "witness"), "app/#").await;
    let mut writer = device(&server, "writer").connect_open().await;
    for number in 0..10 {
        assert_eq!(writer.publish("app/a", number.to_string()).await.reason(), ReasonCode::Success);
    }
    for message in [Message::new("app/a", "too much"), Message::new("app/a", "too much").qos2()] {
        let acked = writer.publish_message(&message).await;
        assert_eq!((acked.reason(), acked.code()), (ReasonCode::QuotaExceeded, Some("queue_full")));
    }
    // Nothing was stored for anybody.
    assert_eq!(payloads(&mut witness, 10).await.len(), 10);
    assert_eq!(witness.next_within(QUIET).await, None);
    let mut reading = reader.connect_open().await;
    assert_eq!(payloads(&mut reading, 10).await.len(), 10);
    reading.ping().await;
    eventually(PATIENCE, "there is room", async || {
        (!writer.publish("app/a", "fits").await.reason().is_error()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_bounded_by_its_size_too() {
    let options = Server::options().open().set("TOPICS__QUEUE_BYTES_MAX", 100_000);
    let server = Server::start(options).await;
    let reader = device(&server, "reader");
    subscribed(&reader, "app/#").await.disconnect().await;
    let mut writer = device(&server, "writer").connect_open().await;
    for number in 0..20 {
        writer.publish("app/a", format!("{number:<10000}")).await;
    }
    let mut reading = reader.connect_open().await;
    let mut got = Vec::new();
    while let Some(delivery) = reading.next_within(QUIET).await {
        got.push(delivery.text().trim().to_owned());
    }
    assert!((5..=10).contains(&got.len()), "{}", got.len());
    assert_eq!(got.last().map(String::as_str), Some("19"));
}

#[tokio::test]
async fn a_message_is_owed_no_longer_than_it_lives() {
    let server = lab().await;
    let reader = device(&server, "reader");
    subscribed(&reader, "app/#").await.disconnect().await;
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("app/a", "short").expiry_s(1)).await;
    writer.publish_message(&Message::new("app/a", "long").expiry_s(600)).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let mut reading = reader.connect_open().await;
    let delivery = reading.next().await;
    assert_eq!(delivery.text(), "long");
    let left = delivery.0.properties.message_expiry_s.expect("it says what is left");
    assert!((500..600).contains(&left), "{left}");
    assert_eq!(reading.next_within(QUIET).await, None);
}

/// A client that takes nothing costs bounded memory: what it misses is counted, and others do not notice.
#[tokio::test]
async fn live_messages_of_who_does_not_read_are_dropped_and_counted() {
    let options = Server::options().open().set("TOPICS__LIVE_MESSAGES_MAX", 16);
    let server = Server::start(options).await;
    let mut slow = device(&server, "slow").expiry_s(0).connect_open().await;
    slow.subscribe("app/#").await;
    let mut writer = device(&server, "writer").connect_open().await;
    let payload = "x".repeat(100_000);
    let mut sent = 0;
    eventually(PATIENCE, "something is dropped", async || {
        for _ in 0..20 {
            writer.publish("app/a", payload.clone()).await;
            sent += 1;
        }
        (server.metric("parlance_live_dropped_total").await > 0.0).then_some(())
    })
    .await;
    let mut got = 0;
    while slow.next_within(QUIET).await.is_some() {
        got += 1;
    }
    assert!(got > 0 && got < sent, "{got} of {sent}");
}

/// The last session expiry counts: DISCONNECT may shorten it to nothing.
#[tokio::test]
async fn a_goodbye_may_end_the_session() {
    let server = lab().await;
    let reader = device(&server, "reader");
    let mut reading = subscribed(&reader, "app/#").await;
    reading
        .send_packet(&parlance_tests::mqtt::Packet::Disconnect(parlance_tests::mqtt::Disconnect {
            session_expiry_s: Some(0),
            ..parlance_tests::mqtt::Disconnect::with(ReasonCode::Success)
        }))
        .await;
    reading.closed().await;
    let mut writer = device(&server, "writer").connect_open().await;
    assert_eq!(writer.publish("app/a", "x").await.reason(), ReasonCode::NoMatchingSubscribers);
    assert!(!reader.connect_open().await.session_present());
}

#[tokio::test]
async fn a_taken_over_session_keeps_its_queue() {
    let server = lab().await;
    let reader: Device = device(&server, "reader");
    let mut first = subscribed(&reader, "app/#").await.manual_acks();
    let mut writer = device(&server, "writer").connect_open().await;
    writer.publish_message(&Message::new("app/a", "one").qos2()).await;
    let before = first.next().await;
    let mut second = reader.connect_open().await;
    assert!(second.session_present());
    assert_eq!(first.closed().await.reason(), Some(ReasonCode::SessionTakenOver));
    let again = second.next().await;
    assert_eq!((again.text(), again.packet_id(), again.dup()), ("one", before.packet_id(), true));
    assert_eq!(again.0.qos, QoS::ExactlyOnce);
}
