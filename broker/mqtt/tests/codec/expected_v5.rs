//! The bytes of every packet of MQTT 5, with every property, as the figures of its specification draw them.

use bytes::Bytes;
use parlance_mqtt::*;

use crate::expected::{connect, id, is, publish, topic, wanted};

const V5: Version = Version::V5;

fn text(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

fn user(name: &'static str, value: &'static str) -> (Bytes, Bytes) {
    (Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes()))
}

/// Figure 3-6 of MQTT-3.1.2: all connect flags, Session Expiry Interval 10 as the only property.
#[test]
fn connect_of_the_specification() {
    let packet = Connect {
        clean_start: true,
        session_expiry_s: Some(10),
        will: Some(Will {
            topic: topic("w"),
            payload: Bytes::from_static(b"x"),
            qos: QoS::AtLeastOnce,
            retain: false,
            delay_s: None,
            properties: PublishProperties::default(),
        }),
        username: text("u"),
        password: text("p"),
        ..connect(V5)
    };
    let bytes = b"\x10\x1F\x00\x04MQTT\x05\xCE\x00\x0A\x05\x11\x00\x00\x00\x0A\
        \x00\x00\x00\x00\x01w\x00\x01x\x00\x01u\x00\x01p";
    is(Packet::Connect(Box::new(packet)), V5, bytes);
}

/// MQTT-3.1.2.11: every property of CONNECT. A password without user name is MQTT 5's (MQTT-3.1.2.9).
#[test]
fn connect_with_every_property() {
    let packet = Connect {
        client_id: Bytes::from_static(b"c"),
        password: text("p"),
        session_expiry_s: Some(u32::MAX),
        receive_maximum: Some(20),
        maximum_packet_size: Some(0x0001_0000),
        topic_alias_maximum: Some(5),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        authentication_method: text("m"),
        authentication_data: Some(Bytes::from_static(b"\xFF")),
        user_properties: vec![user("k", "v"), user("k", "")],
        ..connect(V5)
    };
    let bytes = b"\x10\x3A\x00\x04MQTT\x05\x40\x00\x0A\x29\
        \x11\xFF\xFF\xFF\xFF\x21\x00\x14\x27\x00\x01\x00\x00\x22\x00\x05\x19\x01\x17\x00\
        \x15\x00\x01m\x16\x00\x01\xFF\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x00\
        \x00\x01c\x00\x01p";
    is(Packet::Connect(Box::new(packet)), V5, bytes);
}

/// MQTT-3.1.3.2: every property of a will.
#[test]
fn connect_with_every_will_property() {
    let will = Will {
        topic: topic("w"),
        payload: Bytes::new(),
        qos: QoS::ExactlyOnce,
        retain: true,
        delay_s: Some(1),
        properties: PublishProperties {
            payload_is_utf8: Some(true),
            message_expiry_s: Some(2),
            content_type: text("t"),
            response_topic: text("r"),
            correlation_data: Some(Bytes::from_static(b"\x00")),
            user_properties: vec![user("k", "v")],
            ..PublishProperties::default()
        },
    };
    let packet = Connect { will: Some(will), ..connect(V5) };
    let bytes = b"\x10\x32\x00\x04MQTT\x05\x34\x00\x0A\x00\x00\x00\
        \x1F\x18\x00\x00\x00\x01\x02\x00\x00\x00\x02\x01\x01\x03\x00\x01t\x08\x00\x01r\x09\x00\x01\x00\
        \x26\x00\x01k\x00\x01v\x00\x01w\x00\x00";
    is(Packet::Connect(Box::new(packet)), V5, bytes);
}

/// MQTT-3.2.2: flags, reason code, no property.
#[test]
fn connack_without_properties() {
    let answer = |session_present, reason| {
        let properties = ConnAckProperties::default();
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
    };
    is(answer(true, ReasonCode::Success), V5, b"\x20\x03\x01\x00\x00");
    is(answer(false, ReasonCode::BadUserNameOrPassword), V5, b"\x20\x03\x00\x86\x00");
}

/// MQTT-3.2.2.3: every property of CONNACK.
#[test]
fn connack_with_every_property() {
    let properties = ConnAckProperties {
        session_expiry_s: Some(1),
        receive_maximum: Some(2),
        maximum_qos: Some(1),
        retain_available: Some(false),
        maximum_packet_size: Some(3),
        assigned_client_id: text("a"),
        topic_alias_maximum: Some(4),
        reason_string: text("r"),
        user_properties: vec![user("k", "v")],
        wildcard_subscription_available: Some(true),
        subscription_ids_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive_s: Some(5),
        response_information: text("i"),
        server_reference: text("s"),
        authentication_method: text("m"),
        authentication_data: Some(Bytes::from_static(b"\xFE")),
    };
    let packet = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
    let bytes = b"\x20\x3F\x00\x00\x3C\
        \x11\x00\x00\x00\x01\x21\x00\x02\x24\x01\x25\x00\x27\x00\x00\x00\x03\x12\x00\x01a\x22\x00\x04\
        \x1F\x00\x01r\x26\x00\x01k\x00\x01v\x28\x01\x29\x00\x2A\x01\x13\x00\x05\x1A\x00\x01i\
        \x1C\x00\x01s\x15\x00\x01m\x16\x00\x01\xFE";
    is(Packet::ConnAck(Box::new(packet)), V5, bytes);
}

