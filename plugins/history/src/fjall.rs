//! The default engine: fjall 3, an LSM tree.
//!
//! One keyspace for each table, so that compacting the log never rewrites heads and cursors, and one more for the
//! position. Of a run, what is much of one table is *ingested*: sorted as it is, it becomes files of the tree at once, past
//! fjall's own journal and its memory. The rest is one batch over all tables, with the position in it: fjall's journal
//! writes it whole or not at all, and only after what was ingested is on the disk.
//!
//! Values of the log lie in files of their own (key-value separation): merging the tree moves keys and places, never
//! messages.
//!
//! One worker thread: with two, fjall 3.1 lets the first one spin while the second one merges.
//!
//! Values are sealed, so nothing is compressed.

use crate::backend::{Backend, Refusal, SCAN_RESERVE_MAX, io_error};
use bytes::Bytes;
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, LsmError,
    OwnedWriteBatch, PersistMode, Readable, compaction::Leveled, config::CompressionPolicy,
};
use parlance_plugin_api::store::{Direction, Entry, Guarantees, Position, Scan, StoreError, Table, Write};
use std::{fs, io, ops::Bound, path::Path, sync::Arc, thread, time::Duration};

/// Keyspace and key of the position. Persisted.
const POSITION_KEYSPACE: &str = "position";
const POSITION_KEY: &[u8] = b"reached";

/// Sealed memory tables of one keyspace with which a commit waits. fjall waits at 4, and without noticing that its
/// workers have stopped.
const SEALED_TABLES_MAX: usize = 2;
/// Unmerged runs of one keyspace with which a commit waits; fjall stops at 30, in the same way.
const UNMERGED_RUNS_MAX: usize = 20;
/// Bytes of one table in a run from which on they are ingested: less would be many small files.
const INGESTED_BYTES_MIN: usize = 1 << 20;
/// Size from which on a value of the log lies in a file of values, bytes.
const SEPARATED_BYTES_MIN: u32 = 128;
/// How often a waiting commit looks again.
const WAIT: Duration = Duration::from_millis(1);

/// How fjall is set up. Everything but the cache and the threads is fixed for a table when its folder is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FjallOptions {
    /// Blocks kept in memory for reading, in bytes, for all tables together.
    pub cache_bytes: u64,
    /// Size at which a table's memory is written out, in bytes.
    pub memtable_bytes: u64,
    /// Size of fjall's own journals at which tables are written out to free them, in bytes (at least 64 MiB): what a
    /// restart has to replay.
    pub journal_bytes_max: u64,
    /// Size of one file of sorted entries, in bytes: what a compaction needs free, times a few.
    pub file_bytes: u64,
    /// Threads that write out and compact.
    pub worker_threads: usize,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            memtable_bytes: 16 << 20,
            journal_bytes_max: 128 << 20,
            file_bytes: 32 << 20,
            worker_threads: 1,
        }
    }
}

impl FjallOptions {
    const JOURNAL_BYTES_MIN: u64 = 64 << 20;

    fn keyspace(&self, separated: bool) -> KeyspaceCreateOptions {
        let separation = KvSeparationOptions::default()
            .compression(CompressionType::None)
            .separation_threshold(SEPARATED_BYTES_MIN);
        KeyspaceCreateOptions::default()
            .with_kv_separation(separated.then_some(separation))
            .manual_journal_persist(true)
            .max_memtable_size(self.memtable_bytes)
            .data_block_compression_policy(CompressionPolicy::disabled())
            .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(self.file_bytes)))
    }
}

/// fjall on one folder.
pub(crate) struct FjallBackend {
    database: Database,
    /// By table tag, from 1.
    tables: Vec<Keyspace>,
    position: Keyspace,
}

impl FjallBackend {
    fn table(&self, table: Table) -> &Keyspace {
        &self.tables[usize::from(table.tag()) - 1]
    }

    /// Waits while the workers are behind; fails when they have stopped.
    fn wait_for_workers(&self) -> Result<(), StoreError> {
        while self.tables.iter().any(is_behind) {
            self.database.persist(PersistMode::Buffer).map_err(engine_error)?;
            thread::sleep(WAIT);
        }
        Ok(())
    }
}

fn bytes_of(write: &Write) -> usize {
    write.key.len() + write.value.as_ref().map_or(0, Bytes::len)
}

/// Makes files of the tree of what is sorted already; they are synced when this returns.
fn ingest(table: &Keyspace, part: &[Write]) -> Result<(), StoreError> {
    let mut ingestion = table.start_ingestion().map_err(engine_error)?;
    for write in part {
        let key = write.key.clone();
        let taken = match &write.value {
            Some(value) => ingestion.write(key, value.clone()),
            None => ingestion.write_tombstone(key),
        };
        taken.map_err(engine_error)?;
    }
    ingestion.finish().map_err(engine_error)
}

fn is_behind(keyspace: &Keyspace) -> bool {
    keyspace.sealed_memtable_count() >= SEALED_TABLES_MAX || keyspace.tree.l0_run_count() >= UNMERGED_RUNS_MAX
}

impl Backend for FjallBackend {
    type Options = FjallOptions;

    const GUARANTEES: Guarantees = Guarantees { engine: "fjall", warning: None };

