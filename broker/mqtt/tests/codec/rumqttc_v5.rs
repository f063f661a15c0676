//! Against the MQTT 5 codec of rumqttc: what we encode it decodes to the same, and what it encodes we do.
//!
//! On valid packets it differs in these things, which [`tame`] and [`expressible`] leave out:
//! * an empty user name or password counts as absent, and a password is a string (MQTT-3.1.3.5, MQTT-3.1.3.6);
//! * a DISCONNECT without properties, with remaining length 0 or 1, is refused (MQTT-3.14.2.1, MQTT-3.14.2.2.1
//!   allow both);
//! * a DISCONNECT with code 0x8C is refused (MQTT-2.4 lists it for DISCONNECT, the table of MQTT-3.14.2.1 does not);
//! * with two or more subscription identifiers in a PUBLISH it counts their property identifiers twice and takes
//!   the last bytes of the properties for payload (MQTT-3.3.2.3.8): they have rmqtt as their oracle;
//! * AUTH is no packet type for its `Packet::read`, and its writer forgets the length prefixes of strings in the
//!   property length (MQTT-2.2.2.1): AUTH has rmqtt as its only oracle.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::*;
use proptest::prelude::*;
use rumqttc::v5::mqttbytes::{self, v5};

use crate::arbitrary::packet;
use crate::rumqttc_v4::tame_login;
use crate::{decoded, encoded};

const V5: Version = Version::V5;

fn tame(packet: Packet) -> Packet {
    match packet {
        Packet::Connect(mut connect) => {
            tame_login(&mut connect);
            Packet::Connect(connect)
        }
        other => other,
    }
}

fn expressible(packet: &Packet) -> bool {
    match packet {
        Packet::Auth(_) => false,
        Packet::Publish(publish) => publish.properties.subscription_ids.len() < 2,
        Packet::Disconnect(disconnect) => {
            let bare = *disconnect == Disconnect::with(disconnect.reason);
            !bare && disconnect.reason != ReasonCode::BadAuthenticationMethod
        }
        _ => true,
    }
}

/// Their codes have no numbers, but names that are nearly ours.
fn reason(code: impl std::fmt::Debug) -> ReasonCode {
    let theirs = format!("{code:?}");
    let ours = match theirs.as_str() {
        "BadUserNamePassword" => "BadUserNameOrPassword",
        "Success(AtMostOnce)" | "NormalDisconnection" => "Success",
        "Success(AtLeastOnce)" => "GrantedQoS1",
        "Success(ExactlyOnce)" => "GrantedQoS2",
        "DisconnectWithWillMessage" => "DisconnectWithWill",
        "Unspecified" => "UnspecifiedError",
        "ImplementationSpecific" => "ImplementationSpecificError",
        "PkidInUse" => "PacketIdentifierInUse",
        "SharedSubscriptionNotSupported" => "SharedSubscriptionsNotSupported",
        "SubscriptionIdNotSupported" => "SubscriptionIdentifiersNotSupported",
        same => same,
    };
    let named = |code: &&ReasonCode| format!("{code:?}") == ours;
    *ReasonCode::ALL.iter().find(named).unwrap_or_else(|| panic!("no code is named {theirs}"))
}

