//! Each rule by the bytes that break it, with the reason code that the peer is told.

use super::*;
use crate::{PropertyId, ReasonCode, TopicError};

const V3: Version = Version::V3;
const V5: Version = Version::V5;

fn refused(bytes: &'static [u8], version: Version) -> DecodeError {
    let mut buf = Bytes::from_static(bytes);
    decode(&mut buf, version, u32::MAX).expect_err("must be refused")
}

/// The bytes are refused in both versions for the same cause; `v5` are the same fields with no properties.
#[track_caller]
fn both(v3: &'static [u8], v5: &'static [u8], error: DecodeError, reason: ReasonCode) {
    assert_eq!(refused(v3, V3), error, "3.1.1");
    only(V5, v5, error, reason);
}

#[track_caller]
fn only(version: Version, bytes: &'static [u8], error: DecodeError, reason: ReasonCode) {
    assert_eq!(refused(bytes, version), error);
    assert_eq!(error.reason(), reason, "{error}");
}

/// MQTT-2.1.2, MQTT-2.1.3-1: known from the first byte alone.
#[test]
fn types_and_flags() {
    let unknown = |packet_type| DecodeError::UnknownPacketType { packet_type };
    both(b"\x00", b"\x00", unknown(0), ReasonCode::MalformedPacket);
    assert_eq!(refused(b"\xF0", V3), unknown(15));
    for first in 0x10..=u8::MAX {
        let Some(packet) = PacketType::from_first_byte(first) else { continue };
        let flags = first & 0x0F;
        let mut buf = Bytes::copy_from_slice(&[first]);
        let valid = match packet {
            PacketType::Publish => flags >> 1 & 3 != 3 && flags & 0b1110 != 0b1000,
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => flags == 2,
            _ => flags == 0,
        };
        assert_eq!(decode(&mut buf, V5, u32::MAX).is_ok(), valid, "{first:#04x}");
    }
    let flags = DecodeError::ReservedFlags { packet: PacketType::PubRel, flags: 0 };
    both(b"\x60\x02\x00\x01", b"\x60\x02\x00\x01", flags, ReasonCode::MalformedPacket);
}

/// MQTT-2.1.4, MQTT-1.5.5-1. 3.1.1 does not ask for the shortest form.
#[test]
fn remaining_length() {
    let malformed = DecodeError::RemainingLengthMalformed;
    let bytes = b"\x30\xFF\xFF\xFF\xFF";
    both(bytes, bytes, malformed, ReasonCode::MalformedPacket);
    let long = DecodeError::VarIntNotMinimal { packet: PacketType::PingReq };
    only(V5, b"\xC0\x80\x00", long, ReasonCode::MalformedPacket);
    let mut buf = Bytes::from_static(b"\xC0\x80\x00");
    assert_eq!(decode(&mut buf, V3, 100), Ok(Some(Packet::PingReq)));
    // A CONNECT is judged by the version that it names, whatever was set before.
    let long = DecodeError::VarIntNotMinimal { packet: PacketType::Connect };
    assert_eq!(refused(b"\x10\x8D\x00\x00\x04MQTT\x05\x00\x00\x0A\x00\x00\x00", V3), long);
    let mut buf = Bytes::from_static(b"\x10\x8C\x00\x00\x04MQTT\x04\x00\x00\x0A\x00\x00");
    assert!(matches!(decode(&mut buf, V5, 100), Ok(Some(Packet::Connect(_)))));
}

/// MQTT-3.1.2-24: refused before its body is there.
#[test]
fn too_large() {
    let mut buf = Bytes::from_static(b"\x30\xFF\xFF\xFF\x7F");
    let error = DecodeError::PacketTooLarge { bytes: 268_435_460, bytes_max: 1_000 };
    assert_eq!(decode(&mut buf, V5, 1_000), Err(error));
    assert_eq!(error.reason(), ReasonCode::PacketTooLarge);
}

