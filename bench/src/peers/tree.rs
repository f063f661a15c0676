//! A process and its descendants, by their ids.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The process and all that descend from it, as of now.
pub(super) fn with_descendants(pid: u32) -> BTreeSet<u32> {
    let parents = parents();
    let mut tree = BTreeSet::from([pid]);
    loop {
        let children = parents.iter().filter(|(_, parent)| tree.contains(parent));
        let new: Vec<u32> = children.map(|(child, _)| *child).filter(|child| !tree.contains(child)).collect();
        if new.is_empty() {
            return tree;
        }
        tree.extend(new);
    }
}

/// SIGKILL to each of them, and to the process group that the first one leads.
pub(super) fn kill(pid: u32, tree: &BTreeSet<u32>) {
    // An error means that it has ended already.
    if let Some(group) = id(pid) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for pid in tree.iter().copied().filter_map(id) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// SIGTERM to one process.
pub(super) fn terminate(pid: u32) {
    if let Some(pid) = id(pid) {
        // An error means that it has ended already.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Whether it is there and not a zombie.
pub(super) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn id(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

fn parents() -> BTreeMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, stat(pid)?.1))).collect()
}

/// State and parent of a process. The name before them, in brackets, may contain anything.
fn stat(pid: u32) -> Option<(String, u32)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}
