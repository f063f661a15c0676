//! CONNECT (MQTT-3.1).

use super::out::Out;
use super::properties::{Properties, PutProperty, not_zero, put_properties};
use super::publish::{check_message_properties, put_message_properties};
use crate::{Connect, EncodeError, PacketType, PropertyId, Version, Will};

const PACKET: PacketType = PacketType::Connect;

pub(super) fn check(connect: &Connect) -> Result<(), EncodeError> {
    if connect.version == Version::V3 {
        return match (&connect.username, &connect.password) {
            (None, Some(_)) => Err(EncodeError::PasswordWithoutUserName),
            _ => Ok(()),
        };
    }
    not_zero(PACKET, PropertyId::ReceiveMaximum, connect.receive_maximum.map(u32::from))?;
    not_zero(PACKET, PropertyId::MaximumPacketSize, connect.maximum_packet_size)?;
    if connect.authentication_data.is_some() && connect.authentication_method.is_none() {
        return Err(EncodeError::AuthenticationMethodMissing { packet: PACKET });
    }
    connect.will.as_ref().map_or(Ok(()), check_will)
}

fn check_will(will: &Will) -> Result<(), EncodeError> {
    let refused = |property| Err(EncodeError::PropertyNotAllowed { packet: PACKET, property });
    if will.properties.topic_alias.is_some() {
        return refused(PropertyId::TopicAlias);
    }
    if !will.properties.subscription_ids.is_empty() {
        return refused(PropertyId::SubscriptionIdentifier);
    }
    check_message_properties(PACKET, &will.properties)
}

pub(super) fn put<O: Out>(connect: &Connect, out: &mut O) -> Result<(), EncodeError> {
    out.put(b"\x00\x04MQTT");
    out.u8(match connect.version {
        Version::V3 => 4,
        Version::V5 => 5,
    });
    out.u8(flags(connect));
    out.u16(connect.keep_alive_s);
    if connect.version == Version::V5 {
        put_properties(connect, out)?;
    }
    out.text(&connect.client_id)?;
    if let Some(will) = &connect.will {
        if connect.version == Version::V5 {
            put_properties(will, out)?;
        }
        out.binary(will.topic.as_bytes())?;
        out.binary(&will.payload)?;
    }
    if let Some(username) = &connect.username {
        out.text(username)?;
    }
    if let Some(password) = &connect.password {
        out.binary(password)?;
    }
    Ok(())
}

/// MQTT-3.1.2.3.
fn flags(connect: &Connect) -> u8 {
    let will =
        connect.will.as_ref().map_or(0, |will| 1 << 2 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    u8::from(connect.clean_start) << 1
        | will
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.username.is_some()) << 7
}

impl Properties for Connect {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry_s);
        out.u16_property(PropertyId::ReceiveMaximum, self.receive_maximum);
        out.u32_property(PropertyId::MaximumPacketSize, self.maximum_packet_size);
        out.u16_property(PropertyId::TopicAliasMaximum, self.topic_alias_maximum);
        out.flag_property(PropertyId::RequestResponseInformation, self.request_response_information);
        out.flag_property(PropertyId::RequestProblemInformation, self.request_problem_information);
        out.text_property(PropertyId::AuthenticationMethod, &self.authentication_method)?;
        out.binary_property(PropertyId::AuthenticationData, &self.authentication_data)?;
        out.user_properties(&self.user_properties)
    }
}

impl Properties for Will {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.u32_property(PropertyId::WillDelayInterval, self.delay_s);
        out.u32_property(PropertyId::MessageExpiryInterval, self.properties.message_expiry_s);
        put_message_properties(&self.properties, out)
    }
}
