//! Random lives of a journal against a model, with failing disks, kills and power cuts.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    fault_disk::{Fault, FaultDisk},
    *,
};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// An append that meets a fault; it may succeed when the fault is not on its way.
    Faulty(Fault, usize),
    /// The store has reached this share of what there is.
    Trim(prop::sample::Index),
    /// The process ends; the page cache stays.
    Kill,
    PowerCut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = || prop_oneof![4 => 0_usize..600, 4 => 5_000_usize..30_000, 1 => 60_000_usize..100_000];
    let fault = prop_oneof![
        Just(Fault::Full),
        (0_usize..20_000).prop_map(Fault::Write),
        Just(Fault::Sync),
        Just(Fault::Rename),
        Just(Fault::SyncFolder),
    ];
    let step = prop_oneof![
        8 => length().prop_map(Step::Append),
        2 => (fault, length()).prop_map(|(fault, length)| Step::Faulty(fault, length)),
        2 => any::<prop::sample::Index>().prop_map(Step::Trim),
        1 => Just(Step::Kill),
        1 => Just(Step::PowerCut),
    ];
    prop::collection::vec(step, 1..60)
}

struct World {
    folder: TempDir,
    disk: Arc<FaultDisk>,
    journal: Option<Journal>,
    seed: u64,
    /// What was acknowledged and is above `from`.
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// What failed at the next position since it became the next one: a crash may bring one of them back.
    failed: Vec<Vec<u8>>,
    from: u64,
    last: u64,
    written: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultDisk::new(folder.path(), seed));
        let mut world = Self {
            folder,
            disk,
            journal: None,
            seed,
            acknowledged: BTreeMap::new(),
            failed: Vec::new(),
            from: 0,
            last: 0,
            written: 0,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let mut seen = BTreeMap::new();
        let (journal, recovery) = Journal::open_on(
            self.disk.clone(),
            self.folder.path(),
            options(),
            self.from,
            |position, payload| {
                seen.insert(position, payload.to_vec());
                Ok::<(), Infallible>(())
            },
        )
        .unwrap();
        assert_eq!(recovery.damaged, []);
        if let Some(returned) = seen.get(&(self.last + 1)) {
            assert!(self.failed.contains(returned), "position {} was never tried so", self.last + 1);
            self.last += 1;
            self.acknowledged.insert(self.last, returned.clone());
            self.failed.clear();
        }
        assert_eq!(seen, self.acknowledged);
        assert_eq!(journal.last(), self.last);
        self.journal = Some(journal);
    }

    fn append(&mut self, length: usize, may_fail: bool) {
        self.written += 1;
        let payload = payload(self.written, length);
        match append(self.journal.as_mut().unwrap(), &payload) {
            Ok(position) => {
                assert_eq!(position, self.last + 1);
                self.last = position;
                self.acknowledged.insert(position, payload);
                self.failed.clear();
            }
            Err(error) => {
                assert!(may_fail, "{error:?}");
                self.failed.push(payload);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(length) => self.append(length, false),
            Step::Faulty(fault, length) => {
                self.disk.inject(fault);
                self.append(length, true);
                self.disk.heal();
            }
            Step::Trim(share) => {
                self.from += share.index((self.last - self.from) as usize + 1) as u64;
                self.acknowledged = self.acknowledged.split_off(&(self.from + 1));
                self.journal.as_mut().unwrap().trim(self.from).unwrap();
            }
            Step::Kill => {
                self.journal = None;
                self.open();
            }
            Step::PowerCut => {
                self.journal = None;
                let after = tempfile::tempdir().unwrap();
                self.disk.cut_power(after.path());
                self.folder = after;
                self.seed += 1;
                self.disk = Arc::new(FaultDisk::new(self.folder.path(), self.seed));
                self.open();
            }
        }
        let stats = self.journal.as_ref().unwrap().stats();
        assert!(stats.spares <= options().segments_spare_max + 1);
        let needed: u64 = self.acknowledged.values().map(|payload| payload.len() as u64 + 64).sum();
        assert!(stats.segments as u64 <= needed / (32 << 10) + 64, "segments do not pile up");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What was acknowledged is replayed exactly; what failed is replayed at most while its position is free.
    #[test]
    fn nothing_acknowledged_is_lost(steps in steps(), seed: u64) {
        let mut world = World::new(seed % (1 << 40));
        for step in steps {
            world.step(step);
        }
        world.step(Step::Kill);
        world.step(Step::PowerCut);
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut world = World::new(1);
    for _ in 0..10 {
        world.append(30_000, false);
    }
    world.disk.inject(Fault::Full);
    let journal = world.journal.as_mut().unwrap();
    // What is preallocated may still be used; then every append is refused.
    let mut refused = 0;
    for position in 11..40 {
        match append(journal, &payload(position, 30_000)) {
            Ok(_) => assert_eq!(refused, 0),
            Err(AppendError::Full(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused >= 20);
    assert_eq!(files(world.folder.path(), ".tmp").len(), 0, "nothing half made keeps the space");
    world.disk.heal();
    let last = journal.last();
    assert_eq!(append(journal, b"space again").unwrap(), last + 1);
}

#[test]
fn a_journal_opens_on_a_full_disk() {
    let mut world = World::new(2);
    world.append(100, false);
    world.journal = None;
    world.disk.inject(Fault::Full);
    world.open();
    world.disk.heal();
    world.append(100, false);
    world.step(Step::PowerCut);
}

/// After a failed sync the kernel calls lost pages clean: a later sync would lie. The position goes to another
/// segment, and what the failed one holds never comes back.
#[test]
fn a_failed_sync_is_not_tried_again() {
    for seed in 0..32 {
        let mut world = World::new(seed);
        world.append(20_000, false);
        world.disk.inject(Fault::Sync);
        world.append(5_000, true);
        assert_eq!(world.failed.len(), 1);
        world.append(10_000, false);
        world.step(Step::PowerCut);
        assert_eq!(world.last, 2);
    }
}

/// A killed process leaves a batch in the page cache. Recovery shows it, so from then on it must be durable.
#[test]
fn what_recovery_shows_survives_a_power_cut() {
    for seed in 0..32 {
        let mut world = World::new(seed);
        world.append(2_000, false);
        world.disk.inject(Fault::Sync);
        world.append(9_000, true);
        world.step(Step::Kill);
        assert_eq!(world.last, 2, "the page cache still has it");
        world.step(Step::PowerCut);
        assert_eq!(world.last, 2);
    }
}

#[test]
fn failing_appends_do_not_pile_up_files() {
    let mut world = World::new(3);
    world.append(10, false);
    for round in 0..50 {
        world.disk.inject(if round % 2 == 0 { Fault::Sync } else { Fault::Write(100) });
        world.append(10, true);
    }
    assert!(files(world.folder.path(), ".journal").len() <= 3);
    world.append(10, false);
    world.step(Step::PowerCut);
    assert_eq!(world.last, 2);
}
