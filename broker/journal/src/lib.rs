//! The journal of one machine: what was decided, durable before anybody is told.
//!
//! A batch is appended as one frame and synced once. Positions are dense (1, 2, 3 …) and belong to the batch.
//! Everything else a store keeps follows from the batches and is rebuilt from them at start.
//!
//! # Files
//!
//! The folder holds segments and spares, all of `segment_bytes` (a batch that does not fit gets a larger file of its
//! own). Every block of a segment was written with
//! zeros and synced before its first use, so that the sync of a batch has no metadata to commit.
//!
//! ```text
//! {sequence}-{base}-{generation}.journal    a segment; the fields are 16 hexadecimal digits each
//! {number}.spare                            a file of full size, ready to become a segment
//! {number}.tmp                              a spare in the making; removed at open
//! ```
//!
//! *sequence* orders the segments, *base* is the position of the first frame, *generation* is drawn at random
//! whenever a file becomes a segment. There is no header that could be lost: what describes a segment is its name,
//! and a name is durable (the folder is synced) before the first frame is written.
//!
//! A segment is a run of frames, each at a multiple of 8 bytes, integers little-endian:
//!
//! ```text
//! magic "PJF1" | length u32 | position u64 | generation u64 | crc32c u32 | payload | zeros to a multiple of 8
//! ```
//!
//! The checksum covers the 24 bytes before it and the payload.
//!
//! # Invariants
//!
//! 1. `append` answers with a position only after the frame was synced.
//! 2. **A segment ends where the next one begins.** A frame whose position is not below the base of the next segment
//!    does not count. That is how a batch that failed is taken back: its segment is left, and whoever gets its
//!    position writes to a new segment with that base. Nothing is ever written over a frame that may be durable, and
//!    no sync is retried: after a failed one the pages are of unknown state.
//! 3. A frame counts only with the generation of its segment's name. A recycled file keeps its old bytes; none of
//!    them can be taken for a frame, nor can anything a payload contains.
//! 4. At most the last frame of the newest segment is not known to be durable after a crash. Opening writes it
//!    again, byte for byte, and syncs, before anybody sees it.
//! 5. Opening never needs space: the first segment of a run is made by the first append.
//! 6. The newest segment is never trimmed: it remembers the last position.
//!
//! # Recovery
//!
//! Each frame is checked. What does not check is *torn* if no frame of this segment follows it and no later segment
//! says that one was there: it was never acknowledged and is cut by the base of the next segment. Otherwise it is
//! *damage*: reported with its place and the positions that are missing, and the rest is replayed all the same.
//! An acknowledged last frame that the disk spoiled later cannot be told from a torn one; `Recovery::torn_bytes`
//! says that something was there.
//!
//! After a crash, a batch whose append failed or had not yet answered may be replayed, as long as its position
//! was not given to another.

mod disk;
mod error;
mod frame;
mod journal;
mod name;
mod options;
mod prepare;
mod recover;
mod scan;
mod spares;

pub use disk::{Disk, DiskFile, DiskFolder, FileSystem};
pub use error::{AppendError, JournalError};
pub use journal::{Journal, Stats};
pub use options::JournalOptions;
pub use recover::{Damage, Recovery};

#[cfg(test)]
mod tests;
