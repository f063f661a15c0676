//! Against the MQTT 5 codec of rmqtt: what we encode it decodes to the same, and what it encodes we do.
//!
//! It keeps properties as values, so that an absent one and its default look alike; [`normal`] gives ours
//! their defaults before they are compared. What it takes for impossible is left out by [`tame`].

use bytes::{Bytes, BytesMut};
use parlance_mqtt::*;
use proptest::prelude::*;
use rmqtt_codec::error::DecodeError as TheirError;
use rmqtt_codec::{types, v5};
use tokio_util::codec::{Decoder as _, Encoder as _};

use crate::arbitrary::packet;
use crate::rmqtt_v3::{name_client, qos};
use crate::{decoded, encoded};

const V5: Version = Version::V5;

/// A Message Expiry Interval of 0 is legal (MQTT-3.3.2.3.3) but not to it.
fn tame(mut packet: Packet) -> Packet {
    let tame = |properties: &mut PublishProperties| {
        properties.message_expiry_s = properties.message_expiry_s.map(|expiry| expiry.max(1));
    };
    match &mut packet {
        Packet::Publish(publish) => tame(&mut publish.properties),
        Packet::Connect(connect) => {
            name_client(connect);
            if let Some(will) = &mut connect.will {
                tame(&mut will.properties);
            }
        }
        _ => {}
    }
    packet
}

/// The packet with the defaults of its absent properties.
fn normal(mut packet: Packet) -> Packet {
    match &mut packet {
        Packet::Publish(publish) => {
            publish.properties.payload_is_utf8.get_or_insert(false);
        }
        Packet::Connect(connect) => {
            connect.session_expiry_s.get_or_insert(0);
            connect.topic_alias_maximum.get_or_insert(0);
            connect.request_response_information.get_or_insert(false);
            connect.request_problem_information.get_or_insert(true);
        }
        Packet::ConnAck(connack) => {
            let properties = &mut connack.properties;
            properties.receive_maximum.get_or_insert(u16::MAX);
            properties.maximum_qos.get_or_insert(2);
            properties.topic_alias_maximum.get_or_insert(0);
            properties.retain_available.get_or_insert(true);
            properties.wildcard_subscription_available.get_or_insert(true);
            properties.subscription_ids_available.get_or_insert(true);
            properties.shared_subscription_available.get_or_insert(true);
        }
        _ => {}
    }
    packet
}

type Text = bytestring::ByteString;

fn text(text: Option<Text>) -> Option<Bytes> {
    text.map(Text::into_bytes)
}

fn users(users: v5::UserProperties) -> UserProperties {
    users.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect()
}

fn reason(code: impl Into<u8>) -> ReasonCode {
    ReasonCode::try_from(code.into()).unwrap()
}

fn will_view(theirs: v5::LastWill) -> Will {
    Will {
        topic: theirs.topic.parse().unwrap(),
        payload: theirs.message,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        delay_s: theirs.will_delay_interval_sec,
        properties: PublishProperties {
            payload_is_utf8: theirs.is_utf8_payload,
            message_expiry_s: theirs.message_expiry_interval.map(u32::from),
            response_topic: text(theirs.response_topic),
            correlation_data: theirs.correlation_data,
            content_type: text(theirs.content_type),
            user_properties: users(theirs.user_properties),
            ..PublishProperties::default()
        },
    }
}

fn connect_view(theirs: v5::Connect) -> Connect {
    Connect {
        version: V5,
        clean_start: theirs.clean_start,
        keep_alive_s: theirs.keep_alive,
        client_id: theirs.client_id.into_bytes(),
        will: theirs.last_will.map(will_view),
        username: text(theirs.username),
        password: theirs.password,
        session_expiry_s: Some(theirs.session_expiry_interval_secs),
        receive_maximum: theirs.receive_max.map(u16::from),
        maximum_packet_size: theirs.max_packet_size.map(u32::from),
        topic_alias_maximum: Some(theirs.topic_alias_max),
        request_response_information: Some(theirs.request_response_info),
        request_problem_information: Some(theirs.request_problem_info),
        authentication_method: text(theirs.auth_method),
        authentication_data: theirs.auth_data,
        user_properties: users(theirs.user_properties),
    }
}

