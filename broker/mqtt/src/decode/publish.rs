//! PUBLISH (MQTT-3.3), the hot one: topic and payload stay where they are.

use bytes::{Buf, Bytes};

use super::{FixedHeader, Reader};
use crate::{DecodeError, PacketType, PropertyId, Publish, PublishProperties, QoS, TopicName, Version};

pub(super) fn decode(
    header: &FixedHeader,
    mut frame: Bytes,
    version: Version,
) -> Result<Publish, DecodeError> {
    let flags = header.publish_flags()?;
    let mut reader = Reader::new(PacketType::Publish, &frame, header.len);
    let topic = read_topic(&mut reader, version)?;
    let packet_id = match flags.qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id()?),
    };
    let properties = match version {
        Version::V3 => PublishProperties::default(),
        Version::V5 => read_properties(&mut reader)?,
    };
    if topic.is_none() && properties.topic_alias.is_none() {
        return Err(DecodeError::NoTopic);
    }
    let payload_at = reader.position();
    frame.advance(payload_at);
    // An empty slice would keep the read buffer alive for nothing.
    let payload = if frame.is_empty() { Bytes::new() } else { frame };
    Ok(Publish {
        dup: flags.dup,
        qos: flags.qos,
        retain: flags.retain,
        topic,
        packet_id,
        properties,
        payload,
    })
}

/// An empty name stands for a topic alias, which only MQTT 5 has.
fn read_topic(reader: &mut Reader<'_>, version: Version) -> Result<Option<TopicName>, DecodeError> {
    let bytes = reader.binary()?;
    if bytes.is_empty() && version == Version::V5 {
        return Ok(None);
    }
    let packet = PacketType::Publish;
    TopicName::new(bytes).map(Some).map_err(|error| DecodeError::TopicName { packet, error })
}

fn read_properties(reader: &mut Reader<'_>) -> Result<PublishProperties, DecodeError> {
    let mut into = PublishProperties::default();
    let mut properties = reader.properties()?;
    while let Some(id) = properties.next_property()? {
        match id {
            PropertyId::TopicAlias => {
                let alias = properties.u16()?;
                if alias == 0 {
                    return Err(DecodeError::TopicAliasZero);
                }
                properties.once(id, &mut into.topic_alias, alias)?;
            }
            PropertyId::SubscriptionIdentifier => {
                into.subscription_ids.push(properties.subscription_id()?);
            }
            other => read_message_property(&mut properties, other, &mut into)?,
        }
    }
    Ok(into)
}

/// A property that belongs to the message itself, in a PUBLISH or in a will.
pub(super) fn read_message_property(
    properties: &mut Reader<'_>,
    id: PropertyId,
    into: &mut PublishProperties,
) -> Result<(), DecodeError> {
    match id {
        PropertyId::PayloadFormatIndicator => properties.set_flag(id, &mut into.payload_is_utf8),
        PropertyId::MessageExpiryInterval => properties.set_u32(id, &mut into.message_expiry_s),
        PropertyId::ContentType => properties.set_text(id, &mut into.content_type),
        PropertyId::ResponseTopic => properties.set_response_topic(&mut into.response_topic),
        PropertyId::CorrelationData => properties.set_binary(id, &mut into.correlation_data),
        PropertyId::UserProperty => properties.push_user(&mut into.user_properties),
        other => Err(properties.not_allowed(other)),
    }
}
