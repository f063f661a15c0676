//! What a store holds after its process ended without a word.

use super::{Make, all, delete, fresh, put};
use parlance_plugin_api::store::{Position, Store, Table, Write};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// Environment variable that names the folder of [`write_until_killed`].
pub const WRITER_FOLDER: &str = "PARLANCE_CONTRACT_WRITER_FOLDER";

/// How many runs back the log reaches.
const KEPT: u64 = 50;
const SYNC_EVERY: u64 = 10;

/// Run `round`: the log gets it and loses the one [`KEPT`] before it, the head names it.
fn run_of(round: u64) -> Vec<Write> {
    let mut run = Vec::new();
    if let Some(old) = round.checked_sub(KEPT) {
        run.push(delete(Table::Log, old.to_be_bytes()));
    }
    run.push(put(Table::Log, round.to_be_bytes(), [round as u8; 300]));
    run.push(put(Table::Heads, "head", round.to_be_bytes()));
    run
}

/// The store holds exactly the runs up to its position.
fn check_whole(store: &dyn Store) -> u64 {
    let Position(reached) = store.applied().unwrap();
    let head = store.get(Table::Heads, b"head").unwrap();
    assert_eq!(head.as_deref().unwrap_or(&[0; 8]), reached.to_be_bytes(), "the position is that of the data");
    let log: Vec<u64> = all(store, Table::Log)
        .into_iter()
        .map(|(key, value)| {
            let round = u64::from_be_bytes(key.as_ref().try_into().unwrap());
            assert_eq!(value, [round as u8; 300][..]);
            round
        })
        .collect();
    let expected: Vec<u64> = (reached.saturating_sub(KEPT) + 1..=reached).collect();
    assert_eq!(log, expected);
    reached
}

/// A copy of the folder, taken while the store is open and has unsynced runs, opens at a position of which all is there.
pub fn reopened_from_a_copy(make: Make) {
    let (store, folder) = fresh(make);
    let mut synced = 0;
    for round in 1..=120_u64 {
        store.apply(&run_of(round), Position(round)).unwrap();
        if round % 25 == 0 {
            synced = store.sync().unwrap().0;
        }
        if round % 30 == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(folder.path(), copy.path());
            let copied = make(copy.path());
            let reached = check_whole(&*copied);
            assert!((synced..=round).contains(&reached), "{reached} of {synced}..={round}");
            copied.apply(&run_of(reached + 1), Position(reached + 1)).unwrap();
            check_whole(&*copied);
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A process that writes is killed in the middle, again and again on the same folder. `writer` is the path of the
/// ignored test that calls [`write_until_killed`].
pub fn killed_while_writing(make: Make, writer: &str) {
    let (_, test) = writer.split_once("::").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut reached = 0;
    for lines in [3, 1, 12] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(WRITER_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let synced = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().strip_prefix("synced ").and_then(|round| round.parse().ok()))
            .nth(lines - 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let synced: u64 = synced.expect("the writer syncs until it is killed");
        let store = make(folder.path());
        let found = check_whole(&*store);
        assert!(synced > reached && found >= synced, "{found} found, {synced} synced, {reached} before");
        reached = found;
    }
}

/// The writing process of [`killed_while_writing`]; alone it does nothing.
pub fn write_until_killed(make: Make) {
    let Some(folder) = env::var_os(WRITER_FOLDER) else { return };
    let store = make(Path::new(&folder));
    let begun = store.applied().unwrap().0;
    for round in begun + 1..begun + 1_000_000 {
        store.apply(&run_of(round), Position(round)).unwrap();
        if round % SYNC_EVERY == 0 {
            println!("\nsynced {}", store.sync().unwrap().0);
        }
    }
}
