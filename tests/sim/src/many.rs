//! Many seeds, on as many threads as there are cores; each run has one.

use crate::{
    faults::Mutation,
    run::{Counts, Options, Outcome, run},
    trace::Keep,
};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Failures that are kept; then no more seeds are begun.
const FAILURES_MAX: usize = 5;

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Many {
    /// Runs that came to an end.
    pub runs: u64,
    /// All they did.
    pub counts: Counts,
    /// All their hashes in one, whatever the order they came in.
    pub hash: u64,
    /// Seeds that failed, in their order.
    pub failures: Vec<Failure>,
}

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    /// The end of its trace.
    pub lines: Vec<String>,
}

impl Failure {
    /// The one command that makes this run again, with all of its trace.
    pub fn command(&self, mutation: Option<Mutation>) -> String {
        let mutation =
            mutation.map(|mutation| format!(" --mutation {}", mutation.word())).unwrap_or_default();
        format!("cargo run -q -p parlance-sim -- --seed {}{mutation}", self.seed)
    }
}

/// Runs a seed; a panic is a failure of it.
fn guarded(seed: u64, options: Options) -> Result<Outcome, Failure> {
    let failure = |violations, lines| Failure { seed, violations, lines };
    match catch_unwind(AssertUnwindSafe(|| run(seed, options))) {
        Ok(outcome) if outcome.violations.is_empty() => Ok(outcome),
        Ok(outcome) => Err(failure(outcome.violations, outcome.lines)),
        Err(_) => Err(failure(vec!["the run panicked".to_owned()], Vec::new())),
    }
}

/// Runs a seed twice: both runs must be the same.
fn repeated(seed: u64, options: Options) -> Result<Outcome, Failure> {
    let first = guarded(seed, options)?;
    let second = guarded(seed, options)?;
    if first.hash == second.hash {
        return Ok(first);
    }
    let (one, other) = (first.hash, second.hash);
    let violations = vec![format!("two runs of the seed differ: {one:016x}, {other:016x}")];
    Err(Failure { seed, violations, lines: Vec::new() })
}

/// Runs seeds, each twice if it is to be shown that they can be replayed. `done` hears of every hundredth.
pub fn many(
    seeds: Range<u64>,
    threads: usize,
    mutation: Option<Mutation>,
    twice: bool,
    done: impl Fn(u64) + Sync,
) -> Many {
    let next = AtomicU64::new(seeds.start);
    let enough = AtomicBool::new(false);
    let all = Mutex::new(Many::default());
    let work = || {
        while !enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = if twice { repeated } else { guarded };
            let outcome = run(seed, Options { keep: Keep::Nothing, mutation });
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.runs += 1;
            match outcome {
                Ok(outcome) => {
                    all.counts.add(outcome.counts);
                    all.hash ^= outcome.hash.rotate_left((seed % 64) as u32);
                }
                Err(failure) => {
                    all.failures.push(failure);
                    enough.fetch_or(all.failures.len() >= FAILURES_MAX, Ordering::Relaxed);
                }
            }
            if all.runs.is_multiple_of(100) {
                done(all.runs);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.failures.sort_by_key(|failure| failure.seed);
    // Once more, with its trace.
    for failure in &mut all.failures {
        if let Err(again) = guarded(failure.seed, Options { keep: Keep::Tail, mutation }) {
            failure.lines = again.lines;
        }
    }
    all
}
