//! What can be wrong with bytes, and with packets that should become bytes.

use thiserror::Error;

use crate::{PacketType, PropertyId, ReasonCode, TopicError, Version};

/// Why bytes are not a packet. [`DecodeError::reason`] is what an MQTT 5 peer is told.
///
/// After one of these the stream has no known packet boundary any more: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Four continuation bytes in a Remaining Length (MQTT-2.1.4).
    #[error("the remaining length has more than four bytes")]
    RemainingLengthMalformed,
    /// A variable byte integer inside a packet has more than four bytes (MQTT-1.5.5).
    #[error("{packet}: a variable byte integer has more than four bytes")]
    VarIntMalformed {
        /// In which packet.
        packet: PacketType,
    },
    /// A variable byte integer is longer than it need be (MQTT-1.5.5-1).
    #[error("{packet}: a variable byte integer does not use the minimum number of bytes")]
    VarIntNotMinimal {
        /// In which packet.
        packet: PacketType,
    },
    /// The packet is larger than this end accepts (MQTT-3.1.2-24, MQTT-3.2.2-15).
    #[error("the packet has {bytes} bytes, more than {bytes_max}")]
    PacketTooLarge {
        /// Whole size, fixed header included.
        bytes: u32,
        /// Limit.
        bytes_max: u32,
    },
    /// Packet type 0, or 15 in 3.1.1 (MQTT-2.1.2).
    #[error("packet type {packet_type} does not exist in this protocol version")]
    UnknownPacketType {
        /// The upper half of the first byte.
        packet_type: u8,
    },
    /// The flags of a fixed header are not the ones of its type (MQTT-2.1.3-1).
    #[error("{packet}: flags {flags:#06b} are reserved")]
    ReservedFlags {
        /// Which packet.
        packet: PacketType,
        /// The lower half of the first byte.
        flags: u8,
    },
    /// A field reaches beyond the end of the packet or of its properties.
    #[error("{packet}: a field reaches beyond the end")]
    Truncated {
        /// Which packet.
        packet: PacketType,
    },
    /// Bytes after the last field.
    #[error("{packet}: {bytes} bytes after the last field")]
    TrailingBytes {
        /// Which packet.
        packet: PacketType,
        /// How many.
        bytes: usize,
    },
    /// A string is not UTF-8 (MQTT-1.5.4-1).
    #[error("{packet}: a string is not UTF-8")]
    StringNotUtf8 {
        /// In which packet.
        packet: PacketType,
    },
    /// A string contains U+0000 (MQTT-1.5.4-2).
    #[error("{packet}: a string contains U+0000")]
    StringWithNul {
        /// In which packet.
        packet: PacketType,
    },
    /// CONNECT does not begin with the protocol name `MQTT` (MQTT-3.1.2-1).
    #[error("the protocol name is not MQTT")]
    ProtocolName,
    /// `MQTT` with a level that is neither 4 nor 5, or MQTT 3.1 (MQTT-3.1.2-2).
    #[error("protocol level {level} is not supported")]
    UnsupportedProtocolVersion {
        /// The level that was asked for.
        level: u8,
    },
    /// Bit 0 of the connect flags is set (MQTT-3.1.2-3).
    #[error("the reserved connect flag is set")]
    ConnectFlagReserved,
    /// Will QoS or Will Retain without Will Flag (MQTT-3.1.2-11, MQTT-3.1.2-13).
    #[error("will QoS or will retain without a will")]
    WillFlagsWithoutWill,
    /// Will QoS 3 (MQTT-3.1.2-12).
    #[error("will QoS 3")]
    WillQoS,
    /// Password flag without user name flag (3.1.1 MQTT-3.1.2-22).
    #[error("a password without a user name, in 3.1.1")]
    PasswordWithoutUserName,
    /// Reserved bits of the connect acknowledge flags (MQTT-3.2.2-1).
    #[error("CONNACK: flags {flags:#010b} are reserved")]
    ConnAckFlags {
        /// The flags byte.
        flags: u8,
    },
    /// A refused connection has no session (MQTT-3.2.2-6; 3.1.1 MQTT-3.2.2-4).
    #[error("CONNACK: a session with a refusal")]
    SessionPresentWithError,
    /// QoS 3 in a PUBLISH (MQTT-3.3.1-4) or a SUBSCRIBE (MQTT-3.8.3-4).
    #[error("{packet}: QoS 3")]
    QoS {
        /// PUBLISH or SUBSCRIBE.
        packet: PacketType,
    },
    /// DUP with QoS 0 (MQTT-3.3.1-2).
    #[error("PUBLISH: DUP with QoS 0")]
    DupWithQoS0,
    /// Packet identifier 0 (MQTT-2.2.1-3, MQTT-2.2.1-4).
    #[error("{packet}: packet identifier 0")]
    PacketIdZero {
        /// Which packet.
        packet: PacketType,
    },
    /// A topic name that is none (MQTT-4.7.3, MQTT-3.3.2-2).
    #[error("{packet}: the topic name is refused: {error}")]
    TopicName {
        /// PUBLISH, or CONNECT for a will.
        packet: PacketType,
        /// Why.
        error: TopicError,
    },
    /// An empty topic name without a topic alias (MQTT-3.3.2.1).
    #[error("PUBLISH: neither a topic name nor a topic alias")]
    NoTopic,
    /// A response topic that is no topic name (MQTT-3.3.2-14).
    #[error("{packet}: the response topic is refused: {error}")]
    ResponseTopic {
        /// PUBLISH, or CONNECT for a will.
        packet: PacketType,
        /// Why.
        error: TopicError,
    },
    /// A topic filter that is none (MQTT-4.7.1, MQTT-4.8.2).
    #[error("{packet}: the topic filter is refused: {error}")]
    TopicFilter {
        /// SUBSCRIBE or UNSUBSCRIBE.
        packet: PacketType,
        /// Why.
        error: TopicError,
    },
    /// No filter in a SUBSCRIBE (MQTT-3.8.3-2) or UNSUBSCRIBE (MQTT-3.10.3-2), no code in their answers.
    #[error("{packet}: the list is empty")]
    EmptyList {
        /// Which packet.
        packet: PacketType,
    },
    /// Reserved bits of the subscription options (MQTT-3.8.3-5).
    #[error("SUBSCRIBE: options {options:#010b} are reserved")]
    SubscriptionOptions {
        /// The options byte.
        options: u8,
    },
    /// Retain Handling 3 (MQTT-3.8.3.1).
    #[error("SUBSCRIBE: retain handling 3")]
    RetainHandling,
    /// No Local on a shared subscription (MQTT-3.8.3-4).
    #[error("SUBSCRIBE: no local on a shared subscription")]
    NoLocalShared,
    /// A reason or return code that this packet does not have.
    #[error("{packet}: code {code:#04x} is not one of its codes")]
    ReasonCode {
        /// Which packet.
        packet: PacketType,
        /// The code.
        code: u8,
    },
    /// A property identifier that MQTT 5 does not define (MQTT-2.2.2.2).
    #[error("{packet}: property {id:#04x} does not exist")]
    UnknownProperty {
        /// In which packet.
        packet: PacketType,
        /// The identifier.
        id: u8,
    },
    /// A property that this packet does not have (MQTT-2.2.2.2).
    #[error("{packet}: {property} does not belong here")]
    PropertyNotAllowed {
        /// In which packet.
        packet: PacketType,
        /// Which one.
        property: PropertyId,
    },
    /// A property twice.
    #[error("{packet}: {property} more than once")]
    DuplicateProperty {
        /// In which packet.
        packet: PacketType,
        /// Which one.
        property: PropertyId,
    },
    /// A property with a value outside of its range.
    #[error("{packet}: {property} must not be {value}")]
    PropertyValue {
        /// In which packet.
        packet: PacketType,
        /// Which one.
        property: PropertyId,
        /// The value.
        value: u32,
    },
    /// Topic alias 0 (MQTT-3.3.2-8).
    #[error("PUBLISH: topic alias 0")]
    TopicAliasZero,
    /// Authentication data without a method (MQTT-3.1.2.11.10), or AUTH without one (MQTT-3.15.2.2.2).
    #[error("{packet}: the authentication method is missing")]
    AuthenticationMethodMissing {
        /// CONNECT or AUTH.
        packet: PacketType,
    },
}

