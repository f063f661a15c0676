//! `parlance-sim`: one seed with its trace, or many seeds.
//!
//! ```text
//! cargo run -p parlance-sim -- --seed 17              one run, its whole trace, what did not hold
//! cargo run -p parlance-sim -- --seeds 1000           seeds 0 to 999
//! cargo run -p parlance-sim -- --from 5000 --seeds 100 --threads 1
//! ```

use clap::Parser;
use parlance_sim::{Options, faults::Mutation, many, run, trace::Keep};
use std::{process::ExitCode, thread::available_parallelism, time::Instant};

/// Deterministic simulation of a Parlance server among many devices.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs this seed alone, and prints its trace.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; each runs a seed at a time.
    #[arg(long)]
    threads: Option<usize>,
    /// Runs each seed twice: both runs must be the same.
    #[arg(long)]
    twice: bool,
    /// Breaks a promise on purpose: the run must fail.
    #[arg(long, value_parser = mutation)]
    mutation: Option<Mutation>,
}

fn mutation(word: &str) -> Result<Mutation, String> {
    let words: Vec<&str> = Mutation::ALL.iter().map(|mutation| mutation.word()).collect();
    Mutation::from_word(word).ok_or_else(|| format!("one of {}", words.join(", ")))
}

fn one(seed: u64, mutation: Option<Mutation>) -> ExitCode {
    let outcome = run(seed, Options { keep: Keep::All, mutation });
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("seed {seed}: trace {:016x}, {:?}", outcome.hash, outcome.counts);
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed, arguments.mutation);
    }
    let threads =
        arguments.threads.unwrap_or_else(|| available_parallelism().map_or(1, std::num::NonZero::get));
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let begun = Instant::now();
    let all = many(seeds.clone(), threads, arguments.mutation, arguments.twice, |runs| {
        if runs.is_multiple_of(5000) {
            eprintln!("{runs} runs, {:.0} s", begun.elapsed().as_secs_f64());
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "seeds {} to {}: {} runs in {seconds:.1} s, all traces {:016x}, {:?}",
        seeds.start,
        seeds.end - 1,
        all.runs,
        all.hash,
        all.counts
    );
    for failure in &all.failures {
        println!("\nseed {} failed; again with: {}", failure.seed, failure.command(arguments.mutation));
        for line in &failure.lines {
            println!("  {line}");
        }
        for violation in &failure.violations {
            println!("  VIOLATION {violation}");
        }
    }
    if all.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
