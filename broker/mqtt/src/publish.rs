//! A PUBLISH for many: encoded once, then a few bytes of its own for each recipient.

use bytes::{Bytes, BytesMut};

use crate::encode::out::{Check, Out};
use crate::encode::properties::PutProperty;
use crate::encode::{check_message_properties, publish_first_byte, put_message_properties};
use crate::{
    EncodeError, PacketId, PacketType, PropertyId, PublishProperties, QoS, TopicName, Version, varint,
};

/// Left free in the greatest Remaining Length for what recipients add, subscription identifiers above all.
const RECIPIENT_BYTES_MAX: usize = 64 * 1024;

/// A PUBLISH encoded once for many recipients of one protocol version.
///
/// Topic, lasting properties and payload lie in one allocation that all clones share; it does not keep
/// the buffer alive from which the message was decoded.
#[derive(Debug, Clone)]
pub struct PublishTemplate {
    version: Version,
    retain: bool,
    message_expiry_s: Option<u32>,
    /// Length-prefixed topic, properties without their length, payload.
    shared: Bytes,
    /// Where the properties begin.
    properties_at: usize,
    /// Where the payload begins.
    payload_at: usize,
}

/// What differs between the recipients of one message.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// QoS of this delivery.
    pub qos: QoS,
    /// Sent before, with QoS > 0.
    pub dup: bool,
    /// Packet identifier. Without one the delivery is a QoS 0 one, whatever `qos` says; with QoS 0 it is
    /// not written.
    pub packet_id: Option<PacketId>,
    /// Subscription Identifiers that led here (5), each 1 to 268,435,455.
    pub subscription_ids: &'a [u32],
    /// Topic alias (5) and whether the topic name travels too, as it must the first time.
    pub topic_alias: Option<(u16, bool)>,
    /// The recipient may see the RETAIN flag; it is set if the message has it too (MQTT-3.3.1-12, MQTT-3.3.1-13).
    pub retain: bool,
}

impl Recipient<'_> {
    fn delivery(&self) -> (QoS, Option<PacketId>) {
        match (self.qos, self.packet_id) {
            (QoS::AtMostOnce, _) | (_, None) => (QoS::AtMostOnce, None),
            (qos, packet_id) => (qos, packet_id),
        }
    }
}

/// The lengths that a packet for one recipient is made of.
struct Layout {
    properties: usize,
    remaining: usize,
}

impl PublishTemplate {
    /// Encodes what all recipients get. Topic alias and subscription identifiers among the properties are
    /// ignored: they belong to a connection, not to the message (MQTT-3.3.2-7).
    ///
    /// In 3.1.1 there are no properties.
    pub fn new(
        version: Version,
        topic: &TopicName,
        properties: &PublishProperties,
        payload: &[u8],
        retain: bool,
    ) -> Result<Self, EncodeError> {
        let packet = PacketType::Publish;
        let mut properties_len = 0;
        if version == Version::V5 {
            check_message_properties(packet, properties)?;
            let mut measured = Check::new(packet);
            put_message_properties(properties, &mut measured)?;
            properties_len = measured.len();
        }
        let properties_at = 2 + topic.len();
        let payload_at = properties_at + properties_len;
        let total = payload_at + payload.len();
        if total > varint::VALUE_MAX - RECIPIENT_BYTES_MAX {
            return Err(EncodeError::PacketTooLarge { bytes: total });
        }
        let mut shared = BytesMut::with_capacity(total);
        shared.binary(topic.as_bytes())?;
        if version == Version::V5 {
            put_message_properties(properties, &mut shared)?;
        }
        shared.put(payload);
        debug_assert_eq!(shared.len(), total, "measured and written length");
        Ok(Self {
            version,
            retain,
            message_expiry_s: properties.message_expiry_s.filter(|_| version == Version::V5),
            shared: shared.freeze(),
            properties_at,
            payload_at,
        })
    }

