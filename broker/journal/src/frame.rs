//! One frame: the bytes of a batch on disk.

use std::{io::IoSlice, ops::Range};

const MAGIC: [u8; 4] = *b"PJF1";
/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 28;
const CHECKED_BYTES: usize = 24;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: usize = 8;

/// What a frame with a payload of `length` bytes takes in a segment.
pub(crate) const fn bytes(length: usize) -> u64 {
    (HEADER_BYTES as u64 + length as u64).next_multiple_of(ALIGN as u64)
}

/// The header of a frame. `length` is the sum of the slices and fits 32 bits (it fits a segment).
pub(crate) fn header(
    length: u32,
    position: u64,
    generation: u64,
    payload: &[IoSlice<'_>],
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&position.to_le_bytes());
    header[16..CHECKED_BYTES].copy_from_slice(&generation.to_le_bytes());
    let checksum = payload
        .iter()
        .fold(crc32c::crc32c(&header[..CHECKED_BYTES]), |sum, slice| crc32c::crc32c_append(sum, slice));
    header[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// A frame found in the bytes of a segment, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) position: u64,
    pub(crate) start: usize,
    pub(crate) payload: Range<usize>,
}

impl Frame {
    /// Where the next frame begins.
    pub(crate) fn end(&self) -> usize {
        self.payload.end.next_multiple_of(ALIGN)
    }

    /// The frame at `start`, if its magic, generation, length and checksum are right.
    pub(crate) fn parse(segment: &[u8], start: usize, generation: u64) -> Option<Self> {
        let length = announced(segment, start, generation)?;
        let payload = start + HEADER_BYTES..(start + HEADER_BYTES).checked_add(length)?;
        let body = segment.get(payload.clone())?;
        let head = &segment[start..start + HEADER_BYTES];
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&head[..CHECKED_BYTES]), body);
        let position = u64::from_le_bytes(*head.get(8..)?.first_chunk()?);
        (head[CHECKED_BYTES..] == checksum.to_le_bytes()).then_some(Self { position, start, payload })
    }
}

/// The payload length a header at `start` announces, if it is a header of this generation; not checked further.
pub(crate) fn announced(segment: &[u8], start: usize, generation: u64) -> Option<usize> {
    let head: &[u8; HEADER_BYTES] = segment.get(start..)?.first_chunk()?;
    if head[..4] != MAGIC || head[16..CHECKED_BYTES] != generation.to_le_bytes() {
        return None;
    }
    usize::try_from(u32::from_le_bytes(*head[4..].first_chunk()?)).ok()
}
