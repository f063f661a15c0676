//! The machine, as it is before the first case.

use super::sync;
use crate::report::results::Environment;
use rustix::{fs as unix, system::uname};
use std::{
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// How long it is watched whether the machine is at rest.
const WATCHED: Duration = Duration::from_secs(2);

/// Why the machine cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The folder for the brokers' data.
    #[error("cannot use {0} for data")]
    Data(PathBuf, #[source] io::Error),
}

/// Describes it, and measures its disk.
pub(super) fn describe(data: &Path) -> Result<Environment, EnvironmentError> {
    let failed = |source| EnvironmentError::Data(data.to_owned(), source);
    fs::create_dir_all(data).map_err(failed)?;
    let device = unix::stat(data).map_err(|source| failed(source.into()))?.st_dev;
    let device = (unix::major(device), unix::minor(device));
    let name = uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Ok(Environment {
        cores: thread::available_parallelism().map_or(1, NonZero::get),
        processor: field("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| text(name.machine())),
        memory_bytes: memory_bytes(),
        kernel: format!("{} {}", text(name.sysname()), text(name.release())),
        system: field("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_else(|| "unknown system".to_owned()),
        device: device_name(device),
        file_system: file_system(device),
        commit: commit(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        busy_before: busy(),
        sync_growing: sync::growing(data).map_err(failed)?,
        sync_preallocated: sync::preallocated(data).map_err(failed)?,
    })
}

/// The value of the first line that begins with a name.
fn field(file: &str, name: &str, mark: char) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text.lines().find(|line| line.starts_with(name))?.split_once(mark)?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn memory_bytes() -> u64 {
    let total = field("/proc/meminfo", "MemTotal", ':');
    total.and_then(|total| total.trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1_024
}

fn device_name((major, minor): (u32, u32)) -> String {
    let known = field(&format!("/sys/dev/block/{major}:{minor}/uevent"), "DEVNAME", '=');
    known.map_or_else(|| "no block device".to_owned(), |name| format!("/dev/{name}"))
}

/// Of /proc/self/mountinfo (proc_pid_mountinfo(5)): the type stands behind a dash.
fn file_system((major, minor): (u32, u32)) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = format!("{major}:{minor}");
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&device));
    let kind = mount.and_then(|line| line.split_once(" - ")?.1.split(' ').next());
    kind.unwrap_or("unknown file system").to_owned()
}

/// The share of all processors that is used, by whomever.
fn busy() -> f64 {
    let (before, _) = (ticks(), thread::sleep(WATCHED));
    let (busy, all) =
        ticks().zip(before).map_or((0, 1), |(now, before)| (now.0 - before.0, now.1 - before.1));
    busy as f64 / all.max(1) as f64
}

/// Busy ticks and all ticks since the machine started: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

/// Of the checkout in which this is run, if it is one.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}
