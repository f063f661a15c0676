//! What the journal asks of the file system. A trait, so that tests can refuse, tear and forget.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::{Errno, pwritev},
};

/// The kernel takes this many slices at most in one call (`IOV_MAX`).
const SLICES_MAX: usize = 1024;
const ZEROS: &[u8] = &[0; 256 << 10];

pub(crate) trait Disk: Send + Sync {
    /// Creates a file of `bytes` zeros, all written and synced. Gives up with `Interrupted` when `stop` is set.
    fn create_zeroed(&self, path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<()>;
    /// Writes all slices at `offset`; on an error any part of them may be down.
    fn write_at(&self, file: &File, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()>;
    fn sync_data(&self, file: &File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_folder(&self, folder: &File) -> io::Result<()>;
}

/// The file system itself.
pub(crate) struct FileSystem;

impl Disk for FileSystem {
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

    fn write_at(&self, file: &File, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        write_all_at(file, offset, slices)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &File) -> io::Result<()> {
        folder.sync_all()
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
