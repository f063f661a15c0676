//! PUBLISH (MQTT-3.3) for one recipient; [`PublishTemplate`](crate::PublishTemplate) is for many.

use super::out::Out;
use super::properties::{Properties, PutProperty, check_subscription_id, not_zero, put_properties};
use crate::{EncodeError, PacketType, PropertyId, Publish, PublishProperties, QoS, TopicName, Version};

pub(crate) fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    PacketType::Publish.first_byte() | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain)
}

pub(super) fn check(publish: &Publish, version: Version) -> Result<(), EncodeError> {
    match (publish.qos, publish.packet_id) {
        (QoS::AtMostOnce, Some(_)) => return Err(EncodeError::PacketIdWithQoS0),
        (QoS::AtMostOnce, None) if publish.dup => return Err(EncodeError::DupWithQoS0),
        (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => return Err(EncodeError::PacketIdMissing),
        _ => {}
    }
    let properties = &publish.properties;
    if publish.topic.is_none() && (version == Version::V3 || properties.topic_alias.is_none()) {
        return Err(EncodeError::NoTopic);
    }
    if version == Version::V3 {
        return Ok(());
    }
    let packet = PacketType::Publish;
    not_zero(packet, PropertyId::TopicAlias, properties.topic_alias.map(u32::from))?;
    for &id in &properties.subscription_ids {
        check_subscription_id(packet, id)?;
    }
    check_message_properties(packet, properties)
}

/// The Response Topic is a topic name (MQTT-3.3.2-14).
pub(crate) fn check_message_properties(
    packet: PacketType,
    properties: &PublishProperties,
) -> Result<(), EncodeError> {
    if let Some(topic) = &properties.response_topic {
        TopicName::new(topic.clone()).map_err(|error| EncodeError::ResponseTopic { packet, error })?;
    }
    Ok(())
}

pub(super) fn put<O: Out>(publish: &Publish, version: Version, out: &mut O) -> Result<(), EncodeError> {
    // A topic name is a string by construction.
    out.binary(publish.topic.as_ref().map_or(&[], |topic| &topic.as_bytes()[..]))?;
    if let Some(packet_id) = publish.packet_id {
        out.u16(packet_id.get());
    }
    if version == Version::V5 {
        put_properties(&publish.properties, out)?;
    }
    out.put(&publish.payload);
    Ok(())
}

/// First what a recipient of its own has, then what is the message's: the order of a template.
impl Properties for PublishProperties {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.u16_property(PropertyId::TopicAlias, self.topic_alias);
        for &id in &self.subscription_ids {
            out.subscription_id_property(id);
        }
        out.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry_s);
        put_message_properties(self, out)
    }
}

/// The properties that are the same for all recipients at all times: not alias, subscription identifiers
/// and expiry.
pub(crate) fn put_message_properties<O: Out>(
    properties: &PublishProperties,
    out: &mut O,
) -> Result<(), EncodeError> {
    out.flag_property(PropertyId::PayloadFormatIndicator, properties.payload_is_utf8);
    out.text_property(PropertyId::ContentType, &properties.content_type)?;
    out.text_property(PropertyId::ResponseTopic, &properties.response_topic)?;
    out.binary_property(PropertyId::CorrelationData, &properties.correlation_data)?;
    out.user_properties(&properties.user_properties)
}