/// Figure 3-9 of MQTT-3.3.2: `a/b`, packet identifier 10, no properties.
#[test]
fn publish_of_the_specification() {
    let packet = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(10)), ..publish("a/b", b"hi") };
    is(Packet::Publish(packet), V5, b"\x32\x0A\x00\x03a/b\x00\x0A\x00hi");
}

/// MQTT-3.3.2.3: every property of PUBLISH; two subscription identifiers (MQTT-3.3.4-4).
#[test]
fn publish_with_every_property() {
    let properties = PublishProperties {
        payload_is_utf8: Some(false),
        message_expiry_s: Some(0x0102_0304),
        topic_alias: Some(1),
        response_topic: text("r"),
        correlation_data: Some(Bytes::new()),
        content_type: text("c"),
        subscription_ids: vec![1, 268_435_455],
        user_properties: vec![user("k", "v")],
    };
    let bytes = b"\x30\x28\x00\x01t\x23\
        \x23\x00\x01\x0B\x01\x0B\xFF\xFF\xFF\x7F\x02\x01\x02\x03\x04\x01\x00\x03\x00\x01c\x08\x00\x01r\
        \x09\x00\x00\x26\x00\x01k\x00\x01vx";
    is(Packet::Publish(Publish { properties, ..publish("t", b"x") }), V5, bytes);
}

/// MQTT-3.3.2.3.4: an alias instead of a topic name.
#[test]
fn publish_by_alias() {
    let properties = PublishProperties { topic_alias: Some(7), ..PublishProperties::default() };
    let packet = Publish { topic: None, properties, ..publish("t", b"x") };
    is(Packet::Publish(packet), V5, b"\x30\x07\x00\x00\x03\x23\x00\x07x");
}

/// MQTT-3.4.2.1: reason code and properties are left out when they say nothing.
#[test]
fn acknowledgements() {
    is(Packet::PubAck(Ack::success(id(1))), V5, b"\x40\x02\x00\x01");
    let ack = |reason| Ack { reason, ..Ack::success(id(1)) };
    is(Packet::PubAck(ack(ReasonCode::NoMatchingSubscribers)), V5, b"\x40\x03\x00\x01\x10");
    is(Packet::PubRec(ack(ReasonCode::QuotaExceeded)), V5, b"\x50\x03\x00\x01\x97");
    is(Packet::PubRel(ack(ReasonCode::PacketIdentifierNotFound)), V5, b"\x62\x03\x00\x01\x92");
    is(Packet::PubComp(ack(ReasonCode::PacketIdentifierNotFound)), V5, b"\x70\x03\x00\x01\x92");
    let explained =
        |reason| Ack { reason_string: text("r"), user_properties: vec![user("seq", "7")], ..ack(reason) };
    let properties = b"\x0D\x1F\x00\x01r\x26\x00\x03seq\x00\x017";
    let bytes = |first, code| [&[first, 0x11, 0, 1, code][..], properties].concat();
    is(Packet::PubAck(explained(ReasonCode::Success)), V5, &bytes(0x40, 0x00));
    is(Packet::PubRec(explained(ReasonCode::NotAuthorized)), V5, &bytes(0x50, 0x87));
    is(Packet::PubRel(explained(ReasonCode::Success)), V5, &bytes(0x62, 0x00));
    is(Packet::PubComp(explained(ReasonCode::PacketIdentifierNotFound)), V5, &bytes(0x70, 0x92));
}

/// MQTT-3.4.2.2.1: a property length of 0 that could have been left out is understood.
#[test]
fn acknowledgement_with_an_empty_property_length() {
    let read = crate::decoded(&b"\x40\x04\x00\x01\x00\x00"[..], V5);
    assert_eq!(read, Ok(Packet::PubAck(Ack::success(id(1)))));
}

