//! The bytes of every packet of 3.1.1, as the figures of its specification draw them. Clauses are those
//! of MQTT 3.1.1.

use bytes::Bytes;
use parlance_mqtt::*;

use crate::{decoded, encoded};

/// Both ways: the packet is these bytes, and these bytes are the packet.
pub(crate) fn is(packet: Packet, version: Version, bytes: &[u8]) {
    let written = encoded(&packet, version);
    assert_eq!(&written[..], bytes, "encoding {packet:?}");
    assert_eq!(decoded(Bytes::copy_from_slice(bytes), version).as_ref(), Ok(&packet));
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(crate) fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

pub(crate) fn wanted(filter: &str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter {
        filter: filter.parse().unwrap(),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

pub(crate) fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: false,
        keep_alive_s: 10,
        client_id: Bytes::new(),
        will: None,
        username: None,
        password: None,
        session_expiry_s: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: None,
        request_response_information: None,
        request_problem_information: None,
        authentication_method: None,
        authentication_data: None,
        user_properties: Vec::new(),
    }
}

pub(crate) fn publish(name: &str, payload: &'static [u8]) -> Publish {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: Some(topic(name)),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: Bytes::from_static(payload),
    }
}

const V3: Version = Version::V3;

/// Figure 3.6: user name, password, will QoS 1, will, clean session; keep alive 10.
#[test]
fn connect_with_everything() {
    let packet = Connect {
        clean_start: true,
        client_id: Bytes::from_static(b"me"),
        will: Some(Will {
            topic: topic("w"),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_s: None,
            properties: PublishProperties::default(),
        }),
        username: Some(Bytes::from_static(b"u")),
        password: Some(Bytes::from_static(b"\x00\xFF")),
        ..connect(V3)
    };
    let bytes =
        b"\x10\x1E\x00\x04MQTT\x04\xCE\x00\x0A\x00\x02me\x00\x01w\x00\x04gone\x00\x01u\x00\x02\x00\xFF";
    is(Packet::Connect(Box::new(packet)), V3, bytes);
}

/// MQTT-3.1.3-6: an empty client identifier. Whether it is accepted is the session's question.
#[test]
fn connect_with_nothing() {
    is(Packet::Connect(Box::new(connect(V3))), V3, b"\x10\x0C\x00\x04MQTT\x04\x00\x00\x0A\x00\x00");
}

/// MQTT-3.1.2-13 to MQTT-3.1.2-15: a retained will with QoS 2.
#[test]
fn connect_with_a_retained_will() {
    let will = Will {
        topic: topic("w"),
        payload: Bytes::new(),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay_s: None,
        properties: PublishProperties::default(),
    };
    let packet = Connect { will: Some(will), ..connect(V3) };
    let bytes = b"\x10\x11\x00\x04MQTT\x04\x34\x00\x0A\x00\x00\x00\x01w\x00\x00";
    is(Packet::Connect(Box::new(packet)), V3, bytes);
}

/// Figure 3.8, table 3.1.
#[test]
fn connack() {
    let answer = |session_present, reason| {
        let properties = ConnAckProperties::default();
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
    };
    is(answer(false, ReasonCode::Success), V3, b"\x20\x02\x00\x00");
    is(answer(true, ReasonCode::Success), V3, b"\x20\x02\x01\x00");
    is(answer(false, ReasonCode::UnsupportedProtocolVersion), V3, b"\x20\x02\x00\x01");
    is(answer(false, ReasonCode::ClientIdentifierNotValid), V3, b"\x20\x02\x00\x02");
    is(answer(false, ReasonCode::ServerUnavailable), V3, b"\x20\x02\x00\x03");
    is(answer(false, ReasonCode::BadUserNameOrPassword), V3, b"\x20\x02\x00\x04");
    is(answer(false, ReasonCode::NotAuthorized), V3, b"\x20\x02\x00\x05");
}

/// Reason codes that 3.1.1 has not become the nearest that it has.
#[test]
fn reasons_have_shadows() {
    let refused = |reason| {
        let properties = ConnAckProperties::default();
        encoded(&Packet::ConnAck(Box::new(ConnAck { session_present: false, reason, properties })), V3)
    };
    assert_eq!(&refused(ReasonCode::Banned)[..], b"\x20\x02\x00\x05");
    assert_eq!(&refused(ReasonCode::QuotaExceeded)[..], b"\x20\x02\x00\x03");
    let ack = Ack { reason: ReasonCode::NotAuthorized, ..Ack::success(id(1)) };
    assert_eq!(&encoded(&Packet::PubAck(ack), V3)[..], b"\x40\x02\x00\x01");
    let suback = SubAck {
        packet_id: id(1),
        codes: vec![ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized],
        reason_string: Some(Bytes::from_static(b"not yours")),
        user_properties: Vec::new(),
    };
    assert_eq!(&encoded(&Packet::SubAck(suback), V3)[..], b"\x90\x04\x00\x01\x01\x80");
}