/// Fields that end too early or too late.
#[test]
fn lengths_of_fields() {
    let short = |packet| DecodeError::Truncated { packet };
    let malformed = ReasonCode::MalformedPacket;
    both(b"\x40\x01\x00", b"\x40\x01\x00", short(PacketType::PubAck), malformed);
    both(b"\x30\x03\x00\x02t", b"\x30\x03\x00\x02t", short(PacketType::Publish), malformed);
    // Properties that reach beyond the packet, and a property beyond its properties.
    only(V5, b"\x30\x04\x00\x01t\x05", short(PacketType::Publish), malformed);
    only(V5, b"\x30\x06\x00\x01t\x02\x23\x00", short(PacketType::Publish), malformed);
    let more = |packet, bytes| DecodeError::TrailingBytes { packet, bytes };
    only(V3, b"\x40\x03\x00\x01\x00", more(PacketType::PubAck, 1), malformed);
    only(V5, b"\x40\x06\x00\x01\x00\x00\x01\x02", more(PacketType::PubAck, 2), malformed);
    both(b"\xC0\x01\x00", b"\xC0\x01\x00", more(PacketType::PingReq, 1), malformed);
    both(b"\xD0\x01\x00", b"\xD0\x01\x00", more(PacketType::PingResp, 1), malformed);
    only(V3, b"\xE0\x01\x00", more(PacketType::Disconnect, 1), malformed);
    only(V3, b"\xB0\x03\x00\x01\x00", more(PacketType::UnsubAck, 1), malformed);
    let connect = (
        b"\x10\x0D\x00\x04MQTT\x04\x00\x00\x0A\x00\x00\xFF",
        b"\x10\x0E\x00\x04MQTT\x05\x00\x00\x0A\x00\x00\x00\xFF",
    );
    both(connect.0, connect.1, more(PacketType::Connect, 1), malformed);
}

/// MQTT-1.5.4-1, MQTT-1.5.4-2: UTF-8 without surrogates and without U+0000.
#[test]
fn strings() {
    let packet = PacketType::Connect;
    both(
        b"\x10\x0D\x00\x04MQTT\x04\x00\x00\x0A\x00\x01\x00",
        b"\x10\x0E\x00\x04MQTT\x05\x00\x00\x0A\x00\x00\x01\x00",
        DecodeError::StringWithNul { packet },
        ReasonCode::MalformedPacket,
    );
    both(
        b"\x10\x0F\x00\x04MQTT\x04\x00\x00\x0A\x00\x03\xED\xA0\x80",
        b"\x10\x10\x00\x04MQTT\x05\x00\x00\x0A\x00\x00\x03\xED\xA0\x80",
        DecodeError::StringNotUtf8 { packet },
        ReasonCode::MalformedPacket,
    );
    let name = |error| DecodeError::TopicName { packet: PacketType::Publish, error };
    let bytes = b"\x30\x03\x00\x01\xFF";
    both(bytes, bytes, name(TopicError::NotUtf8), ReasonCode::MalformedPacket);
}

/// MQTT-3.1.2-1, MQTT-3.1.2-2.
#[test]
fn protocol_name_and_level() {
    let unsupported = ReasonCode::UnsupportedProtocolVersion;
    only(V5, b"\x10\x06\x00\x04HTTP", DecodeError::ProtocolName, unsupported);
    let level = |level| DecodeError::UnsupportedProtocolVersion { level };
    only(V5, b"\x10\x07\x00\x04MQTT\x06", level(6), unsupported);
    only(V5, b"\x10\x07\x00\x04MQTT\x84", level(0x84), unsupported);
    only(V5, b"\x10\x09\x00\x06MQIsdp\x03", level(3), unsupported);
}

/// MQTT-3.1.2-3, MQTT-3.1.2-11 to MQTT-3.1.2-13; 3.1.1 MQTT-3.1.2-22.
#[test]
fn connect_flags() {
    let malformed = ReasonCode::MalformedPacket;
    both(
        b"\x10\x0C\x00\x04MQTT\x04\x01\x00\x0A\x00\x00",
        b"\x10\x0D\x00\x04MQTT\x05\x01\x00\x0A\x00\x00\x00",
        DecodeError::ConnectFlagReserved,
        malformed,
    );
    both(
        b"\x10\x0C\x00\x04MQTT\x04\x20\x00\x0A\x00\x00",
        b"\x10\x0D\x00\x04MQTT\x05\x08\x00\x0A\x00\x00\x00",
        DecodeError::WillFlagsWithoutWill,
        malformed,
    );
    both(
        b"\x10\x0C\x00\x04MQTT\x04\x1C\x00\x0A\x00\x00",
        b"\x10\x0D\x00\x04MQTT\x05\x1C\x00\x0A\x00\x00\x00",
        DecodeError::WillQoS,
        malformed,
    );
    let bytes = b"\x10\x0F\x00\x04MQTT\x04\x40\x00\x0A\x00\x00\x00\x01p";
    only(V3, bytes, DecodeError::PasswordWithoutUserName, malformed);
}