fn connack_view(theirs: v5::ConnectAck) -> ConnAck {
    ConnAck {
        session_present: theirs.session_present,
        reason: reason(theirs.reason_code),
        properties: ConnAckProperties {
            session_expiry_s: theirs.session_expiry_interval_secs,
            receive_maximum: Some(theirs.receive_max.into()),
            maximum_qos: Some(theirs.max_qos.value()),
            retain_available: Some(theirs.retain_available),
            maximum_packet_size: theirs.max_packet_size,
            assigned_client_id: text(theirs.assigned_client_id),
            topic_alias_maximum: Some(theirs.topic_alias_max),
            reason_string: text(theirs.reason_string),
            user_properties: users(theirs.user_properties),
            wildcard_subscription_available: Some(theirs.wildcard_subscription_available),
            subscription_ids_available: Some(theirs.subscription_identifiers_available),
            shared_subscription_available: Some(theirs.shared_subscription_available),
            server_keep_alive_s: theirs.server_keepalive_sec,
            response_information: text(theirs.response_info),
            server_reference: text(theirs.server_reference),
            authentication_method: text(theirs.auth_method),
            authentication_data: theirs.auth_data,
        },
    }
}

fn publish_view(theirs: types::Publish) -> Publish {
    let properties = theirs.properties.expect("MQTT 5 has properties");
    Publish {
        dup: theirs.dup,
        qos: qos(theirs.qos),
        retain: theirs.retain,
        topic: Some(theirs.topic).filter(|topic| !topic.is_empty()).map(|topic| topic.parse().unwrap()),
        packet_id: theirs.packet_id,
        properties: PublishProperties {
            payload_is_utf8: Some(properties.is_utf8_payload),
            message_expiry_s: properties.message_expiry_interval.map(u32::from),
            topic_alias: properties.topic_alias.map(u16::from),
            response_topic: text(properties.response_topic),
            correlation_data: properties.correlation_data,
            content_type: text(properties.content_type),
            subscription_ids: properties.subscription_ids.into_iter().map(u32::from).collect(),
            user_properties: users(properties.user_properties),
        },
        payload: theirs.payload,
    }
}

fn ack_view(theirs: v5::PublishAck) -> Ack {
    Ack {
        packet_id: theirs.packet_id,
        reason: reason(theirs.reason_code),
        reason_string: text(theirs.reason_string),
        user_properties: users(theirs.properties),
    }
}

fn ack2_view(theirs: v5::PublishAck2) -> Ack {
    Ack {
        packet_id: theirs.packet_id,
        reason: reason(theirs.reason_code),
        reason_string: text(theirs.reason_string),
        user_properties: users(theirs.properties),
    }
}

fn subscribe_view(theirs: v5::Subscribe) -> Subscribe {
    let filters = theirs.topic_filters.into_iter().map(|(path, options)| SubscribeFilter {
        filter: path.parse().unwrap(),
        qos: qos(options.qos),
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        retain_handling: match options.retain_handling {
            v5::RetainHandling::AtSubscribe => RetainHandling::Send,
            v5::RetainHandling::AtSubscribeNew => RetainHandling::SendIfNew,
            v5::RetainHandling::NoAtSubscribe => RetainHandling::DoNotSend,
        },
    });
    Subscribe {
        packet_id: theirs.packet_id,
        filters: filters.collect(),
        subscription_id: theirs.id.map(u32::from),
        user_properties: users(theirs.user_properties),
    }
}

