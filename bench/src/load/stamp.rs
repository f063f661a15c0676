//! The beginning of every payload: which flow, which message of it, sent when.
//!
//! Printable, since a payload of Parlance's text format must be: six bits to a byte, from `0` to `o`, behind a `~`
//! that tells a stamp from other texts.

/// Bytes of a stamp; no payload is smaller.
pub const STAMP_BYTES: usize = 1 + FLOW.1 - FLOW.0 + COUNTER.1 - COUNTER.0 + SENT.1 - SENT.0;

const MARK: u8 = b'~';
const FLOW: (usize, usize) = (1, 7);
const COUNTER: (usize, usize) = (7, 13);
const SENT: (usize, usize) = (13, 24);

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// One sender's messages to one topic are a flow: what must arrive in order.
    pub flow: u32,
    /// 0, 1, 2 … within the flow.
    pub counter: u32,
    /// When it was handed to the socket, nanoseconds of the generator's clock.
    pub sent_ns: u64,
}

impl Stamp {
    pub(crate) fn write(self, place: &mut [u8; STAMP_BYTES]) {
        place[0] = MARK;
        write(self.flow.into(), &mut place[FLOW.0..FLOW.1]);
        write(self.counter.into(), &mut place[COUNTER.0..COUNTER.1]);
        write(self.sent_ns, &mut place[SENT.0..SENT.1]);
    }

    /// `None` if the payload was not made here.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let place: &[u8; STAMP_BYTES] = payload.first_chunk()?;
        if place[0] != MARK {
            return None;
        }
        Some(Self {
            flow: u32::try_from(read(&place[FLOW.0..FLOW.1])).ok()?,
            counter: u32::try_from(read(&place[COUNTER.0..COUNTER.1])).ok()?,
            sent_ns: read(&place[SENT.0..SENT.1]),
        })
    }
}

fn write(mut bits: u64, place: &mut [u8]) {
    for byte in place {
        *byte = b'0' + (bits & 0x3F) as u8;
        bits >>= 6;
    }
}

fn read(place: &[u8]) -> u64 {
    place.iter().rev().fold(0, |bits, byte| bits << 6 | u64::from(byte.wrapping_sub(b'0') & 0x3F))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stamp_is_printable_and_reads_back() {
        for bits in [0_u64, 1, 63, 64, 0x1234_5678, u64::from(u32::MAX)] {
            let stamp = Stamp { flow: bits as u32, counter: (bits as u32).rotate_left(9), sent_ns: !bits };
            let mut place = [0; STAMP_BYTES];
            stamp.write(&mut place);
            assert!(place.iter().all(u8::is_ascii_graphic), "{place:?}");
            assert_eq!(Stamp::read(&place), Some(stamp));
        }
    }

    #[test]
    fn other_texts_are_no_stamps() {
        assert_eq!(Stamp::read(b"* @alice added @bob to this group"), None);
        assert_eq!(Stamp::read(b"~short"), None);
        assert_eq!(Stamp::read(b""), None);
    }
}
