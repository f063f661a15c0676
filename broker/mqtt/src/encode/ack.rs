//! PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT-3.4 to 3.7).

use bytes::BytesMut;

use super::out::Out;
use super::properties::{Explanation, put_properties};
use crate::{Ack, EncodeError, Packet, ReasonCode, Version};

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