fn qos(qos: mqttbytes::QoS) -> QoS {
    QoS::try_from(qos as u8).unwrap()
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn text(text: Option<String>) -> Option<Bytes> {
    text.map(Bytes::from)
}

fn flag(flag: Option<u8>) -> Option<bool> {
    flag.map(|flag| flag == 1)
}

fn users(users: Vec<(String, String)>) -> UserProperties {
    users.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn will_view(theirs: v5::LastWill) -> Will {
    let mut will = Will {
        topic: TopicName::new(theirs.topic).unwrap(),
        payload: theirs.message,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        delay_s: None,
        properties: PublishProperties::default(),
    };
    if let Some(properties) = theirs.properties {
        will.delay_s = properties.delay_interval;
        will.properties = PublishProperties {
            payload_is_utf8: flag(properties.payload_format_indicator),
            message_expiry_s: properties.message_expiry_interval,
            content_type: text(properties.content_type),
            response_topic: text(properties.response_topic),
            correlation_data: properties.correlation_data,
            user_properties: users(properties.user_properties),
            ..PublishProperties::default()
        };
    }
    will
}

fn connect_view(theirs: v5::Connect, will: Option<v5::LastWill>, login: Option<v5::Login>) -> Connect {
    let login = login.unwrap_or(v5::Login { username: String::new(), password: String::new() });
    let present = |text: String| Some(Bytes::from(text)).filter(|bytes| !bytes.is_empty());
    let mut connect = Connect {
        clean_start: theirs.clean_start,
        keep_alive_s: theirs.keep_alive,
        client_id: theirs.client_id.into(),
        will: will.map(will_view),
        username: present(login.username),
        password: present(login.password),
        ..crate::expected::connect(V5)
    };
    if let Some(properties) = theirs.properties {
        connect.session_expiry_s = properties.session_expiry_interval;
        connect.receive_maximum = properties.receive_maximum;
        connect.maximum_packet_size = properties.max_packet_size;
        connect.topic_alias_maximum = properties.topic_alias_max;
        connect.request_response_information = flag(properties.request_response_info);
        connect.request_problem_information = flag(properties.request_problem_info);
        connect.authentication_method = text(properties.authentication_method);
        connect.authentication_data = properties.authentication_data;
        connect.user_properties = users(properties.user_properties);
    }
    connect
}

fn connack_view(theirs: v5::ConnAck) -> ConnAck {
    let properties = theirs.properties.map_or_else(ConnAckProperties::default, |theirs| ConnAckProperties {
        session_expiry_s: theirs.session_expiry_interval,
        receive_maximum: theirs.receive_max,
        maximum_qos: theirs.max_qos,
        retain_available: flag(theirs.retain_available),
        maximum_packet_size: theirs.max_packet_size,
        assigned_client_id: text(theirs.assigned_client_identifier),
        topic_alias_maximum: theirs.topic_alias_max,
        reason_string: text(theirs.reason_string),
        user_properties: users(theirs.user_properties),
        wildcard_subscription_available: flag(theirs.wildcard_subscription_available),
        subscription_ids_available: flag(theirs.subscription_identifiers_available),
        shared_subscription_available: flag(theirs.shared_subscription_available),
        server_keep_alive_s: theirs.server_keep_alive,
        response_information: text(theirs.response_information),
        server_reference: text(theirs.server_reference),
        authentication_method: text(theirs.authentication_method),
        authentication_data: theirs.authentication_data,
    });
    ConnAck { session_present: theirs.session_present, reason: reason(theirs.code), properties }
}

fn publish_view(theirs: v5::Publish) -> Publish {
    let properties = theirs.properties.map_or_else(PublishProperties::default, |theirs| PublishProperties {
        payload_is_utf8: flag(theirs.payload_format_indicator),
        message_expiry_s: theirs.message_expiry_interval,
        topic_alias: theirs.topic_alias,
        response_topic: text(theirs.response_topic),
        correlation_data: theirs.correlation_data,
        content_type: text(theirs.content_type),
        subscription_ids: theirs.subscription_identifiers.into_iter().map(|id| id as u32).collect(),
        user_properties: users(theirs.user_properties),
    });
    Publish {
        dup: theirs.dup,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        topic: Some(theirs.topic)
            .filter(|topic| !topic.is_empty())
            .map(|topic| TopicName::new(topic).unwrap()),
        packet_id: PacketId::new(theirs.pkid),
        properties,
        payload: theirs.payload,
    }
}

/// PUBACK to PUBCOMP, SUBACK and UNSUBACK have structs of their own there, alike in all but name.
macro_rules! explained {
    ($theirs:expr) => {
        $theirs.properties.map_or((None, Vec::new()), |properties| {
            (text(properties.reason_string), users(properties.user_properties))
        })
    };
}

macro_rules! ack_view {
    ($theirs:expr) => {{
        let (packet_id, reason) = (id($theirs.pkid), reason($theirs.reason));
        let (reason_string, user_properties) = explained!($theirs);
        Ack { packet_id, reason, reason_string, user_properties }
    }};
}

fn subscribe_view(theirs: v5::Subscribe) -> Subscribe {
    let filters = theirs.filters.into_iter().map(|filter| SubscribeFilter {
        filter: filter.path.parse().unwrap(),
        qos: qos(filter.qos),
        no_local: filter.nolocal,
        retain_as_published: filter.preserve_retain,
        retain_handling: match filter.retain_forward_rule {
            v5::RetainForwardRule::OnEverySubscribe => RetainHandling::Send,
            v5::RetainForwardRule::OnNewSubscribe => RetainHandling::SendIfNew,
            v5::RetainForwardRule::Never => RetainHandling::DoNotSend,
        },
    });
    let (subscription_id, user_properties) = theirs
        .properties
        .map_or((None, Vec::new()), |theirs| (theirs.id.map(|id| id as u32), users(theirs.user_properties)));
    Subscribe { packet_id: id(theirs.pkid), filters: filters.collect(), subscription_id, user_properties }
}

fn disconnect_view(theirs: v5::Disconnect) -> Disconnect {
    let mut disconnect = Disconnect::with(reason(theirs.reason_code));
    if let Some(properties) = theirs.properties {
        disconnect.session_expiry_s = properties.session_expiry_interval;
        disconnect.reason_string = text(properties.reason_string);
        disconnect.server_reference = text(properties.server_reference);
        disconnect.user_properties = users(properties.user_properties);
    }
    disconnect
}

/// Their packet in our words.
fn view(theirs: v5::Packet) -> Packet {
    match theirs {
        v5::Packet::Auth(_) => unreachable!("it does not read AUTH"),
        v5::Packet::Connect(connect, will, login) => {
            Packet::Connect(Box::new(connect_view(connect, will, login)))
        }
        v5::Packet::ConnAck(connack) => Packet::ConnAck(Box::new(connack_view(connack))),
        v5::Packet::Publish(publish) => Packet::Publish(publish_view(publish)),
        v5::Packet::PubAck(ack) => Packet::PubAck(ack_view!(ack)),
        v5::Packet::PubRec(ack) => Packet::PubRec(ack_view!(ack)),
        v5::Packet::PubRel(ack) => Packet::PubRel(ack_view!(ack)),
        v5::Packet::PubComp(ack) => Packet::PubComp(ack_view!(ack)),
        v5::Packet::Subscribe(subscribe) => Packet::Subscribe(subscribe_view(subscribe)),
        v5::Packet::SubAck(suback) => {
            let codes = suback.return_codes.iter().map(reason).collect();
            let (reason_string, user_properties) = explained!(suback);
            Packet::SubAck(SubAck { packet_id: id(suback.pkid), codes, reason_string, user_properties })
        }
        v5::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            packet_id: id(unsubscribe.pkid),
            filters: unsubscribe.filters.iter().map(|path| path.parse().unwrap()).collect(),
            user_properties: unsubscribe
                .properties
                .map_or(Vec::new(), |theirs| users(theirs.user_properties)),
        }),
        v5::Packet::UnsubAck(unsuback) => {
            let codes = unsuback.reasons.iter().map(reason).collect();
            let (reason_string, user_properties) = explained!(unsuback);
            Packet::UnsubAck(UnsubAck { packet_id: id(unsuback.pkid), codes, reason_string, user_properties })
        }
        v5::Packet::PingReq(_) => Packet::PingReq,
        v5::Packet::PingResp(_) => Packet::PingResp,
        v5::Packet::Disconnect(disconnect) => Packet::Disconnect(disconnect_view(disconnect)),
    }
}

