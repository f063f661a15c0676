//! Against the 3.1.1 codec of rmqtt: what we encode it decodes to the same, and what it encodes we do.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::*;
use proptest::prelude::*;
use rmqtt_codec::error::DecodeError as TheirError;
use rmqtt_codec::{types, v3};
use tokio_util::codec::{Decoder as _, Encoder as _};

use crate::arbitrary::packet;
use crate::{decoded, encoded};

const V3: Version = Version::V3;

pub(crate) fn qos(qos: types::QoS) -> QoS {
    QoS::try_from(qos.value()).unwrap()
}

fn connect_view(theirs: v3::Connect) -> Connect {
    assert_eq!(theirs.protocol, types::Protocol(types::MQTT_LEVEL_311));
    Connect {
        clean_start: theirs.clean_session,
        keep_alive_s: theirs.keep_alive,
        client_id: theirs.client_id.into_bytes(),
        will: theirs.last_will.map(|will| Will {
            topic: will.topic.parse().unwrap(),
            payload: will.message,
            qos: qos(will.qos),
            retain: will.retain,
            delay_s: None,
            properties: PublishProperties::default(),
        }),
        username: theirs.username.map(|name| name.into_bytes()),
        password: theirs.password,
        ..crate::expected::connect(V3)
    }
}

/// It refuses an empty client identifier without Clean Session, which we leave to the session (MQTT-3.1.3-8
/// of 3.1.1) and MQTT 5 allows (MQTT-3.1.3-6).
pub(crate) fn name_client(connect: &mut Connect) {
    connect.clean_start |= connect.client_id.is_empty();
}

fn tame(mut packet: Packet) -> Packet {
    if let Packet::Connect(connect) = &mut packet {
        name_client(connect);
    }
    packet
}

fn publish_view(theirs: types::Publish) -> Publish {
    Publish {
        dup: theirs.dup,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        topic: Some(theirs.topic.parse().unwrap()),
        packet_id: theirs.packet_id,
        properties: PublishProperties::default(),
        payload: theirs.payload,
    }
}

/// Their packet in our words.
fn view(theirs: v3::Packet) -> Packet {
    let user_properties = Vec::new;
    match theirs {
        v3::Packet::Connect(connect) => Packet::Connect(Box::new(connect_view(*connect))),
        v3::Packet::ConnectAck(connack) => Packet::ConnAck(Box::new(ConnAck {
            session_present: connack.session_present,
            reason: ReasonCode::from_v3_connack(connack.return_code.into()).unwrap(),
            properties: ConnAckProperties::default(),
        })),
        v3::Packet::Publish(publish) => Packet::Publish(publish_view(*publish)),
        v3::Packet::PublishAck { packet_id } => Packet::PubAck(Ack::success(packet_id)),
        v3::Packet::PublishReceived { packet_id } => Packet::PubRec(Ack::success(packet_id)),
        v3::Packet::PublishRelease { packet_id } => Packet::PubRel(Ack::success(packet_id)),
        v3::Packet::PublishComplete { packet_id } => Packet::PubComp(Ack::success(packet_id)),
        v3::Packet::Subscribe { packet_id, topic_filters } => Packet::Subscribe(Subscribe {
            packet_id,
            filters: topic_filters.iter().map(|(path, q)| crate::expected::wanted(path, qos(*q))).collect(),
            subscription_id: None,
            user_properties: user_properties(),
        }),
        v3::Packet::SubscribeAck { packet_id, status } => Packet::SubAck(SubAck {
            packet_id,
            codes: status
                .iter()
                .map(|code| match code {
                    v3::SubscribeReturnCode::Success(q) => ReasonCode::try_from(q.value()).unwrap(),
                    v3::SubscribeReturnCode::Failure => ReasonCode::UnspecifiedError,
                })
                .collect(),
            reason_string: None,
            user_properties: user_properties(),
        }),
        v3::Packet::Unsubscribe { packet_id, topic_filters } => Packet::Unsubscribe(Unsubscribe {
            packet_id,
            filters: topic_filters.iter().map(|path| path.parse().unwrap()).collect(),
            user_properties: user_properties(),
        }),
        v3::Packet::UnsubscribeAck { packet_id } => Packet::UnsubAck(UnsubAck {
            packet_id,
            codes: Vec::new(),
            reason_string: None,
            user_properties: user_properties(),
        }),
        v3::Packet::PingRequest => Packet::PingReq,
        v3::Packet::PingResponse => Packet::PingResp,
        v3::Packet::Disconnect => Packet::Disconnect(Disconnect::with(ReasonCode::Success)),
    }
}

fn read(bytes: &[u8]) -> Result<v3::Packet, TheirError> {
    let read = v3::Codec::new(0).decode(&mut BytesMut::from(bytes))?;
    Ok(read.expect("a whole packet").0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn agrees_on_valid_packets(packet in packet(V3).prop_map(tame)) {
        let bytes = encoded(&packet, V3);
        let theirs = read(&bytes).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let mut their_bytes = BytesMut::new();
        v3::Codec::new(0).encode(theirs.clone(), &mut their_bytes).unwrap();
        prop_assert_eq!(view(theirs), packet.clone());
        prop_assert_eq!(&their_bytes, &bytes);
        prop_assert_eq!(decoded(their_bytes.freeze(), V3), Ok(packet));
    }
}

/// Where it takes bytes that 3.1.1 forbids, by clause of 3.1.1. We refuse them all.
#[test]
fn it_is_laxer() {
    for (clause, bytes) in [
        (
            "MQTT-3.1.2-22: password without user name",
            &b"\x10\x0F\x00\x04MQTT\x04\x42\x00\x0A\x00\x00\x00\x01p"[..],
        ),
        ("MQTT-3.3.1-2: DUP with QoS 0", b"\x38\x03\x00\x01t"),
        ("MQTT-3.3.2-2: wildcard in a topic name", b"\x30\x03\x00\x01#"),
        ("MQTT-1.5.3-2: U+0000 in a string", b"\x30\x03\x00\x01\x00"),
        ("MQTT-4.7.1-2: misplaced wildcard", b"\x82\x07\x00\x01\x00\x02#a\x00"),
        ("bytes behind the fixed header of PINGREQ", b"\xC0\x01\x00"),
    ] {
        assert!(read(bytes).is_ok(), "it refuses now: {clause}");
        assert!(decoded(Bytes::from_static(bytes), V3).is_err(), "{clause}");
    }
}
