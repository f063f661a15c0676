//! DISCONNECT (MQTT-3.14) and AUTH (MQTT-3.15).

use super::check_reason;
use super::out::Out;
use super::properties::{Properties, PutProperty, put_properties};
use crate::{Auth, Disconnect, EncodeError, PacketType, PropertyId, ReasonCode, Version};

/// In 3.1.1 a DISCONNECT is a client's and says nothing: one with a reason would be a server's.
pub(super) fn check_disconnect(disconnect: &Disconnect, version: Version) -> Result<(), EncodeError> {
    let packet = PacketType::Disconnect;
    if version == Version::V3 && disconnect.reason != ReasonCode::Success {
        return Err(EncodeError::NotInVersion { packet, version });
    }
    check_reason(packet, disconnect.reason, version)
}

pub(super) fn check_auth(auth: &Auth, version: Version) -> Result<(), EncodeError> {
    let packet = PacketType::Auth;
    if version == Version::V3 {
        return Err(EncodeError::NotInVersion { packet, version });
    }
    if auth.method.is_none() && !auth.is_bare_success() {
        return Err(EncodeError::AuthenticationMethodMissing { packet });
    }
    check_reason(packet, auth.reason, version)
}

impl Properties for Disconnect {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry_s);
        out.text_property(PropertyId::ReasonString, &self.reason_string)?;
        out.text_property(PropertyId::ServerReference, &self.server_reference)?;
        out.user_properties(&self.user_properties)
    }
}

impl Disconnect {
    fn has_properties(&self) -> bool {
        self.session_expiry_s.is_some()
            || self.reason_string.is_some()
            || self.server_reference.is_some()
            || !self.user_properties.is_empty()
    }
}

pub(super) fn put_disconnect<O: Out>(
    disconnect: &Disconnect,
    version: Version,
    out: &mut O,
) -> Result<(), EncodeError> {
    if version == Version::V3 {
        return Ok(());
    }
    if disconnect.has_properties() {
        out.u8(disconnect.reason.code());
        return put_properties(disconnect, out);
    }
    if disconnect.reason != ReasonCode::Success {
        out.u8(disconnect.reason.code());
    }
    Ok(())
}

impl Properties for Auth {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.text_property(PropertyId::AuthenticationMethod, &self.method)?;
        out.binary_property(PropertyId::AuthenticationData, &self.data)?;
        out.text_property(PropertyId::ReasonString, &self.reason_string)?;
        out.user_properties(&self.user_properties)
    }
}

pub(super) fn put_auth<O: Out>(auth: &Auth, out: &mut O) -> Result<(), EncodeError> {
    if auth.is_bare_success() {
        return Ok(());
    }
    out.u8(auth.reason.code());
    put_properties(auth, out)
}
