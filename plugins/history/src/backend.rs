//! What an engine has to bring. Everything that both engines would do alike is in `reopening.rs`.

use bytes::Bytes;
use parlance_plugin_api::store::{Entry, Guarantees, Position, Scan, StoreError, Table, Write};
use std::{io, path::Path};
use thiserror::Error;

/// Longest key that the port allows, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 256;

/// Entries that a scan reserves memory for before it has seen them.
pub(crate) const SCAN_RESERVE_MAX: usize = 1024;

/// One engine on one folder that nobody else has open.
///
/// A `commit` or `persist` that failed leaves the engine in doubt: it is asked for reads only, until it was reopened.
pub(crate) trait Backend: Sized + Send + Sync + 'static {
    /// How it is set up.
    type Options: Clone + Send + Sync + 'static;

    /// What it promises.
    const GUARANTEES: Guarantees;

    /// Opens, recovers or creates what is in `folder`.
    fn open(folder: &Path, options: &Self::Options) -> Result<Self, StoreError>;

    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// A page. `from < to` where `to` is not empty, and `limit > 0`.
    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError>;

    /// The position of the last run that is visible.
    fn applied(&self) -> Result<Position, StoreError>;

    /// Writes a run, and its position when all of it is written, in memory or further.
    fn commit(&self, run: &[Write], reaches: Position) -> Result<(), StoreError>;

    /// Makes every commit before it durable.
    fn persist(&self) -> Result<(), StoreError>;
}

/// Why the store refuses, beside what the engine itself reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Reopening failed; it is tried again with the next write.
    #[error("the store is closed until it can be reopened")]
    Closed,
    /// The disk failed a write or a sync: what is on it is not known any more.
    #[error("the disk failed the store: check it, then restart")]
    Broken,
    /// The engine panicked while it read its own files.
    #[error("its files are damaged beyond what the engine can read: restore the data folder from a backup")]
    Unreadable,
    /// Keys have 1 to 256 bytes.
    #[error("a key has {0} bytes instead of 1 to {KEY_BYTES_MAX}")]
    KeyLength(usize),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Engine(Box::new(refusal))
    }
}

/// An input/output error as the port names it.
pub(crate) fn io_error(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Io(error),
    }
}
