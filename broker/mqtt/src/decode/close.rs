//! DISCONNECT (MQTT-3.14) and AUTH (MQTT-3.15).

use super::Reader;
use crate::{Auth, DecodeError, Disconnect, PropertyId, ReasonCode, Version};

pub(super) fn decode_disconnect(
    reader: &mut Reader<'_>,
    version: Version,
) -> Result<Disconnect, DecodeError> {
    let mut disconnect = Disconnect::with(ReasonCode::Success);
    // In 3.1.1 whatever follows is refused as trailing bytes.
    if version == Version::V3 || reader.is_empty() {
        return Ok(disconnect);
    }
    disconnect.reason = reader.reason()?;
    if reader.is_empty() {
        return Ok(disconnect);
    }
    let mut properties = reader.properties()?;
    while let Some(id) = properties.next_property()? {
        match id {
            PropertyId::SessionExpiryInterval => {
                properties.set_u32(id, &mut disconnect.session_expiry_s)?;
            }
            PropertyId::ReasonString => properties.set_text(id, &mut disconnect.reason_string)?,
            PropertyId::ServerReference => properties.set_text(id, &mut disconnect.server_reference)?,
            PropertyId::UserProperty => properties.push_user(&mut disconnect.user_properties)?,
            other => return Err(properties.not_allowed(other)),
        }
    }
    Ok(disconnect)
}

/// The reason code is absent only with all the rest (MQTT-3.15.2.1).
pub(super) fn decode_auth(reader: &mut Reader<'_>) -> Result<Auth, DecodeError> {
    let mut auth = Auth {
        reason: ReasonCode::Success,
        method: None,
        data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    if reader.is_empty() {
        return Ok(auth);
    }
    auth.reason = reader.reason()?;
    let mut properties = reader.properties()?;
    while let Some(id) = properties.next_property()? {
        match id {
            PropertyId::AuthenticationMethod => properties.set_text(id, &mut auth.method)?,
            PropertyId::AuthenticationData => properties.set_binary(id, &mut auth.data)?,
            PropertyId::ReasonString => properties.set_text(id, &mut auth.reason_string)?,
            PropertyId::UserProperty => properties.push_user(&mut auth.user_properties)?,
            other => return Err(properties.not_allowed(other)),
        }
    }
    if auth.method.is_none() && !auth.is_bare_success() {
        return Err(DecodeError::AuthenticationMethodMissing { packet: reader.packet() });
    }
    Ok(auth)
}
