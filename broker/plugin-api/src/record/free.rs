//! A message of a free topic as it is stored: in `Bodies`, in `Retained`, within a `Queue` entry and as a will.

use parlance_mqtt::{Publish, PublishProperties, QoS, TopicError, TopicName};
use prost::Message;

/// A name and a value.
#[derive(Clone, PartialEq, Message)]
pub struct PropertyRecord {
    /// Name.
    #[prost(bytes = "bytes", tag = "1")]
    pub name: bytes::Bytes,
    /// Value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
}

/// A message of a free topic.
#[derive(Clone, PartialEq, Message)]
pub struct FreeRecord {
    /// Topic name.
    #[prost(bytes = "bytes", tag = "1")]
    pub topic: bytes::Bytes,
    /// Application message.
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: bytes::Bytes,
    /// QoS that it was published with.
    #[prost(uint32, tag = "3")]
    pub qos: u32,
    /// It was published with RETAIN.
    #[prost(bool, tag = "4")]
    pub retain: bool,
    /// When it was decided, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub time_ms: u64,
    /// Message Expiry Interval, seconds, as published.
    #[prost(uint32, optional, tag = "6")]
    pub expiry_s: Option<u32>,
    /// Payload Format Indicator.
    #[prost(bool, optional, tag = "7")]
    pub payload_is_utf8: Option<bool>,
    /// Content Type.
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub content_type: Option<bytes::Bytes>,
    /// Response Topic.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub response_topic: Option<bytes::Bytes>,
    /// Correlation Data.
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub correlation_data: Option<bytes::Bytes>,
    /// User properties in their order.
    #[prost(message, repeated, tag = "11")]
    pub user_properties: Vec<PropertyRecord>,
    /// The session that published it (user ‖ device), for No Local; empty for nobody.
    #[prost(bytes = "bytes", tag = "12")]
    pub publisher: bytes::Bytes,
}

impl FreeRecord {
    /// Of a publish whose topic name is known.
    pub fn of(publish: &Publish, topic: &TopicName, publisher: bytes::Bytes, time_ms: u64) -> Self {
        let properties = &publish.properties;
        Self {
            topic: topic.as_bytes().clone(),
            payload: publish.payload.clone(),
            qos: u32::from(publish.qos as u8),
            retain: publish.retain,
            time_ms,
            expiry_s: properties.message_expiry_s,
            payload_is_utf8: properties.payload_is_utf8,
            content_type: properties.content_type.clone(),
            response_topic: properties.response_topic.clone(),
            correlation_data: properties.correlation_data.clone(),
            user_properties: properties
                .user_properties
                .iter()
                .map(|(name, value)| PropertyRecord { name: name.clone(), value: value.clone() })
                .collect(),
            publisher,
        }
    }

    /// Its topic name.
    ///
    /// # Errors
    /// When the record holds none.
    pub fn topic_name(&self) -> Result<TopicName, TopicError> {
        TopicName::new(self.topic.clone())
    }

    /// Its QoS.
    pub fn qos(&self) -> QoS {
        match self.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    /// Its properties.
    pub fn properties(&self) -> PublishProperties {
        PublishProperties {
            message_expiry_s: self.expiry_s,
            payload_is_utf8: self.payload_is_utf8,
            content_type: self.content_type.clone(),
            response_topic: self.response_topic.clone(),
            correlation_data: self.correlation_data.clone(),
            user_properties: self
                .user_properties
                .iter()
                .map(|property| (property.name.clone(), property.value.clone()))
                .collect(),
            ..PublishProperties::default()
        }
    }

    /// When it expires, Unix milliseconds; `None`: never.
    pub fn expires_ms(&self) -> Option<u64> {
        Some(self.time_ms.saturating_add(u64::from(self.expiry_s?).saturating_mul(1000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_publish_survives_being_stored(payload: Vec<u8>, retain: bool, expiry in proptest::option::of(any::<u32>())) {
            let topic = TopicName::new("app/a").unwrap();
            let properties = PublishProperties {
                message_expiry_s: expiry,
                correlation_data: Some(payload.clone().into()),
                user_properties: vec![(bytes::Bytes::from_static(b"k"), bytes::Bytes::from_static(b"v"))],
                ..PublishProperties::default()
            };
            let publish = Publish {
                dup: false,
                qos: QoS::ExactlyOnce,
                retain,
                topic: Some(topic.clone()),
                packet_id: None,
                properties: properties.clone(),
                payload: payload.clone().into(),
            };
            let record = FreeRecord::of(&publish, &topic, bytes::Bytes::new(), 1_000);
            let again: FreeRecord = super::super::decode(record.encode_to_vec().into()).unwrap();
            prop_assert_eq!(again.topic_name().unwrap(), topic);
            prop_assert_eq!((again.qos(), again.retain), (QoS::ExactlyOnce, retain));
            prop_assert_eq!(&again.payload[..], &payload[..]);
            prop_assert_eq!(again.properties(), properties);
            prop_assert_eq!(again.expires_ms(), expiry.map(|s| 1_000 + u64::from(s) * 1_000));
        }
    }
}
