//! QoS 2 on free topics and to conversations: four packets, cut after each of them, over connections and servers.

use crate::{
    QUIET, VERSIONS,
    free::{device, lab, payloads, subscribed},
    pair,
};
use parlance_tests::{
    Client, Device, Message, Server,
    mqtt::{Ack, Packet, PacketId, QoS, ReasonCode, Version},
};

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not 0")
}

async fn send(client: &mut Client, packet: Packet) {
    client.send_packet(&packet).await;
}

#[tokio::test]
async fn a_delivery_has_the_lesser_qos_of_publish_and_subscription() {
    let server = lab().await;
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    for version in VERSIONS {
        let name = format!("reader-{version:?}");
        let mut reader = device(&server, &name).version(version).connect_open().await;
        let mut writer = device(&server, "writer").version(version).connect_open().await;
        for granted in qos {
            let code = reader.try_subscribe("app/#", granted).await;
            assert_eq!(u8::from(code), granted as u8);
            for published in qos {
                let message = Message::new("app/a", format!("{published:?}"));
                match published {
                    QoS::AtMostOnce => drop(writer.send(&message.qos0()).await),
                    QoS::AtLeastOnce => drop(writer.publish_message(&message).await),
                    QoS::ExactlyOnce => drop(writer.publish_message(&message.qos2()).await),
                }
                let delivery = reader.next().await;
                assert_eq!(delivery.text(), format!("{published:?}"));
                assert_eq!(delivery.0.qos, granted.min(published));
                assert_eq!((delivery.dup(), delivery.0.retain), (false, false));
            }
        }
    }
}

/// MQTT-4.3.3-9 and MQTT-4.3.3-10: the same packet id is the same message until PUBREL, also over connections and servers.
#[tokio::test]
async fn what_a_publisher_repeats_is_one_message() {
    for version in VERSIONS {
        for killed in [false, true] {
            let mut server = lab().await;
            let reader = device(&server, "reader").version(version);
            let writer = device(&server, "writer").version(version);
            let mut reading = subscribed(&reader, "app/#").await;
            let mut writing = writer.connect_open().await;
            let message = Message::new("app/a", "once").qos2().packet_id(id(7));
            writing.send(&message).await.expect("it is sent");
            assert_eq!(writing.pubrec(id(7)).await.reason, ReasonCode::Success);
            assert_eq!(payloads(&mut reading, 1).await, ["once"]);
            reading.ping().await;
            writing.vanish();
            if killed {
                reading.disconnect().await;
                server.kill();
                server.restart().await;
                reading = reader.connect_open().await;
                assert!(reading.session_present());
            }
            let mut writing = writer.connect_open().await;
            assert!(writing.session_present());
            writing.send(&message.clone().dup()).await.expect("it is sent");
            assert_eq!(writing.pubrec(id(7)).await.reason, ReasonCode::Success);
            send(&mut writing, Packet::PubRel(Ack::success(id(7)))).await;
            assert_eq!(writing.pubcomp(id(7)).await.reason, ReasonCode::Success);
            // The id is free: this is another message.
            let other = Message::new("app/a", "other").qos2().packet_id(id(7));
            assert_eq!(writing.publish_message(&other).await.reason(), ReasonCode::Success);
            assert_eq!(payloads(&mut reading, 1).await, ["other"], "{version:?} killed {killed}");
            assert_eq!(reading.next_within(QUIET).await, None);
        }
    }
}

/// MQTT-4.3.3-11: PUBREL of a packet id that is not known is answered all the same. In a session without a past it tells
/// of a mistake (0x92).
#[tokio::test]
async fn a_release_of_nothing_is_completed() {
    let server = lab().await;
    for version in VERSIONS {
        let mut writing = device(&server, "writer").version(version).clean().connect_open().await;
        send(&mut writing, Packet::PubRel(Ack::success(id(9)))).await;
        let expected = match version {
            Version::V3 => ReasonCode::Success,
            Version::V5 => ReasonCode::PacketIdentifierNotFound,
        };
        assert_eq!(writing.pubcomp(id(9)).await.reason, expected);
    }
}

/// PUBCOMP that was lost: PUBREL again, over a restart too. That is no mistake (MQTT-3.6.2.1), and is answered as if it had
/// not been completed: clients take 0x92 for a failed publish.
#[tokio::test]
async fn a_completed_publish_is_not_received_again_after_a_restart() {
    let mut server = lab().await;
    let mut reading = subscribed(&device(&server, "reader"), "app/#").await;
    let writer = device(&server, "writer");
    let mut writing = writer.connect_open().await;
    let message = Message::new("app/a", "once").qos2().packet_id(id(7));
    writing.send(&message).await.expect("it is sent");
    writing.pubrec(id(7)).await;
    send(&mut writing, Packet::PubRel(Ack::success(id(7)))).await;
    writing.pubcomp(id(7)).await;
    assert_eq!(payloads(&mut reading, 1).await, ["once"]);
    reading.disconnect().await;
    server.kill();
    server.restart().await;
    let mut writing = writer.connect_open().await;
    send(&mut writing, Packet::PubRel(Ack::success(id(7)))).await;
    assert_eq!(writing.pubcomp(id(7)).await.reason, ReasonCode::Success);
    let mut reading = device(&server, "reader").connect_open().await;
    assert_eq!(reading.next_within(QUIET).await, None);
}

