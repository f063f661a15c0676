//! Random runs, against a map.

use super::{Make, delete, put};
use parlance_plugin_api::store::{Direction, Entry, Position, Scan, Store, Table, Write};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use std::{collections::BTreeMap, sync::Arc};

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Two neighbours, and the last one.
const TABLES: [Table; 3] = [Table::Log, Table::Ids, Table::Meta];
const CASES: u32 = 24;

#[derive(Debug, Clone)]
enum Step {
    Apply(BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>),
    Sync,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), Just(1), Just(254), Just(255)], 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    let table = prop::sample::select(TABLES.to_vec());
    let value = prop::option::weighted(0.7, vec(any::<u8>(), 0..40));
    prop_oneof![
        8 => prop::collection::btree_map((table, key()), value, 0..30).prop_map(Step::Apply),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

type Bounds = (Vec<u8>, Vec<u8>, bool, usize);

fn bounds() -> impl Strategy<Value = Bounds> {
    let bound = || prop_oneof![Just(Vec::new()), key()];
    (bound(), bound(), any::<bool>(), 1_usize..20)
}

fn expected(model: &Model, table: Table, (from, to, forward, limit): &Bounds) -> Vec<Entry> {
    let mut entries: Vec<Entry> = model
        .iter()
        .filter(|((of, key), _)| *of == table && key >= from && (to.is_empty() || key < to))
        .map(|((_, key), value)| (key.clone().into(), value.clone().into()))
        .collect();
    if !forward {
        entries.reverse();
    }
    entries.truncate(*limit);
    entries
}

fn compare(store: &dyn Store, model: &Model, bounds: &Bounds) -> Result<(), TestCaseError> {
    let (from, to, forward, limit) = bounds;
    let direction = if *forward { Direction::Forward } else { Direction::Backward };
    for table in TABLES {
        let page = store.scan(Scan { table, from, to, direction, limit: *limit }).unwrap();
        prop_assert_eq!(page, expected(model, table, bounds));
        let value = store.get(table, from).unwrap();
        prop_assert_eq!(value.as_deref(), model.get(&(table, from.clone())).map(Vec::as_slice));
    }
    Ok(())
}

/// Any runs, syncs and reopenings leave the store as they would leave a map.
pub fn random_runs(make: Make) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let steps = vec((step(), bounds()), 1..30);
    TestRunner::new(config)
        .run(&steps, |steps| {
            let folder = tempfile::tempdir().unwrap();
            let mut store: Arc<dyn Store> = make(folder.path());
            let mut model = Model::new();
            for ((step, bounds), position) in steps.into_iter().zip(1..) {
                let reaches = Position(position);
                match step {
                    Step::Apply(run) => {
                        let writes: Vec<Write> = run
                            .iter()
                            .map(|((table, key), value)| match value {
                                Some(value) => put(*table, key, value),
                                None => delete(*table, key),
                            })
                            .collect();
                        store.apply(&writes, reaches).unwrap();
                        prop_assert_eq!(store.applied().unwrap(), reaches);
                        for (key, value) in run {
                            match value {
                                Some(value) => model.insert(key, value),
                                None => model.remove(&key),
                            };
                        }
                    }
                    Step::Sync => prop_assert_eq!(store.sync().unwrap(), store.applied().unwrap()),
                    Step::Reopen => {
                        let before = store.applied().unwrap();
                        drop(store);
                        store = make(folder.path());
                        prop_assert_eq!(store.applied().unwrap(), before);
                    }
                }
                compare(&*store, &model, &bounds)?;
            }
            Ok(())
        })
        .unwrap();
}
