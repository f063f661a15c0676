//! Packets that break a rule, as bytes.

use parlance_mqtt::Version;

/// Which rule is broken, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Malformed {
    /// Packet type 0 (MQTT-2.1.2).
    ReservedType,
    /// MQTT-3.3.1-4.
    PublishQos3,
    /// MQTT-3.3.1-2.
    PublishDupQos0,
    /// MQTT-3.3.2-2.
    PublishWildcard,
    /// MQTT-1.5.4-2.
    PublishNul,
    /// MQTT-1.5.4-1.
    PublishNotUtf8,
    /// MQTT-2.2.1-2.
    PublishIdZero,
    /// MQTT-3.8.1-1.
    SubscribeFlags,
    /// MQTT-3.8.3-2.
    SubscribeNothing,
    /// MQTT-4.7.1-1.
    SubscribeMisplaced,
    /// MQTT-3.8.3-5.
    SubscribeOptions,
    /// MQTT-3.10.3-2.
    UnsubscribeNothing,
    /// MQTT-3.6.1-1.
    PubrelFlags,
    /// MQTT-2.1.3-1.
    PingreqFlags,
    /// MQTT-3.1.0-2.
    SecondConnect,
    /// A packet of a server.
    Connack,
    /// MQTT-1.5.5-1.
    LengthOf5Bytes,
    /// No error: PUBREL for nothing (MQTT-4.3.3-11).
    PubrelUnknown,
    /// No error: PUBACK for nothing.
    PubackUnknown,
}

pub(crate) const KINDS: [Malformed; 19] = [
    Malformed::ReservedType,
    Malformed::PublishQos3,
    Malformed::PublishDupQos0,
    Malformed::PublishWildcard,
    Malformed::PublishNul,
    Malformed::PublishNotUtf8,
    Malformed::PublishIdZero,
    Malformed::SubscribeFlags,
    Malformed::SubscribeNothing,
    Malformed::SubscribeMisplaced,
    Malformed::SubscribeOptions,
    Malformed::UnsubscribeNothing,
    Malformed::PubrelFlags,
    Malformed::PingreqFlags,
    Malformed::SecondConnect,
    Malformed::Connack,
    Malformed::LengthOf5Bytes,
    Malformed::PubrelUnknown,
    Malformed::PubackUnknown,
];

impl Malformed {
    /// The packet.
    pub(crate) fn bytes(self, version: Version) -> Vec<u8> {
        let v5 = version == Version::V5;
        // Properties of MQTT 5: none.
        let none: &[u8] = if v5 { &[0] } else { &[] };
        let publish = |first: u8, topic: &[u8], id: &[u8]| {
            framed(first, &[&[0, topic.len() as u8], topic, id, none, b"x"].concat())
        };
        let subscribe = |first: u8, filters: &[u8]| framed(first, &[&[0, 9], none, filters].concat());
        match self {
            Self::ReservedType => framed(0x00, &[]),
            Self::PublishQos3 => publish(0x36, b"a", &[0, 9]),
            Self::PublishDupQos0 => publish(0x38, b"a", &[]),
            Self::PublishWildcard => publish(0x30, b"a/+", &[]),
            Self::PublishNul => publish(0x30, b"a\0", &[]),
            Self::PublishNotUtf8 => publish(0x30, &[b'a', 0xED, 0xA0, 0x80], &[]),
            Self::PublishIdZero => publish(0x32, b"a", &[0, 0]),
            Self::SubscribeFlags => subscribe(0x80, b"\0\x01a\0"),
            Self::SubscribeNothing => subscribe(0x82, b""),
            Self::SubscribeMisplaced => subscribe(0x82, b"\0\x02a#\0"),
            Self::SubscribeOptions => subscribe(0x82, b"\0\x01a\xC0"),
            Self::UnsubscribeNothing => subscribe(0xA2, b""),
            Self::PubrelFlags => framed(0x60, &[0, 9]),
            Self::PingreqFlags => framed(0xC1, &[]),
            Self::SecondConnect => {
                let level = if v5 { 5 } else { 4 };
                framed(0x10, &[&b"\0\x04MQTT"[..], &[level, 2, 0, 0], none, b"\0\x01x"].concat())
            }
            Self::Connack => framed(0x20, &[&[0, 0], none].concat()),
            Self::LengthOf5Bytes => vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            Self::PubrelUnknown => framed(0x62, &[0x7F, 0xFF]),
            Self::PubackUnknown => framed(0x40, &[0x7F, 0xFF]),
        }
    }

    /// Whether a server must close the connection.
    pub(crate) fn is_error(self) -> bool {
        !matches!(self, Self::PubrelUnknown | Self::PubackUnknown)
    }
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, body.len() as u8], body].concat()
}
