//! The second engine: sled 0.34, a lock-free B-tree on a log.
//!
//! One tree, keys prefixed with the table's tag, because a sled batch is atomic within one tree. Tag 0 holds the position.

use crate::backend::{Backend, Refusal, SCAN_RESERVE_MAX, io_error};
use bytes::Bytes;
use parlance_plugin_api::store::{Direction, Entry, Guarantees, Position, Scan, StoreError, Table, Write};
use sled::{Batch, Db, IVec};
use std::{
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{PoisonError, RwLock},
    thread,
    time::Duration,
};

/// Key of the position: no table has tag 0. Persisted.
const POSITION_KEY: &[u8] = &[0];

/// sled's threads may hold its file lock a moment longer than its handle.
const OPEN_ATTEMPTS_MAX: u32 = 200;
const OPEN_WAIT: Duration = Duration::from_millis(10);

const WARNING: &str = "sled survives a killed process, but its flush calls sync_file_range instead of fsync: after a \
                       power cut acknowledged data can be lost, or the database may not open";

/// How sled is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SledOptions {
    /// Pages kept in memory, in bytes.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20 }
    }
}

/// sled on one folder.
pub(crate) struct SledBackend {
    database: Db,
    /// sled locks its readers out for each step of a scan only; a scan must not see half of a run.
    runs: RwLock<()>,
}

impl Backend for SledBackend {
    type Options = SledOptions;

    const GUARANTEES: Guarantees = Guarantees { engine: "sled", warning: Some(WARNING) };

    fn open(folder: &Path, options: &SledOptions) -> Result<Self, StoreError> {
        // Writes are flushed by `persist`, not by the clock.
        let config =
            sled::Config::new().path(folder).cache_capacity(options.cache_bytes).flush_every_ms(None);
        let mut attempts = 0;
        let database = loop {
            match open_caught(&config)? {
                Err(sled::Error::Io(error)) if is_lock(&error) && attempts < OPEN_ATTEMPTS_MAX => {
                    attempts += 1;
                    thread::sleep(OPEN_WAIT);
                }
                opened => break opened.map_err(engine_error)?,
            }
        };
        Ok(Self { database, runs: RwLock::new(()) })
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.database.get(tagged(table, key)).map_err(engine_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let _whole_runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let from = tagged(scan.table, scan.from);
        let to = if scan.to.is_empty() { vec![scan.table.tag() + 1] } else { tagged(scan.table, scan.to) };
        let entries = self.database.range((Bound::Included(from), Bound::Excluded(to)));
        let mut page = Vec::with_capacity(scan.limit.min(SCAN_RESERVE_MAX));
        let mut keep = |entry: sled::Result<(IVec, IVec)>| {
            let (key, value) = entry.map_err(engine_error)?;
            page.push((Bytes::copy_from_slice(&key[1..]), Bytes::copy_from_slice(&value)));
            Ok::<_, StoreError>(())
        };
        match scan.direction {
            Direction::Forward => entries.take(scan.limit).try_for_each(&mut keep)?,
            Direction::Backward => entries.rev().take(scan.limit).try_for_each(&mut keep)?,
        }
        Ok(page)
    }

    fn applied(&self) -> Result<Position, StoreError> {
        let Some(value) = self.database.get(POSITION_KEY).map_err(engine_error)? else {
            return Ok(Position::default());
        };
        let bytes = value.as_ref().try_into().map_err(|_| Refusal::Broken)?;
        Ok(Position(u64::from_be_bytes(bytes)))
    }

    fn commit(&self, run: &[Write], reaches: Position) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for write in run {
            let key = tagged(write.table, &write.key);
            match &write.value {
                Some(value) => batch.insert(key, value.as_ref()),
                None => batch.remove(key),
            }
        }
        batch.insert(POSITION_KEY, &reaches.0.to_be_bytes());
        let _whole_runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        self.database.apply_batch(batch).map_err(engine_error)
    }

    fn persist(&self) -> Result<(), StoreError> {
        self.database.flush().map(|_| ()).map_err(engine_error)
    }
}

/// sled meets some damage of its files with a panic: the operator is to read an error.
fn open_caught(config: &sled::Config) -> Result<sled::Result<Db>, StoreError> {
    catch_unwind(AssertUnwindSafe(|| config.open())).map_err(|_| Refusal::Unreadable.into())
}

fn tagged(table: Table, key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(key.len() + 1);
    tagged.push(table.tag());
    tagged.extend_from_slice(key);
    tagged
}

/// sled reports a held lock as an error of no kind with this text.
fn is_lock(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::Other && error.to_string().contains("could not acquire lock")
}

fn engine_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => io_error(error),
        error => StoreError::Engine(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Engine, StoreOptions, contract::Make, open};

    const MAKE: Make = |folder| open(&StoreOptions::new(Engine::Sled, folder)).expect("the store opens");

    crate::store_contract_tests!(MAKE);

    #[test]
    fn it_says_what_it_does_not_promise() {
        let folder = tempfile::tempdir().unwrap();
        let store = MAKE(folder.path());
        assert_eq!(store.guarantees().engine, "sled");
        assert!(store.guarantees().warning.unwrap().contains("power cut"));
    }
}
