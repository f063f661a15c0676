//! The contract of [`Store`]: what every engine is tested for. `store_contract_tests!(MAKE)` makes a test of each.

#![allow(clippy::unwrap_used, reason = "these are tests, also where another crate compiles them")]

mod crash;
mod model;

pub use self::{
    crash::{WRITER_FOLDER, killed_while_writing, reopened_from_a_copy, write_until_killed},
    model::random_runs,
};

use crate::{Keyring, SealedVault};
use bytes::Bytes;
use parlance_plugin_api::{
    record::prefix_end,
    store::{Direction, Entry, Position, Scan, Store, Table, Vault, VaultError, Write},
};
use std::{path::Path, sync::Arc, thread};

/// Opens the store of a folder, creating it if it is not there.
pub type Make = fn(&Path) -> Arc<dyn Store>;

/// A test for each clause of the contract. `$make` is a path to a [`Make`].
#[macro_export]
macro_rules! store_contract_tests {
    ($make:path) => {
        $crate::store_contract_tests!(@each $make:
            get_put_delete, last_write_wins, scans, empty_scans, prefixes, tables_are_apart, values_of_any_size,
            positions_are_kept, ten_thousand_entries, whole_runs_for_readers, reopened_after_drop,
            reopened_from_a_copy, a_damaged_record_is_one_record, random_runs,
        );

        #[test]
        fn killed_while_writing() {
            $crate::contract::killed_while_writing($make, concat!(module_path!(), "::writer"));
        }

        #[test]
        #[ignore = "the process that killed_while_writing starts and kills"]
        fn writer() {
            $crate::contract::write_until_killed($make);
        }
    };
    (@each $make:path: $($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::contract::$name($make);
            }
        )*
    };
}

