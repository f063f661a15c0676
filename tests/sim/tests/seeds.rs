//! Seeds: whatever goes wrong, what must hold does. `PARLANCE_SIM_SEEDS` and `PARLANCE_SIM_FROM` choose others.

use parlance_sim::many;
use std::{env, thread::available_parallelism};

/// In CI time.
const SEEDS: u64 = 1_000;

fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")),
        Err(_) => default,
    }
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let from = number("PARLANCE_SIM_FROM", 0);
    let seeds = number("PARLANCE_SIM_SEEDS", SEEDS);
    let threads = available_parallelism().map_or(1, std::num::NonZero::get);
    let all = many(from..from + seeds, threads, None, false, |_| {});
    println!("{} runs, {:?}", all.runs, all.counts);
    for failure in &all.failures {
        println!("\nseed {} failed; again with: {}", failure.seed, failure.command(None));
        failure.lines.iter().for_each(|line| println!("  {line}"));
        failure.violations.iter().for_each(|violation| println!("  VIOLATION {violation}"));
    }
    let failed: Vec<u64> = all.failures.iter().map(|failure| failure.seed).collect();
    assert_eq!(failed, [] as [u64; 0], "these seeds failed");
    assert_eq!(all.runs, seeds);
    // Runs in which nothing happens would hold everything.
    let Some(counts) = Some(all.counts).filter(|_| seeds >= 100) else { return };
    assert!(counts.deliveries > 20 * seeds && counts.acknowledgements > 10 * seeds, "{counts:?}");
    assert!(counts.crashes > seeds && counts.injected > seeds, "{counts:?}");
}
