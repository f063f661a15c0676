//! What runs and seals cost: `cargo run --release -p parlance-history --example run_cost [FOLDER]`.
//!
//! Each message is four writes of about 300, 40, 30 and 20 bytes, in runs as the server applies them, with one sync at
//! the end. Printed for each engine: messages and processor time for each message (all threads), and bytes written.

use bytes::Bytes;
use parlance_history::{Engine, Keyring, SealedVault, StoreOptions, open};
use parlance_plugin_api::store::{Position, Table, Vault, Write};
use std::{collections::BTreeMap, error::Error, fs, hint::black_box, path::Path, time::Instant};

const CONVERSATIONS: usize = 5_000;
const VALUE_BYTES: [usize; 4] = [300, 40, 30, 20];

/// Pseudo-random numbers (splitmix64), the same in each execution.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, length: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes.into()
    }
}

/// A sorted run of messages to random conversations.
fn run(numbers: &mut Numbers, heads: &mut [u64], messages: usize) -> Vec<Write> {
    let mut run = BTreeMap::new();
    for _ in 0..messages {
        let index = numbers.next() as usize % heads.len();
        heads[index] += 1;
        let conversation = Numbers(index as u64).bytes(16);
        let key = |rest: &[u8]| Bytes::from([&conversation, rest].concat());
        let [message, id, head, cursor] = VALUE_BYTES.map(|length| numbers.bytes(length));
        run.insert((Table::Log, key(&heads[index].to_be_bytes())), message);
        run.insert((Table::Ids, key(&numbers.bytes(17))), id);
        run.insert((Table::Heads, key(&[])), head);
        run.insert((Table::Cursors, key(&conversation)), cursor);
    }
    run.into_iter().map(|((table, key), value)| Write { table, key, value: Some(value) }).collect()
}

/// Seconds of processor time of this process so far.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS_PER_SECOND)
}

fn written_bytes() -> Result<f64, Box<dyn Error>> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("no write_bytes")?;
    Ok(line.parse()?)
}

fn measure(engine: Engine, folder: &Path, per_run: usize, messages: usize) -> Result<(), Box<dyn Error>> {
    let store = open(&StoreOptions::new(engine, folder.join(format!("{engine}-{per_run}"))))?;
    let mut numbers = Numbers(1);
    let mut heads = vec![0; CONVERSATIONS];
    let written = written_bytes()?;
    let (mut seconds, mut processor) = (0.0, 0.0);
    for index in 1..=messages / per_run {
        let run = run(&mut numbers, &mut heads, per_run);
        let (begun, before) = (Instant::now(), processor_seconds()?);
        store.apply(&run, Position(index as u64))?;
        if index == messages / per_run {
            store.sync()?;
        }
        seconds += begun.elapsed().as_secs_f64();
        processor += processor_seconds()? - before;
    }
    let each = 1e6 / messages as f64;
    println!(
        "{engine:5} runs of {per_run:5}: {:7.0} messages/s, {:5.2} µs processor and {:4.0} bytes written for each",
        messages as f64 / seconds,
        processor * each,
        (written_bytes()? - written) / messages as f64,
    );
    Ok(())
}

fn measure_seals(folder: &Path, domains: u64) -> Result<(), Box<dyn Error>> {
    const SEALS: u64 = 1_000_000;
    let path = folder.join("keys");
    let vault = SealedVault::new(Keyring::load_or_create(&path)?)?;
    let plain = Numbers(2).bytes(VALUE_BYTES[0]);
    let mut sealed = Vec::new();
    let begun = Instant::now();
    for index in 0..SEALS {
        let mut key = [0; 24];
        key[8..16].copy_from_slice(&(index % domains).to_be_bytes());
        key[16..].copy_from_slice(&index.to_be_bytes());
        sealed.clear();
        vault.seal(Table::Log, &key, &plain, &mut sealed)?;
        black_box(&sealed);
    }
    let each = begun.elapsed().as_nanos() / u128::from(SEALS);
    println!("seal of {} bytes, {domains:6} domains in turn: {each} ns", plain.len());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).unwrap_or_else(|| std::env::temp_dir().into());
    let folder = Path::new(&parent).join(format!("parlance-run-cost-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    for domains in [1, 5_000, 50_000] {
        measure_seals(&folder, domains)?;
    }
    for (engine, per_run, messages) in [
        (Engine::Fjall, 64, 200_000),
        (Engine::Fjall, 20_000, 1_000_000),
        (Engine::Sled, 64, 100_000),
        (Engine::Sled, 20_000, 200_000),
    ] {
        measure(engine, &folder, per_run, messages)?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}