fn read(bytes: &[u8]) -> Result<v5::Packet, mqttbytes::Error> {
    v5::Packet::read(&mut BytesMut::from(bytes), None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn agrees_on_valid_packets(packet in packet(V5).prop_map(tame).prop_filter("it cannot", expressible)) {
        let bytes = encoded(&packet, V5);
        let theirs = read(&bytes).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let mut their_bytes = BytesMut::new();
        theirs.write(&mut their_bytes, None).unwrap();
        prop_assert_eq!(view(theirs), packet.clone());
        prop_assert_eq!(decoded(their_bytes.freeze(), V5), Ok(packet));
    }
}

/// Where it takes bytes that MQTT 5 forbids, by clause. We refuse them all.
#[test]
fn it_is_laxer() {
    for (clause, bytes) in [
        ("MQTT-2.1.3-1: reserved flags of PUBACK", &b"\x4F\x02\x00\x01"[..]),
        ("MQTT-2.2.1-3: packet identifier 0", b"\x40\x02\x00\x00"),
        ("MQTT-1.5.5-1: length longer than need be", b"\xC0\x80\x00"),
        ("MQTT-3.1.2-3: reserved connect flag", b"\x10\x0D\x00\x04MQTT\x05\x01\x00\x0A\x00\x00\x00"),
        (
            "MQTT-3.1.2.11.3: receive maximum 0",
            b"\x10\x10\x00\x04MQTT\x05\x00\x00\x0A\x03\x21\x00\x00\x00\x00",
        ),
        ("MQTT-3.3.1-2: DUP with QoS 0", b"\x38\x04\x00\x01t\x00"),
        ("MQTT-3.3.2-2: wildcard in a topic name", b"\x30\x04\x00\x01#\x00"),
        ("MQTT-3.3.2.1: neither topic nor alias", b"\x30\x03\x00\x00\x00"),
        ("MQTT-3.3.2-8: topic alias 0", b"\x30\x07\x00\x01t\x03\x23\x00\x00"),
        ("MQTT-3.3.2.3: a property twice", b"\x30\x0A\x00\x01t\x06\x23\x00\x01\x23\x00\x02"),
        ("MQTT-4.7.1-1: misplaced wildcard", b"\x82\x08\x00\x01\x00\x00\x02#a\x00"),
        ("MQTT-3.8.3-5: reserved options", b"\x82\x07\x00\x01\x00\x00\x01a\xC0"),
        ("bytes behind the fixed header of PINGREQ", b"\xC0\x01\x00"),
    ] {
        assert!(read(bytes).is_ok(), "it refuses now: {clause}");
        assert!(decoded(Bytes::from_static(bytes), V5).is_err(), "{clause}");
    }
}
