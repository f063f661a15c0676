//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (MQTT-3.8 to 3.11).

use super::Reader;
use super::properties::read_explanation;
use crate::{
    DecodeError, PropertyId, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    TopicFilter, UnsubAck, Unsubscribe, Version,
};

pub(super) fn decode_subscribe(reader: &mut Reader<'_>, version: Version) -> Result<Subscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let (mut subscription_id, mut user_properties) = (None, Vec::new());
    if version == Version::V5 {
        let mut properties = reader.properties()?;
        while let Some(id) = properties.next_property()? {
            match id {
                PropertyId::SubscriptionIdentifier => {
                    let value = properties.subscription_id()?;
                    properties.once(id, &mut subscription_id, value)?;
                }
                PropertyId::UserProperty => properties.push_user(&mut user_properties)?,
                other => return Err(properties.not_allowed(other)),
            }
        }
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(read_subscription(reader, version)?);
    }
    non_empty(reader, &filters)?;
    Ok(Subscribe { packet_id, filters, subscription_id, user_properties })
}

/// One filter with its options (MQTT-3.8.3.1).
fn read_subscription(reader: &mut Reader<'_>, version: Version) -> Result<SubscribeFilter, DecodeError> {
    let filter = read_filter(reader)?;
    let options = reader.u8()?;
    let reserved = match version {
        Version::V3 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if options & reserved != 0 {
        return Err(DecodeError::SubscriptionOptions { options });
    }
    let qos = QoS::try_from(options & 0b11).map_err(|_| DecodeError::QoS { packet: reader.packet() })?;
    let no_local = options & 0b100 != 0;
    if no_local && filter.shared().is_some() {
        return Err(DecodeError::NoLocalShared);
    }
    let retain_handling = match options >> 4 & 0b11 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(DecodeError::RetainHandling),
    };
    Ok(SubscribeFilter { filter, qos, no_local, retain_as_published: options & 0b1000 != 0, retain_handling })
}

pub(super) fn decode_suback(reader: &mut Reader<'_>, version: Version) -> Result<SubAck, DecodeError> {
    let packet_id = reader.packet_id()?;
    let (mut reason_string, mut user_properties) = (None, Vec::new());
    if version == Version::V5 {
        read_explanation(reader, &mut reason_string, &mut user_properties)?;
    }
    let mut codes = Vec::with_capacity(reader.remaining());
    while !reader.is_empty() {
        codes.push(match version {
            Version::V3 => read_v3_code(reader)?,
            Version::V5 => reader.reason()?,
        });
    }
    non_empty(reader, &codes)?;
    Ok(SubAck { packet_id, codes, reason_string, user_properties })
}

/// 3.1.1 MQTT-3.9.3-2.
fn read_v3_code(reader: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    let code = reader.u8()?;
    ReasonCode::from_v3_suback(code).ok_or(DecodeError::ReasonCode { packet: reader.packet(), code })
}

pub(super) fn decode_unsubscribe(
    reader: &mut Reader<'_>,
    version: Version,
) -> Result<Unsubscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let mut user_properties = Vec::new();
    if version == Version::V5 {
        let mut properties = reader.properties()?;
        while let Some(id) = properties.next_property()? {
            match id {
                PropertyId::UserProperty => properties.push_user(&mut user_properties)?,
                other => return Err(properties.not_allowed(other)),
            }
        }
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(read_filter(reader)?);
    }
    non_empty(reader, &filters)?;
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

pub(super) fn decode_unsuback(reader: &mut Reader<'_>, version: Version) -> Result<UnsubAck, DecodeError> {
    let packet_id = reader.packet_id()?;
    let mut ack = UnsubAck { packet_id, codes: Vec::new(), reason_string: None, user_properties: Vec::new() };
    // In 3.1.1 there is no payload; what follows is refused as trailing bytes.
    if version == Version::V3 {
        return Ok(ack);
    }
    read_explanation(reader, &mut ack.reason_string, &mut ack.user_properties)?;
    ack.codes.reserve_exact(reader.remaining());
    while !reader.is_empty() {
        ack.codes.push(reader.reason()?);
    }
    non_empty(reader, &ack.codes)?;
    Ok(ack)
}

fn read_filter(reader: &mut Reader<'_>) -> Result<TopicFilter, DecodeError> {
    TopicFilter::new(reader.binary()?)
        .map_err(|error| DecodeError::TopicFilter { packet: reader.packet(), error })
}

fn non_empty<T>(reader: &Reader<'_>, list: &[T]) -> Result<(), DecodeError> {
    if list.is_empty() {
        return Err(DecodeError::EmptyList { packet: reader.packet() });
    }
    Ok(())
}
