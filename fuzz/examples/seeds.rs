//! Writes the first inputs of each target into `corpus/`: real packets, real filters. What the fuzzer found since lies
//! beside them.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`

use std::{error::Error, fs, path::Path};

use bytes::{Bytes, BytesMut};
use parlance_mqtt::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, Disconnect, Packet, PacketId, Publish, PublishProperties,
    QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
    UserProperties, Version, Will, encode,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    packets(&corpus.join("packet"))?;
    filters(&corpus.join("filters"))?;
    websocket(&corpus.join("websocket"))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder)?;
    Ok(fs::write(folder.join(format!("seed-{name}")), bytes)?)
}

fn packets(folder: &Path) -> Result<()> {
    for (version, choices) in [(Version::V3, 4), (Version::V5, 5)] {
        let mut session = BytesMut::new();
        for (name, packet) in of_version(version)? {
            let mut bytes = BytesMut::from(&[choices, 7, 200][..]);
            encode(&packet, version, &mut bytes)?;
            session.extend_from_slice(&bytes[3..]);
            write(folder, &format!("{version:?}-{name}"), &bytes)?;
        }
        write(folder, &format!("{version:?}-all"), &[&[choices, 3, 100], &session[..]].concat())?;
    }
    Ok(())
}

fn filters(folder: &Path) -> Result<()> {
    let texts = [
        "sport/tennis/player1/#",
        "sport/tennis/player1",
        "sport/tennis/player1/score/wimbledon",
        "sport/+/player1",
        "+/+",
        "/+",
        "+",
        "/finance",
        "#",
        "$SYS/#",
        "$SYS/monitor/Clients",
        "+/monitor/Clients",
        "$share/consumer/sensors/+/temperature",
        "sensors/küche/temperature",
        "sport+",
        "sport/#/ranking",
    ];
    write(folder, "raw", &[b"\0", texts.join("\u{1}").replace('\u{1}', "|").as_bytes()].concat())?;
    let parted = texts.map(str::as_bytes).join(&0xFF);
    write(folder, "specification", &[&b"\0"[..], &parted].concat())?;
    // Signs by number, see the target: a/b, a/+, +/b, a/#, #, $SYS/a, $share/a/b.
    let spelled = [5, 1, 6, 0, 5, 1, 2, 0, 2, 1, 6, 0, 5, 1, 3, 0, 3, 0, 10, 1, 5, 0, 9, 5, 1, 6];
    write(folder, "spelled", &[&[1_u8], &spelled[..]].concat())?;
    // Steps are drawn from the bytes: a sequence of many kinds, the rest is the fuzzer's.
    let steps: Vec<u8> = (0..600_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    write(folder, "steps", &[&[2_u8], &steps[..]].concat())
}

/// Streams of frames: whole, in fragments with a ping between, several in one read, text, too long, not masked.
fn websocket(folder: &Path) -> Result<()> {
    let connect = b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x0A\x00\x00";
    let (first, second) = connect.split_at(5);
    let whole = frame(0x82, connect);
    let fragments = [frame(0x02, first), frame(0x89, b"there?"), frame(0x80, second)].concat();
    let goodbye = frame(0x88, b"\x03\xE8");
    let streams: [(&str, Vec<u8>); 7] = [
        ("whole", [&whole[..], &frame(0x82, b"\xC0\x00"), &goodbye].concat()),
        ("fragments", fragments.clone()),
        ("coalesced", [&fragments[..], &whole, &whole, &frame(0x82, b""), &goodbye].concat()),
        ("text", frame(0x81, b"hello")),
        ("long", frame(0x82, &[b'x'; 200])),
        ("announced", [&[0x82, 0xFF, 0, 0, 0, 0, 0xFF, 0, 0, 0][..], b"maskdata"].concat()),
        ("unmasked", [&whole[..], &[0x82, 2, 0xC0, 0]].concat()),
    ];
    for (name, stream) in streams {
        for (choice, chunk) in [(0_u8, 255_u8), (1, 3)] {
            write(folder, &format!("{name}-{choice}"), &[&[choice, chunk], &stream[..]].concat())?;
        }
    }
    Ok(())
}

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = *b"mask";
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ ..126) => bytes.push(0x80 | length),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn id(value: u16) -> PacketId {
    PacketId::MIN.saturating_add(value - 1)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn users(version: Version) -> UserProperties {
    let pair = |name, value| (text(name), text(value));
    if version == Version::V5 { vec![pair("seq", "17"), pair("time", "1795310096102")] } else { Vec::new() }
}

fn of_version(version: Version) -> Result<Vec<(&'static str, Packet)>> {
    let ack = |value| Ack { user_properties: users(version), ..Ack::success(id(value)) };
    let filter = |filter: &str, qos| -> Result<SubscribeFilter> {
        Ok(SubscribeFilter {
            filter: filter.parse()?,
            qos,
            no_local: version == Version::V5,
            retain_as_published: version == Version::V5,
            retain_handling: if version == Version::V5 {
                RetainHandling::SendIfNew
            } else {
                RetainHandling::Send
            },
        })
    };
    let codes = vec![ReasonCode::GrantedQoS1, ReasonCode::UnspecifiedError];
    let mut packets = vec![
        ("connect", Packet::Connect(Box::new(connect(version)?))),
        ("connack", Packet::ConnAck(Box::new(connack(version)))),
        ("publish-0", Packet::Publish(publish(version, QoS::AtMostOnce)?)),
        ("publish-1", Packet::Publish(publish(version, QoS::AtLeastOnce)?)),
        ("publish-2", Packet::Publish(publish(version, QoS::ExactlyOnce)?)),
        ("puback", Packet::PubAck(ack(1))),
        ("pubrec", Packet::PubRec(ack(256))),
        ("pubrel", Packet::PubRel(Ack::success(id(256)))),
        ("pubcomp", Packet::PubComp(Ack::success(id(65_535)))),
        (
            "subscribe",
            Packet::Subscribe(Subscribe {
                packet_id: id(10),
                filters: vec![filter("a/+/c/#", QoS::ExactlyOnce)?, filter("b", QoS::AtLeastOnce)?],
                subscription_id: (version == Version::V5).then_some(268_435_455),
                user_properties: users(version),
            }),
        ),
        (
            "suback",
            Packet::SubAck(SubAck {
                packet_id: id(10),
                codes: codes.clone(),
                reason_string: None,
                user_properties: users(version),
            }),
        ),
        (
            "unsubscribe",
            Packet::Unsubscribe(Unsubscribe {
                packet_id: id(11),
                filters: vec!["a/+/c/#".parse()?, "$share/group/b".parse()?],
                user_properties: users(version),
            }),
        ),
        (
            "unsuback",
            Packet::UnsubAck(UnsubAck {
                packet_id: id(11),
                codes: if version == Version::V5 { vec![ReasonCode::Success; 2] } else { Vec::new() },
                reason_string: None,
                user_properties: users(version),
            }),
        ),
        ("pingreq", Packet::PingReq),
        ("pingresp", Packet::PingResp),
        ("disconnect", Packet::Disconnect(Disconnect::with(ReasonCode::Success))),
    ];
    if version == Version::V5 {
        packets.push(("disconnect-full", Packet::Disconnect(disconnect())));
        packets.push(("auth", Packet::Auth(auth())));
    }
    Ok(packets)
}

fn properties(version: Version) -> PublishProperties {
    if version == Version::V3 {
        return PublishProperties::default();
    }
    PublishProperties {
        payload_is_utf8: Some(true),
        message_expiry_s: Some(3_600),
        topic_alias: None,
        response_topic: Some(text("me/json/reply/here")),
        correlation_data: Some(text("\u{0}\u{1}")),
        content_type: Some(text("application/json")),
        subscription_ids: Vec::new(),
        user_properties: users(version),
    }
}

fn connect(version: Version) -> Result<Connect> {
    let v5 = version == Version::V5;
    Ok(Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: text("phone"),
        will: Some(Will {
            topic: "app/phone/gone".parse()?,
            payload: text("gone"),
            qos: QoS::AtLeastOnce,
            retain: true,
            delay_s: v5.then_some(5),
            properties: properties(version),
        }),
        username: Some(text("alice")),
        password: Some(text("secret")),
        session_expiry_s: v5.then_some(600),
        receive_maximum: v5.then_some(20),
        maximum_packet_size: v5.then_some(65_536),
        topic_alias_maximum: v5.then_some(10),
        request_response_information: v5.then_some(true),
        request_problem_information: v5.then_some(false),
        authentication_method: v5.then(|| text("token")),
        authentication_data: v5.then(|| text("abc")),
        user_properties: users(version),
    })
}

