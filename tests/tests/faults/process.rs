//! What the tests do to the server's process, and what the system says of it.

use parlance_tests::Server;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::fs;

fn pid(server: &Server) -> Pid {
    i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process id")
}

/// Sends it a signal.
pub(crate) fn signal(server: &Server, signal: Signal) {
    kill_process(pid(server), signal).expect("a child can be signalled");
}

/// Limits a resource of it from now on.
pub(crate) fn limit(server: &Server, resource: Resource, amount: u64) {
    let limit = Rlimit { current: Some(amount), maximum: Some(amount) };
    prlimit(Some(pid(server)), resource, limit).expect("a child can be limited further");
}

/// How many files and sockets it has open.
pub(crate) fn open_files(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count() as u64
}

/// A number of `/proc/PID/status`: `Threads`, or `VmRSS`, `VmData` and the like, in kB.
pub(crate) fn status(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in {status}"))
}
