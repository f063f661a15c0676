//! The journal against files, a hostile disk, and a model.

mod damage;
mod fault_disk;
mod files;
mod model;

use std::{
    convert::Infallible,
    fs,
    io::IoSlice,
    path::{Path, PathBuf},
};

use crate::{AppendError, Journal, JournalError, JournalOptions, Recovery};

/// Small segments, so that every test sees several.
fn options() -> JournalOptions {
    JournalOptions {
        segment_bytes: 64 << 10,
        segments_spare_max: 2,
        batch_bytes_max: 100 << 10,
        prepare_ahead: true,
    }
}

type Batches = Vec<(u64, Vec<u8>)>;

fn open(folder: &Path, from: u64) -> Result<(Journal, Recovery, Batches), JournalError> {
    let mut seen = Vec::new();
    let (journal, recovery) = Journal::open(folder, options(), from, |position, payload| {
        seen.push((position, payload.to_vec()));
        Ok::<(), Infallible>(())
    })?;
    Ok((journal, recovery, seen))
}

fn append(journal: &mut Journal, payload: &[u8]) -> Result<u64, AppendError> {
    let (head, tail) = payload.split_at(payload.len() / 3);
    journal.append(&[IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)])
}

/// A payload that tells its position and its length.
fn payload(position: u64, length: usize) -> Vec<u8> {
    (0..length).map(|index| (position as usize * 31 + index) as u8).collect()
}

/// The files of a folder whose names end so, sorted.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for file in files(from, "") {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}