    fn open(folder: &Path, options: &FjallOptions) -> Result<Self, StoreError> {
        discard_unfinished(folder).map_err(io_error)?;
        let database = Database::builder(folder)
            .manual_journal_persist(true)
            .journal_compression(CompressionType::None)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes_max.max(FjallOptions::JOURNAL_BYTES_MIN))
            .worker_threads(options.worker_threads.max(1))
            .open()
            .map_err(engine_error)?;
        let keyspace =
            |name, separated| database.keyspace(name, || options.keyspace(separated)).map_err(engine_error);
        let table = |table: &Table| keyspace(table.name(), matches!(table, Table::Log | Table::Bodies));
        let tables = Table::ALL.iter().map(table).collect::<Result<_, _>>()?;
        let position = keyspace(POSITION_KEYSPACE, false)?;
        Ok(Self { database, tables, position })
    }

    /// Through a snapshot: without one, fjall also shows what a running commit has written so far.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let read = self.database.snapshot().get(self.table(table), key);
        Ok(read.map_err(|error| read_error(error, table, key))?.map(Bytes::from))
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let to = if scan.to.is_empty() { Bound::Unbounded } else { Bound::Excluded(scan.to) };
        let entries = self
            .database
            .snapshot()
            .range::<&[u8], _>(self.table(scan.table), (Bound::Included(scan.from), to));
        let mut page = Vec::with_capacity(scan.limit.min(SCAN_RESERVE_MAX));
        let mut keep = |guard: fjall::Guard| {
            let (key, value) =
                guard.into_inner().map_err(|error| read_error(error, scan.table, scan.from))?;
            page.push((key.into(), value.into()));
            Ok::<_, StoreError>(())
        };
        match scan.direction {
            Direction::Forward => entries.take(scan.limit).try_for_each(&mut keep)?,
            Direction::Backward => entries.rev().take(scan.limit).try_for_each(&mut keep)?,
        }
        Ok(page)
    }

    fn applied(&self) -> Result<Position, StoreError> {
        let value = self.database.snapshot().get(&self.position, POSITION_KEY).map_err(engine_error)?;
        let Some(value) = value else { return Ok(Position::default()) };
        let bytes = value.as_ref().try_into().map_err(|_| Refusal::Broken)?;
        Ok(Position(u64::from_be_bytes(bytes)))
    }

    fn commit(&self, run: &[Write], reaches: Position) -> Result<(), StoreError> {
        self.wait_for_workers()?;
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), 1);
        for part in run.chunk_by(|one, next| one.table == next.table) {
            let table = self.table(part[0].table);
            if part.iter().map(bytes_of).sum::<usize>() >= INGESTED_BYTES_MIN {
                ingest(table, part)?;
                continue;
            }
            for write in part {
                match &write.value {
                    Some(value) => batch.insert(table, write.key.clone(), value.clone()),
                    None => batch.remove(table, write.key.clone()),
                }
            }
        }
        batch.insert(&self.position, POSITION_KEY, reaches.0.to_be_bytes());
        batch.commit().map_err(engine_error)
    }

    fn persist(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(engine_error)
    }
}

/// fjall does not open a folder whose creation was interrupted: its first journal is there, its version marker is
/// not. Nothing was stored in such a folder, so it is begun anew.
fn discard_unfinished(folder: &Path) -> io::Result<()> {
    let created = fs::metadata(folder.join("version")).is_ok_and(|marker| marker.len() > 0);
    if created || !folder.try_exists()? {
        return Ok(());
    }
    let has_keyspaces = match fs::read_dir(folder.join("keyspaces")) {
        Ok(mut keyspaces) => keyspaces.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if has_keyspaces {
        return Ok(()); // Damaged, not unfinished: fjall says so itself.
    }
    fs::remove_dir_all(folder)
}

/// A block that does not check takes its records, not the store.
fn read_error(error: fjall::Error, table: Table, key: &[u8]) -> StoreError {
    match error {
        fjall::Error::Storage(
            LsmError::ChecksumMismatch { .. }
            | LsmError::InvalidHeader(_)
            | LsmError::InvalidTrailer
            | LsmError::InvalidTag(_),
        ) => {
            let key = Bytes::copy_from_slice(key);
            StoreError::Damaged { table, key, problem: "a block of the store does not check here or behind" }
        }
        error => engine_error(error),
    }
}

fn engine_error(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => io_error(error),
        error => StoreError::Engine(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, StoreOptions, contract::Make, open};

    const MAKE: Make = |folder| open(&StoreOptions::new(Engine::Fjall, folder)).expect("the store opens");

    crate::store_contract_tests!(MAKE);

    #[test]
    fn an_interrupted_creation_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("fjall");
        fs::create_dir_all(inner.join("keyspaces")).unwrap();
        fs::write(inner.join("0.jnl"), [0; 64]).unwrap();
        fs::write(inner.join("version"), []).unwrap();
        assert_eq!(MAKE(folder.path()).applied().unwrap(), Position(0));
    }

    #[test]
    fn a_store_that_lost_its_version_marker_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        drop(MAKE(folder.path()));
        fs::remove_file(folder.path().join("fjall/version")).unwrap();
        assert!(open(&StoreOptions::new(Engine::Fjall, folder.path())).is_err());
        assert!(folder.path().join("fjall/keyspaces").exists());
    }

    #[test]
    fn small_tables_are_written_out_and_merged() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(Engine::Fjall, folder.path());
        options.fjall.memtable_bytes = 64 << 10;
        options.fjall.file_bytes = 128 << 10;
        let store = open(&options).unwrap();
        for round in 0..60_u64 {
            let run: Vec<Write> = (0..200_u64)
                .map(|index| Write {
                    table: Table::Log,
                    key: Bytes::from((index * 60 + round).to_be_bytes().to_vec()),
                    value: Some(vec![round as u8; 200].into()),
                })
                .collect();
            store.apply(&run, Position(round + 1)).unwrap();
        }
        drop(store);
        let store = open(&options).unwrap();
        let all =
            Scan { table: Table::Log, from: &[], to: &[], direction: Direction::Forward, limit: 20_000 };
        assert_eq!(store.scan(all).unwrap().len(), 12_000);
    }
}