/// Their packet in our words.
fn view(theirs: v5::Packet) -> Packet {
    match theirs {
        v5::Packet::Connect(connect) => Packet::Connect(Box::new(connect_view(*connect))),
        v5::Packet::ConnectAck(connack) => Packet::ConnAck(Box::new(connack_view(*connack))),
        v5::Packet::Publish(publish) => Packet::Publish(publish_view(*publish)),
        v5::Packet::PublishAck(ack) => Packet::PubAck(ack_view(ack)),
        v5::Packet::PublishReceived(ack) => Packet::PubRec(ack_view(ack)),
        v5::Packet::PublishRelease(ack) => Packet::PubRel(ack2_view(ack)),
        v5::Packet::PublishComplete(ack) => Packet::PubComp(ack2_view(ack)),
        v5::Packet::Subscribe(subscribe) => Packet::Subscribe(subscribe_view(subscribe)),
        v5::Packet::SubscribeAck(suback) => Packet::SubAck(SubAck {
            packet_id: suback.packet_id,
            codes: suback.status.into_iter().map(reason).collect(),
            reason_string: text(suback.reason_string),
            user_properties: users(suback.properties),
        }),
        v5::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            packet_id: unsubscribe.packet_id,
            filters: unsubscribe.topic_filters.iter().map(|path| path.parse().unwrap()).collect(),
            user_properties: users(unsubscribe.user_properties),
        }),
        v5::Packet::UnsubscribeAck(unsuback) => Packet::UnsubAck(UnsubAck {
            packet_id: unsuback.packet_id,
            codes: unsuback.status.into_iter().map(reason).collect(),
            reason_string: text(unsuback.reason_string),
            user_properties: users(unsuback.properties),
        }),
        v5::Packet::PingRequest => Packet::PingReq,
        v5::Packet::PingResponse => Packet::PingResp,
        v5::Packet::Disconnect(disconnect) => Packet::Disconnect(Disconnect {
            reason: reason(disconnect.reason_code),
            session_expiry_s: disconnect.session_expiry_interval_secs,
            reason_string: text(disconnect.reason_string),
            server_reference: text(disconnect.server_reference),
            user_properties: users(disconnect.user_properties),
        }),
        v5::Packet::Auth(auth) => Packet::Auth(Auth {
            reason: reason(auth.reason_code),
            method: text(auth.auth_method),
            data: auth.auth_data,
            reason_string: text(auth.reason_string),
            user_properties: users(auth.user_properties),
        }),
    }
}

fn read(bytes: &[u8]) -> Result<v5::Packet, TheirError> {
    let read = v5::Codec::new(0, 0).decode(&mut BytesMut::from(bytes))?;
    Ok(read.expect("a whole packet").0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn agrees_on_valid_packets(packet in packet(V5).prop_map(tame)) {
        let bytes = encoded(&packet, V5);
        let theirs = read(&bytes).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let mut their_bytes = BytesMut::new();
        v5::Codec::new(0, 0).encode(theirs.clone(), &mut their_bytes).unwrap();
        prop_assert_eq!(view(theirs), normal(packet.clone()));
        let back = decoded(their_bytes.freeze(), V5).map(normal);
        prop_assert_eq!(back, Ok(normal(packet)));
    }
}

/// Where it takes bytes that MQTT 5 forbids, by clause. We refuse them all.
#[test]
fn it_is_laxer() {
    for (clause, bytes) in [
        ("MQTT-1.5.5-1: length longer than need be", &b"\xC0\x80\x00"[..]),
        ("MQTT-3.3.1-2: DUP with QoS 0", b"\x38\x04\x00\x01t\x00"),
        ("MQTT-3.3.2-2: wildcard in a topic name", b"\x30\x04\x00\x01#\x00"),
        ("MQTT-3.3.2.1: neither topic nor alias", b"\x30\x03\x00\x00\x00"),
        ("MQTT-4.7.1-1: misplaced wildcard", b"\x82\x08\x00\x01\x00\x00\x02#a\x00"),
        ("MQTT-3.8.3-4: no local on a shared subscription", b"\x82\x10\x00\x01\x00\x00\x0A$share/g/b\x04"),
        ("MQTT-1.5.4-2: U+0000 in a string", b"\x30\x04\x00\x01\x00\x00"),
        ("bytes behind the fixed header of PINGREQ", b"\xC0\x01\x00"),
    ] {
        assert!(read(bytes).is_ok(), "it refuses now: {clause}");
        assert!(decoded(Bytes::from_static(bytes), V5).is_err(), "{clause}");
    }
}
