//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (MQTT-3.8 to 3.11).

use super::check_reason;
use super::out::Out;
use super::properties::{Explanation, Properties, PutProperty, check_subscription_id, put_properties};
use crate::{
    EncodeError, PacketType, ReasonCode, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
    UserProperties, Version,
};

pub(super) fn check_subscribe(subscribe: &Subscribe) -> Result<(), EncodeError> {
    let packet = PacketType::Subscribe;
    non_empty(packet, &subscribe.filters)?;
    if let Some(id) = subscribe.subscription_id {
        check_subscription_id(packet, id)?;
    }
    if subscribe.filters.iter().any(|wanted| wanted.no_local && wanted.filter.shared().is_some()) {
        return Err(EncodeError::NoLocalShared);
    }
    Ok(())
}

pub(super) fn check_suback(suback: &SubAck, version: Version) -> Result<(), EncodeError> {
    check_codes(PacketType::SubAck, &suback.codes, version)
}

pub(super) fn check_unsubscribe(unsubscribe: &Unsubscribe) -> Result<(), EncodeError> {
    non_empty(PacketType::Unsubscribe, &unsubscribe.filters)
}

/// In 3.1.1 the codes are not sent, so there they may be absent.
pub(super) fn check_unsuback(unsuback: &UnsubAck, version: Version) -> Result<(), EncodeError> {
    match version {
        Version::V3 => Ok(()),
        Version::V5 => check_codes(PacketType::UnsubAck, &unsuback.codes, version),
    }
}

fn check_codes(packet: PacketType, codes: &[ReasonCode], version: Version) -> Result<(), EncodeError> {
    non_empty(packet, codes)?;
    codes.iter().try_for_each(|&reason| check_reason(packet, reason, version))
}

fn non_empty<T>(packet: PacketType, list: &[T]) -> Result<(), EncodeError> {
    if list.is_empty() {
        return Err(EncodeError::EmptyList { packet });
    }
    Ok(())
}

impl Properties for Subscribe {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        if let Some(id) = self.subscription_id {
            out.subscription_id_property(id);
        }
        out.user_properties(&self.user_properties)
    }
}

impl Properties for UserProperties {
    fn put<O: Out>(&self, out: &mut O) -> Result<(), EncodeError> {
        out.user_properties(self)
    }
}

pub(super) fn put_subscribe<O: Out>(
    subscribe: &Subscribe,
    version: Version,
    out: &mut O,
) -> Result<(), EncodeError> {
    out.u16(subscribe.packet_id.get());
    if version == Version::V5 {
        put_properties(subscribe, out)?;
    }
    for wanted in &subscribe.filters {
        out.binary(wanted.filter.as_bytes())?;
        out.u8(options(wanted, version));
    }
    Ok(())
}

/// MQTT-3.8.3.1; 3.1.1 has the QoS only.
fn options(wanted: &SubscribeFilter, version: Version) -> u8 {
    let qos = wanted.qos as u8;
    match version {
        Version::V3 => qos,
        Version::V5 => {
            qos | u8::from(wanted.no_local) << 2
                | u8::from(wanted.retain_as_published) << 3
                | (wanted.retain_handling as u8) << 4
        }
    }
}

pub(super) fn put_suback<O: Out>(suback: &SubAck, version: Version, out: &mut O) -> Result<(), EncodeError> {
    out.u16(suback.packet_id.get());
    if version == Version::V5 {
        let SubAck { reason_string, user_properties, .. } = suback;
        put_properties(&Explanation { reason_string, user_properties }, out)?;
    }
    for &code in &suback.codes {
        out.u8(match version {
            Version::V3 => code.v3_suback(),
            Version::V5 => code.code(),
        });
    }
    Ok(())
}

pub(super) fn put_unsubscribe<O: Out>(
    unsubscribe: &Unsubscribe,
    version: Version,
    out: &mut O,
) -> Result<(), EncodeError> {
    out.u16(unsubscribe.packet_id.get());
    if version == Version::V5 {
        put_properties(&unsubscribe.user_properties, out)?;
    }
    unsubscribe.filters.iter().try_for_each(|filter| out.binary(filter.as_bytes()))
}

pub(super) fn put_unsuback<O: Out>(
    unsuback: &UnsubAck,
    version: Version,
    out: &mut O,
) -> Result<(), EncodeError> {
    out.u16(unsuback.packet_id.get());
    if version == Version::V3 {
        return Ok(());
    }
    let UnsubAck { reason_string, user_properties, .. } = unsuback;
    put_properties(&Explanation { reason_string, user_properties }, out)?;
    unsuback.codes.iter().for_each(|code| out.u8(code.code()));
    Ok(())
}
