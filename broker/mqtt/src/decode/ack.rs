//! PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT-3.4 to 3.7), and the short form of all that is hot and small.

use super::properties::read_explanation;
use super::{FixedHeader, Reader};
use crate::{Ack, DecodeError, Packet, PacketId, PacketType, Version};

/// Decodes what needs no slice of the buffer: pings, and acknowledgements without reason code, whose
/// remaining length is 2 in both protocol versions. `None` for everything else.
pub(super) fn decode_plain(header: &FixedHeader, body: &[u8]) -> Result<Option<Packet>, DecodeError> {
    let make = match header.packet {
        PacketType::PubAck => Packet::PubAck,
        PacketType::PubRec => Packet::PubRec,
        PacketType::PubRel => Packet::PubRel,
        PacketType::PubComp => Packet::PubComp,
        PacketType::PingReq if body.is_empty() => return Ok(Some(Packet::PingReq)),
        PacketType::PingResp if body.is_empty() => return Ok(Some(Packet::PingResp)),
        _ => return Ok(None),
    };
    let Ok(id) = <[u8; 2]>::try_from(body) else { return Ok(None) };
    let packet_id =
        PacketId::new(u16::from_be_bytes(id)).ok_or(DecodeError::PacketIdZero { packet: header.packet })?;
    Ok(Some(make(Ack::success(packet_id))))
}

pub(super) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Ack, DecodeError> {
    let mut ack = Ack::success(reader.packet_id()?);
    // In 3.1.1 whatever follows is refused as trailing bytes.
    if version == Version::V3 || reader.is_empty() {
        return Ok(ack);
    }
    ack.reason = reader.reason()?;
    if !reader.is_empty() {
        read_explanation(reader, &mut ack.reason_string, &mut ack.user_properties)?;
    }
    Ok(ack)
}
