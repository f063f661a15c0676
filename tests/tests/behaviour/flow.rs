//! Windows, sizes, time-outs, and packets that are none.

use crate::{QUIET, VERSIONS, listening, pair, texts};
use parlance_tests::{
    Closed, Device, Message, Server,
    mqtt::{Packet, ReasonCode, Version},
};

#[tokio::test]
async fn receive_maximum_is_respected() {
    let (server, alice, bob) = pair().await;
    let device = Device::new("phone").receive_maximum(2);
    let mut phone = listening(&device, &server, &bob).await.manual_acks();
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    for number in 0..6 {
        writer.publish("user/@bob/text", number.to_string()).await;
    }
    let mut under_way = phone.next_many(2).await;
    for _ in 0..4 {
        assert_eq!(phone.next_within(QUIET).await, None);
        phone.ack(&under_way.remove(0)).await;
        under_way.push(phone.next().await);
    }
    assert_eq!(under_way[1].json()["text"], "5");
}

/// MQTT-3.1.2-24: what the client cannot take is not sent to it; it is told where to find it, and the next one comes.
#[tokio::test]
async fn a_message_above_the_clients_maximum_is_passed_over() {
    let (server, alice, bob) = pair().await;
    let mut phone = listening(&Device::new("phone").packet_bytes_max(600), &server, &bob).await;
    phone.subscribe("me/text/events/#").await;
    let mut writer = Device::new("writer").connect(&server, &alice).await;
    writer.publish("user/@bob/text", "x".repeat(1_000)).await;
    writer.publish("user/@bob/text", "small").await;
    let mut came = phone.next_many(2).await;
    came.sort_by_key(|delivery| delivery.topic().to_owned());
    assert_eq!(came[0].json()["text"], "small");
    assert_eq!(came[1].topic(), "me/text/events/error");
    assert!(came[1].text().starts_with("answer_too_large: message 1 of "), "{}", came[1].text());
    assert_eq!(server.history(&bob.token, "@alice").await.len(), 2);
}

#[tokio::test]
async fn a_packet_above_the_servers_maximum_ends_the_connection() {
    let options =
        Server::options().set("LIMITS__MESSAGE_BYTES_MAX", 1_024).set("LIMITS__PACKET_BYTES_MAX", 2_048);
    let server = Server::start(options).await;
    let alice = server.user("alice").await;
    let mut device = Device::new("phone").connect(&server, &alice).await;
    assert_eq!(device.connack().properties.maximum_packet_size, Some(2_048));
    let large = device.publish("user/@alice/text", "x".repeat(1_500)).await;
    assert_eq!((large.reason(), large.code()), (ReasonCode::QuotaExceeded, Some("message_too_large")));
    device.send(&Message::new("user/@alice/text", "x".repeat(3_000))).await.expect("it is sent");
    assert_eq!(device.closed().await.reason(), Some(ReasonCode::PacketTooLarge));
}

/// MQTT-3.1.2-22: one and a half keep alives.
#[tokio::test]
async fn silence_ends_the_connection() {
    let (server, alice, _) = pair().await;
    for version in VERSIONS {
        let mut device = Device::new("phone").version(version).keep_alive_s(1).connect(&server, &alice).await;
        let told = device.closed().await;
        match version {
            Version::V5 => assert_eq!(told.reason(), Some(ReasonCode::KeepAliveTimeout)),
            Version::V3 => assert_eq!(told, Closed::Ended),
        }
    }
}

#[tokio::test]
async fn a_malformed_packet_closes_its_own_connection_only() {
    let (server, alice, bob) = pair().await;
    let mut witness = listening(&Device::new("witness"), &server, &bob).await;
    let malformed: [(&str, &[u8]); 5] = [
        ("packet type 0", &[0x00, 0x00]),
        ("QoS 3 (MQTT-3.3.1-4)", &[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]),
        ("a remaining length of five bytes (MQTT-2.1.4)", &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("reserved flags of SUBSCRIBE (MQTT-3.8.1-1)", &[0x80, 0x02, 0x00, 0x01]),
        ("a topic that is not UTF-8 (MQTT-1.5.4-1)", &[0x30, 0x05, 0x00, 0x02, 0xc3, 0x28, 0x00]),
    ];
    for version in VERSIONS {
        for (what, bytes) in malformed {
            let mut device = Device::new("phone").version(version).connect(&server, &alice).await;
            device.raw(bytes).await.expect("it is sent");
            let told = device.closed().await;
            match version {
                Version::V5 => assert_eq!(told.reason(), Some(ReasonCode::MalformedPacket), "{what}"),
                Version::V3 => assert_eq!(told, Closed::Ended, "{what}"),
            }
        }
    }
    let mut writer = Device::new("phone").connect(&server, &alice).await;
    writer.publish("user/@bob/text", "still here").await;
    assert_eq!(texts(&mut witness, 1).await, ["still here"]);
}

/// What parses but is not permitted here.
#[tokio::test]
async fn what_was_not_offered_is_refused_with_its_own_code() {
    let (server, alice, _) = pair().await;
    let notes = || Message::new("user/@alice/text", "x");
    for (message, reason) in [
        (notes().retain(), ReasonCode::RetainNotSupported),
        (notes().topic_alias(65), ReasonCode::TopicAliasInvalid),
    ] {
        let mut device = Device::new("phone").connect(&server, &alice).await;
        device.send(&message).await.expect("it is sent");
        assert_eq!(device.closed().await.reason(), Some(reason));
    }
    let connack = Device::new("phone").connect(&server, &alice).await.connack().properties.clone();
    // Maximum QoS 2 is said by not saying another.
    assert_eq!((connack.maximum_qos, connack.topic_alias_maximum), (None, Some(64)));
    let available = [connack.retain_available, connack.shared_subscription_available];
    assert!(available.iter().all(|available| available.unwrap_or(true)));
}

/// MQTT-3.1.0-1 and MQTT-3.1.0-2: CONNECT comes first, and once.
#[tokio::test]
async fn connect_comes_first_and_once() {
    let (server, alice, _) = pair().await;
    let mut stranger = Device::new("phone").open(&server).await;
    stranger.send_packet(&Packet::PingReq).await;
    assert_eq!(stranger.closed().await, Closed::Ended);

    let device = Device::new("phone");
    let mut twice = device.connect(&server, &alice).await;
    twice.send_packet(&Packet::Connect(Box::new(device.packet(&alice)))).await;
    assert_eq!(twice.closed().await.reason(), Some(ReasonCode::ProtocolError));
}
