//! Where the bytes of a packet go: into a buffer, or only into a count.

use bytes::BytesMut;

use crate::topic::has_nul;
use crate::{EncodeError, PacketType, varint};

/// Takes the fields of a packet in their order.
pub(crate) trait Out {
    /// Bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// A variable byte integer in its shortest form (MQTT-1.5.5-1). A value above the greatest one was
    /// refused before it is written.
    fn varint(&mut self, value: usize) {
        let (bytes, len) = varint::write(value);
        self.put(&bytes[..len]);
    }

    /// Length-prefixed bytes.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.u16(bytes.len() as u16);
        self.put(bytes);
        Ok(())
    }

    /// A length-prefixed UTF-8 string.
    fn text(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.binary(bytes)
    }
}

impl Out for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts, for lengths inside of a packet whose fields [`Check`] judges.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    pub(crate) len: usize,
}

impl Out for Measure {
    fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
    }
}

/// Counts, and refuses fields that cannot be written.
#[derive(Debug)]
pub(crate) struct Check {
    packet: PacketType,
    measure: Measure,
}

impl Check {
    pub(crate) fn new(packet: PacketType) -> Self {
        Self { packet, measure: Measure::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.measure.len
    }
}

impl Out for Check {
    fn put(&mut self, bytes: &[u8]) {
        self.measure.put(bytes);
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > usize::from(u16::MAX) {
            return Err(EncodeError::FieldTooLong { packet: self.packet, bytes: bytes.len() });
        }
        self.measure.binary(bytes)
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        // Nearly all is ASCII, and that is seen in one pass without a branch.
        let plain = bytes.iter().fold(true, |plain, byte| plain & (byte.wrapping_sub(1) < 0x7F));
        if !plain && (has_nul(bytes) || std::str::from_utf8(bytes).is_err()) {
            return Err(EncodeError::InvalidString { packet: self.packet });
        }
        self.binary(bytes)
    }
}
