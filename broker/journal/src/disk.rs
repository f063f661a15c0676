//! What the journal asks of the file system: a port, so that tests can refuse, tear and forget, and a simulation can keep
//! its disk in memory.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, IoSlice, Read as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::{Errno, pwritev},
};

/// The kernel takes this many slices at most in one call (`IOV_MAX`).
const SLICES_MAX: usize = 1024;
const ZEROS: &[u8] = &[0; 256 << 10];

/// A disk. Nothing that was written counts before it was synced, no name before its folder was.
pub trait Disk: Send + Sync {
    /// Makes the folder if it is not there, and takes it until the answer is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when somebody else has it.
    fn take_folder(&self, folder: &Path) -> io::Result<Box<dyn DiskFolder>>;

    /// Names and sizes of the files in a folder, in any order.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Creates a file of `bytes` zeros, all written and synced. Gives up with `Interrupted` when `stop` is set.
    ///
    /// # Errors
    /// Those of the file system; a part of the file may be there.
    fn create_zeroed(&self, path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<()>;

    /// Opens a file to be read and written.
    ///
    /// # Errors
    /// Those of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in the place of the file that had it.
    ///
    /// # Errors
    /// Those of the file system; nothing has changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// A number that no file of the folder was given before, and that nobody who writes payloads can guess.
    fn fresh_number(&self) -> u64 {
        // The hasher's keys are random.
        RandomState::new().hash_one(())
    }

    /// Bytes that may still be written to the file system of a folder.
    ///
    /// # Errors
    /// Those of the file system.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// A folder that belongs to this journal until this is dropped.
pub trait DiskFolder: Send {
    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// Those of the file system; they may be durable or not.
    fn sync(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Reads all of it into an empty buffer.
    ///
    /// # Errors
    /// Those of the file system.
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()>;

    /// Writes all slices at `offset`.
    ///
    /// # Errors
    /// Those of the file system; any part of the slices may be down.
    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Those of the file system; what was written may be durable or not, whatever is answered later.
    fn sync_data(&self) -> io::Result<()>;
}

/// The file system itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn take_folder(&self, folder: &Path) -> io::Result<Box<dyn DiskFolder>> {
        fs::create_dir_all(folder)?;
        let file = File::open(folder)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, u64)>> {
        let file = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()))
        };
        fs::read_dir(folder)?.map(file).collect()
    }

    fn create_zeroed(&self, path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        // Allocated extents stay "unwritten" until they are written: their first sync would commit metadata.
        let mut offset = 0;
        while offset < bytes {
            if stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let chunk = (bytes - offset).min(ZEROS.len() as u64);
            write_all_at(&file, offset, &mut [IoSlice::new(&ZEROS[..chunk as usize])])?;
            offset += chunk;
        }
        file.sync_all()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(folder)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl DiskFolder for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl DiskFile for File {
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        self.read_to_end(into).map(drop)
    }

    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        write_all_at(self, offset, slices)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

fn write_all_at(file: &File, mut offset: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0); // drops leading empty slices
    while !slices.is_empty() {
        let written = match pwritev(file, &slices[..slices.len().min(SLICES_MAX)], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        offset += written as u64;
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}