fn put(table: Table, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write {
    Write {
        table,
        key: Bytes::copy_from_slice(key.as_ref()),
        value: Some(Bytes::copy_from_slice(value.as_ref())),
    }
}

fn delete(table: Table, key: impl AsRef<[u8]>) -> Write {
    Write { table, key: Bytes::copy_from_slice(key.as_ref()), value: None }
}

fn all(store: &dyn Store, table: Table) -> Vec<Entry> {
    let scan = Scan { table, from: &[], to: &[], direction: Direction::Forward, limit: usize::MAX };
    store.scan(scan).unwrap()
}

fn keys(store: &dyn Store, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Vec<String> {
    let page = store.scan(Scan { table: Table::Log, from, to, direction, limit }).unwrap();
    page.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn fresh(make: Make) -> (Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (make(folder.path()), folder)
}

/// A key is there after it was put, and not after it was deleted; deleting what is not there is nothing.
pub fn get_put_delete(make: Make) {
    let (store, _folder) = fresh(make);
    assert_eq!(store.get(Table::Users, b"a").unwrap(), None);
    assert_eq!(store.get(Table::Users, b"").unwrap(), None);
    store.apply(&[put(Table::Users, "a", "1"), delete(Table::Users, "b")], Position(1)).unwrap();
    assert_eq!(store.get(Table::Users, b"a").unwrap().unwrap(), "1");
    assert_eq!(store.get(Table::Users, b"b").unwrap(), None);
    store.apply(&[delete(Table::Users, "a"), put(Table::Users, "b", "")], Position(2)).unwrap();
    assert_eq!(store.get(Table::Users, b"a").unwrap(), None);
    assert_eq!(store.get(Table::Users, b"b").unwrap().unwrap(), "", "an empty value is a value");
}

/// The last run that names a key decides.
pub fn last_write_wins(make: Make) {
    let (store, _folder) = fresh(make);
    for round in 1..=5_u64 {
        store.apply(&[put(Table::Heads, "k", round.to_string())], Position(round)).unwrap();
        assert_eq!(store.get(Table::Heads, b"k").unwrap().unwrap(), round.to_string());
    }
    store.apply(&[delete(Table::Heads, "k")], Position(6)).unwrap();
    store.apply(&[put(Table::Heads, "k", "back")], Position(7)).unwrap();
    assert_eq!(all(&*store, Table::Heads), [(Bytes::from("k"), Bytes::from("back"))]);
}

/// Bounds, directions and limits.
pub fn scans(make: Make) {
    use Direction::{Backward, Forward};
    let (store, _folder) = fresh(make);
    let run: Vec<Write> = ["a", "b", "c", "d", "e"].map(|key| put(Table::Log, key, key)).into();
    store.apply(&run, Position(1)).unwrap();
    store.apply(&[delete(Table::Log, "c")], Position(2)).unwrap();
    let store = &*store;
    for (from, to, direction, limit, expected) in [
        ("", "", Forward, 9, "a b d e"),
        ("", "", Backward, 9, "e d b a"),
        ("b", "e", Forward, 9, "b d"),
        ("b", "e", Backward, 9, "d b"),
        ("b", "", Forward, 2, "b d"),
        ("b", "", Backward, 2, "e d"),
        ("", "d", Backward, 1, "b"),
        ("bb", "dd", Forward, usize::MAX, "d"),
    ] {
        let found = keys(store, from.as_bytes(), to.as_bytes(), direction, limit).join(" ");
        assert_eq!(found, expected, "{from}..{to} {direction:?} {limit}");
    }
    let page = Scan { table: Table::Log, from: b"d", to: b"", direction: Forward, limit: 1 };
    assert_eq!(store.scan(page).unwrap(), [(Bytes::from("d"), Bytes::from("d"))]);
}

/// Nothing between equal, crossed or foreign bounds, and nothing with a limit of 0.
pub fn empty_scans(make: Make) {
    let (store, _folder) = fresh(make);
    let none: [String; 0] = [];
    for direction in [Direction::Forward, Direction::Backward] {
        assert_eq!(keys(&*store, b"", b"", direction, 9), none);
    }
    store.apply(&[put(Table::Log, "b", "")], Position(1)).unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        for (from, to, limit) in [("b", "b", 9), ("c", "a", 9), ("a", "b", 9), ("c", "", 9), ("", "", 0)] {
            assert_eq!(keys(&*store, from.as_bytes(), to.as_bytes(), direction, limit), none, "{from}..{to}");
        }
    }
}

/// A prefix scan meets neither neighbour, also where the prefix ends in the greatest byte.
pub fn prefixes(make: Make) {
    let (store, _folder) = fresh(make);
    let sorted: [&[u8]; 8] =
        [&[1, 255], &[2], &[2, 0], &[2, 255, 254], &[2, 255, 255], &[2, 255, 255, 7], &[3], &[255, 255]];
    let run: Vec<Write> = sorted.iter().map(|key| put(Table::Members, key, "")).collect();
    store.apply(&run, Position(1)).unwrap();
    for (prefix, expected) in [
        (&[2][..], &sorted[1..6]),
        (&[2, 255], &sorted[3..6]),
        (&[2, 255, 255], &sorted[4..6]),
        (&[255], &sorted[7..]),
    ] {
        let to = prefix_end(prefix);
        for direction in [Direction::Forward, Direction::Backward] {
            let page = Scan { table: Table::Members, from: prefix, to: &to, direction, limit: 100 };
            let mut found: Vec<Bytes> = store.scan(page).unwrap().into_iter().map(|(key, _)| key).collect();
            found.sort();
            assert_eq!(found, expected, "{prefix:?} {direction:?}");
        }
    }
}

/// One run writes many tables; the same key in another table is another record.
pub fn tables_are_apart(make: Make) {
    let (store, _folder) = fresh(make);
    let run: Vec<Write> = Table::ALL.map(|table| put(table, "key", table.name())).into();
    store.apply(&run, Position(1)).unwrap();
    for table in Table::ALL {
        assert_eq!(all(&*store, table), [(Bytes::from("key"), Bytes::from(table.name()))]);
    }
    store.apply(&[delete(Table::Heads, "key")], Position(2)).unwrap();
    assert!(all(&*store, Table::Heads).is_empty());
    assert_eq!(all(&*store, Table::Members).len(), 1);
    let backward = |table| Scan { table, from: &[], to: &[], direction: Direction::Backward, limit: 9 };
    assert_eq!(store.scan(backward(Table::Meta)).unwrap().len(), 1);
    assert_eq!(store.scan(backward(Table::Log)).unwrap().len(), 1);
}

/// Keys up to 256 bytes, values from none to megabytes.
pub fn values_of_any_size(make: Make) {
    let (store, folder) = fresh(make);
    let key = |size: usize| size.to_be_bytes().repeat(32);
    let sizes = [0, 1, 300, 5_000, 70_000, 3_000_000];
    let run: Vec<Write> = sizes.map(|size| put(Table::Log, key(size), vec![7; size])).into();
    store.apply(&run, Position(1)).unwrap();
    store.sync().unwrap();
    drop(store);
    let store = make(folder.path());
    for size in sizes {
        assert_eq!(store.get(Table::Log, &key(size)).unwrap().unwrap(), vec![7; size]);
    }
}

/// The position is that of the last run, and empty runs move it too.
pub fn positions_are_kept(make: Make) {
    let (store, folder) = fresh(make);
    assert_eq!(store.applied().unwrap(), Position(0));
    assert_eq!(store.sync().unwrap(), Position(0));
    store.apply(&[put(Table::Log, "a", "")], Position(7)).unwrap();
    assert_eq!(store.applied().unwrap(), Position(7));
    store.apply(&[], Position(u64::MAX - 1)).unwrap();
    assert_eq!(store.sync().unwrap(), Position(u64::MAX - 1));
    drop(store);
    assert_eq!(make(folder.path()).applied().unwrap(), Position(u64::MAX - 1));
}

/// A large run is whole and in order, also after reopening.
pub fn ten_thousand_entries(make: Make) {
    let (store, folder) = fresh(make);
    let mut run: Vec<Write> =
        (0..10_000_u32).map(|i| put(Table::Log, i.to_be_bytes(), [i as u8; 200])).collect();
    run.extend((0..10_000_u32).map(|i| put(Table::Ids, i.to_le_bytes(), i.to_be_bytes())));
    run.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
    store.apply(&run, Position(10_000)).unwrap();
    let check = |store: &dyn Store| {
        let log = all(store, Table::Log);
        assert_eq!(log.len(), 10_000);
        assert!(
            log.iter().zip(0_u32..).all(|((key, value), i)| **key == i.to_be_bytes() && value[0] == i as u8)
        );
        assert_eq!(store.get(Table::Ids, &77_u32.to_le_bytes()).unwrap().unwrap(), 77_u32.to_be_bytes()[..]);
    };
    check(&*store);
    store.sync().unwrap();
    drop(store);
    check(&*make(folder.path()));
}

/// Readers see each run whole: equal values within a scan, and what a later table says is there in an earlier one.
pub fn whole_runs_for_readers(make: Make) {
    const RUNS: u64 = 300;
    let (store, _folder) = fresh(make);
    let store = &*store;
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while last < RUNS {
                    let reached = store.applied().unwrap().0;
                    let entries = all(store, Table::Cursors);
                    let value = entries.first().map_or(0, |(_, value)| number(value));
                    assert!(entries.iter().all(|(_, seen)| number(seen) == value), "half of a run");
                    assert!(value >= last && value >= reached, "{value} after {last}, {reached}");
                    last = value;
                    if let Some(head) = store.get(Table::Heads, b"head").unwrap() {
                        assert!(
                            store.get(Table::Log, &head).unwrap().is_some(),
                            "a head without its message"
                        );
                    }
                }
            });
        }
        for round in 1..=RUNS {
            let value = round.to_be_bytes();
            let mut run = vec![put(Table::Log, value, "message"), put(Table::Heads, "head", value)];
            run.extend((0..50_u8).map(|key| put(Table::Cursors, [key], value)));
            store.apply(&run, Position(round)).unwrap();
        }
    });
}

