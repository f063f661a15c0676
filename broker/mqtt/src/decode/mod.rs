//! Bytes → packets. One file for each family of packets; [`Decoder`] keeps what arrived in part.

mod ack;
mod close;
mod connack;
mod connect;
mod decoder;
mod frame;
mod properties;
mod publish;
mod reader;
mod subscribe;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes};

pub use decoder::Decoder;
use frame::FixedHeader;
use reader::Reader;

use crate::{DecodeError, Packet, PacketType, Version};

/// Decodes one packet from the front of `buf`, at most `max_packet_size` bytes long, fixed header included.
///
/// * `Ok(Some(_))`: the packet's bytes were split off `buf`. Topic and payload are slices of it.
/// * `Ok(None)`: the packet is incomplete and `buf` is as it was. Flags and size of a packet are judged
///   as soon as its fixed header is there.
/// * `Err(_)`: what `buf` holds afterwards is of no use, for no packet boundary is known any more.
///
/// A CONNECT is decoded by the protocol version that it names itself, all others by `version`.
pub fn decode(
    buf: &mut Bytes,
    version: Version,
    max_packet_size: u32,
) -> Result<Option<Packet>, DecodeError> {
    let Some(header) = FixedHeader::read(buf, version, max_packet_size)? else { return Ok(None) };
    if buf.len() < header.packet_len {
        return Ok(None);
    }
    // Acknowledgements and pings hold no slice of the buffer, so they need not split it.
    if let Some(packet) = ack::decode_plain(&header, &buf[header.len..header.packet_len])? {
        buf.advance(header.packet_len);
        return Ok(Some(packet));
    }
    let frame = buf.split_to(header.packet_len);
    decode_frame(&header, frame, version).map(Some)
}

fn decode_frame(header: &FixedHeader, frame: Bytes, version: Version) -> Result<Packet, DecodeError> {
    let mut fields = Reader::new(header.packet, &frame, header.len);
    let reader = &mut fields;
    let packet = match header.packet {
        // Its payload is the rest of the frame, so it takes the frame itself.
        PacketType::Publish => return publish::decode(header, frame, version).map(Packet::Publish),
        PacketType::Connect => Packet::Connect(Box::new(connect::decode(header, reader)?)),
        PacketType::ConnAck => Packet::ConnAck(Box::new(connack::decode(reader, version)?)),
        PacketType::PubAck => Packet::PubAck(ack::decode(reader, version)?),
        PacketType::PubRec => Packet::PubRec(ack::decode(reader, version)?),
        PacketType::PubRel => Packet::PubRel(ack::decode(reader, version)?),
        PacketType::PubComp => Packet::PubComp(ack::decode(reader, version)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe::decode_subscribe(reader, version)?),
        PacketType::SubAck => Packet::SubAck(subscribe::decode_suback(reader, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(subscribe::decode_unsubscribe(reader, version)?),
        PacketType::UnsubAck => Packet::UnsubAck(subscribe::decode_unsuback(reader, version)?),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(close::decode_disconnect(reader, version)?),
        PacketType::Auth => Packet::Auth(close::decode_auth(reader)?),
    };
    fields.finish()?;
    Ok(packet)
}
