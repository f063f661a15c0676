//! The limits of a journal, validated when it is opened.

use crate::{error::JournalError, frame};

/// Segments are whole pages, so that a write at the end of a frame can fill its page.
pub(crate) const PAGE_BYTES: u64 = 4096;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Recovery reads one segment into memory, and lengths have 32 bits.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How a journal uses its folder.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Size of each segment file: 64 KiB to 1 GiB, a multiple of 4096. Recovery holds one segment in memory.
    pub segment_bytes: u64,
    /// How many files that are not in use are kept to be used again; at least 1. They cost disk and save the
    /// zeroing of a new file.
    pub segments_spare_max: usize,
    /// The largest payload of one batch, less than 1 GiB. A batch that does not fit `segment_bytes` gets a file of
    /// its own size, which is made when it is needed and not kept.
    pub batch_bytes_max: usize,
    /// A thread makes the next file while the present one fills. Without it, the append that needs a file makes it.
    pub prepare_ahead: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, segments_spare_max: 8, batch_bytes_max: 8 << 20, prepare_ahead: true }
    }
}

impl JournalOptions {
    pub(crate) fn validate(&self) -> Result<(), JournalError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(JournalError::Options("segment_bytes must be from 65536 to 1073741824"));
        }
        if !self.segment_bytes.is_multiple_of(PAGE_BYTES) {
            return Err(JournalError::Options("segment_bytes must be a multiple of 4096"));
        }
        if self.segments_spare_max == 0 {
            return Err(JournalError::Options("segments_spare_max must be at least 1"));
        }
        if frame::bytes(self.batch_bytes_max.min(usize::MAX / 2)) > SEGMENT_BYTES_MAX {
            return Err(JournalError::Options("batch_bytes_max must be less than 1 GiB"));
        }
        Ok(())
    }
}
