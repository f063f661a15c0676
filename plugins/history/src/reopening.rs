//! A store that outlives its engine's failures.
//!
//! Both engines stop for good when a write meets a full disk: fjall poisons its database, sled keeps a global error.
//! Three things make that harmless here:
//!
//! 1. **Refuse early.** Before each run the free space is asked for; below [`StoreLimits::reserve_bytes`] the run is
//!    refused with [`StoreError::Full`] and the engine has seen nothing. Reads go on.
//! 2. **Keep what is not synced.** Runs since the last sync stay in memory (shared, not copied), bounded by
//!    [`StoreLimits::unsynced_bytes_max`]: at the bound the store syncs by itself.
//! 3. **Reopen.** An engine in doubt is closed, opened from what is on disk, and given *all* unsynced runs again, also
//!    those whose position it already shows: after a failed sync nobody knows which of them reached the disk. Runs are
//!    absolute, so writing them twice changes nothing.
//!
//! A disk that fails otherwise (EIO) is never reopened: what it holds is not known until somebody looks.

use crate::backend::{Backend, KEY_BYTES_MAX, Refusal, io_error};
use crate::open::FolderLock;
use bytes::Bytes;
use parlance_plugin_api::store::{Entry, Guarantees, Position, Scan, Store, StoreError, Table, Write};
use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Memory that one kept write needs beside its key and value, in bytes.
const KEPT_WRITE_BYTES: usize = size_of::<Write>();

/// What the store may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Free bytes below which runs are refused: room for the engine to finish what it has begun.
    pub reserve_bytes: u64,
    /// Bytes of runs kept since the last sync; with more, [`Store::apply`] syncs by itself.
    pub unsynced_bytes_max: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { reserve_bytes: 128 << 20, unsynced_bytes_max: 64 << 20 }
    }
}

/// Whether the engine may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    /// Something failed that a reopening cures.
    Doubtful,
    /// The disk failed.
    Broken,
}

struct Writer {
    health: Health,
    unsynced: Vec<(Vec<Write>, Position)>,
    unsynced_bytes: usize,
}

/// A [`Store`] over a [`Backend`].
pub(crate) struct ReopeningStore<B: Backend> {
    folder: PathBuf,
    options: B::Options,
    limits: StoreLimits,
    /// Locked before `backend`, never the other way round.
    writer: Mutex<Writer>,
    /// Written with `writer` locked, read without.
    applied: AtomicU64,
    /// `None` only after a reopening that failed.
    backend: RwLock<Option<B>>,
    /// Last, so that it is released after the engine is closed.
    _lock: Option<FolderLock>,
}

impl<B: Backend> ReopeningStore<B> {
    pub(crate) fn open(
        folder: &Path,
        options: B::Options,
        limits: StoreLimits,
        lock: Option<FolderLock>,
    ) -> Result<Self, StoreError> {
        let backend = B::open(folder, &options)?;
        let applied = backend.applied()?;
        Ok(Self {
            folder: folder.to_path_buf(),
            options,
            limits,
            writer: Mutex::new(Writer { health: Health::Sound, unsynced: Vec::new(), unsynced_bytes: 0 }),
            applied: AtomicU64::new(applied.0),
            backend: RwLock::new(Some(backend)),
            _lock: lock,
        })
    }

