//! Broken protocol: it ends its own connection, says why (5), and nothing else happens.

use super::world::{Who, World};
use parlance_tests::{
    Device,
    mqtt::{ReasonCode, Version},
};

/// A control packet of any first byte and body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let more = if left > 127 { 0x80 } else { 0 };
        bytes.push((left % 128) as u8 | more);
        left /= 128;
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A PUBLISH: flags, topic, packet id, properties (5), and the payload.
fn publish(version: Version, flags: u8, topic: &[u8], id: Option<u16>, properties: &[u8]) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic);
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    if version == Version::V5 {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend_from_slice(b"stolen");
    packet(0x30 | flags, &body)
}

const BROKEN: &[ReasonCode] = &[ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
const VERSIONS: [Version; 2] = [Version::V3, Version::V5];

/// Name, bytes, versions, and the reasons that fit. The topic is one where the attacker may not publish.
type Row = (&'static str, fn(Version, &[u8]) -> Vec<u8>, &'static [Version], &'static [ReasonCode]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("QoS 3",                 |v, t| publish(v, 6, t, Some(7), &[]),                &VERSIONS, BROKEN),
    ("DUP with QoS 0",        |v, t| publish(v, 8, t, None, &[]),                   &VERSIONS, BROKEN),
    ("retained",              |v, t| publish(v, 3, t, Some(7), &[]),                &[Version::V5], &[ReasonCode::RetainNotSupported]),
    ("retained, QoS 0",       |v, t| publish(v, 1, t, None, &[]),                   &[Version::V5], &[ReasonCode::RetainNotSupported]),
    ("packet id 0",           |v, t| publish(v, 2, t, Some(0), &[]),                &VERSIONS, BROKEN),
    ("topic alias",           |v, t| publish(v, 2, t, Some(7), &[0x23, 0, 65]),     &[Version::V5], &[ReasonCode::TopicAliasInvalid]),
    ("alias without a topic", |v, _| publish(v, 2, b"", Some(7), &[0x23, 0, 1]),    &[Version::V5], &[ReasonCode::TopicAliasInvalid, ReasonCode::ProtocolError]),
    ("subscription id",       |v, t| publish(v, 2, t, Some(7), &[0x0B, 1]),         &[Version::V5], BROKEN),
    ("unknown property",      |v, t| publish(v, 2, t, Some(7), &[0x7F, 1]),         &[Version::V5], BROKEN),
    ("response topic #",      |v, t| publish(v, 2, t, Some(7), &[8, 0, 1, b'#']),   &[Version::V5], &[ReasonCode::ProtocolError, ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid]),
    ("no topic",              |v, _| publish(v, 2, b"", Some(7), &[]),              &VERSIONS, &[ReasonCode::ProtocolError, ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid]),
    ("topic #",               |v, _| publish(v, 2, b"#", Some(7), &[]),             &VERSIONS, &[ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket]),
    ("topic group/+/text",    |v, _| publish(v, 2, b"group/+/text", Some(7), &[]),  &VERSIONS, &[ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket]),
    ("NUL in a topic",        |v, _| publish(v, 2, b"group/\0/text", Some(7), &[]), &VERSIONS, &[ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket]),
    ("topic not UTF-8",       |v, _| publish(v, 2, b"group/\xC0\xAF/text", Some(7), &[]), &VERSIONS, &[ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket]),
    ("topic cut short",       |_, _| packet(0x32, &[0xFF, 0xFF, b'g']),             &VERSIONS, BROKEN),
    ("CONNACK",               |_, _| packet(0x20, &[0, 0]),                         &VERSIONS, BROKEN),
    ("SUBACK",                |_, _| packet(0x90, &[0, 7, 0]),                      &VERSIONS, BROKEN),
    ("PINGRESP",              |_, _| packet(0xD0, &[]),                             &VERSIONS, BROKEN),
    ("AUTH",                  |_, _| packet(0xF0, &[]),                             &VERSIONS, BROKEN),
    ("type 0",                |_, _| packet(0x00, &[]),                             &VERSIONS, BROKEN),
    ("SUBSCRIBE to nothing",  |v, _| packet(0x82, if v == Version::V5 { &[0, 7, 0] } else { &[0, 7] }), &VERSIONS, BROKEN),
    ("SUBSCRIBE, odd flags",  |_, _| packet(0x80, &[0, 7, 0, 1, b'#', 0]),          &VERSIONS, BROKEN),
    ("SUBSCRIBE, QoS 3",      |v, _| packet(0x82, if v == Version::V5 { &[0, 7, 0, 0, 1, b'#', 3] } else { &[0, 7, 0, 1, b'#', 3] }), &VERSIONS, BROKEN),
    ("endless length",        |_, _| vec![0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],      &VERSIONS, BROKEN),
    ("200 MB",                |_, _| vec![0x32, 0xFF, 0xFF, 0xFF, 0x5F, 0, 1],      &VERSIONS, &[ReasonCode::PacketTooLarge]),
];

#[tokio::test]
async fn broken_protocol_ends_its_own_connection_only() {
    let mut world = World::new().await;
    let topic = world.fill("group/{group}/text");
    for (name, bytes, versions, reasons) in ROWS {
        for version in *versions {
            let device = Device::new("broken").version(*version).clean();
            let mut client = device.connect(&world.server, world.user(Who::Mallory)).await;
            client.raw(&bytes(*version, topic.as_bytes())).await.expect("the connection stands");
            println!("{name}, {version:?}");
            let closed = client.closed().await;
            match (version, closed.reason()) {
                (Version::V3, None) => {}
                (Version::V5, Some(reason)) if reasons.contains(&reason) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
        world.unchanged(name).await;
    }
}

/// Who is not connected says nothing at all.
#[tokio::test]
async fn nothing_is_taken_before_connect() {
    let mut world = World::new().await;
    for version in VERSIONS {
        for topic in ["user/@alice/text", "group/@secrets/text"] {
            let mut client = Device::new("early").version(version).open(&world.server).await;
            client
                .raw(&publish(version, 2, topic.as_bytes(), Some(1), &[]))
                .await
                .expect("the connection stands");
            client.closed().await;
            world.unchanged("a publish before CONNECT").await;
        }
    }
}

/// QoS 2 is refused like QoS 1, and what is repeated is refused again.
#[tokio::test]
async fn qos_2_opens_no_door() {
    let mut world = World::new().await;
    let topic = world.fill("group/{group}/text");
    for version in VERSIONS {
        let device = Device::new("twice").version(version).clean();
        let mut client = device.connect(&world.server, world.user(Who::Mallory)).await;
        let id = parlance_tests::mqtt::PacketId::new(7).expect("not 0");
        let message = parlance_tests::Message::new(&topic, "stolen").qos2().packet_id(id);
        for message in [message.clone(), message.dup()] {
            client.send(&message).await.expect("it is sent");
            let received = client.pubrec(id).await;
            if version == Version::V5 {
                assert_eq!(received.reason, ReasonCode::NotAuthorized);
            }
        }
        world.unchanged("a publish with QoS 2").await;
    }
}

/// In 3.1.1 a client cannot be told that nothing of a conversation is retained: the flag changes nothing, and the refusal is the same.
#[tokio::test]
async fn retain_opens_no_door() {
    let mut world = World::new().await;
    let mut client = Device::new("retain").v3().connect(&world.server, world.user(Who::Mallory)).await;
    client.subscribe("me/json/events/#").await;
    let topic = world.fill("group/{group}/text");
    client.publish_message(&parlance_tests::Message::new(&topic, "stolen").retain()).await;
    assert_eq!(client.next().await.json()["code"], "not_a_member");
    world.unchanged("a retained publish").await;
}
