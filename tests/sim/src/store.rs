//! A store in memory beneath the store's trait: runs that were not synced may be lost by a crash, the newest first; of a run
//! that failed, or that a crash met, any part may be there; and every operation can be made to fail.

use crate::{
    disk::Crash,
    faults::{Failure, Faults, Mutation, Operation, Power},
    random::Random,
    trace::Trace,
};
use bytes::Bytes;
use parlance_plugin_api::store::{
    Direction, Entry, Guarantees, Position, Scan, Store, StoreError, Table, Write,
};
use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Rows = [BTreeMap<Bytes, Bytes>; Table::ALL.len()];

fn index(table: Table) -> usize {
    usize::from(table.tag()) - 1
}

fn apply(rows: &mut Rows, run: &[Write]) {
    for write in run {
        let table = &mut rows[index(write.table)];
        match &write.value {
            Some(value) => table.insert(write.key.clone(), value.clone()),
            None => table.remove(&write.key),
        };
    }
}

/// What may be there of a run that did not come to its end: some tables of it, or some writes, or all but its position.
fn part(run: Vec<Write>, mut draw: impl FnMut() -> u64) -> Vec<Write> {
    let (kind, tables) = (draw() % 4, draw());
    let mut kept = |write: &Write| match kind {
        0 => false,
        1 => tables >> write.table.tag() & 1 == 0,
        2 => draw().is_multiple_of(2),
        _ => true,
    };
    run.into_iter().filter(|write| kept(write)).collect()
}

#[derive(Default)]
struct State {
    /// As it is read.
    rows: Rows,
    applied: Position,
    /// As a power cut leaves it at least.
    synced_rows: Rows,
    synced: Position,
    /// Runs since then; those without a position are parts.
    runs: Vec<(Vec<Write>, Option<Position>)>,
}

impl State {
    fn sync(&mut self) {
        for (run, reaches) in self.runs.drain(..) {
            apply(&mut self.synced_rows, &run);
            self.synced = reaches.unwrap_or(self.synced);
        }
    }
}

struct Shared {
    state: Mutex<State>,
    power: Arc<Power>,
    faults: Arc<Faults>,
    trace: Arc<Trace>,
    mutation: Option<Mutation>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The machine's store.
#[derive(Clone)]
pub struct SimStore(Arc<Shared>);

/// The store as one life of the server has it: dead with that.
pub struct OpenStore {
    store: Arc<Shared>,
    power: u64,
}

impl SimStore {
    /// An empty one.
    pub fn new(
        power: Arc<Power>,
        faults: Arc<Faults>,
        trace: Arc<Trace>,
        mutation: Option<Mutation>,
    ) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), power, faults, trace, mutation }))
    }

    /// Takes it into use.
    pub fn open(&self) -> OpenStore {
        OpenStore { store: self.0.clone(), power: self.0.power.number() }
    }

    /// What is left for the next life, after the power was cut.
    pub fn crash(&self, crash: Crash, random: &mut Random) {
        let mut state = self.0.state();
        let kept = match crash {
            // An engine that writes on its own threads may not have handed all of it to the kernel.
            Crash::Process | Crash::Power => random.index(state.runs.len() + 1),
        };
        let met = state.runs.drain(kept..).next();
        if let Some((run, _)) = met {
            let part = part(run, || random.next());
            state.runs.push((part, None));
        }
        state.sync();
        (state.rows, state.applied) = (state.synced_rows.clone(), state.synced);
    }
}

fn failed(failure: Failure) -> StoreError {
    match failure {
        Failure::Full => StoreError::Full,
        Failure::Broken | Failure::PowerCut => io::Error::other("injected: the store failed").into(),
    }
}

impl OpenStore {
    fn begin(&self, operation: Operation, takes_space: bool) -> Result<MutexGuard<'_, State>, StoreError> {
        if !self.store.power.is_on(self.power) {
            return Err(io::Error::other("the machine is off").into());
        }
        match self.store.faults.strike(operation, takes_space) {
            Some(failure) => Err(failed(failure)),
            None => Ok(self.store.state()),
        }
    }

    /// What a mutated store does not write.
    fn forgets(&self, write: &Write) -> bool {
        match self.store.mutation {
            Some(Mutation::IdsForgotten) => write.table == Table::Ids,
            Some(Mutation::CursorsForgotten) => write.table == Table::Cursors,
            Some(Mutation::HeadsForgotten) => write.table == Table::Heads,
            Some(Mutation::QueuesForgotten) => write.table == Table::Queue,
            Some(Mutation::ReceivedForgotten) => write.table == Table::Received,
            Some(Mutation::RemovalsForgotten) => {
                write.value.is_none() && matches!(write.table, Table::Members | Table::UserConversations)
            }
            Some(Mutation::LogForgotten) => write.table == Table::Log && write.key.ends_with(&[3]),
            _ => false,
        }
    }
}

impl Store for OpenStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.begin(Operation::StoreRead, false)?;
        Ok(state.rows[index(table)].get(key).cloned())
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let state = self.begin(Operation::StoreRead, false)?;
        if !scan.to.is_empty() && scan.from >= scan.to {
            return Ok(Vec::new());
        }
        let to = if scan.to.is_empty() { Bound::Unbounded } else { Bound::Excluded(scan.to) };
        let found = state.rows[index(scan.table)].range::<[u8], _>((Bound::Included(scan.from), to));
        let entry = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
        Ok(match scan.direction {
            Direction::Forward => found.take(scan.limit).map(entry).collect(),
            Direction::Backward => found.rev().take(scan.limit).map(entry).collect(),
        })
    }

    fn apply(&self, run: &[Write], reaches: Position) -> Result<(), StoreError> {
        let outcome = self.begin(Operation::StoreApply, true).map(drop);
        if !self.store.power.is_on(self.power) {
            return outcome;
        }
        let mut run: Vec<Write> = run.iter().filter(|write| !self.forgets(write)).cloned().collect();
        if outcome.is_err() {
            run = part(run, || self.store.faults.draw());
        }
        self.store.trace.mark("apply", &[run.len() as u64, reaches.0]);
        let mut state = self.store.state();
        apply(&mut state.rows, &run);
        let reached = outcome.is_ok().then_some(reaches);
        state.applied = reached.unwrap_or(state.applied);
        state.runs.push((run, reached));
        outcome
    }

    fn applied(&self) -> Result<Position, StoreError> {
        Ok(self.begin(Operation::StoreRead, false)?.applied)
    }

    fn sync(&self) -> Result<Position, StoreError> {
        let mut state = self.begin(Operation::StoreSync, false)?;
        if self.store.mutation != Some(Mutation::StoreSyncLies) {
            state.sync();
        }
        self.store.trace.mark("store sync", &[state.applied.0]);
        Ok(state.applied)
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { engine: "simulated", warning: None }
    }
}
