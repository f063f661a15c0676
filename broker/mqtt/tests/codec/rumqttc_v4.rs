//! Against the 3.1.1 codec of rumqttc: what we encode it decodes to the same, and what it encodes we do.
//!
//! On valid packets it differs in one thing: a user name and a password are strings, and an empty one counts as
//! absent (MQTT-3.1.3-11 of 3.1.1 allows both to be empty, and a password is binary data). [`tame`] leaves
//! those packets out.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::*;
use proptest::prelude::*;
use rumqttc::mqttbytes::{self, v4};

use crate::arbitrary::packet;
use crate::{decoded, encoded};

const V3: Version = Version::V3;
const SIZE_MAX: usize = 1 << 20;

/// What its login can express.
pub(crate) fn tame_login(connect: &mut Connect) {
    let absent = |field: &Option<Bytes>| field.as_ref().is_none_or(Bytes::is_empty);
    if absent(&connect.username) {
        connect.username = None;
        connect.password = None;
    }
    if absent(&connect.password) {
        connect.password = None;
    }
    connect.password = connect.password.take().map(|bytes| {
        let letters: Vec<u8> = bytes.iter().map(|byte| b'a' + byte % 26).collect();
        letters.into()
    });
}

fn tame(packet: Packet) -> Packet {
    match packet {
        Packet::Connect(mut connect) => {
            tame_login(&mut connect);
            Packet::Connect(connect)
        }
        other => other,
    }
}

fn qos(qos: mqttbytes::QoS) -> QoS {
    QoS::try_from(qos as u8).unwrap()
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn filter(path: &str) -> TopicFilter {
    path.parse().unwrap()
}

fn connect_view(theirs: v4::Connect) -> Connect {
    assert_eq!(theirs.protocol, mqttbytes::Protocol::V4);
    let login = theirs.login.unwrap_or(v4::Login { username: String::new(), password: String::new() });
    let present = |text: String| Some(Bytes::from(text)).filter(|bytes| !bytes.is_empty());
    Connect {
        clean_start: theirs.clean_session,
        keep_alive_s: theirs.keep_alive,
        client_id: theirs.client_id.into(),
        will: theirs.last_will.map(|will| Will {
            topic: will.topic.parse().unwrap(),
            payload: will.message,
            qos: qos(will.qos),
            retain: will.retain,
            delay_s: None,
            properties: PublishProperties::default(),
        }),
        username: present(login.username),
        password: present(login.password),
        ..crate::expected::connect(V3)
    }
}

fn publish_view(theirs: v4::Publish) -> Publish {
    Publish {
        dup: theirs.dup,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        topic: Some(theirs.topic.parse().unwrap()),
        packet_id: PacketId::new(theirs.pkid),
        properties: PublishProperties::default(),
        payload: theirs.payload,
    }
}

fn connack_view(theirs: v4::ConnAck) -> ConnAck {
    use v4::ConnectReturnCode as Code;
    let reason = match theirs.code {
        Code::Success => ReasonCode::Success,
        Code::RefusedProtocolVersion => ReasonCode::UnsupportedProtocolVersion,
        Code::BadClientId => ReasonCode::ClientIdentifierNotValid,
        Code::ServiceUnavailable => ReasonCode::ServerUnavailable,
        Code::BadUserNamePassword => ReasonCode::BadUserNameOrPassword,
        Code::NotAuthorized => ReasonCode::NotAuthorized,
    };
    ConnAck { session_present: theirs.session_present, reason, properties: ConnAckProperties::default() }
}

fn suback_view(theirs: v4::SubAck) -> SubAck {
    let code = |code: &v4::SubscribeReasonCode| match *code {
        v4::SubscribeReasonCode::Success(granted) => ReasonCode::try_from(granted as u8).unwrap(),
        v4::SubscribeReasonCode::Failure => ReasonCode::UnspecifiedError,
    };
    SubAck {
        packet_id: id(theirs.pkid),
        codes: theirs.return_codes.iter().map(code).collect(),
        reason_string: None,
        user_properties: Vec::new(),
    }
}

/// Their packet in our words.
fn view(theirs: v4::Packet) -> Packet {
    match theirs {
        v4::Packet::Connect(connect) => Packet::Connect(Box::new(connect_view(connect))),
        v4::Packet::ConnAck(connack) => Packet::ConnAck(Box::new(connack_view(connack))),
        v4::Packet::Publish(publish) => Packet::Publish(publish_view(publish)),
        v4::Packet::PubAck(ack) => Packet::PubAck(Ack::success(id(ack.pkid))),
        v4::Packet::PubRec(ack) => Packet::PubRec(Ack::success(id(ack.pkid))),
        v4::Packet::PubRel(ack) => Packet::PubRel(Ack::success(id(ack.pkid))),
        v4::Packet::PubComp(ack) => Packet::PubComp(Ack::success(id(ack.pkid))),
        v4::Packet::Subscribe(subscribe) => Packet::Subscribe(Subscribe {
            packet_id: id(subscribe.pkid),
            filters: subscribe
                .filters
                .iter()
                .map(|wanted| crate::expected::wanted(&wanted.path, qos(wanted.qos)))
                .collect(),
            subscription_id: None,
            user_properties: Vec::new(),
        }),
        v4::Packet::SubAck(suback) => Packet::SubAck(suback_view(suback)),
        v4::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            packet_id: id(unsubscribe.pkid),
            filters: unsubscribe.topics.iter().map(|path| filter(path)).collect(),
            user_properties: Vec::new(),
        }),
        v4::Packet::UnsubAck(unsuback) => Packet::UnsubAck(UnsubAck {
            packet_id: id(unsuback.pkid),
            codes: Vec::new(),
            reason_string: None,
            user_properties: Vec::new(),
        }),
        v4::Packet::PingReq => Packet::PingReq,
        v4::Packet::PingResp => Packet::PingResp,
        v4::Packet::Disconnect => Packet::Disconnect(Disconnect::with(ReasonCode::Success)),
    }
}

