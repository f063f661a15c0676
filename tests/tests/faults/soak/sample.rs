//! What the server uses at one moment.

use crate::process::{open_files, status};
use parlance_tests::Server;
use serde::Serialize;
use std::{fs, io, os::unix::fs::MetadataExt, path::Path};
use tokio::{task::block_in_place, time::Instant};

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// One moment.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    /// Since the first, seconds.
    pub(super) at_s: f64,
    /// Memory in RAM.
    pub(super) resident_bytes: u64,
    /// Open files and sockets.
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// What the data folder takes on disk.
    pub(super) disk_bytes: u64,
    /// Messages acknowledged so far.
    pub(super) messages: u64,
    /// Connections.
    pub(super) connections: u64,
}

pub(super) struct Sampler<'a> {
    server: &'a Server,
    begun: Instant,
}

impl<'a> Sampler<'a> {
    pub(super) fn begin(server: &'a Server) -> Self {
        Self { server, begun: Instant::now() }
    }

    pub(super) async fn take(&mut self, messages: u64) -> Sample {
        let pid = self.server.pid();
        let connections = self.server.metric("parlance_connections").await as u64;
        Sample {
            at_s: self.begun.elapsed().as_secs_f64(),
            resident_bytes: status(pid, "VmRSS") * 1024,
            descriptors: open_files(pid),
            threads: status(pid, "Threads"),
            disk_bytes: block_in_place(|| on_disk(self.server.data_dir())),
            messages,
            connections,
        }
    }
}

/// What a folder takes on disk. What is removed meanwhile does not count.
fn on_disk(folder: &Path) -> u64 {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let size = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        let within = if metadata.is_dir() { on_disk(&entry.path()) } else { 0 };
        Some(metadata.blocks() * BLOCK_BYTES + within)
    };
    entries.filter_map(size).sum()
}
