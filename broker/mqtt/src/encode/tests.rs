//! What must not be written is refused, and the buffer stays as it was.

use bytes::Bytes;

use super::*;
use crate::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, Disconnect, PacketId, PropertyId, Publish,
    PublishProperties, QoS, RetainHandling, SubAck, Subscribe, SubscribeFilter, TopicError, UnsubAck, Will,
};

const V3: Version = Version::V3;
const V5: Version = Version::V5;

#[track_caller]
fn refused(packet: Packet, version: Version, error: EncodeError) {
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(encode(&packet, version, &mut out), Err(error));
    assert_eq!(&out[..], b"before");
    assert_eq!(encoded_len(&packet, version), Err(error));
}

fn publish() -> Publish {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: Some("t".parse().unwrap()),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: Bytes::new(),
    }
}

fn with_properties(properties: PublishProperties) -> Packet {
    Packet::Publish(Publish { properties, ..publish() })
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 0,
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

fn id() -> PacketId {
    PacketId::MIN
}

/// MQTT-2.2.1-2, MQTT-2.2.1-3, MQTT-3.3.1-2.
#[test]
fn publish_flags_fit() {
    let packet_id = Some(id());
    let with = |qos, dup, packet_id| Packet::Publish(Publish { qos, dup, packet_id, ..publish() });
    refused(with(QoS::AtMostOnce, false, packet_id), V5, EncodeError::PacketIdWithQoS0);
    refused(with(QoS::AtLeastOnce, false, None), V3, EncodeError::PacketIdMissing);
    refused(with(QoS::AtMostOnce, true, None), V3, EncodeError::DupWithQoS0);
}

/// MQTT-3.3.2.1: an alias can stand for the topic in MQTT 5 only.
#[test]
fn publish_has_a_topic() {
    let nameless = Packet::Publish(Publish { topic: None, ..publish() });
    refused(nameless, V5, EncodeError::NoTopic);
    let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
    let by_alias = Packet::Publish(Publish { topic: None, properties, ..publish() });
    refused(by_alias, V3, EncodeError::NoTopic);
}

/// MQTT-3.3.2-8, MQTT-3.8.2.1.2, MQTT-3.3.2-14.
#[test]
fn publish_properties_are_in_range() {
    let packet = PacketType::Publish;
    let value = |property, value| EncodeError::PropertyValue { packet, property, value };
    let none = PublishProperties::default;
    let alias = with_properties(PublishProperties { topic_alias: Some(0), ..none() });
    refused(alias, V5, value(PropertyId::TopicAlias, 0));
    for id in [0, 268_435_456] {
        let ids = with_properties(PublishProperties { subscription_ids: vec![1, id], ..none() });
        refused(ids, V5, value(PropertyId::SubscriptionIdentifier, id));
    }
    let topic = Some(Bytes::from_static(b"a/#"));
    let response = with_properties(PublishProperties { response_topic: topic, ..none() });
    let error = TopicError::WildcardInName;
    refused(response, V5, EncodeError::ResponseTopic { packet, error });
}

/// MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-1.5.4, MQTT-1.5.6.
#[test]
fn fields_are_writable() {
    let packet = PacketType::PubAck;
    let because = |reason: &'static [u8]| {
        Packet::PubAck(Ack { reason_string: Some(Bytes::from_static(reason)), ..Ack::success(id()) })
    };
    refused(because(b"\xFF"), V5, EncodeError::InvalidString { packet });
    refused(because(b"a\0"), V5, EncodeError::InvalidString { packet });
    refused(because(&[b'x'; 65_536]), V5, EncodeError::FieldTooLong { packet, bytes: 65_536 });
    let mut password = connect(V3);
    password.username = Some(Bytes::new());
    password.password = Some(Bytes::from_static(&[0; 65_536]));
    let too_long = EncodeError::FieldTooLong { packet: PacketType::Connect, bytes: 65_536 };
    refused(Packet::Connect(Box::new(password)), V5, too_long);
}

/// MQTT-2.1.4.
#[test]
fn packets_have_a_greatest_size() {
    let payload = Bytes::from(vec![0; varint::VALUE_MAX - 3]);
    let packet = Packet::Publish(Publish { payload, ..publish() });
    assert_eq!(encoded_len(&packet, V3), Ok(varint::VALUE_MAX + 5));
    refused(packet, V5, EncodeError::PacketTooLarge { bytes: varint::VALUE_MAX + 1 });
}