impl DecodeError {
    /// The reason code to close the connection with: Malformed Packet for what cannot be parsed, Protocol
    /// Error for what can but is not permitted (MQTT-1.2), and the particular code where there is one.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::ProtocolName | Self::UnsupportedProtocolVersion { .. } => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Self::TopicName { error, .. } => string_or(*error, ReasonCode::TopicNameInvalid),
            Self::TopicFilter { error, .. } => string_or(*error, ReasonCode::TopicFilterInvalid),
            Self::ResponseTopic { error, .. } => string_or(*error, ReasonCode::ProtocolError),
            Self::TopicAliasZero => ReasonCode::TopicAliasInvalid,
            Self::SessionPresentWithError
            | Self::PacketIdZero { .. }
            | Self::NoTopic
            | Self::EmptyList { .. }
            | Self::QoS { packet: PacketType::Subscribe }
            | Self::RetainHandling
            | Self::NoLocalShared
            | Self::ReasonCode { .. }
            | Self::DuplicateProperty { .. }
            | Self::PropertyValue { .. }
            | Self::AuthenticationMethodMissing { .. } => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }
}

/// A string that is no valid UTF-8 string is malformed (MQTT-1.5.4-1); the rest is a matter of topics.
fn string_or(error: TopicError, reason: ReasonCode) -> ReasonCode {
    match error {
        TopicError::NotUtf8 | TopicError::Nul => ReasonCode::MalformedPacket,
        _ => reason,
    }
}

