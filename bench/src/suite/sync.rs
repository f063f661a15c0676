//! What the disk itself takes to sync: 4 KiB, then `fdatasync`, again and again.

use crate::report::results::SyncFigures;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

const BLOCK: [u8; 4_096] = [0x5a; 4_096];

/// How long each is measured.
const MEASURE: Duration = Duration::from_millis(1_500);

/// Blocks of the preallocated file; then it begins again.
const BLOCKS: u64 = 4_096;

/// Appends to a file that grows.
pub(super) fn growing(folder: &Path) -> io::Result<SyncFigures> {
    let file = folder.join("sync-growing");
    let figures = measure(&File::create(&file)?, u64::MAX);
    fs::remove_file(file)?;
    figures
}

/// Writes into blocks that were there and written before: what a journal does that allocates ahead.
pub(super) fn preallocated(folder: &Path) -> io::Result<SyncFigures> {
    let path = folder.join("sync-preallocated");
    let file = File::create(&path)?;
    for block in 0..BLOCKS {
        file.write_all_at(&BLOCK, block * BLOCK.len() as u64)?;
    }
    file.sync_all()?;
    let figures = measure(&file, BLOCKS);
    fs::remove_file(path)?;
    figures
}

fn measure(file: &File, blocks: u64) -> io::Result<SyncFigures> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < MEASURE {
        let one = Instant::now();
        let block = times.len() as u64 % blocks;
        file.write_all_at(&BLOCK, block * BLOCK.len() as u64)?;
        file.sync_data()?;
        times.push(one.elapsed());
    }
    let per_s = times.len() as f64 / begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    Ok(SyncFigures { per_s, p50_ms: quantile(0.5), p99_ms: quantile(0.99) })
}
