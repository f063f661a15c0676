//! CONNACK (MQTT-3.2).

use super::Reader;
use crate::{ConnAck, ConnAckProperties, DecodeError, PropertyId, ReasonCode, Version};

pub(super) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<ConnAck, DecodeError> {
    let flags = reader.u8()?;
    if flags & 0b1111_1110 != 0 {
        return Err(DecodeError::ConnAckFlags { flags });
    }
    let session_present = flags == 1;
    let reason = match version {
        Version::V3 => {
            let code = reader.u8()?;
            ReasonCode::from_v3_connack(code)
                .ok_or(DecodeError::ReasonCode { packet: reader.packet(), code })?
        }
        Version::V5 => reader.reason()?,
    };
    if session_present && reason != ReasonCode::Success {
        return Err(DecodeError::SessionPresentWithError);
    }
    let properties = match version {
        Version::V3 => ConnAckProperties::default(),
        Version::V5 => read_properties(reader)?,
    };
    Ok(ConnAck { session_present, reason, properties })
}

fn read_properties(reader: &mut Reader<'_>) -> Result<ConnAckProperties, DecodeError> {
    let mut into = ConnAckProperties::default();
    let mut from = reader.properties()?;
    while let Some(id) = from.next_property()? {
        match id {
            PropertyId::SessionExpiryInterval => from.set_u32(id, &mut into.session_expiry_s)?,
            PropertyId::ReceiveMaximum => from.set_u16_above_0(id, &mut into.receive_maximum)?,
            PropertyId::MaximumQoS => {
                let value = from.u8()?;
                if value > 1 {
                    return Err(from.bad_value(id, value.into()));
                }
                from.once(id, &mut into.maximum_qos, value)?;
            }
            PropertyId::RetainAvailable => from.set_flag(id, &mut into.retain_available)?,
            PropertyId::MaximumPacketSize => from.set_u32_above_0(id, &mut into.maximum_packet_size)?,
            PropertyId::AssignedClientIdentifier => from.set_text(id, &mut into.assigned_client_id)?,
            PropertyId::TopicAliasMaximum => from.set_u16(id, &mut into.topic_alias_maximum)?,
            PropertyId::ReasonString => from.set_text(id, &mut into.reason_string)?,
            PropertyId::UserProperty => from.push_user(&mut into.user_properties)?,
            PropertyId::WildcardSubscriptionAvailable => {
                from.set_flag(id, &mut into.wildcard_subscription_available)?;
            }
            PropertyId::SubscriptionIdentifierAvailable => {
                from.set_flag(id, &mut into.subscription_ids_available)?;
            }
            PropertyId::SharedSubscriptionAvailable => {
                from.set_flag(id, &mut into.shared_subscription_available)?;
            }
            PropertyId::ServerKeepAlive => from.set_u16(id, &mut into.server_keep_alive_s)?,
            PropertyId::ResponseInformation => from.set_text(id, &mut into.response_information)?,
            PropertyId::ServerReference => from.set_text(id, &mut into.server_reference)?,
            PropertyId::AuthenticationMethod => from.set_text(id, &mut into.authentication_method)?,
            PropertyId::AuthenticationData => from.set_binary(id, &mut into.authentication_data)?,
            other => return Err(from.not_allowed(other)),
        }
    }
    Ok(into)
}
