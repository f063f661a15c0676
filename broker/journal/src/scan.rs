//! Reading a segment: which of its bytes are frames. Pure, and total on any input.

use crate::frame::{self, ALIGN, Frame, HEADER_BYTES};

/// A hole in the positions of one segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) offset: usize,
    pub(crate) after_position: u64,
    pub(crate) before_position: u64,
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The frames that count, positions rising.
    pub(crate) frames: Vec<Frame>,
    pub(crate) holes: Vec<Hole>,
    /// Size of a frame that was begun at the end and is not whole.
    pub(crate) torn_bytes: u64,
}

/// Reads a segment whose frames begin at `base`. `limit` is the base of the next segment, if there is one.
pub(crate) fn scan(segment: &[u8], base: u64, generation: u64, limit: Option<u64>) -> Scan {
    let mut scan = Scan::default();
    let mut expected = base;
    let mut offset = 0;
    let counts = |frame: &Frame| limit.is_none_or(|limit| frame.position < limit);
    loop {
        let here = Frame::parse(segment, offset, generation);
        let found = match here {
            Some(frame) if frame.position == expected => Some(frame).filter(counts),
            _ if limit == Some(expected) => None,
            _ => search(segment, offset, generation, expected).filter(counts),
        };
        let Some(frame) = found else { break };
        if frame.position > expected {
            scan.holes.push(Hole { offset, after_position: expected - 1, before_position: frame.position });
        }
        expected = frame.position.saturating_add(1);
        offset = frame.end();
        scan.frames.push(frame);
    }
    match limit {
        Some(limit) if expected < limit => {
            scan.holes.push(Hole { offset, after_position: expected - 1, before_position: limit });
        }
        Some(_) => {}
        None => scan.torn_bytes = torn_bytes(segment, offset, generation),
    }
    scan
}

/// The next whole frame at or behind `offset` with a position above `expected`.
fn search(segment: &[u8], offset: usize, generation: u64, expected: u64) -> Option<Frame> {
    (offset..segment.len())
        .step_by(ALIGN)
        .filter_map(|start| Frame::parse(segment, start, generation))
        .find(|frame| frame.position > expected)
}

fn torn_bytes(segment: &[u8], offset: usize, generation: u64) -> u64 {
    let Some(length) = frame::announced(segment, offset, generation) else { return 0 };
    (segment.len() - offset).min(HEADER_BYTES + length) as u64
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use proptest::prelude::*;

    use super::*;

    const GENERATION: u64 = 0x0123_4567_89ab_cdef;

    fn segment(base: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (payload, position) in payloads.iter().zip(base..) {
            let slices = [IoSlice::new(payload)];
            bytes.extend(frame::header(payload.len() as u32, position, GENERATION, &slices));
            bytes.extend(payload);
            bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        }
        bytes
    }

    fn contents(bytes: &[u8], scan: &Scan) -> Vec<(u64, Vec<u8>)> {
        scan.frames.iter().map(|frame| (frame.position, bytes[frame.payload.clone()].to_vec())).collect()
    }

    #[test]
    fn a_frame_has_these_bytes() {
        let header = frame::header(3, 0x0102, GENERATION, &[IoSlice::new(b"a"), IoSlice::new(b"bc")]);
        assert_eq!(&header[..4], b"PJF1");
        assert_eq!(header[4..8], [3, 0, 0, 0]);
        assert_eq!(header[8..16], [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(header[16..24], [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01]);
        let checked: Vec<u8> = header[..24].iter().copied().chain(*b"abc").collect();
        assert_eq!(header[24..], crc32c::crc32c(&checked).to_le_bytes());
    }

    #[test]
    fn frames_at_or_above_the_next_base_do_not_count() {
        let bytes = segment(5, &[vec![1], vec![2], vec![3]]);
        let scan = scan(&bytes, 5, GENERATION, Some(7));
        assert_eq!(contents(&bytes, &scan), [(5, vec![1]), (6, vec![2])]);
        assert_eq!(scan.holes, []);
    }

    #[test]
    fn a_missing_end_is_a_hole_when_a_segment_follows() {
        let bytes = segment(5, &[vec![1], vec![2]]);
        let scan = scan(&bytes, 5, GENERATION, Some(9));
        assert_eq!(scan.holes, [Hole { offset: bytes.len(), after_position: 6, before_position: 9 }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, base in 1_u64.., limit: Option<u64>) {
            prop_assert_eq!(scan(&bytes, base, GENERATION, limit).frames, vec![]);
        }

        /// Flipped bits lose the frames they hit and nothing else; a payload is right or absent.
        #[test]
        fn flips_lose_only_what_they_hit(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..12),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..4),
        ) {
            let mut bytes = segment(1, &payloads);
            let whole = scan(&bytes, 1, GENERATION, None);
            prop_assert_eq!(whole.frames.len(), payloads.len());
            let mut hit = Vec::new();
            for (index, bit) in flips {
                let at = index.index(bytes.len());
                bytes[at] ^= 1 << bit;
                hit.push(at);
            }
            let found = contents(&bytes, &scan(&bytes, 1, GENERATION, None));
            for (frame, payload) in whole.frames.iter().zip(&payloads) {
                let untouched = !hit.iter().any(|at| (frame.start..frame.payload.end).contains(at));
                let present = found.iter().any(|(position, found)| *position == frame.position && found == payload);
                prop_assert!(present || !untouched);
            }
            for (position, payload) in found {
                prop_assert_eq!(&payloads[position as usize - 1], &payload);
            }
        }
    }
}
