//! A disk that refuses on demand and knows what a power cut would leave.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, IoSlice},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicBool},
};

use crate::disk::{Disk, DiskFile, DiskFolder, FileSystem};

const SECTOR: usize = 512;

/// What the disk refuses, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No file can be made, nor a write be made, for want of space; this lasts until `heal`.
    Full,
    /// The next write stops after this many bytes.
    Write(usize),
    /// The next sync fails, and the kernel forgets that the pages are dirty.
    Sync,
    Rename,
    SyncFolder,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    /// Contents that would survive, by inode.
    durable: HashMap<u64, Vec<u8>>,
    /// Written and not synced.
    dirty: HashMap<u64, Vec<Range<usize>>>,
    /// Names that would survive.
    names: BTreeMap<String, u64>,
    /// Each state of the names since the folder was synced.
    pending_names: Vec<BTreeMap<String, u64>>,
    /// Open, so that the inode of a removed file is not given to another while its old name may come back.
    kept: Vec<File>,
    random: u64,
}

impl State {
    fn chance(&mut self) -> bool {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 63 == 1
    }

    fn fails(&mut self, fault: Fault) -> bool {
        let fails = self.fault == Some(fault);
        if fails {
            self.fault = None;
        }
        fails
    }

    /// Moves dirty sectors to the durable image: all of them, or each by chance.
    fn write_back(&mut self, inode: u64, contents: &[u8], all: bool) {
        let ranges = self.dirty.remove(&inode).unwrap_or_default();
        let mut image = self.durable.remove(&inode).unwrap_or_default();
        image.resize(contents.len(), 0);
        for range in ranges {
            for start in (range.start / SECTOR * SECTOR..range.end).step_by(SECTOR) {
                let sector = start..(start + SECTOR).min(contents.len());
                if all || self.chance() {
                    image[sector.clone()].copy_from_slice(&contents[sector]);
                }
            }
        }
        self.durable.insert(inode, image);
    }
}

pub(super) struct FaultDisk(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
}

impl FaultDisk {
    /// Takes the folder as it is for durable.
    pub(super) fn new(folder: &Path, seed: u64) -> Self {
        let state = Mutex::new(State { random: seed, ..State::default() });
        let disk = Shared { folder: folder.to_owned(), state };
        let names = disk.present_names();
        let mut state = disk.state();
        for (name, inode) in &names {
            state.durable.insert(*inode, fs::read(folder.join(name)).unwrap());
            state.kept.push(File::open(folder.join(name)).unwrap());
        }
        state.names = names;
        drop(state);
        Self(Arc::new(disk))
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.0.state().fault = Some(fault);
    }

    pub(super) fn heal(&self) {
        self.0.state().fault = None;
    }

    /// Leaves in `target` what a power cut leaves here.
    pub(super) fn cut_power(&self, target: &Path) {
        let mut state = self.0.state();
        let mut names = state.names.clone();
        for pending in std::mem::take(&mut state.pending_names) {
            if !state.chance() {
                break;
            }
            names = pending;
        }
        for (name, inode) in self.0.present_names() {
            let contents = fs::read(self.0.folder.join(name)).unwrap();
            state.write_back(inode, &contents, false);
        }
        for (name, inode) in names {
            fs::write(target.join(name), state.durable.get(&inode).cloned().unwrap_or_default()).unwrap();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn present_names(&self) -> BTreeMap<String, u64> {
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap());
        // The thread that prepares files may rename one between the listing and the look at it.
        entries
            .filter_map(|entry| {
                Some((entry.file_name().into_string().unwrap(), entry.metadata().ok()?.ino()))
            })
            .collect()
    }

    fn names_changed(&self, state: &mut State) {
        state.pending_names.push(self.present_names());
    }
}

impl Disk for FaultDisk {
    fn take_folder(&self, folder: &Path) -> io::Result<Box<dyn DiskFolder>> {
        Ok(Box::new(FaultFolder { disk: self.0.clone(), _taken: FileSystem.take_folder(folder)? }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        FileSystem.list(folder)
    }

    fn create_zeroed(&self, path: &Path, bytes: u64, _: &AtomicBool) -> io::Result<()> {
        let mut state = self.0.state();
        let file = File::create_new(path)?;
        self.0.names_changed(&mut state);
        if state.fault == Some(Fault::Full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.set_len(bytes)?;
        state.durable.insert(file.metadata()?.ino(), vec![0; bytes as usize]);
        state.kept.push(file);
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Box::new(FaultFile { disk: self.0.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.state();
        if state.fails(Fault::Rename) {
            return Err(io::Error::other("injected: rename"));
        }
        FileSystem.rename(from, to)?;
        self.0.names_changed(&mut state);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.state();
        FileSystem.remove(path)?;
        self.0.names_changed(&mut state);
        Ok(())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        FileSystem.free_bytes(folder)
    }
}

struct FaultFolder {
    disk: Arc<Shared>,
    _taken: Box<dyn DiskFolder>,
}

impl DiskFolder for FaultFolder {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.fails(Fault::SyncFolder) {
            return Err(io::Error::other("injected: folder sync"));
        }
        state.names = self.disk.present_names();
        state.pending_names.clear();
        Ok(())
    }
}

struct FaultFile {
    disk: Arc<Shared>,
    file: File,
}

impl DiskFile for FaultFile {
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        DiskFile::read(&mut self.file, into)
    }

    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut state = self.disk.state();
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let refused = match state.fault {
            Some(Fault::Write(down)) => {
                state.fault = None;
                bytes.truncate(down);
                true
            }
            _ => false,
        };
        self.file.write_all_at(&bytes, offset)?;
        let range = offset as usize..offset as usize + bytes.len();
        state.dirty.entry(self.file.metadata()?.ino()).or_default().push(range);
        if refused { Err(io::Error::other("injected: write")) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let inode = self.file.metadata()?.ino();
        let name = self.disk.present_names().into_iter().find(|(_, found)| *found == inode).unwrap().0;
        let contents = fs::read(self.disk.folder.join(name))?;
        let failed = state.fails(Fault::Sync);
        state.write_back(inode, &contents, !failed);
        if failed { Err(io::Error::other("injected: sync")) } else { Ok(()) }
    }
}