fn read(bytes: &[u8]) -> Result<v4::Packet, mqttbytes::Error> {
    v4::Packet::read(&mut BytesMut::from(bytes), SIZE_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn agrees_on_valid_packets(packet in packet(V3).prop_map(tame)) {
        let bytes = encoded(&packet, V3);
        let theirs = read(&bytes).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let mut their_bytes = BytesMut::new();
        theirs.write(&mut their_bytes, SIZE_MAX).unwrap();
        prop_assert_eq!(view(theirs), packet.clone());
        prop_assert_eq!(&their_bytes, &bytes);
        prop_assert_eq!(decoded(their_bytes.freeze(), V3), Ok(packet));
    }
}

/// Where it takes bytes that 3.1.1 forbids, by clause of 3.1.1. We refuse them all.
#[test]
fn it_is_laxer() {
    for (clause, bytes) in [
        ("MQTT-2.2.2-2: reserved flags of PUBACK", &b"\x4F\x02\x00\x01"[..]),
        ("MQTT-3.8.1-1: flags of SUBSCRIBE", b"\x80\x06\x00\x01\x00\x01a\x00"),
        ("MQTT-2.3.1-1: packet identifier 0", b"\x40\x02\x00\x00"),
        ("MQTT-3.1.2-3: reserved connect flag", b"\x10\x0C\x00\x04MQTT\x04\x01\x00\x0A\x00\x00"),
        (
            "MQTT-3.1.2-22: password without user name",
            b"\x10\x0F\x00\x04MQTT\x04\x40\x00\x0A\x00\x00\x00\x01p",
        ),
        ("MQTT-3.3.1-2: DUP with QoS 0", b"\x38\x03\x00\x01t"),
        ("MQTT-3.3.2-2: wildcard in a topic name", b"\x30\x03\x00\x01#"),
        ("MQTT-4.7.3-1: empty topic name", b"\x30\x02\x00\x00"),
        ("MQTT-1.5.3-2: U+0000 in a string", b"\x30\x03\x00\x01\x00"),
        ("MQTT-4.7.1-2: misplaced wildcard", b"\x82\x07\x00\x01\x00\x02#a\x00"),
        ("MQTT-3.8.3-4: reserved options", b"\x82\x06\x00\x01\x00\x01a\xF0"),
        ("MQTT-3.14.1-1: flags of DISCONNECT", b"\xE1\x00"),
        ("bytes behind the last field of PUBACK", b"\x40\x03\x00\x01\x00"),
        ("bytes behind the fixed header of PINGREQ", b"\xC0\x01\x00"),
    ] {
        assert!(read(bytes).is_ok(), "it refuses now: {clause}");
        assert!(decoded(Bytes::from_static(bytes), V3).is_err(), "{clause}");
    }
}