    /// A panic in the middle of a write leaves `Health::Doubtful`, so that the lock's own poison says nothing new.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_backend<T>(&self, ask: impl FnOnce(&B) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let backend = self.backend.read().unwrap_or_else(PoisonError::into_inner);
        ask(backend.as_ref().ok_or(Refusal::Closed)?)
    }

    /// Whether `bytes` can be written without touching the reserve.
    fn check_space(&self, bytes: usize) -> Result<(), StoreError> {
        let space = rustix::fs::statvfs(&self.folder).map_err(|errno| io_error(errno.into()))?;
        let needed = self.limits.reserve_bytes.saturating_add(bytes as u64);
        if space.f_bavail.saturating_mul(space.f_frsize) < needed {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// Runs `write` on a sound engine; when it fails in a way that reopening cures, once more on a reopened one.
    fn write(
        &self,
        writer: &mut Writer,
        write: impl Fn(&B) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let was = writer.health;
        match self.attempt(writer, &write) {
            Err(_) if was == Health::Sound && writer.health == Health::Doubtful => {
                self.attempt(writer, &write)
            }
            done => done,
        }
    }

    fn attempt(
        &self,
        writer: &mut Writer,
        write: impl Fn(&B) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match writer.health {
            Health::Sound => {}
            Health::Doubtful => {
                self.check_space(writer.unsynced_bytes)?;
                self.reopen(writer)?;
            }
            Health::Broken => return Err(Refusal::Broken.into()),
        }
        writer.health = Health::Doubtful;
        let done = self.with_backend(write);
        writer.health = health_after(&done);
        if let Err(error) = &done {
            tracing::warn!(engine = B::GUARANTEES.engine, %error, "the store failed to write");
        }
        done
    }

    fn reopen(&self, writer: &Writer) -> Result<(), StoreError> {
        let mut slot = self.backend.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        let backend = B::open(&self.folder, &self.options)?;
        let unsynced = &writer.unsynced;
        // It reads, whatever the unsynced runs meet.
        let backend = slot.insert(backend);
        unsynced.iter().try_for_each(|(run, reaches)| backend.commit(run, *reaches))?;
        tracing::info!(engine = B::GUARANTEES.engine, runs = unsynced.len(), "the store was reopened");
        Ok(())
    }

    fn sync_all(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.write(writer, B::persist)?;
        writer.unsynced.clear();
        writer.unsynced_bytes = 0;
        Ok(())
    }
}

fn health_after(done: &Result<(), StoreError>) -> Health {
    match done {
        Ok(()) => Health::Sound,
        Err(StoreError::Io(_) | StoreError::Damaged { .. }) => Health::Broken,
        Err(StoreError::Full | StoreError::Engine(_)) => Health::Doubtful,
    }
}

fn check_run(run: &[Write]) -> Result<(), StoreError> {
    debug_assert!(
        run.windows(2).all(|pair| (pair[0].table, &pair[0].key) < (pair[1].table, &pair[1].key)),
        "a run is sorted by table and key, each key once"
    );
    match run.iter().find(|write| !(1..=KEY_BYTES_MAX).contains(&write.key.len())) {
        Some(write) => Err(Refusal::KeyLength(write.key.len()).into()),
        None => Ok(()),
    }
}

fn kept_bytes(run: &[Write]) -> usize {
    run.iter()
        .map(|write| KEPT_WRITE_BYTES + write.key.len() + write.value.as_ref().map_or(0, Bytes::len))
        .sum()
}

impl<B: Backend> Store for ReopeningStore<B> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if key.is_empty() {
            return Ok(None);
        }
        self.with_backend(|backend| backend.get(table, key))
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        if scan.limit == 0 || (!scan.to.is_empty() && scan.from >= scan.to) {
            return Ok(Vec::new());
        }
        self.with_backend(|backend| backend.scan(scan))
    }

    fn apply(&self, run: &[Write], reaches: Position) -> Result<(), StoreError> {
        check_run(run)?;
        let bytes = kept_bytes(run);
        let mut writer = self.writer();
        self.check_space(bytes)?;
        if writer.unsynced_bytes > self.limits.unsynced_bytes_max {
            self.sync_all(&mut writer)?;
        }
        self.write(&mut writer, |backend| backend.commit(run, reaches))?;
        writer.unsynced.push((run.to_vec(), reaches));
        writer.unsynced_bytes += bytes;
        self.applied.store(reaches.0, Ordering::Release);
        Ok(())
    }

    fn applied(&self) -> Result<Position, StoreError> {
        Ok(Position(self.applied.load(Ordering::Acquire)))
    }

    fn sync(&self) -> Result<Position, StoreError> {
        let mut writer = self.writer();
        self.sync_all(&mut writer)?;
        self.applied()
    }

    fn guarantees(&self) -> Guarantees {
        B::GUARANTEES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::{BTreeMap, VecDeque},
        sync::Arc,
    };

    type Data = BTreeMap<Bytes, Bytes>;

    /// An engine whose disk and whose next failures the test holds.
    struct Fake {
        disk: Arc<Mutex<Disk>>,
        data: RwLock<(Data, Position)>,
    }

    #[derive(Default)]
    struct Disk {
        data: Data,
        reached: Position,
        opened: usize,
        /// What each coming write does: nothing, or fail.
        failures: VecDeque<Option<fn() -> StoreError>>,
    }

    impl Fake {
        fn next_failure(&self) -> Result<(), StoreError> {
            match self.disk.lock().unwrap().failures.pop_front().flatten() {
                Some(failure) => Err(failure()),
                None => Ok(()),
            }
        }
    }

    impl Backend for Fake {
        type Options = Arc<Mutex<Disk>>;

        const GUARANTEES: Guarantees = Guarantees { engine: "fake", warning: None };

        fn open(_: &Path, disk: &Arc<Mutex<Disk>>) -> Result<Self, StoreError> {
            let mut held = disk.lock().unwrap();
            held.opened += 1;
            Ok(Self { disk: disk.clone(), data: RwLock::new((held.data.clone(), held.reached)) })
        }

        fn get(&self, _: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
            Ok(self.data.read().unwrap().0.get(key).cloned())
        }

        fn scan(&self, _: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
            Ok(Vec::new())
        }

        fn applied(&self) -> Result<Position, StoreError> {
            Ok(self.data.read().unwrap().1)
        }

        fn commit(&self, run: &[Write], reaches: Position) -> Result<(), StoreError> {
            self.next_failure()?;
            let mut data = self.data.write().unwrap();
            data.0.extend(run.iter().map(|w| (w.key.clone(), w.value.clone().unwrap_or_default())));
            data.1 = reaches;
            Ok(())
        }

        fn persist(&self) -> Result<(), StoreError> {
            self.next_failure()?;
            let data = self.data.read().unwrap();
            let mut disk = self.disk.lock().unwrap();
            (disk.data, disk.reached) = data.clone();
            Ok(())
        }
    }

    fn full() -> StoreError {
        StoreError::Full
    }

    fn poisoned() -> StoreError {
        Refusal::Closed.into()
    }

    fn disk_error() -> StoreError {
        StoreError::Io(std::io::Error::from_raw_os_error(5))
    }

    fn run(key: u8) -> [Write; 1] {
        let bytes = Bytes::from(vec![key; 40]);
        [Write { table: Table::Log, key: bytes.clone(), value: Some(bytes) }]
    }

    fn store(limits: StoreLimits) -> (ReopeningStore<Fake>, Arc<Mutex<Disk>>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::<Mutex<Disk>>::default();
        let store = ReopeningStore::open(folder.path(), disk.clone(), limits, None).unwrap();
        (store, disk, folder)
    }

    #[test]
    fn what_was_not_synced_survives_reopening() {
        for failure in [full, poisoned] {
            let (store, disk, _folder) = store(StoreLimits::default());
            store.apply(&run(1), Position(1)).unwrap();
            store.sync().unwrap();
            store.apply(&run(2), Position(2)).unwrap();
            disk.lock().unwrap().failures.push_back(Some(failure));
            store.apply(&run(3), Position(3)).unwrap();
            assert_eq!(disk.lock().unwrap().opened, 2);
            assert_eq!(store.sync().unwrap(), Position(3));
            let disk = disk.lock().unwrap();
            assert_eq!((disk.data.len(), disk.reached), (3, Position(3)));
        }
    }

    #[test]
    fn a_failed_sync_is_tried_on_a_reopened_engine() {
        let (store, disk, _folder) = store(StoreLimits::default());
        store.apply(&run(1), Position(1)).unwrap();
        disk.lock().unwrap().failures.push_back(Some(full));
        assert_eq!(store.sync().unwrap(), Position(1));
        assert_eq!(disk.lock().unwrap().data.len(), 1);
    }

    #[test]
    fn a_reopening_that_fails_is_tried_again() {
        let (store, disk, _folder) = store(StoreLimits::default());
        store.apply(&run(1), Position(1)).unwrap();
        // The run fails, then its replay fails: the next write begins with another reopening.
        disk.lock().unwrap().failures.extend([Some(full as fn() -> StoreError), Some(full)]);
        assert!(matches!(store.apply(&run(2), Position(2)), Err(StoreError::Full)));
        assert_eq!(store.applied().unwrap(), Position(1));
        store.apply(&run(2), Position(2)).unwrap();
        assert_eq!(disk.lock().unwrap().opened, 3);
        assert!(store.get(Table::Log, &[1; 40]).unwrap().is_some());
    }

    #[test]
    fn a_failing_disk_is_not_reopened() {
        let (store, disk, _folder) = store(StoreLimits::default());
        store.apply(&run(1), Position(1)).unwrap();
        disk.lock().unwrap().failures.push_back(Some(disk_error));
        assert!(matches!(store.sync(), Err(StoreError::Io(_))));
        assert!(matches!(store.apply(&run(2), Position(2)), Err(StoreError::Engine(_))));
        assert!(store.get(Table::Log, &[1; 40]).unwrap().is_some(), "reads go on");
        assert_eq!(disk.lock().unwrap().opened, 1);
    }

    #[test]
    fn a_full_disk_refuses_before_the_engine_sees_the_run() {
        let (store, disk, _folder) = store(StoreLimits { reserve_bytes: u64::MAX, ..StoreLimits::default() });
        assert!(matches!(store.apply(&run(1), Position(1)), Err(StoreError::Full)));
        assert_eq!(store.applied().unwrap(), Position(0));
        assert_eq!(store.sync().unwrap(), Position(0), "what is there can still be synced");
        assert_eq!(disk.lock().unwrap().opened, 1);
    }

    #[test]
    fn the_unsynced_are_bounded() {
        let (store, disk, _folder) =
            store(StoreLimits { unsynced_bytes_max: 1_000, ..StoreLimits::default() });
        for position in 1..=100 {
            store.apply(&run(position), Position(position.into())).unwrap();
            assert!(store.writer().unsynced_bytes <= 1_000 + kept_bytes(&run(0)));
        }
        assert!(disk.lock().unwrap().reached > Position(80));
    }

    #[test]
    fn keys_have_a_length() {
        let (store, ..) = store(StoreLimits::default());
        for length in [0, 257] {
            let run = [Write { table: Table::Log, key: vec![0; length].into(), value: None }];
            assert!(matches!(store.apply(&run, Position(1)), Err(StoreError::Engine(_))));
        }
    }
}
