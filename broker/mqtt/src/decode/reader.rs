//! Reads the fields of one packet. Every read is checked against the packet's end.

use bytes::Bytes;

use crate::topic::has_nul;
use crate::varint::{self, VarInt};
use crate::{DecodeError, PacketId, PacketType, ReasonCode};

/// A position in a packet, or in the properties of one.
pub(super) struct Reader<'a> {
    packet: PacketType,
    frame: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `frame`, which is one whole packet, from `at` on.
    pub(super) fn new(packet: PacketType, frame: &'a Bytes, at: usize) -> Self {
        Self { packet, frame, at, end: frame.len() }
    }

    pub(super) fn packet(&self) -> PacketType {
        self.packet
    }

    /// Offset of the next byte in the frame.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    pub(super) fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Fails when bytes are left.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            bytes => Err(DecodeError::TrailingBytes { packet: self.packet, bytes }),
        }
    }

    /// The next `count` bytes, not shared.
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.remaining() {
            return Err(DecodeError::Truncated { packet: self.packet });
        }
        let from = self.at;
        self.at += count;
        Ok(&self.frame[from..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer, in its shortest form (MQTT-1.5.5-1). Only MQTT 5 has them inside packets.
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        let packet = self.packet;
        match varint::read(&self.frame[self.at..self.end]) {
            VarInt::Value { value, len } if len == varint::len(value as usize) => {
                self.at += len;
                Ok(value)
            }
            VarInt::Value { .. } => Err(DecodeError::VarIntNotMinimal { packet }),
            VarInt::Incomplete => Err(DecodeError::Truncated { packet }),
            VarInt::TooLong => Err(DecodeError::VarIntMalformed { packet }),
        }
    }

    /// Length-prefixed bytes, as a slice of the frame (MQTT-1.5.6).
    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let length = usize::from(self.u16()?);
        self.take(length)?;
        Ok(self.frame.slice(self.at - length..self.at))
    }

    /// A UTF-8 string, as a slice of the frame (MQTT-1.5.4).
    pub(super) fn text(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.binary()?;
        if has_nul(&bytes) {
            return Err(DecodeError::StringWithNul { packet: self.packet });
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(DecodeError::StringNotUtf8 { packet: self.packet }),
        }
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero { packet: self.packet })
    }

    /// An MQTT 5 reason code that this packet may carry.
    pub(super) fn reason(&mut self) -> Result<ReasonCode, DecodeError> {
        let (packet, code) = (self.packet, self.u8()?);
        ReasonCode::try_from(code)
            .ok()
            .filter(|reason| reason.is_allowed_in(packet))
            .ok_or(DecodeError::ReasonCode { packet, code })
    }

    /// The properties that begin here, as a reader that ends where they end; this one goes on behind them.
    pub(super) fn properties(&mut self) -> Result<Reader<'a>, DecodeError> {
        let length = self.varint()? as usize;
        self.take(length)?;
        Ok(Self { packet: self.packet, frame: self.frame, at: self.at - length, end: self.at })
    }
}