    /// Another message of the same kind: topic, RETAIN and lasting properties are those of this one, `user_properties` come
    /// behind them (5), and the payload is its own. What both have was checked already and is only copied.
    pub fn with_message(
        &self,
        user_properties: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<Self, EncodeError> {
        let user_properties = if self.version == Version::V5 { user_properties } else { &[] };
        let mut measured = Check::new(PacketType::Publish);
        for (name, value) in user_properties {
            measured.user_property(name.as_bytes(), value.as_bytes())?;
        }
        let payload_at = self.payload_at + measured.len();
        let total = payload_at + payload.len();
        if total > varint::VALUE_MAX - RECIPIENT_BYTES_MAX {
            return Err(EncodeError::PacketTooLarge { bytes: total });
        }
        let mut shared = BytesMut::with_capacity(total);
        shared.put(&self.shared[..self.payload_at]);
        for (name, value) in user_properties {
            shared.user_property(name.as_bytes(), value.as_bytes())?;
        }
        debug_assert_eq!(shared.len(), payload_at, "measured and written length");
        shared.put(payload);
        Ok(Self { shared: shared.freeze(), payload_at, ..*self })
    }

    /// The same message with another Message Expiry Interval in seconds (5), sharing the encoding: a
    /// recipient is told what is left of it (MQTT-3.3.2-6).
    #[must_use]
    pub fn with_message_expiry(mut self, message_expiry_s: Option<u32>) -> Self {
        self.message_expiry_s = message_expiry_s.filter(|_| self.version == Version::V5);
        self
    }

    /// The protocol version that it is encoded for.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Message Expiry Interval in seconds (5).
    pub fn message_expiry_s(&self) -> Option<u32> {
        self.message_expiry_s
    }

    /// Length of the topic name in bytes.
    pub fn topic_len(&self) -> usize {
        self.properties_at - 2
    }

    /// The application message.
    pub fn payload(&self) -> &[u8] {
        &self.shared[self.payload_at..]
    }

    /// Size of the packet for this recipient, to be compared with its Maximum Packet Size.
    pub fn len(&self, recipient: &Recipient<'_>) -> usize {
        let remaining = self.layout(recipient).remaining;
        1 + varint::len(remaining) + remaining
    }

    /// Appends the packet for this recipient. 3.1.1 has neither aliases nor subscription identifiers: there
    /// they are ignored.
    pub fn write(&self, recipient: &Recipient<'_>, out: &mut BytesMut) {
        let layout = self.layout(recipient);
        out.reserve(1 + varint::len(layout.remaining) + layout.remaining);
        let start = out.len();
        let (qos, packet_id) = recipient.delivery();
        let dup = recipient.dup && packet_id.is_some();
        out.u8(publish_first_byte(dup, qos, self.retain && recipient.retain));
        out.varint(layout.remaining);
        out.put(self.topic_for(recipient));
        if let Some(packet_id) = packet_id {
            out.u16(packet_id.get());
        }
        if self.version == Version::V5 {
            out.varint(layout.properties);
            self.put_own_properties(recipient, out);
        }
        out.put(&self.shared[self.properties_at..]);
        debug_assert_eq!(out.len() - start, self.len(recipient), "measured and written length");
    }

    fn layout(&self, recipient: &Recipient<'_>) -> Layout {
        let lasting = self.payload_at - self.properties_at;
        let (_, packet_id) = recipient.delivery();
        let packet_id_len = if packet_id.is_some() { 2 } else { 0 };
        let mut properties = 0;
        let mut properties_len = 0;
        if self.version == Version::V5 {
            properties = lasting + self.own_properties_len(recipient);
            properties_len = varint::len(properties);
        }
        let payload = self.shared.len() - self.payload_at;
        let topic = self.topic_for(recipient).len();
        Layout { properties, remaining: topic + packet_id_len + properties_len + properties + payload }
    }

    /// The length-prefixed topic name, empty if an alias stands for it.
    fn topic_for(&self, recipient: &Recipient<'_>) -> &[u8] {
        match recipient.topic_alias {
            Some((_, false)) if self.version == Version::V5 => &[0, 0],
            _ => &self.shared[..self.properties_at],
        }
    }

    /// Alias, subscription identifiers and expiry: the properties that are not in the shared bytes.
    fn put_own_properties(&self, recipient: &Recipient<'_>, out: &mut BytesMut) {
        out.u16_property(PropertyId::TopicAlias, recipient.topic_alias.map(|(alias, _)| alias));
        for &id in recipient.subscription_ids {
            out.subscription_id_property(id);
        }
        out.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry_s);
    }

    fn own_properties_len(&self, recipient: &Recipient<'_>) -> usize {
        let alias = if recipient.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry_s.is_some() { 5 } else { 0 };
        let ids: usize = recipient.subscription_ids.iter().map(|&id| 1 + varint::len(id as usize)).sum();
        alias + expiry + ids
    }
}

#[cfg(test)]
mod tests;