/// What was applied is there after a clean stop, synced or not.
pub fn reopened_after_drop(make: Make) {
    let (mut store, folder) = fresh(make);
    for round in 1..=5_u64 {
        store.apply(&[put(Table::Log, round.to_be_bytes(), "x")], Position(round)).unwrap();
        if round == 2 {
            store.sync().unwrap();
        }
        drop(store);
        store = make(folder.path());
        assert_eq!(store.applied().unwrap(), Position(round));
        assert_eq!(all(&*store, Table::Log).len() as u64, round);
    }
}

/// A value that was changed on disk is found by the vault, by its key, and the others stay readable.
pub fn a_damaged_record_is_one_record(make: Make) {
    let (store, folder) = fresh(make);
    let vault = SealedVault::new(Keyring::create(&folder.path().join("keys")).unwrap()).unwrap();
    let run: Vec<Write> = (0..9_u8)
        .map(|key| {
            let mut sealed = Vec::new();
            vault.seal(Table::Log, &[key], b"plain words", &mut sealed).unwrap();
            assert!(!sealed.windows(5).any(|window| window == b"plain"));
            if key == 4 {
                sealed[25] ^= 1;
            }
            put(Table::Log, [key], sealed)
        })
        .collect();
    store.apply(&run, Position(1)).unwrap();
    for (key, value) in all(&*store, Table::Log) {
        let opened = vault.open(Table::Log, &key, &value);
        if *key == [4] {
            assert_eq!(opened, Err(VaultError::Broken));
        } else {
            assert_eq!(opened.unwrap(), "plain words");
        }
    }
}
