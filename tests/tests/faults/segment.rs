//! The journal's files, as `broker/journal` and the server's ledger write them: enough to damage one record on purpose.
//!
//! A segment is a row of frames from its beginning: magic (4) ‖ payload length (4) ‖ position (8) ‖ generation (8) ‖
//! CRC-32C of these and the payload (4), little-endian ‖ payload, padded to 8. A payload is a row of writes: table (1) ‖
//! key length (2) ‖ value length + 1, or 0 (4), big-endian ‖ key ‖ value.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

const MAGIC: &[u8] = b"PJF1";
const HEADER_BYTES: usize = 28;
const CHECKED_BYTES: usize = 24;
const ROW_BYTES: usize = 7;
const LOG_TABLE: u8 = 1;
const LOG_KEY_BYTES: usize = 24;

/// The newest segment of a data folder.
pub(crate) struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Segment {
    pub(crate) fn newest(data_dir: &Path) -> Self {
        let files = fs::read_dir(data_dir.join("journal")).expect("the journal");
        let paths = files.map(|file| file.expect("an entry").path());
        let segments = paths.filter(|path| path.extension().is_some_and(|extension| extension == "journal"));
        let path = segments.max().expect("a segment");
        let bytes = fs::read(&path).expect("a segment can be read");
        Self { path, bytes }
    }

    /// Payloads of all frames.
    fn frames(&self) -> Vec<Range<usize>> {
        let (mut frames, mut at) = (Vec::new(), 0);
        while self.bytes.get(at..at + 4) == Some(MAGIC) {
            let length = &self.bytes[at + 4..at + 8];
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            let payload = at + HEADER_BYTES..at + HEADER_BYTES + length;
            at = payload.end.next_multiple_of(8);
            frames.push(payload);
        }
        frames
    }

    /// Keys and sealed values of the log within a frame.
    fn log_rows(&self, frame: &Range<usize>) -> Vec<(Vec<u8>, Range<usize>)> {
        let (mut rows, mut at) = (Vec::new(), frame.start);
        while at < frame.end {
            let head = &self.bytes[at..at + ROW_BYTES];
            let key_bytes = usize::from(u16::from_be_bytes([head[1], head[2]]));
            let value_bytes =
                u32::from_be_bytes([head[3], head[4], head[5], head[6]]).saturating_sub(1) as usize;
            let key = at + ROW_BYTES..at + ROW_BYTES + key_bytes;
            let value = key.end..key.end + value_bytes;
            at = value.end;
            if head[0] == LOG_TABLE && key_bytes == LOG_KEY_BYTES {
                rows.push((self.bytes[key].to_vec(), value));
            }
        }
        rows
    }

    /// The frame that holds the record of a seq, with its key and its value.
    fn find(&self, seq: u64) -> (Range<usize>, Vec<u8>, Range<usize>) {
        let frames = self.frames().into_iter();
        let mut found = frames.flat_map(|frame| {
            let rows = self.log_rows(&frame).into_iter().filter(|(key, _)| key.ends_with(&seq.to_be_bytes()));
            rows.map(|(key, value)| (frame.clone(), key, value)).collect::<Vec<_>>()
        });
        found.next().expect("the seq is in the newest segment")
    }

    /// Flips a bit of a sealed record, with a right checksum over it: as if it had been written so. Answers its key.
    pub(crate) fn damage_record(mut self, seq: u64) -> Vec<u8> {
        let (frame, key, value) = self.find(seq);
        self.bytes[value.end - 1] ^= 1;
        let start = frame.start - HEADER_BYTES;
        let sum = crc32c(&[&self.bytes[start..start + CHECKED_BYTES], &self.bytes[frame.clone()]]);
        self.bytes[start + CHECKED_BYTES..frame.start].copy_from_slice(&sum.to_le_bytes());
        fs::write(&self.path, &self.bytes).expect("a segment can be written");
        key
    }

    /// Flips a bit of the frame that holds a seq, as a disk does. Answers the seqs that were in it.
    pub(crate) fn damage_frame(mut self, seq: u64) -> Vec<u64> {
        let (frame, _, value) = self.find(seq);
        let seqs = self
            .log_rows(&frame)
            .into_iter()
            .map(|(key, _)| u64::from_be_bytes(key[LOG_KEY_BYTES - 8..].try_into().expect("eight bytes")));
        let seqs = seqs.collect();
        self.bytes[value.start] ^= 1;
        fs::write(&self.path, &self.bytes).expect("a segment can be written");
        seqs
    }
}

/// CRC-32C, bit by bit.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82F6_3B78 & (sum & 1).wrapping_neg()))
    };
    !parts.iter().flat_map(|part| part.iter()).fold(!0, byte)
}

#[test]
fn the_checksum_is_crc32c() {
    assert_eq!(crc32c(&[b"1234", b"56789"]), 0xE306_9283);
}
