//! The disk below the real journal, in memory: what was written and not synced may be lost or torn by a power cut, sector
//! by sector; names that were not synced may be lost, the newest first.

use crate::{
    faults::{Failure, Faults, Mutation, Operation, Power},
    random::Random,
    trace::Trace,
};
use parlance_journal::{Disk, DiskFile, DiskFolder};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

/// What a disk writes whole or not at all, bytes.
const SECTOR_BYTES: usize = 512;
/// Free space, bytes, while there is some.
const FREE_BYTES: u64 = 1 << 40;

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process ends; what it wrote is with the kernel and stays.
    Process,
    /// The machine ends.
    Power,
}

#[derive(Debug, Default)]
struct Contents {
    /// As the kernel shows it.
    cache: Vec<u8>,
    /// As it is on the platter.
    durable: Vec<u8>,
    /// Sectors that differ, or may.
    dirty: BTreeSet<usize>,
}

impl Contents {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        }
    }

    /// Brings dirty sectors to the platter: those that `survives` says.
    fn write_back(&mut self, mut survives: impl FnMut() -> bool) {
        self.durable.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            if survives() {
                let stretch = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.cache.len());
                self.durable[stretch.clone()].copy_from_slice(&self.cache[stretch]);
            }
        }
    }
}

type Names = BTreeMap<PathBuf, u64>;

#[derive(Debug)]
enum Renaming {
    Made(PathBuf, u64),
    Moved(PathBuf, PathBuf),
    Gone(PathBuf),
}

impl Renaming {
    fn carry_out(&self, names: &mut Names) {
        match self {
            Self::Made(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Moved(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Gone(path) => {
                names.remove(path);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    names: Names,
    durable_names: Names,
    /// Changes of names since the folder was synced.
    pending: Vec<Renaming>,
    /// Who has the folder.
    taken_by: Option<u64>,
}

impl State {
    fn rename(&mut self, renaming: Renaming) {
        renaming.carry_out(&mut self.names);
        self.pending.push(renaming);
    }
}

struct Shared {
    state: Mutex<State>,
    power: Arc<Power>,
    faults: Arc<Faults>,
    trace: Arc<Trace>,
    mutation: Option<Mutation>,
}

/// The machine's disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Shared>);

/// The disk as one life of the server has it: dead with that.
#[derive(Clone)]
pub struct Mount {
    disk: Arc<Shared>,
    power: u64,
}

impl SimDisk {
    /// An empty one.
    pub fn new(
        power: Arc<Power>,
        faults: Arc<Faults>,
        trace: Arc<Trace>,
        mutation: Option<Mutation>,
    ) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), power, faults, trace, mutation }))
    }

    /// Takes it into use.
    pub fn mount(&self) -> Mount {
        Mount { disk: self.0.clone(), power: self.0.power.number() }
    }

