//! MQTT 5 properties (MQTT-2.2.2), grouped by the packet that carries them.

use bytes::Bytes;

/// User properties in the order sent; names may repeat. Each string is valid UTF-8.
pub type UserProperties = Vec<(Bytes, Bytes)>;

/// Properties of PUBLISH (MQTT-3.3.2.3) and of a will.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// Payload Format Indicator: `Some(true)` is UTF-8.
    pub payload_is_utf8: Option<bool>,
    /// Message Expiry Interval in seconds.
    pub message_expiry_s: Option<u32>,
    /// Topic Alias, never 0.
    pub topic_alias: Option<u16>,
    /// Response Topic.
    pub response_topic: Option<Bytes>,
    /// Correlation Data.
    pub correlation_data: Option<Bytes>,
    /// Content Type.
    pub content_type: Option<Bytes>,
    /// Subscription Identifiers (server → client only).
    pub subscription_ids: Vec<u32>,
    /// User properties.
    pub user_properties: UserProperties,
}

/// Properties of CONNACK (MQTT-3.2.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Session Expiry Interval in seconds, when the server uses another than asked.
    pub session_expiry_s: Option<u32>,
    /// Receive Maximum of the server.
    pub receive_maximum: Option<u16>,
    /// Maximum QoS, sent only when below 2.
    pub maximum_qos: Option<u8>,
    /// Retain Available.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size of the server in bytes.
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<Bytes>,
    /// Topic Alias Maximum of the server.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<Bytes>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Wildcard Subscription Available.
    pub wildcard_subscription_available: Option<bool>,
    /// Subscription Identifiers Available.
    pub subscription_ids_available: Option<bool>,
    /// Shared Subscription Available.
    pub shared_subscription_available: Option<bool>,
    /// Server Keep Alive in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// Response Information.
    pub response_information: Option<Bytes>,
    /// Server Reference.
    pub server_reference: Option<Bytes>,
    /// Authentication Method.
    pub authentication_method: Option<Bytes>,
    /// Authentication Data.
    pub authentication_data: Option<Bytes>,
}
