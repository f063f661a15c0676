//! A limit of a server's memory, by whichever means this machine has.

use crate::process::{limit, status};
use parlance_tests::Server;
use rustix::process::Resource;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// A limit that holds as long as the server runs.
pub(super) enum Limit {
    /// A control group of its own, removed when this is dropped.
    Group { folder: PathBuf, bytes: u64 },
    /// Of its data, where no group can be made.
    Data { bytes: u64 },
}

impl Limit {
    /// The server may have so much beyond what it has now.
    pub(super) fn beyond(server: &Server, bytes: u64) -> Self {
        match group(server, bytes) {
            Ok(folder) => Self::Group { folder, bytes },
            Err(why) => {
                println!("NOT TESTED: a memory limit by control group ({why}); RLIMIT_DATA stands for it");
                limit(server, Resource::Data, status(server.pid(), "VmData") * 1024 + bytes);
                Self::Data { bytes }
            }
        }
    }

    /// The process is gone, but for its exit status.
    pub(super) fn has_ended(&self, server: &Server) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap_or_default();
        // After the name, which is in parentheses.
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { bytes, .. } => write!(f, "cgroup v2, {} MiB of room", bytes >> 20),
            Self::Data { bytes } => write!(f, "RLIMIT_DATA, {} MiB of room", bytes >> 20),
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Self::Group { folder, .. } = self {
            // Empty only when the server has ended: then nothing is left to limit.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Puts the server into a new group below the root of cgroup v2; or why that cannot be.
fn group(server: &Server, room_bytes: u64) -> Result<PathBuf, String> {
    let root = mounted().ok_or("cgroup v2 is not mounted")?;
    let enabled = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
    if !enabled.split_whitespace().any(|controller| controller == "memory") {
        return Err("its root has no memory controller".to_owned());
    }
    let folder = root.join(format!("parlance-test-{}", server.pid()));
    let bytes = status(server.pid(), "VmRSS") * 1024 + room_bytes;
    let made = fs::create_dir(&folder).and_then(|()| set_up(&folder, server.pid(), bytes));
    made.map(|()| folder.clone()).map_err(|error| {
        let _ = fs::remove_dir(&folder);
        format!("{}: {error}", folder.display())
    })
}

fn set_up(folder: &Path, pid: u32, bytes: u64) -> io::Result<()> {
    fs::write(folder.join("memory.max"), bytes.to_string())?;
    fs::write(folder.join("memory.swap.max"), "0").or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    fs::write(folder.join("cgroup.procs"), pid.to_string())
}

fn mounted() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(PathBuf::from)
}