/// Figure 3-20 of MQTT-3.8.3: `a/b` with QoS 1, `c/d` with QoS 2.
#[test]
fn subscribe_of_the_specification() {
    let packet = Subscribe {
        packet_id: id(10),
        filters: vec![wanted("a/b", QoS::AtLeastOnce), wanted("c/d", QoS::ExactlyOnce)],
        subscription_id: None,
        user_properties: Vec::new(),
    };
    is(Packet::Subscribe(packet), V5, b"\x82\x0F\x00\x0A\x00\x00\x03a/b\x01\x00\x03c/d\x02");
}

/// MQTT-3.8.2.1, MQTT-3.8.3.1: every property and option.
#[test]
fn subscribe_with_every_option() {
    let packet = Subscribe {
        packet_id: id(10),
        filters: vec![
            SubscribeFilter {
                no_local: true,
                retain_handling: RetainHandling::DoNotSend,
                ..wanted("a", QoS::AtMostOnce)
            },
            SubscribeFilter {
                retain_as_published: true,
                retain_handling: RetainHandling::SendIfNew,
                ..wanted("$share/g/b", QoS::ExactlyOnce)
            },
        ],
        subscription_id: Some(128),
        user_properties: vec![user("k", "v")],
    };
    let bytes = b"\x82\x1E\x00\x0A\x0A\x0B\x80\x01\x26\x00\x01k\x00\x01v\x00\x01a\x24\x00\x0A$share/g/b\x1A";
    is(Packet::Subscribe(packet), V5, bytes);
}

/// MQTT-3.9.
#[test]
fn suback() {
    let packet = SubAck {
        packet_id: id(10),
        codes: vec![ReasonCode::Success, ReasonCode::GrantedQoS2, ReasonCode::TopicFilterInvalid],
        reason_string: text("r"),
        user_properties: vec![user("k", "v")],
    };
    let bytes = b"\x90\x11\x00\x0A\x0B\x1F\x00\x01r\x26\x00\x01k\x00\x01v\x00\x02\x8F";
    is(Packet::SubAck(packet), V5, bytes);
}

/// Figure 3-28 of MQTT-3.10.3, with a user property.
#[test]
fn unsubscribe() {
    let packet = Unsubscribe {
        packet_id: id(10),
        filters: vec!["a/b".parse().unwrap(), "c/d".parse().unwrap()],
        user_properties: vec![user("k", "v")],
    };
    let bytes = b"\xA2\x14\x00\x0A\x07\x26\x00\x01k\x00\x01v\x00\x03a/b\x00\x03c/d";
    is(Packet::Unsubscribe(packet), V5, bytes);
}

/// MQTT-3.11.
#[test]
fn unsuback() {
    let packet = UnsubAck {
        packet_id: id(10),
        codes: vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
        reason_string: text("r"),
        user_properties: vec![user("k", "v")],
    };
    let bytes = b"\xB0\x10\x00\x0A\x0B\x1F\x00\x01r\x26\x00\x01k\x00\x01v\x00\x11";
    is(Packet::UnsubAck(packet), V5, bytes);
}

/// MQTT-3.12, MQTT-3.13.
#[test]
fn pings() {
    is(Packet::PingReq, V5, b"\xC0\x00");
    is(Packet::PingResp, V5, b"\xD0\x00");
}

/// MQTT-3.14; figure 3-31 gives the Session Expiry Interval as an example.
#[test]
fn disconnect() {
    is(Packet::Disconnect(Disconnect::with(ReasonCode::Success)), V5, b"\xE0\x00");
    is(Packet::Disconnect(Disconnect::with(ReasonCode::SessionTakenOver)), V5, b"\xE0\x01\x8E");
    let packet = Disconnect {
        session_expiry_s: Some(0),
        reason_string: text("r"),
        server_reference: text("s"),
        user_properties: vec![user("k", "v")],
        ..Disconnect::with(ReasonCode::Success)
    };
    let bytes = b"\xE0\x16\x00\x14\x11\x00\x00\x00\x00\x1F\x00\x01r\x1C\x00\x01s\x26\x00\x01k\x00\x01v";
    is(Packet::Disconnect(packet), V5, bytes);
}

/// MQTT-3.15: remaining length 0 is Success with no properties (MQTT-3.15.2.1).
#[test]
fn auth() {
    let bare = Auth {
        reason: ReasonCode::Success,
        method: None,
        data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    is(Packet::Auth(bare), V5, b"\xF0\x00");
    let packet = Auth {
        reason: ReasonCode::ContinueAuthentication,
        method: text("m"),
        data: Some(Bytes::from_static(b"\x00\xFF")),
        reason_string: text("r"),
        user_properties: vec![user("k", "v")],
    };
    let bytes = b"\xF0\x16\x18\x14\x15\x00\x01m\x16\x00\x02\x00\xFF\x1F\x00\x01r\x26\x00\x01k\x00\x01v";
    is(Packet::Auth(packet), V5, bytes);
}
