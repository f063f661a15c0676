//! CONNECT (MQTT-3.1), the packet that names its own protocol version.

use bytes::Bytes;

use super::publish::read_message_property;
use super::{FixedHeader, Reader};
use crate::{Connect, DecodeError, PacketType, PropertyId, PublishProperties, QoS, TopicName, Version, Will};

const RESERVED: u8 = 1 << 0;
const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

pub(super) fn decode(header: &FixedHeader, reader: &mut Reader<'_>) -> Result<Connect, DecodeError> {
    let version = read_version(reader)?;
    header.check_minimal(version)?;
    let flags = reader.u8()?;
    check_flags(flags, version)?;
    let mut connect = Connect {
        version,
        clean_start: flags & CLEAN_START != 0,
        keep_alive_s: reader.u16()?,
        client_id: Bytes::new(),
        will: None,
        username: None,
        password: None,
        session_expiry_s: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: None,
        request_response_information: None,
        request_problem_information: None,
        authentication_method: None,
        authentication_data: None,
        user_properties: Vec::new(),
    };
    if version == Version::V5 {
        read_properties(reader, &mut connect)?;
    }
    connect.client_id = reader.text()?;
    if flags & WILL != 0 {
        connect.will = Some(read_will(reader, flags, version)?);
    }
    if flags & USER_NAME != 0 {
        connect.username = Some(reader.text()?);
    }
    if flags & PASSWORD != 0 {
        connect.password = Some(reader.binary()?);
    }
    Ok(connect)
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name = reader.binary()?;
    match &name[..] {
        b"MQTT" => match reader.u8()? {
            4 => Ok(Version::V3),
            5 => Ok(Version::V5),
            level => Err(DecodeError::UnsupportedProtocolVersion { level }),
        },
        // MQTT 3.1 had another name.
        b"MQIsdp" => Err(DecodeError::UnsupportedProtocolVersion { level: reader.u8()? }),
        _ => Err(DecodeError::ProtocolName),
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if flags & RESERVED != 0 {
        return Err(DecodeError::ConnectFlagReserved);
    }
    let qos = flags >> WILL_QOS_SHIFT & 0b11;
    if flags & WILL == 0 && (qos != 0 || flags & WILL_RETAIN != 0) {
        return Err(DecodeError::WillFlagsWithoutWill);
    }
    if qos == 3 {
        return Err(DecodeError::WillQoS);
    }
    if version == Version::V3 && flags & (USER_NAME | PASSWORD) == PASSWORD {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(())
}

fn read_properties(reader: &mut Reader<'_>, into: &mut Connect) -> Result<(), DecodeError> {
    let mut from = reader.properties()?;
    while let Some(id) = from.next_property()? {
        match id {
            PropertyId::SessionExpiryInterval => from.set_u32(id, &mut into.session_expiry_s)?,
            PropertyId::ReceiveMaximum => from.set_u16_above_0(id, &mut into.receive_maximum)?,
            PropertyId::MaximumPacketSize => from.set_u32_above_0(id, &mut into.maximum_packet_size)?,
            PropertyId::TopicAliasMaximum => from.set_u16(id, &mut into.topic_alias_maximum)?,
            PropertyId::RequestResponseInformation => {
                from.set_flag(id, &mut into.request_response_information)?;
            }
            PropertyId::RequestProblemInformation => {
                from.set_flag(id, &mut into.request_problem_information)?;
            }
            PropertyId::AuthenticationMethod => from.set_text(id, &mut into.authentication_method)?,
            PropertyId::AuthenticationData => from.set_binary(id, &mut into.authentication_data)?,
            PropertyId::UserProperty => from.push_user(&mut into.user_properties)?,
            other => return Err(from.not_allowed(other)),
        }
    }
    if into.authentication_data.is_some() && into.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationMethodMissing { packet: PacketType::Connect });
    }
    Ok(())
}

fn read_will(reader: &mut Reader<'_>, flags: u8, version: Version) -> Result<Will, DecodeError> {
    let (mut delay_s, mut properties) = (None, PublishProperties::default());
    if version == Version::V5 {
        let mut from = reader.properties()?;
        while let Some(id) = from.next_property()? {
            match id {
                PropertyId::WillDelayInterval => from.set_u32(id, &mut delay_s)?,
                other => read_message_property(&mut from, other, &mut properties)?,
            }
        }
    }
    let packet = PacketType::Connect;
    let topic = TopicName::new(reader.binary()?).map_err(|error| DecodeError::TopicName { packet, error })?;
    let payload = reader.binary()?;
    let qos = QoS::try_from(flags >> WILL_QOS_SHIFT & 0b11).map_err(|_| DecodeError::WillQoS)?;
    Ok(Will { topic, payload, qos, retain: flags & WILL_RETAIN != 0, delay_s, properties })
}
