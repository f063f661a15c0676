//! The fixed header (MQTT-2.1): type, flags and Remaining Length, judged before the rest is there.

use crate::varint::{self, VarInt};
use crate::{DecodeError, PacketType, QoS, Version};

/// The fixed header of a packet, valid for its type and within the size limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FixedHeader {
    pub(super) packet: PacketType,
    pub(super) flags: u8,
    /// Bytes of the fixed header itself, 2 to 5.
    pub(super) len: usize,
    /// Bytes of the whole packet.
    pub(super) packet_len: usize,
    /// Whether the Remaining Length used as few bytes as possible.
    minimal: bool,
}

/// DUP, QoS and RETAIN of a PUBLISH (MQTT-3.3.1).
pub(super) struct PublishFlags {
    pub(super) dup: bool,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl FixedHeader {
    /// Reads the fixed header at the front of `bytes`; `None` when it is not complete yet.
    pub(super) fn read(bytes: &[u8], version: Version, bytes_max: u32) -> Result<Option<Self>, DecodeError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let packet = packet_type(first, version)?;
        let flags = first & 0x0F;
        check_flags(packet, flags)?;
        let Some((remaining, len_bytes)) = remaining_length(&bytes[1..])? else { return Ok(None) };
        let header = Self {
            packet,
            flags,
            len: 1 + len_bytes,
            packet_len: 1 + len_bytes + remaining as usize,
            minimal: len_bytes == varint::len(remaining as usize),
        };
        let packet_bytes = 1 + len_bytes as u32 + remaining;
        if packet_bytes > bytes_max {
            return Err(DecodeError::PacketTooLarge { bytes: packet_bytes, bytes_max });
        }
        if packet != PacketType::Connect {
            header.check_minimal(version)?;
        }
        Ok(Some(header))
    }

    /// MQTT 5 demands the shortest form (MQTT-1.5.5-1); 3.1.1 does not. A CONNECT tells its version
    /// after its fixed header, so it asks for this check itself.
    pub(super) fn check_minimal(&self, version: Version) -> Result<(), DecodeError> {
        if version == Version::V5 && !self.minimal {
            return Err(DecodeError::VarIntNotMinimal { packet: self.packet });
        }
        Ok(())
    }

    pub(super) fn publish_flags(&self) -> Result<PublishFlags, DecodeError> {
        publish_flags(self.flags)
    }
}

fn packet_type(first: u8, version: Version) -> Result<PacketType, DecodeError> {
    match PacketType::from_first_byte(first) {
        Some(packet) if version == Version::V5 || packet != PacketType::Auth => Ok(packet),
        _ => Err(DecodeError::UnknownPacketType { packet_type: first >> 4 }),
    }
}

fn check_flags(packet: PacketType, flags: u8) -> Result<(), DecodeError> {
    if packet == PacketType::Publish {
        return publish_flags(flags).map(drop);
    }
    if flags != packet.fixed_flags() {
        return Err(DecodeError::ReservedFlags { packet, flags });
    }
    Ok(())
}

fn publish_flags(flags: u8) -> Result<PublishFlags, DecodeError> {
    let packet = PacketType::Publish;
    let qos = QoS::try_from(flags >> 1 & 0b11).map_err(|_| DecodeError::QoS { packet })?;
    let dup = flags & 0b1000 != 0;
    if dup && qos == QoS::AtMostOnce {
        return Err(DecodeError::DupWithQoS0);
    }
    Ok(PublishFlags { dup, qos, retain: flags & 1 != 0 })
}

/// The Remaining Length and its own length; `None` when its last byte has not arrived.
fn remaining_length(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    match varint::read(bytes) {
        VarInt::Value { value, len } => Ok(Some((value, len))),
        VarInt::Incomplete => Ok(None),
        VarInt::TooLong => Err(DecodeError::RemainingLengthMalformed),
    }
}