/// Why a packet cannot be written. These are mistakes of the program that built the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Remaining Length above 268,435,455 (MQTT-2.1.4).
    #[error("the packet would have {bytes} bytes, more than the protocol can express")]
    PacketTooLarge {
        /// The remaining length it would have.
        bytes: usize,
    },
    /// This protocol version has no such packet: AUTH, or a DISCONNECT with a reason, in 3.1.1.
    #[error("{packet} cannot be expressed in {version:?}")]
    NotInVersion {
        /// Which packet.
        packet: PacketType,
        /// Which version.
        version: Version,
    },
    /// A string or binary field has more than 65,535 bytes (MQTT-1.5.4, MQTT-1.5.6).
    #[error("{packet}: a field has {bytes} bytes, more than 65,535")]
    FieldTooLong {
        /// Which packet.
        packet: PacketType,
        /// Length of the field.
        bytes: usize,
    },
    /// A string is not UTF-8 or contains U+0000 (MQTT-1.5.4-1, MQTT-1.5.4-2).
    #[error("{packet}: a string is not UTF-8 without U+0000")]
    InvalidString {
        /// Which packet.
        packet: PacketType,
    },
    /// A PUBLISH with QoS > 0 without packet identifier (MQTT-2.2.1-3).
    #[error("PUBLISH: QoS above 0 needs a packet identifier")]
    PacketIdMissing,
    /// A PUBLISH with QoS 0 has none (MQTT-2.2.1-2).
    #[error("PUBLISH: QoS 0 has no packet identifier")]
    PacketIdWithQoS0,
    /// DUP with QoS 0 (MQTT-3.3.1-2).
    #[error("PUBLISH: DUP with QoS 0")]
    DupWithQoS0,
    /// Neither a topic name nor a topic alias, or an alias in 3.1.1.
    #[error("PUBLISH: the topic name is missing")]
    NoTopic,
    /// A response topic that is no topic name (MQTT-3.3.2-14).
    #[error("{packet}: the response topic is refused: {error}")]
    ResponseTopic {
        /// PUBLISH, or CONNECT for a will.
        packet: PacketType,
        /// Why.
        error: TopicError,
    },
    /// No filters or no codes.
    #[error("{packet}: the list is empty")]
    EmptyList {
        /// Which packet.
        packet: PacketType,
    },
    /// No Local on a shared subscription (MQTT-3.8.3-4).
    #[error("SUBSCRIBE: no local on a shared subscription")]
    NoLocalShared,
    /// Password without user name (3.1.1 MQTT-3.1.2-22).
    #[error("a password without a user name, in 3.1.1")]
    PasswordWithoutUserName,
    /// A refused connection has no session (MQTT-3.2.2-6).
    #[error("CONNACK: a session with a refusal")]
    SessionPresentWithError,
    /// A reason code that this packet does not have.
    #[error("{packet}: {reason} is not one of its codes")]
    ReasonCode {
        /// Which packet.
        packet: PacketType,
        /// The code.
        reason: ReasonCode,
    },
    /// A property that this packet does not have: a topic alias or subscription identifiers of a will.
    #[error("{packet}: {property} does not belong here")]
    PropertyNotAllowed {
        /// Which packet.
        packet: PacketType,
        /// Which one.
        property: PropertyId,
    },
    /// A property with a value outside of its range.
    #[error("{packet}: {property} must not be {value}")]
    PropertyValue {
        /// Which packet.
        packet: PacketType,
        /// Which one.
        property: PropertyId,
        /// The value.
        value: u32,
    },
    /// Authentication data without a method, or AUTH without one.
    #[error("{packet}: the authentication method is missing")]
    AuthenticationMethodMissing {
        /// CONNECT or AUTH.
        packet: PacketType,
    },
}