/// MQTT-3.2.2-1, MQTT-3.2.2-6 (3.1.1 MQTT-3.2.2-4), MQTT-3.2.2-8.
#[test]
fn connack() {
    let flags = DecodeError::ConnAckFlags { flags: 2 };
    both(b"\x20\x02\x02\x00", b"\x20\x03\x02\x00\x00", flags, ReasonCode::MalformedPacket);
    let session = DecodeError::SessionPresentWithError;
    both(b"\x20\x02\x01\x05", b"\x20\x03\x01\x87\x00", session, ReasonCode::ProtocolError);
    let code = |code| DecodeError::ReasonCode { packet: PacketType::ConnAck, code };
    both(b"\x20\x02\x00\x06", b"\x20\x03\x00\x06\x00", code(6), ReasonCode::ProtocolError);
}

/// MQTT-3.3.1-2, MQTT-3.3.1-4, MQTT-2.2.1-3, MQTT-3.3.2-2, MQTT-4.7.3-1.
#[test]
fn publish() {
    let packet = PacketType::Publish;
    let malformed = ReasonCode::MalformedPacket;
    both(b"\x36", b"\x36", DecodeError::QoS { packet }, malformed);
    both(b"\x38", b"\x38", DecodeError::DupWithQoS0, malformed);
    let zero = DecodeError::PacketIdZero { packet };
    let protocol_error = ReasonCode::ProtocolError;
    both(b"\x32\x05\x00\x01t\x00\x00", b"\x32\x06\x00\x01t\x00\x00\x00", zero, protocol_error);
    let name = |error| DecodeError::TopicName { packet, error };
    let invalid = ReasonCode::TopicNameInvalid;
    both(b"\x30\x03\x00\x01#", b"\x30\x04\x00\x01+\x00", name(TopicError::WildcardInName), invalid);
    only(V3, b"\x30\x02\x00\x00", name(TopicError::Empty), invalid);
    only(V5, b"\x30\x03\x00\x00\x00", DecodeError::NoTopic, protocol_error);
}

/// MQTT-2.2.1-3, MQTT-2.2.1-4.
#[test]
fn packet_identifier_0() {
    let zero = |packet| DecodeError::PacketIdZero { packet };
    for (bytes, packet) in [
        (&b"\x40\x02\x00\x00"[..], PacketType::PubAck),
        (b"\x50\x02\x00\x00", PacketType::PubRec),
        (b"\x62\x02\x00\x00", PacketType::PubRel),
        (b"\x70\x02\x00\x00", PacketType::PubComp),
        (b"\x82\x07\x00\x00\x00\x00\x01a\x00", PacketType::Subscribe),
        (b"\x90\x04\x00\x00\x00\x00", PacketType::SubAck),
        (b"\xA2\x06\x00\x00\x00\x00\x01a", PacketType::Unsubscribe),
        (b"\xB0\x04\x00\x00\x00\x00", PacketType::UnsubAck),
    ] {
        both(bytes, bytes, zero(packet), ReasonCode::ProtocolError);
    }
}

/// MQTT-3.4.2-1, MQTT-3.9.3-2, MQTT-3.14.2-1, MQTT-3.15.2-1: codes of other packets.
#[test]
fn reason_codes() {
    let code = |packet, code| DecodeError::ReasonCode { packet, code };
    for (bytes, error) in [
        (&b"\x40\x03\x00\x01\x92"[..], code(PacketType::PubAck, 0x92)),
        (b"\x50\x03\x00\x01\x01", code(PacketType::PubRec, 0x01)),
        (b"\x62\x03\x00\x01\x80", code(PacketType::PubRel, 0x80)),
        (b"\x70\x03\x00\x01\x10", code(PacketType::PubComp, 0x10)),
        (b"\x90\x04\x00\x01\x00\x03", code(PacketType::SubAck, 0x03)),
        (b"\xB0\x04\x00\x01\x00\x01", code(PacketType::UnsubAck, 0x01)),
        (b"\xE0\x01\x86", code(PacketType::Disconnect, 0x86)),
        (b"\xF0\x02\x80\x00", code(PacketType::Auth, 0x80)),
    ] {
        only(V5, bytes, error, ReasonCode::ProtocolError);
    }
    only(V3, b"\x90\x03\x00\x01\x03", code(PacketType::SubAck, 3), ReasonCode::ProtocolError);
}

