//! CONNACK (MQTT-3.2).

use super::check_reason;
use super::out::Out;
use super::properties::{Properties, PutProperty, not_zero, put_properties};
use crate::{ConnAck, ConnAckProperties, EncodeError, PacketType, PropertyId, ReasonCode, Version};

pub(super) fn check(connack: &ConnAck, version: Version) -> Result<(), EncodeError> {
    let packet = PacketType::ConnAck;
    if connack.session_present && connack.reason != ReasonCode::Success {
        return Err(EncodeError::SessionPresentWithError);
    }
    if version == Version::V3 {
        return Ok(());
    }
    check_reason(packet, connack.reason, version)?;
    let properties = &connack.properties;
    if let Some(value @ 2..) = properties.maximum_qos {
        let (property, value) = (PropertyId::MaximumQoS, value.into());
        return Err(EncodeError::PropertyValue { packet, property, value });
    }
    not_zero(packet, PropertyId::ReceiveMaximum, properties.receive_maximum.map(u32::from))?;
    not_zero(packet, PropertyId::MaximumPacketSize, properties.maximum_packet_size)
}

pub(super) fn put<O: Out>(connack: &ConnAck, version: Version, out: &mut O) -> Result<(), EncodeError> {
    out.u8(connack.session_present.into());
    match version {
        Version::V3 => {
            out.u8(connack.reason.v3_connack());
            Ok(())
        }
        Version::V5 => {
            out.u8(connack.reason.code());
            put_properties(&connack.properties, out)
        }
    }
}

impl Properties for ConnAckProperties {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry_s);
        out.u16_property(PropertyId::ReceiveMaximum, self.receive_maximum);
        out.u8_property(PropertyId::MaximumQoS, self.maximum_qos);
        out.flag_property(PropertyId::RetainAvailable, self.retain_available);
        out.u32_property(PropertyId::MaximumPacketSize, self.maximum_packet_size);
        out.text_property(PropertyId::AssignedClientIdentifier, &self.assigned_client_id)?;
        out.u16_property(PropertyId::TopicAliasMaximum, self.topic_alias_maximum);
        out.text_property(PropertyId::ReasonString, &self.reason_string)?;
        out.user_properties(&self.user_properties)?;
        out.flag_property(PropertyId::WildcardSubscriptionAvailable, self.wildcard_subscription_available);
        out.flag_property(PropertyId::SubscriptionIdentifierAvailable, self.subscription_ids_available);
        out.flag_property(PropertyId::SharedSubscriptionAvailable, self.shared_subscription_available);
        out.u16_property(PropertyId::ServerKeepAlive, self.server_keep_alive_s);
        out.text_property(PropertyId::ResponseInformation, &self.response_information)?;
        out.text_property(PropertyId::ServerReference, &self.server_reference)?;
        out.text_property(PropertyId::AuthenticationMethod, &self.authentication_method)?;
        out.binary_property(PropertyId::AuthenticationData, &self.authentication_data)
    }
}