/// Figure 3.11: topic `a/b`, packet identifier 10.
#[test]
fn publish_of_the_specification() {
    let packet = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(10)), ..publish("a/b", b"hello") };
    is(Packet::Publish(packet), V3, b"\x32\x0C\x00\x03a/b\x00\x0Ahello");
}

/// MQTT-3.3.1: each flag in its place.
#[test]
fn publish_flags() {
    is(Packet::Publish(publish("t", b"")), V3, b"\x30\x03\x00\x01t");
    is(Packet::Publish(Publish { retain: true, ..publish("t", b"x") }), V3, b"\x31\x04\x00\x01tx");
    let packet = Publish {
        dup: true,
        retain: true,
        qos: QoS::ExactlyOnce,
        packet_id: Some(id(0xABCD)),
        ..publish("t", b"x")
    };
    is(Packet::Publish(packet), V3, b"\x3D\x06\x00\x01t\xAB\xCDx");
}

/// Figures 3.13, 3.15, 3.17, 3.19. PUBREL has flags 0010 (MQTT-3.6.1-1).
#[test]
fn acknowledgements() {
    is(Packet::PubAck(Ack::success(id(0x1234))), V3, b"\x40\x02\x12\x34");
    is(Packet::PubRec(Ack::success(id(1))), V3, b"\x50\x02\x00\x01");
    is(Packet::PubRel(Ack::success(id(1))), V3, b"\x62\x02\x00\x01");
    is(Packet::PubComp(Ack::success(id(0xFFFF))), V3, b"\x70\x02\xFF\xFF");
}

/// Figure 3.23: `a/b` with QoS 1, `c/d` with QoS 2.
#[test]
fn subscribe_of_the_specification() {
    let packet = Subscribe {
        packet_id: id(10),
        filters: vec![wanted("a/b", QoS::AtLeastOnce), wanted("c/d", QoS::ExactlyOnce)],
        subscription_id: None,
        user_properties: Vec::new(),
    };
    is(Packet::Subscribe(packet), V3, b"\x82\x0E\x00\x0A\x00\x03a/b\x01\x00\x03c/d\x02");
}

/// Figure 3.26: QoS 0, QoS 2, failure.
#[test]
fn suback_of_the_specification() {
    let packet = SubAck {
        packet_id: id(10),
        codes: vec![ReasonCode::Success, ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError],
        reason_string: None,
        user_properties: Vec::new(),
    };
    is(Packet::SubAck(packet), V3, b"\x90\x05\x00\x0A\x00\x02\x80");
}

/// Figure 3.30: `a/b` and `c/d`.
#[test]
fn unsubscribe_of_the_specification() {
    let packet = Unsubscribe {
        packet_id: id(10),
        filters: vec!["a/b".parse().unwrap(), "c/d".parse().unwrap()],
        user_properties: Vec::new(),
    };
    is(Packet::Unsubscribe(packet), V3, b"\xA2\x0C\x00\x0A\x00\x03a/b\x00\x03c/d");
}

/// Figures 3.31 to 3.35: nothing but a fixed header, and a packet identifier.
#[test]
fn short_packets() {
    let packet =
        UnsubAck { packet_id: id(10), codes: Vec::new(), reason_string: None, user_properties: Vec::new() };
    is(Packet::UnsubAck(packet), V3, b"\xB0\x02\x00\x0A");
    is(Packet::PingReq, V3, b"\xC0\x00");
    is(Packet::PingResp, V3, b"\xD0\x00");
    is(Packet::Disconnect(Disconnect::with(ReasonCode::Success)), V3, b"\xE0\x00");
}

/// MQTT-2.2.3: 128 bytes of payload and 3 of topic need a second byte of length.
#[test]
fn long_packets() {
    let long = vec![b'x'; 128];
    let packet = Packet::Publish(Publish { payload: Bytes::from(long.clone()), ..publish("t", b"") });
    is(packet, V3, &[&b"\x30\x83\x01\x00\x01t"[..], &long].concat());
}