/// MQTT-3.8.3-2, MQTT-3.8.3-4, MQTT-3.8.3-5, MQTT-3.8.3.1, MQTT-3.10.3-2, MQTT-4.7.1-2, MQTT-4.8.2-1.
#[test]
fn subscribe_and_unsubscribe() {
    let packet = PacketType::Subscribe;
    let protocol_error = ReasonCode::ProtocolError;
    let empty = |packet| DecodeError::EmptyList { packet };
    both(b"\x82\x02\x00\x01", b"\x82\x03\x00\x01\x00", empty(packet), protocol_error);
    let unsubscribe = PacketType::Unsubscribe;
    both(b"\xA2\x02\x00\x01", b"\xA2\x03\x00\x01\x00", empty(unsubscribe), protocol_error);
    both(b"\x90\x02\x00\x01", b"\x90\x03\x00\x01\x00", empty(PacketType::SubAck), protocol_error);
    only(V5, b"\xB0\x03\x00\x01\x00", empty(PacketType::UnsubAck), protocol_error);
    let qos = DecodeError::QoS { packet };
    both(b"\x82\x06\x00\x01\x00\x01a\x03", b"\x82\x07\x00\x01\x00\x00\x01a\x03", qos, protocol_error);
    let options = |options| DecodeError::SubscriptionOptions { options };
    only(V3, b"\x82\x06\x00\x01\x00\x01a\x04", options(0x04), ReasonCode::MalformedPacket);
    only(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x41", options(0x41), ReasonCode::MalformedPacket);
    only(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x30", DecodeError::RetainHandling, protocol_error);
    let shared = b"\x82\x10\x00\x01\x00\x00\x0A$share/g/b\x04";
    only(V5, shared, DecodeError::NoLocalShared, protocol_error);
    let filter = |packet, error| DecodeError::TopicFilter { packet, error };
    let invalid = ReasonCode::TopicFilterInvalid;
    let misplaced = filter(packet, TopicError::MisplacedWildcard);
    both(b"\x82\x07\x00\x01\x00\x02a#\x00", b"\x82\x08\x00\x01\x00\x00\x02a+\x00", misplaced, invalid);
    let nameless = filter(unsubscribe, TopicError::Empty);
    both(b"\xA2\x04\x00\x01\x00\x00", b"\xA2\x05\x00\x01\x00\x00\x00", nameless, invalid);
    let share = filter(unsubscribe, TopicError::MalformedShare);
    only(V5, b"\xA2\x0D\x00\x01\x00\x00\x08$share//", share, invalid);
    let nul = filter(packet, TopicError::Nul);
    only(V5, b"\x82\x07\x00\x01\x00\x00\x01\x00\x00", nul, ReasonCode::MalformedPacket);
}

/// MQTT-2.2.2.2: unknown, misplaced and repeated properties.
#[test]
fn properties() {
    let packet = PacketType::Publish;
    let unknown = |id| DecodeError::UnknownProperty { packet, id };
    only(V5, b"\x30\x06\x00\x01t\x02\x04\x00", unknown(4), ReasonCode::MalformedPacket);
    only(V5, b"\x30\x06\x00\x01t\x02\xA6\x00", unknown(0xA6), ReasonCode::MalformedPacket);
    let property = PropertyId::ReceiveMaximum;
    let misplaced = DecodeError::PropertyNotAllowed { packet, property };
    only(V5, b"\x30\x07\x00\x01t\x03\x21\x00\x01", misplaced, ReasonCode::MalformedPacket);
    let twice = |property| DecodeError::DuplicateProperty { packet, property };
    let alias = twice(PropertyId::TopicAlias);
    only(V5, b"\x30\x0A\x00\x01t\x06\x23\x00\x01\x23\x00\x01", alias, ReasonCode::ProtocolError);
    let format = twice(PropertyId::PayloadFormatIndicator);
    only(V5, b"\x30\x08\x00\x01t\x04\x01\x00\x01\x01", format, ReasonCode::ProtocolError);
    let long = DecodeError::VarIntNotMinimal { packet };
    only(V5, b"\x30\x05\x00\x01t\x80\x00", long, ReasonCode::MalformedPacket);
    let too_long = DecodeError::VarIntMalformed { packet };
    only(V5, b"\x30\x07\x00\x01t\x80\x80\x80\x80", too_long, ReasonCode::MalformedPacket);
    // Subscription Identifier twice is for PUBLISH only (MQTT-3.8.2.1.2).
    let (packet, property) = (PacketType::Subscribe, PropertyId::SubscriptionIdentifier);
    let twice = DecodeError::DuplicateProperty { packet, property };
    only(V5, b"\x82\x07\x00\x01\x04\x0B\x01\x0B\x02", twice, ReasonCode::ProtocolError);
}

/// Values that a property must not have, each by the clause of its packet.
#[test]
fn property_values() {
    let value = |packet, property, value| DecodeError::PropertyValue { packet, property, value };
    let protocol_error = ReasonCode::ProtocolError;
    only(
        V5,
        b"\x30\x07\x00\x01t\x03\x23\x00\x00",
        DecodeError::TopicAliasZero,
        ReasonCode::TopicAliasInvalid,
    );
    let format = value(PacketType::Publish, PropertyId::PayloadFormatIndicator, 2);
    only(V5, b"\x30\x06\x00\x01t\x02\x01\x02", format, protocol_error);
    let id = |packet| value(packet, PropertyId::SubscriptionIdentifier, 0);
    only(V5, b"\x30\x06\x00\x01t\x02\x0B\x00", id(PacketType::Publish), protocol_error);
    only(V5, b"\x82\x05\x00\x01\x02\x0B\x00", id(PacketType::Subscribe), protocol_error);
    let response =
        DecodeError::ResponseTopic { packet: PacketType::Publish, error: TopicError::WildcardInName };
    only(V5, b"\x30\x08\x00\x01t\x04\x08\x00\x01#", response, protocol_error);
    let connect = |property| value(PacketType::Connect, property, 0);
    let receive = connect(PropertyId::ReceiveMaximum);
    only(V5, b"\x10\x0E\x00\x04MQTT\x05\x00\x00\x0A\x03\x21\x00\x00", receive, protocol_error);
    let size = connect(PropertyId::MaximumPacketSize);
    only(V5, b"\x10\x10\x00\x04MQTT\x05\x00\x00\x0A\x05\x27\x00\x00\x00\x00", size, protocol_error);
    let problem = value(PacketType::Connect, PropertyId::RequestProblemInformation, 2);
    only(V5, b"\x10\x0D\x00\x04MQTT\x05\x00\x00\x0A\x02\x17\x02", problem, protocol_error);
    let maximum = value(PacketType::ConnAck, PropertyId::MaximumQoS, 2);
    only(V5, b"\x20\x05\x00\x00\x02\x24\x02", maximum, protocol_error);
}

/// MQTT-3.1.2.11.10, MQTT-3.15.2.2.2.
#[test]
fn authentication_method() {
    let missing = |packet| DecodeError::AuthenticationMethodMissing { packet };
    let data = b"\x10\x10\x00\x04MQTT\x05\x00\x00\x0A\x04\x16\x00\x01x\x00";
    only(V5, data, missing(PacketType::Connect), ReasonCode::ProtocolError);
    only(V5, b"\xF0\x02\x18\x00", missing(PacketType::Auth), ReasonCode::ProtocolError);
    let short = DecodeError::Truncated { packet: PacketType::Auth };
    only(V5, b"\xF0\x01\x00", short, ReasonCode::MalformedPacket);
}

/// MQTT-3.1.3.2: a will has no alias and no subscription identifiers.
#[test]
fn will_properties() {
    let (packet, property) = (PacketType::Connect, PropertyId::TopicAlias);
    let misplaced = DecodeError::PropertyNotAllowed { packet, property };
    let bytes = b"\x10\x12\x00\x04MQTT\x05\x04\x00\x0A\x00\x00\x00\x03\x23\x00\x01\x00\x00";
    only(V5, bytes, misplaced, ReasonCode::MalformedPacket);
}

/// The contract of the crate: topic and payload are where they were.
#[test]
fn publish_is_not_copied() {
    let buf = Bytes::from(b"\x30\x0A\x00\x03a/b\x00data\xC0\x00".to_vec());
    let mut rest = buf.clone();
    let Ok(Some(Packet::Publish(publish))) = decode(&mut rest, V5, 100) else { panic!("a PUBLISH") };
    assert_eq!(publish.topic.unwrap().as_bytes().as_ptr(), buf[4..].as_ptr());
    assert_eq!(publish.payload.as_ptr(), buf[8..].as_ptr());
    assert_eq!(publish.payload, "data");
    assert_eq!(rest, buf.slice(12..));
}
