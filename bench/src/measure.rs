//! What a broker uses: CPU and memory of its processes, bytes at its block device.

use rustix::{fs, param::clock_ticks_per_second};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Sectors of /sys/dev/block/…/stat.
const SECTOR_BYTES: u64 = 512;
/// How long a device has to be quiet to count as settled, and how often it is asked.
const SETTLED: Duration = Duration::from_millis(1_500);
const ASK: Duration = Duration::from_millis(250);
/// What a quiet device may still be told in that time: the file system's own bookkeeping.
const SETTLED_BYTES: u64 = 64 * 1024;

/// A process and all its descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree(u32);

impl Tree {
    /// Of this process; `None` for 0.
    pub fn of(pid: u32) -> Option<Self> {
        (pid != 0).then_some(Self(pid))
    }

    /// Of this program itself.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// CPU seconds, of user and kernel, since it was started.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn cpu_s(self) -> io::Result<f64> {
        let ticks: u64 = self.processes()?.values().map(|process| process.ticks).sum();
        Ok(ticks as f64 / clock_ticks_per_second() as f64)
    }

    /// CPU time of each thread, in fine steps.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn threads(self) -> io::Result<ThreadTimes> {
        let mut times = BTreeMap::new();
        for pid in self.processes()?.keys() {
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                let task = task?;
                // A thread that has just ended has no file any more.
                let schedule = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let ns = schedule.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
                let id = task.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
                times.extend(id.zip(ns));
            }
        }
        Ok(ThreadTimes(times))
    }

    /// How often a thread gave up the CPU, because it waited or because another one had its turn.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn context_switches(self) -> io::Result<u64> {
        let mut switches = 0;
        for pid in self.processes()?.keys() {
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread that has just ended has no file any more.
                let status = std::fs::read_to_string(task?.path().join("status")).unwrap_or_default();
                switches += context_switches(&status);
            }
        }
        Ok(switches)
    }

    /// Memory in RAM, bytes.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn rss_bytes(self) -> io::Result<u64> {
        let sizes = self.processes()?.into_keys().map(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
        });
        Ok(sizes.sum())
    }

    fn processes(self) -> io::Result<BTreeMap<u32, Process>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process that has just ended has no file any more.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some(process) = Process::parse(&stat) {
                all.insert(pid, process);
            }
        }
        let found = tree(&all, self.0);
        if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
    }
}

/// What each thread has used of the CPU up to a moment, nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadTimes(BTreeMap<u32, u64>);

impl ThreadTimes {
    /// CPU seconds between the two, without what threads used that ended meanwhile.
    pub fn since_s(&self, before: &Self) -> f64 {
        let used = self.0.iter().map(|(id, ns)| ns.saturating_sub(before.0.get(id).copied().unwrap_or(0)));
        used.sum::<u64>() as f64 / 1e9
    }
}

/// One line of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// utime, stime and those of children that have ended.
    ticks: u64,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        // The name stands in brackets and may contain anything, brackets and spaces too.
        let (_, behind) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = behind.split(' ').collect();
        let parent = fields.get(1)?.parse().ok()?;
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        Some(Self { parent, ticks })
    }
}

fn context_switches(status: &str) -> u64 {
    let lines = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

fn tree(all: &BTreeMap<u32, Process>, root: u32) -> BTreeMap<u32, Process> {
    let mut found = BTreeMap::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if let Some(&process) = all.get(&pid)
            && found.insert(pid, process).is_none()
        {
            open.extend(all.iter().filter(|(_, child)| child.parent == pid).map(|(&pid, _)| pid));
        }
    }
    found
}

/// The block device beneath a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    stat: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// `None` if the folder is on no block device, as in a container's overlay.
    pub fn beneath(folder: &Path) -> Option<Self> {
        let device = fs::stat(folder).ok()?.st_dev;
        let (major, minor) = (fs::major(device), fs::minor(device));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        stat.exists().then(|| Self { stat, folder: folder.to_owned() })
    }

    /// Bytes written since the machine started.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn written_bytes(&self) -> io::Result<u64> {
        let stat = std::fs::read_to_string(&self.stat)?;
        let sectors = stat.split_whitespace().nth(6).and_then(|sectors| sectors.parse::<u64>().ok());
        sectors.map(|sectors| sectors * SECTOR_BYTES).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Has the kernel write what it holds back; answers as [`written_bytes`](Self::written_bytes).
    ///
    /// # Errors
    /// If it cannot.
    pub fn written_with_caches_bytes(&self) -> io::Result<u64> {
        fs::syncfs(std::fs::File::open(&self.folder)?)?;
        self.written_bytes()
    }

    /// Waits until the broker writes no more, but no longer than this; answers as
    /// [`written_with_caches_bytes`](Self::written_with_caches_bytes).
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn settled_bytes(&self, longest: Duration) -> io::Result<u64> {
        let end = Instant::now() + longest;
        let mut written = self.written_with_caches_bytes()?;
        let mut since = Instant::now();
        while since.elapsed() < SETTLED && Instant::now() < end {
            thread::sleep(ASK);
            let now = self.written_with_caches_bytes()?;
            if now > written + SETTLED_BYTES {
                (written, since) = (now, Instant::now());
            }
        }
        self.written_with_caches_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_be_anything() {
        let stat = "12 (a) b (c) S 7 12 12 0 -1 4194304 1 2 3 4 50 60 1 2 20 0 1 0 99";
        assert_eq!(Process::parse(stat), Some(Process { parent: 7, ticks: 113 }));
        assert_eq!(Process::parse("nothing"), None);
    }

    #[test]
    fn descendants_count_and_others_do_not() {
        let process = |parent| Process { parent, ticks: 1 };
        let all = BTreeMap::from([(1, process(0)), (2, process(1)), (3, process(2)), (4, process(1))]);
        assert_eq!(tree(&all, 2).into_keys().collect::<Vec<_>>(), [2, 3]);
        assert!(tree(&all, 9).is_empty());
    }

    #[test]
    fn both_kinds_of_context_switches_count() {
        let status = "Threads:\t3\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(context_switches(status), 695);
    }

    #[test]
    fn threads_that_end_take_nothing_away() {
        let before = ThreadTimes(BTreeMap::from([(1, 5_000_000_000), (2, 7_000_000_000)]));
        let after = ThreadTimes(BTreeMap::from([(2, 8_000_000_000), (3, 500_000_000)]));
        assert!((after.since_s(&before) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn this_process_uses_something() {
        let own = Tree::own();
        assert!(own.rss_bytes().expect("it is running") > 100_000);
        assert!(own.threads().expect("it is running").since_s(&ThreadTimes::default()) > 0.0);
        assert!(Tree::of(0).is_none());
        assert!(Tree(u32::MAX).cpu_s().is_err());
    }
}
