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
        Self { version: Version::V5, max_packet_size, chunk: Bytes::new(), partial: Vec::new(), failed: None }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Publish;

    fn publish(payload: usize) -> Vec<u8> {
        let mut out = bytes::BytesMut::new();
        let packet = Packet::Publish(Publish {
            dup: false,
            qos: crate::QoS::AtMostOnce,
            retain: false,
            topic: Some("t".parse().unwrap()),
            packet_id: None,
            properties: crate::PublishProperties::default(),
            payload: vec![b'x'; payload].into(),
        });
        crate::encode(&packet, Version::V5, &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn a_whole_packet_is_a_slice_of_its_chunk() {
        let chunk = Bytes::from(publish(100));
        let mut decoder = Decoder::new(1_000);
        decoder.feed(chunk.clone());
        let Ok(Some(Packet::Publish(publish))) = decoder.next() else { panic!("a PUBLISH") };
        assert!(chunk.as_ptr_range().contains(&publish.payload.as_ptr()));
        drop(publish);
        assert_eq!(decoder.next(), Ok(None));
        assert!(chunk.is_unique(), "an idle decoder must not hold the read buffer");
    }

    /// A PINGREQ takes no slice: the buffer must be released all the same.
    #[test]
    fn an_idle_decoder_holds_nothing() {
        let chunk = Bytes::from(vec![0xC0, 0x00, 0xC0, 0x00]);
        let mut decoder = Decoder::new(1_000);
        decoder.feed(chunk.clone());
        assert_eq!(decoder.next(), Ok(Some(Packet::PingReq)));
        assert_eq!(decoder.next(), Ok(Some(Packet::PingReq)));
        assert_eq!(decoder.next(), Ok(None));
        assert!(chunk.is_unique());
        assert_eq!((decoder.buffered(), decoder.partial.capacity()), (0, 0));
    }

    #[test]
    fn a_leftover_is_copied_and_the_chunk_released() {
        let bytes = publish(1_000);
        let chunk = Bytes::copy_from_slice(&bytes[..100]);
        let mut decoder = Decoder::new(10_000);
        decoder.feed(chunk.clone());
        assert_eq!(decoder.next(), Ok(None));
        assert!(chunk.is_unique());
        assert_eq!(decoder.buffered(), 100);
        let rest = Bytes::from([&bytes[100..], b"\xC0\x00"].concat());
        decoder.feed(rest.clone());
        assert!(matches!(decoder.next(), Ok(Some(Packet::Publish(_)))));
        assert_eq!(decoder.next(), Ok(Some(Packet::PingReq)));
        assert_eq!(decoder.next(), Ok(None));
        assert!(rest.is_unique());
        assert_eq!(decoder.partial.capacity(), 0);
    }

    /// A fixed header that announces 256 MB costs what arrives, not what it announces.
    #[test]
    fn a_liar_gets_no_memory() {
        let mut decoder = Decoder::new(u32::MAX);
        decoder.feed(Bytes::from_static(b"\x30\xFF\xFF\xFF\x7F\x00\x01t\x00"));
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.partial.capacity() <= PARTIAL_BYTES_MIN);
        for _ in 0..1_000 {
            decoder.feed(Bytes::from_static(&[b'x'; 100]));
            assert_eq!(decoder.next(), Ok(None));
            assert!(decoder.partial.capacity() <= (2 * decoder.buffered()).max(PARTIAL_BYTES_MIN));
        }
    }

    #[test]
    fn the_buffer_of_a_packet_has_its_size() {
        let bytes = publish(5_000);
        let mut decoder = Decoder::new(10_000);
        for chunk in bytes[..bytes.len() - 1].chunks(1_000) {
            decoder.feed(Bytes::copy_from_slice(chunk));
            assert_eq!(decoder.next(), Ok(None));
            assert!(decoder.partial.capacity() <= bytes.len());
        }
        decoder.feed(Bytes::copy_from_slice(&bytes[bytes.len() - 1..]));
        assert!(matches!(decoder.next(), Ok(Some(Packet::Publish(_)))));
    }

    #[test]
    fn a_connect_sets_the_version() {
        let mut decoder = Decoder::new(1_000);
        // The PUBACK behind it has a reason code, which 3.1.1 has not.
        decoder.feed(Bytes::from_static(b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x0A\x00\x00\x40\x03\x00\x01\x10"));
        assert!(matches!(decoder.next(), Ok(Some(Packet::Connect(_)))));
        assert_eq!(decoder.version(), Version::V3);
        let packet = crate::PacketType::PubAck;
        let error = DecodeError::TrailingBytes { packet, bytes: 1 };
        assert_eq!(decoder.next(), Err(error));
        decoder.feed(Bytes::from_static(b"\xC0\x00"));
        assert_eq!((decoder.next(), decoder.buffered()), (Err(error), 0));
    }

    #[test]
    fn feeding_ahead_keeps_the_order() {
        let mut decoder = Decoder::new(1_000);
        decoder.feed(Bytes::from_static(b"\xC0"));
        decoder.feed(Bytes::from_static(b"\x00\xD0\x00"));
        assert_eq!(decoder.next(), Ok(Some(Packet::PingReq)));
        assert_eq!(decoder.next(), Ok(Some(Packet::PingResp)));
        assert_eq!(decoder.next(), Ok(None));
    }
}
