//! What happened, in order: a hash of all of it, and the words for who wants to read them.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// Lines that are kept of a run that is not recorded.
const TAIL_LINES_MAX: usize = 400;

/// How much of a run is kept in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The hash alone.
    Nothing,
    /// The last lines.
    Tail,
    /// Every line.
    All,
}

/// FNV-1a, 64 bits.
#[derive(Debug)]
struct Hashing(u64);

impl Hashing {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

impl fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[derive(Debug)]
struct State {
    hash: Hashing,
    events: u64,
    lines: VecDeque<String>,
}

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    keep: Keep,
    state: Mutex<State>,
}

impl Trace {
    /// An empty one that begins now.
    pub fn new(keep: Keep) -> Self {
        let state = State { hash: Hashing(0xcbf2_9ce4_8422_2325), events: 0, lines: VecDeque::new() };
        Self { begun: Instant::now(), keep, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Lines are added whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something happened that is worth a line.
    pub fn line(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        let mut state = self.state();
        state.events += 1;
        if self.keep == Keep::Nothing {
            state.hash.bytes(&now.to_le_bytes());
            // Hashing never fails.
            let _ = state.hash.write_fmt(what);
            return;
        }
        let line = what.to_string();
        state.hash.bytes(&now.to_le_bytes());
        state.hash.bytes(line.as_bytes());
        if self.keep == Keep::Tail && state.lines.len() >= TAIL_LINES_MAX {
            state.lines.pop_front();
        }
        state.lines.push_back(format!("{:>6}.{:03} {line}", now / 1000, now % 1000));
    }

    /// Something happened that only the hash remembers.
    pub fn mark(&self, kind: &str, numbers: &[u64]) {
        let now = self.now();
        let mut state = self.state();
        state.events += 1;
        state.hash.bytes(&now.to_le_bytes());
        state.hash.bytes(kind.as_bytes());
        for number in numbers {
            state.hash.bytes(&number.to_le_bytes());
        }
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.state().hash.0
    }

    /// How much happened.
    pub fn events(&self) -> u64 {
        self.state().events
    }

    /// What was kept.
    pub fn lines(&self) -> Vec<String> {
        self.state().lines.iter().cloned().collect()
    }
}

/// A line of a [`Trace`].
#[macro_export]
macro_rules! tell {
    ($trace:expr, $($word:tt)+) => { $trace.line(format_args!($($word)+)) };
}
