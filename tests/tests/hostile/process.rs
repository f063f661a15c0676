//! What the system says of a process, and how many connections fit into this one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Descriptors that this process needs for other things: the pairs, the server's pipes, the runtime.
const OTHER_FILES: u64 = 1_024;

/// Raises this process's limit of open files as far as it may go and answers how many of `wanted` connections fit.
/// Fewer than wanted is said, not hidden.
pub(crate) fn connections_that_fit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // It fails only where raising is forbidden: then the present limit counts.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    let fit = wanted.min(usize::try_from(files).unwrap_or(usize::MAX));
    if fit < wanted {
        println!(
            "only {fit} connections of {wanted}: the hard limit of open files (ulimit -Hn) allows no more"
        );
    }
    fit
}

/// How many files and sockets a process has open.
pub(crate) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count()
}