/// 3.1.1 has neither AUTH nor a DISCONNECT of the server.
#[test]
fn what_3_1_1_has_not() {
    let auth = Auth {
        reason: ReasonCode::Success,
        method: None,
        data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    let error = |packet| EncodeError::NotInVersion { packet, version: V3 };
    refused(Packet::Auth(auth), V3, error(PacketType::Auth));
    let disconnect = Packet::Disconnect(Disconnect::with(ReasonCode::SessionTakenOver));
    refused(disconnect, V3, error(PacketType::Disconnect));
}

#[test]
fn reason_codes_belong_to_their_packets() {
    let error = |packet, reason| EncodeError::ReasonCode { packet, reason };
    let reason = ReasonCode::GrantedQoS1;
    let ack = Ack { reason, ..Ack::success(id()) };
    refused(Packet::PubAck(ack.clone()), V5, error(PacketType::PubAck, reason));
    refused(Packet::PubComp(ack), V5, error(PacketType::PubComp, reason));
    refused(Packet::Disconnect(Disconnect::with(reason)), V5, error(PacketType::Disconnect, reason));
    let codes = vec![ReasonCode::Success, reason];
    let (reason_string, user_properties) = (None, Vec::new());
    let unsuback = UnsubAck { packet_id: id(), codes, reason_string, user_properties };
    refused(Packet::UnsubAck(unsuback), V5, error(PacketType::UnsubAck, reason));
}

/// MQTT-3.2.2-6, MQTT-3.2.2.3.3, MQTT-3.2.2.3.4.
#[test]
fn connack_is_consistent() {
    let with = |session_present, reason, properties| {
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
    };
    let none = ConnAckProperties::default;
    let banned = with(true, ReasonCode::Banned, none());
    refused(banned.clone(), V5, EncodeError::SessionPresentWithError);
    refused(banned, V3, EncodeError::SessionPresentWithError);
    let packet = PacketType::ConnAck;
    let value = |property, value| EncodeError::PropertyValue { packet, property, value };
    let receive = ConnAckProperties { receive_maximum: Some(0), ..none() };
    refused(with(false, ReasonCode::Success, receive), V5, value(PropertyId::ReceiveMaximum, 0));
    let qos = ConnAckProperties { maximum_qos: Some(2), ..none() };
    refused(with(false, ReasonCode::Success, qos), V5, value(PropertyId::MaximumQoS, 2));
}

/// MQTT-3.1.2.11.10, MQTT-3.1.3.2; 3.1.1 MQTT-3.1.2-22.
#[test]
fn connect_is_consistent() {
    let packet = PacketType::Connect;
    let with = |connect| Packet::Connect(Box::new(connect));
    let password = Some(Bytes::from_static(b"p"));
    let alone = Connect { password, ..connect(V3) };
    refused(with(alone), V5, EncodeError::PasswordWithoutUserName);
    let authentication_data = Some(Bytes::new());
    let data = Connect { authentication_data, ..connect(V5) };
    refused(with(data), V5, EncodeError::AuthenticationMethodMissing { packet });
    let will = Will {
        topic: "w".parse().unwrap(),
        payload: Bytes::new(),
        qos: QoS::AtMostOnce,
        retain: false,
        delay_s: None,
        properties: PublishProperties { topic_alias: Some(1), ..PublishProperties::default() },
    };
    let property = PropertyId::TopicAlias;
    let will = Connect { will: Some(will), ..connect(V5) };
    refused(with(will), V5, EncodeError::PropertyNotAllowed { packet, property });
}

/// MQTT-3.8.3-2, MQTT-3.8.3-4, MQTT-3.9.3.
#[test]
fn lists_are_not_empty() {
    let mut subscribe = Subscribe {
        packet_id: id(),
        filters: Vec::new(),
        subscription_id: None,
        user_properties: Vec::new(),
    };
    let empty = |packet| EncodeError::EmptyList { packet };
    refused(Packet::Subscribe(subscribe.clone()), V3, empty(PacketType::Subscribe));
    subscribe.filters.push(SubscribeFilter {
        filter: "$share/g/a".parse().unwrap(),
        qos: QoS::AtMostOnce,
        no_local: true,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    });
    refused(Packet::Subscribe(subscribe), V5, EncodeError::NoLocalShared);
    let (reason_string, user_properties) = (None, Vec::new());
    let suback = SubAck { packet_id: id(), codes: Vec::new(), reason_string, user_properties };
    refused(Packet::SubAck(suback), V3, empty(PacketType::SubAck));
}

/// Secrets do not reach a log through `Debug`.
#[test]
fn debug_hides_secrets() {
    let mut connect = connect(V5);
    connect.password = Some(Bytes::from_static(b"swordfish"));
    connect.authentication_data = Some(Bytes::from_static(b"swordfish"));
    let shown = format!("{:?}", Packet::Connect(Box::new(connect)));
    assert!(!shown.contains("swordfish") && shown.contains("<redacted>"), "{shown}");
}