    /// What is left for the next life, after the power was cut.
    pub fn crash(&self, crash: Crash, random: &mut Random) {
        let mut state = self.0.state();
        state.taken_by = None;
        if crash == Crash::Process {
            return;
        }
        let survives = *random.pick(&[0, 500, 500, 900, 1000]);
        let kept = random.index(state.pending.len() + 1);
        let mut names = std::mem::take(&mut state.durable_names);
        for renaming in state.pending.drain(..).take(kept) {
            renaming.carry_out(&mut names);
        }
        state.files.retain(|file, _| names.values().any(|named| named == file));
        for contents in state.files.values_mut() {
            contents.write_back(|| random.chance(survives));
            contents.cache.clone_from(&contents.durable);
        }
        (state.names, state.durable_names) = (names.clone(), names);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken() -> io::Error {
    io::Error::other("injected: the disk failed")
}

fn dead() -> io::Error {
    io::Error::other("the machine is off")
}

fn unknown() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// What becomes of an operation.
enum Fate {
    Done,
    Fails(io::Error),
    /// The power goes while it is under way.
    Dies,
}

impl Mount {
    fn fate(&self, operation: Operation, takes_space: bool) -> Fate {
        if !self.disk.power.is_on(self.power) {
            return Fate::Fails(dead());
        }
        match self.disk.faults.strike(operation, takes_space) {
            None => Fate::Done,
            Some(Failure::Broken) => Fate::Fails(broken()),
            Some(Failure::Full) => Fate::Fails(io::ErrorKind::StorageFull.into()),
            Some(Failure::PowerCut) => Fate::Dies,
        }
    }

    fn die(&self, operation: Operation) -> io::Error {
        tell_cut(&self.disk, operation);
        self.disk.power.cut();
        dead()
    }

    /// Carries out a change of names, or part of what it should be.
    fn name(&self, takes_space: bool, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        match self.fate(Operation::Name, takes_space) {
            Fate::Done => {
                self.disk.trace.mark("name", &[]);
                change(&mut self.disk.state())
            }
            Fate::Fails(error) => Err(error),
            Fate::Dies => {
                if self.disk.faults.draw().is_multiple_of(2) {
                    // Whether it worked does not matter any more.
                    let _ = change(&mut self.disk.state());
                }
                Err(self.die(Operation::Name))
            }
        }
    }
}

fn tell_cut(disk: &Shared, operation: Operation) {
    disk.trace.line(format_args!("power cut in the middle of {operation:?}"));
}

impl Disk for Mount {
    fn take_folder(&self, _: &Path) -> io::Result<Box<dyn DiskFolder>> {
        let mut state = self.disk.state();
        if state.taken_by.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.taken_by = Some(self.power);
        Ok(Box::new(Folder(self.clone())))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        if let Fate::Fails(error) = self.fate(Operation::Read, false) {
            return Err(error);
        }
        let state = self.disk.state();
        let inside = state.names.iter().filter_map(|(path, file)| {
            let name = path.strip_prefix(folder).ok()?.to_str()?.to_owned();
            Some((name, state.files.get(file)?.cache.len() as u64))
        });
        Ok(inside.collect())
    }

    fn create_zeroed(&self, path: &Path, bytes: u64, _: &AtomicBool) -> io::Result<()> {
        self.name(true, |state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.next_file += 1;
            let (file, zeros) = (state.next_file, vec![0; bytes as usize]);
            let contents = Contents { cache: zeros.clone(), durable: zeros, dirty: BTreeSet::new() };
            state.files.insert(file, contents);
            state.rename(Renaming::Made(path.to_owned(), file));
            Ok(())
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if let Fate::Fails(error) = self.fate(Operation::Read, false) {
            return Err(error);
        }
        let file = *self.disk.state().names.get(path).ok_or_else(unknown)?;
        Ok(Box::new(OpenFile { mount: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name(false, |state| {
            if !state.names.contains_key(from) {
                return Err(unknown());
            }
            state.rename(Renaming::Moved(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.name(false, |state| {
            if !state.names.contains_key(path) {
                return Err(unknown());
            }
            state.rename(Renaming::Gone(path.to_owned()));
            Ok(())
        })
    }

    fn fresh_number(&self) -> u64 {
        self.disk.faults.draw()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(if self.disk.faults.is_full() { 0 } else { FREE_BYTES })
    }
}

struct Folder(Mount);

impl DiskFolder for Folder {
    fn sync(&self) -> io::Result<()> {
        let lies = self.0.disk.mutation == Some(Mutation::DiskSyncLies);
        self.0.name(false, |state| {
            if !lies {
                state.durable_names = state.names.clone();
                state.pending.clear();
            }
            Ok(())
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut state = self.0.disk.state();
        if state.taken_by == Some(self.0.power) {
            state.taken_by = None;
        }
    }
}

struct OpenFile {
    mount: Mount,
    file: u64,
}

impl OpenFile {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.mount.disk.state();
        let contents = state.files.get_mut(&self.file).ok_or_else(unknown)?;
        contents.write(offset as usize, bytes);
        Ok(())
    }

    fn sync(&self, survives: impl FnMut() -> bool) -> io::Result<()> {
        let mut state = self.mount.disk.state();
        state.files.get_mut(&self.file).ok_or_else(unknown)?.write_back(survives);
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        if let Fate::Fails(error) = self.mount.fate(Operation::Read, false) {
            return Err(error);
        }
        let state = self.mount.disk.state();
        into.extend_from_slice(&state.files.get(&self.file).ok_or_else(unknown)?.cache);
        Ok(())
    }

    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let part = |faults: &Faults| &bytes[..faults.draw() as usize % (bytes.len() + 1)];
        match self.mount.fate(Operation::Write, false) {
            Fate::Done => {
                self.mount.disk.trace.mark("write", &[offset, bytes.len() as u64]);
                self.write(offset, &bytes)
            }
            Fate::Fails(error) if self.mount.disk.power.is_on(self.mount.power) => {
                self.write(offset, part(&self.mount.disk.faults))?;
                Err(error)
            }
            Fate::Fails(error) => Err(error),
            Fate::Dies => {
                self.write(offset, part(&self.mount.disk.faults))?;
                Err(self.mount.die(Operation::Write))
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let disk = &self.mount.disk;
        let some = || disk.faults.draw().is_multiple_of(2);
        match self.mount.fate(Operation::Sync, false) {
            Fate::Done if disk.mutation == Some(Mutation::DiskSyncLies) => Ok(()),
            Fate::Done if disk.mutation == Some(Mutation::SyncsSkipped) && some() => Ok(()),
            Fate::Done => {
                disk.trace.mark("sync", &[]);
                self.sync(|| true)
            }
            // The kernel calls the pages clean, whether they are down or not.
            Fate::Fails(error) if disk.power.is_on(self.mount.power) => {
                self.sync(some)?;
                Err(error)
            }
            Fate::Fails(error) => Err(error),
            Fate::Dies => {
                self.sync(some)?;
                Err(self.mount.die(Operation::Sync))
            }
        }
    }
}