/// MQTT-4.4.0-1: before PUBREC the PUBLISH comes again, with its id and DUP; after it only the PUBREL.
#[tokio::test]
async fn a_delivery_goes_on_where_it_was_cut() {
    for version in VERSIONS {
        for killed in [false, true] {
            let mut server = lab().await;
            let reader = device(&server, "reader").version(version);
            let mut reading = subscribed(&reader, "app/#").await.manual_acks();
            let mut writing = device(&server, "writer").connect_open().await;
            for text in ["one", "two"] {
                writing.publish_message(&Message::new("app/a", text).qos2()).await;
            }
            let first = reading.next_many(2).await;
            let ids: Vec<PacketId> = first.iter().filter_map(|delivery| delivery.packet_id()).collect();
            send(&mut reading, Packet::PubRec(Ack::success(ids[0]))).await;
            reading.pubrel(ids[0]).await;
            reading.vanish();
            if killed {
                server.kill();
                server.restart().await;
            }
            let mut reading = reader.connect_open().await.manual_acks();
            assert!(reading.session_present());
            reading.pubrel(ids[0]).await;
            let again = reading.next().await;
            let what = format!("{version:?} killed {killed}");
            assert_eq!((again.text(), again.dup(), again.packet_id()), ("two", true, Some(ids[1])), "{what}");
            send(&mut reading, Packet::PubComp(Ack::success(ids[0]))).await;
            reading.ack(&again).await;
            assert_eq!(reading.next_within(QUIET).await, None, "{what}");
            reading.disconnect().await;
            // Nothing is owed any more.
            let mut reading = reader.connect_open().await.manual_acks();
            assert_eq!(reading.next_within(QUIET).await, None, "{what}");
            let mut writing = device(&server, "writer").connect_open().await;
            writing.publish_message(&Message::new("app/a", "three").qos2()).await;
            let next = reading.next().await;
            assert_eq!((next.text(), next.dup()), ("three", false), "{what}");
        }
    }
}

/// A conversation takes QoS 2: one message, whatever is repeated.
#[tokio::test]
async fn a_message_to_a_person_is_sent_once() {
    for killed in [false, true] {
        let (mut server, alice, bob) = pair().await;
        let writer = Device::new("writer");
        let mut writing = writer.connect(&server, &alice).await;
        let message = Message::new("user/@bob/text", "once").qos2().packet_id(id(7));
        writing.send(&message).await.expect("it is sent");
        assert_eq!(writing.pubrec(id(7)).await.reason, ReasonCode::Success);
        writing.vanish();
        if killed {
            server.kill();
            server.restart().await;
        }
        let mut writing = writer.connect(&server, &alice).await;
        writing.send(&message.clone().dup()).await.expect("it is sent");
        writing.pubrec(id(7)).await;
        send(&mut writing, Packet::PubRel(Ack::success(id(7)))).await;
        writing.pubcomp(id(7)).await;
        let history = server.history(&bob.token, "@alice").await;
        assert_eq!(history.len(), 1, "{history:?}");
    }
}

/// Many at once, both ways, with a small window, while the server is killed in between: each exactly once, in order.
#[tokio::test]
async fn nothing_is_lost_or_doubled_while_the_server_is_killed() {
    let mut server: Server = lab().await;
    let reader = device(&server, "reader").receive_maximum(5);
    let mut reading = subscribed(&reader, "app/#").await;
    let mut got = Vec::new();
    for round in 0..3 {
        let mut writing = device(&server, "writer").connect_open().await;
        for number in 0..40 {
            let message = Message::new("app/a", format!("{round}-{number}")).qos2();
            assert_eq!(writing.publish_message(&message).await.reason(), ReasonCode::Success);
        }
        // Some of it is under way when the server goes.
        got.extend(payloads(&mut reading, 20).await);
        server.kill();
        while let Ok(delivery) = reading.try_next().await {
            got.push(delivery.text().to_owned());
        }
        server.restart().await;
        reading = reader.connect_open().await;
        assert!(reading.session_present());
        while got.len() < (round + 1) * 40 {
            let delivery = reading.next().await;
            // What was delivered and not acknowledged comes again with DUP: a client knows it by its packet id.
            if !(delivery.dup() && got.iter().any(|known| known == delivery.text())) {
                got.push(delivery.text().to_owned());
            }
        }
    }
    let expected: Vec<String> =
        (0..3).flat_map(|round| (0..40).map(move |number| format!("{round}-{number}"))).collect();
    assert_eq!(got, expected);
    assert_eq!(reading.next_within(QUIET).await.map(|delivery| delivery.dup()), None);
}