fn connack(version: Version) -> ConnAck {
    let properties = match version {
        Version::V3 => ConnAckProperties::default(),
        Version::V5 => ConnAckProperties {
            session_expiry_s: Some(0),
            receive_maximum: Some(64),
            maximum_qos: Some(1),
            retain_available: Some(true),
            maximum_packet_size: Some(1_000_000),
            assigned_client_id: Some(text("c-1")),
            topic_alias_maximum: Some(16),
            reason_string: Some(text("welcome")),
            user_properties: users(version),
            wildcard_subscription_available: Some(true),
            subscription_ids_available: Some(true),
            shared_subscription_available: Some(false),
            server_keep_alive_s: Some(120),
            response_information: Some(text("me/json/reply")),
            server_reference: Some(text("other.example:1883")),
            authentication_method: Some(text("token")),
            authentication_data: Some(text("xyz")),
        },
    };
    ConnAck { session_present: true, reason: ReasonCode::Success, properties }
}

fn publish(version: Version, qos: QoS) -> Result<Publish> {
    Ok(Publish {
        dup: qos != QoS::AtMostOnce,
        qos,
        retain: true,
        topic: Some("user/@bob/text".parse()?),
        packet_id: (qos != QoS::AtMostOnce).then(|| id(7)),
        properties: PublishProperties {
            topic_alias: (version == Version::V5).then_some(3),
            ..properties(version)
        },
        payload: text("hello"),
    })
}

fn disconnect() -> Disconnect {
    Disconnect {
        reason: ReasonCode::DisconnectWithWill,
        session_expiry_s: Some(10),
        reason_string: Some(text("bye")),
        server_reference: None,
        user_properties: users(Version::V5),
    }
}

fn auth() -> Auth {
    Auth {
        reason: ReasonCode::ReAuthenticate,
        method: Some(text("token")),
        data: Some(text("abc")),
        reason_string: None,
        user_properties: users(Version::V5),
    }
}
