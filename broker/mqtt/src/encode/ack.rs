//! PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT-3.4 to 3.7).

use bytes::BytesMut;

use super::out::{Check, Out};
use super::properties::{Explanation, Properties, put_properties};
use crate::{Ack, EncodeError, Packet, ReasonCode, Version, varint};

/// Writes pings and acknowledgements that say nothing but their packet identifier, the same in both versions
/// and by far the most frequent. False: not one of them, nothing was written.
pub(super) fn encode_plain(packet: &Packet, version: Version, out: &mut BytesMut) -> bool {
    let first = packet.packet_type().first_byte();
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack)
            if version == Version::V3 || is_plain(ack) =>
        {
            let [high, low] = ack.packet_id.get().to_be_bytes();
            out.put(&[first, 2, high, low]);
            true
        }
        Packet::PingReq | Packet::PingResp => {
            out.put(&[first, 0]);
            true
        }
        _ => false,
    }
}

/// Writes an acknowledgement that says more: as [`super::encode`] would, but measured once and not once for each length in
/// it. The answer to every message is one.
pub(super) fn encode_explained(packet: &Packet, ack: &Ack, out: &mut BytesMut) -> Result<(), EncodeError> {
    let packet_type = packet.packet_type();
    super::check_reason(packet_type, ack.reason, Version::V5)?;
    let explanation = explanation(ack);
    let mut measured = Check::new(packet_type);
    explanation.put(&mut measured)?;
    let (properties, mut remaining) = (measured.len(), 3);
    if !explanation.is_empty() {
        remaining += varint::len(properties) + properties;
    }
    if remaining > varint::VALUE_MAX {
        return Err(EncodeError::PacketTooLarge { bytes: remaining });
    }
    out.reserve(1 + varint::len(remaining) + remaining);
    out.u8(packet_type.first_byte());
    out.varint(remaining);
    out.u16(ack.packet_id.get());
    out.u8(ack.reason.code());
    if !explanation.is_empty() {
        out.varint(properties);
        explanation.put(out)?;
    }
    Ok(())
}

fn is_plain(ack: &Ack) -> bool {
    ack.reason == ReasonCode::Success && explanation(ack).is_empty()
}

fn explanation(ack: &Ack) -> Explanation<'_> {
    Explanation { reason_string: &ack.reason_string, user_properties: &ack.user_properties }
}

pub(super) fn put<O: Out>(ack: &Ack, version: Version, out: &mut O) -> Result<(), EncodeError> {
    out.u16(ack.packet_id.get());
    if version == Version::V3 || is_plain(ack) {
        return Ok(());
    }
    out.u8(ack.reason.code());
    match explanation(ack) {
        nothing if nothing.is_empty() => Ok(()),
        explanation => put_properties(&explanation, out),
    }
}
