//! One struct for each control packet, both protocol versions in one model.

use bytes::Bytes;
use std::num::NonZeroU16;

use crate::{ConnAckProperties, PublishProperties, ReasonCode, TopicFilter, TopicName, UserProperties};

/// Protocol version of a connection (MQTT-3.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V3,
    /// MQTT 5.0, protocol level 5.
    V5,
}

/// Quality of service (MQTT-4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once: no acknowledgement.
    AtMostOnce = 0,
    /// At least once: PUBACK.
    AtLeastOnce = 1,
    /// Exactly once: PUBREC, PUBREL, PUBCOMP.
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = u8;
    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(other),
        }
    }
}

/// Packet identifier, never 0 (MQTT-2.2.1).
pub type PacketId = NonZeroU16;

/// Any control packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Client → server, the first packet.
    Connect(Box<Connect>),
    /// Server → client, the answer to CONNECT.
    ConnAck(Box<ConnAck>),
    /// A message, both directions.
    Publish(Publish),
    /// Acknowledges a QoS 1 publish.
    PubAck(Ack),
    /// First answer to a QoS 2 publish.
    PubRec(Ack),
    /// Second step of QoS 2.
    PubRel(Ack),
    /// Last step of QoS 2.
    PubComp(Ack),
    /// Client → server.
    Subscribe(Subscribe),
    /// Server → client: one code per filter.
    SubAck(SubAck),
    /// Client → server.
    Unsubscribe(Unsubscribe),
    /// Server → client.
    UnsubAck(UnsubAck),
    /// Client → server: still there.
    PingReq,
    /// Server → client: still here.
    PingResp,
    /// Either direction in 5, client → server in 3.1.1.
    Disconnect(Disconnect),
    /// MQTT 5 enhanced authentication.
    Auth(Auth),
}

/// CONNECT (MQTT-3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Protocol version that the client asked for.
    pub version: Version,
    /// Clean Session (3.1.1) or Clean Start (5).
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 is off.
    pub keep_alive_s: u16,
    /// Client identifier, possibly empty.
    pub client_id: Bytes,
    /// Will message, if any.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<Bytes>,
    /// Password or token. Never logged.
    pub password: Option<Bytes>,
    /// Session Expiry Interval in seconds (5). In 3.1.1: `None`.
    pub session_expiry_s: Option<u32>,
    /// Receive Maximum (5), 1..=65535.
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size in bytes (5).
    pub maximum_packet_size: Option<u32>,
    /// Topic Alias Maximum (5).
    pub topic_alias_maximum: Option<u16>,
    /// Request Response Information (5).
    pub request_response_information: Option<bool>,
    /// Request Problem Information (5).
    pub request_problem_information: Option<bool>,
    /// Authentication Method (5).
    pub authentication_method: Option<Bytes>,
    /// Authentication Data (5). Never logged.
    pub authentication_data: Option<Bytes>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

/// The will of a CONNECT (MQTT-3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// What is published.
    pub payload: Bytes,
    /// With which QoS.
    pub qos: QoS,
    /// Retained or not.
    pub retain: bool,
    /// Will Delay Interval in seconds (5).
    pub delay_s: Option<u32>,
    /// Properties that travel with the message (5).
    pub properties: PublishProperties,
}

/// CONNACK (MQTT-3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// The server holds a session for this client.
    pub session_present: bool,
    /// Outcome. Encoded as a 3.1.1 return code for 3.1.1 clients.
    pub reason: ReasonCode,
    /// Properties (5).
    pub properties: ConnAckProperties,
}

/// PUBLISH (MQTT-3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Re-delivery flag.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// Topic name; `None` when a topic alias stands for it (5).
    pub topic: Option<TopicName>,
    /// Packet identifier; `Some` exactly when QoS > 0.
    pub packet_id: Option<PacketId>,
    /// Properties (5).
    pub properties: PublishProperties,
    /// Application message.
    pub payload: Bytes,
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT-3.4 to 3.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which publish.
    pub packet_id: PacketId,
    /// Outcome (5). Always `Success` in 3.1.1.
    pub reason: ReasonCode,
    /// Reason String (5).
    pub reason_string: Option<Bytes>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

impl Ack {
    /// A plain successful acknowledgement.
    pub fn success(packet_id: PacketId) -> Self {
        Self { packet_id, reason: ReasonCode::Success, reason_string: None, user_properties: Vec::new() }
    }
}

/// Retain Handling option of a subscription (MQTT-3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send retained messages at subscribe.
    Send = 0,
    /// Send them only when the subscription is new.
    SendIfNew = 1,
    /// Do not send them.
    DoNotSend = 2,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// The filter, valid by construction.
    pub filter: TopicFilter,
    /// Greatest QoS that the client wants.
    pub qos: QoS,
    /// Do not send me what this client id published (5).
    pub no_local: bool,
    /// Keep the RETAIN flag as published (5).
    pub retain_as_published: bool,
    /// When retained messages are sent (5).
    pub retain_handling: RetainHandling,
}

/// SUBSCRIBE (MQTT-3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// At least one filter.
    pub filters: Vec<SubscribeFilter>,
    /// Subscription Identifier (5), 1..=268,435,455.
    pub subscription_id: Option<u32>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

/// SUBACK (MQTT-3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// Packet identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One code per filter, in order. Failures become 0x80 in 3.1.1.
    pub codes: Vec<ReasonCode>,
    /// Reason String (5).
    pub reason_string: Option<Bytes>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

/// UNSUBSCRIBE (MQTT-3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// At least one filter.
    pub filters: Vec<TopicFilter>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

/// UNSUBACK (MQTT-3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// Packet identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One code per filter (5); not sent in 3.1.1.
    pub codes: Vec<ReasonCode>,
    /// Reason String (5).
    pub reason_string: Option<Bytes>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

/// DISCONNECT (MQTT-3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why (5). `Success` is a normal disconnection.
    pub reason: ReasonCode,
    /// Changes the Session Expiry Interval (5, client → server).
    pub session_expiry_s: Option<u32>,
    /// Reason String (5).
    pub reason_string: Option<Bytes>,
    /// Server Reference (5).
    pub server_reference: Option<Bytes>,
    /// User properties (5).
    pub user_properties: UserProperties,
}

impl Disconnect {
    /// A DISCONNECT that carries a reason and nothing else.
    pub fn with(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_s: None,
            reason_string: None,
            server_reference: None,
            user_properties: Vec::new(),
        }
    }
}

/// AUTH (MQTT-3.15, 5 only).
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// Authentication Method.
    pub method: Option<Bytes>,
    /// Authentication Data. Never logged.
    pub data: Option<Bytes>,
    /// Reason String.
    pub reason_string: Option<Bytes>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Auth {
    /// Success with nothing else: the one form that names no method (MQTT-3.15.2.1).
    pub(crate) fn is_bare_success(&self) -> bool {
        self.reason == ReasonCode::Success
            && self.method.is_none()
            && self.data.is_none()
            && self.reason_string.is_none()
            && self.user_properties.is_empty()
    }
}
