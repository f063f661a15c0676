//! The decoder of a connection: keeps the packet that arrived in part, and nothing else.

use bytes::{Buf, Bytes};

use super::{FixedHeader, decode};
use crate::{DecodeError, Packet, Version};

/// Least allocation for a packet that arrived in part, so that a trickle does not reallocate at each byte.
const PARTIAL_BYTES_MIN: usize = 256;

/// Decodes the packets of one connection from chunks of any size.
///
/// [`feed`](Self::feed) a chunk, then call [`next`](Self::next) until it answers `None`. From then on
/// at most one packet is held, the one that is incomplete: its bytes were *copied* into an allocation of
/// its own, so that the chunk (a large read buffer, shared by many packets) is not kept alive by a
/// few bytes, and that allocation grows with what arrives, not with what a fixed header announces.
/// A connection without an incomplete packet holds no allocation.
#[derive(Debug)]
pub struct Decoder {
    version: Version,
    max_packet_size: u32,
    chunk: Bytes,
    /// Front of an incomplete packet; what is in `chunk` comes behind it.
    partial: Vec<u8>,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// A decoder that refuses packets of more than `max_packet_size` bytes. Until a CONNECT has passed or a
    /// version is set it takes packets for MQTT 5.
    pub fn new(max_packet_size: u32) -> Self {
        Self {
            version: Version::V5,
            max_packet_size,
            chunk: Bytes::new(),
            partial: Vec::new(),
            failed: None,
        }
    }

    /// Sets the protocol version, as a client needs it. A CONNECT that is decoded sets it too.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// The protocol version that packets are taken for.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Sets the size limit for packets whose fixed header was not judged yet.
    pub fn set_max_packet_size(&mut self, max_packet_size: u32) {
        self.max_packet_size = max_packet_size;
    }

    /// Takes the next bytes of the stream. Nothing is copied here, unless the chunk before was not read to
    /// its end with [`next`](Self::next).
    pub fn feed(&mut self, chunk: Bytes) {
        if self.failed.is_some() {
            return;
        }
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else if !chunk.is_empty() {
            self.chunk = [&self.chunk[..], &chunk[..]].concat().into();
        }
    }

    /// The next packet; `None` when more bytes are needed. After an error the stream has no packet boundary:
    /// what is buffered is let go, more bytes are ignored and every further call gives the same error.
    #[expect(clippy::should_implement_trait, reason = "it can be called again after None")]
    pub fn next(&mut self) -> Result<Option<Packet>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let decoded = if self.partial.is_empty() { self.next_of_chunk() } else { self.next_of_partial() };
        match &decoded {
            Ok(Some(Packet::Connect(connect))) => self.version = connect.version,
            Ok(_) => {}
            Err(error) => {
                self.failed = Some(*error);
                self.chunk = Bytes::new();
                self.partial = Vec::new();
            }
        }
        decoded
    }

    /// Bytes held: after `next` answered `None`, those of the incomplete packet.
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.chunk.len()
    }

    fn next_of_chunk(&mut self) -> Result<Option<Packet>, DecodeError> {
        let packet = decode(&mut self.chunk, self.version, self.max_packet_size)?;
        if packet.is_none() && !self.chunk.is_empty() {
            self.keep_rest()?;
        }
        self.release_chunk();
        Ok(packet)
    }

    /// An empty slice may still hold a reference to the read buffer.
    fn release_chunk(&mut self) {
        if self.chunk.is_empty() {
            self.chunk = Bytes::new();
        }
    }

    fn keep_rest(&mut self) -> Result<(), DecodeError> {
        let arrived = self.chunk.len();
        let header = FixedHeader::read(&self.chunk, self.version, self.max_packet_size)?;
        let packet_len = header.map_or(PARTIAL_BYTES_MIN, |header| header.packet_len);
        self.partial.reserve_exact(packet_len.min((2 * arrived).max(PARTIAL_BYTES_MIN)).max(arrived));
        self.partial.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
        Ok(())
    }

    fn next_of_partial(&mut self) -> Result<Option<Packet>, DecodeError> {
        let header = loop {
            match FixedHeader::read(&self.partial, self.version, self.max_packet_size)? {
                Some(header) => break header,
                None if self.chunk.is_empty() => return Ok(None),
                None => self.partial.push(self.chunk.get_u8()),
            }
        };
        let missing = header.packet_len - self.partial.len();
        let arrived = missing.min(self.chunk.len());
        if self.partial.capacity() < self.partial.len() + arrived {
            self.partial.reserve_exact(missing.min(arrived.max(self.partial.len())));
        }
        self.partial.extend_from_slice(&self.chunk[..arrived]);
        self.chunk.advance(arrived);
        self.release_chunk();
        if arrived < missing {
            return Ok(None);
        }
        let mut frame = Bytes::from(std::mem::take(&mut self.partial));
        decode(&mut frame, self.version, self.max_packet_size)
    }
}
