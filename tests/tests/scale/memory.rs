//! What the server's process holds.

use std::fs;

/// Memory of a process in RAM, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now (VmRSS).
    pub(crate) now: u64,
    /// The most since it began (VmHWM).
    pub(crate) peak: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
            let kib: u64 = line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("kB");
            kib * 1024
        };
        Self { now: bytes("VmRSS:"), peak: bytes("VmHWM:") }
    }

    /// By how much the peak rose: what was needed before was needed anyway.
    pub(crate) fn growth_since(self, before: Self) -> u64 {
        self.peak - before.peak
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} MiB (peak {:.0} MiB)", mib(self.now), mib(self.peak))
    }
}

/// For figures.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
