//! Measures append and sync: `cargo run -p parlance-journal --example latency -- FOLDER [BATCH_BYTES] [BATCHES]`.

use std::{convert::Infallible, env, error::Error, io::IoSlice, path::PathBuf, time::Instant};

use parlance_journal::{Journal, JournalOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let batch_bytes = arguments.next().map_or(Ok(4096), |argument| argument.parse())?;
    let batches = arguments.next().map_or(Ok(20_000), |argument| argument.parse())?;

    let (mut journal, recovery) =
        Journal::open(&folder, JournalOptions::default(), 0, |_, _| Ok::<(), Infallible>(()))?;
    println!("replayed {} batches", recovery.batches);
    let payload = vec![0x5a; batch_bytes];
    let mut nanos = Vec::with_capacity(batches);
    let begun = Instant::now();
    for _ in 0..batches {
        let before = Instant::now();
        journal.append(&[IoSlice::new(&payload)])?;
        nanos.push(before.elapsed().as_nanos());
    }
    let seconds = begun.elapsed().as_secs_f64();
    nanos.sort_unstable();
    let micros = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!(
        "{batches} batches of {batch_bytes} bytes: {:.0}/s, p50 {:.1} us, p99 {:.1} us, max {:.1} us",
        batches as f64 / seconds,
        micros(0.5),
        micros(0.99),
        micros(1.0)
    );
    println!("{:?}", journal.stats());
    Ok(())
}
