//! What goes wrong at present, and what a mutated run gets wrong on purpose.

use crate::random::Random;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::Notify;

/// The server's supply of power: what was taken into use under one number is dead under the next.
#[derive(Debug, Default)]
pub struct Power {
    number: AtomicU64,
    cut: Notify,
}

impl Power {
    /// The present number.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Whether what began under `number` still lives.
    pub fn is_on(&self, number: u64) -> bool {
        self.number() == number
    }

    /// Everything in use dies, at this very step.
    pub fn cut(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
        self.cut.notify_one();
    }

    /// Waits until it is cut.
    pub async fn is_cut(&self) {
        self.cut.notified().await;
    }
}

/// An operation of the disk or the store that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Creating, renaming, removing a file; syncing the folder.
    Name,
    /// Reading a file or a folder.
    Read,
    /// Applying a run to the store.
    StoreApply,
    /// Syncing the store.
    StoreSync,
    /// Reading the store.
    StoreRead,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Write, Self::Sync, Self::Name, Self::Read, Self::StoreApply, Self::StoreSync, Self::StoreRead];

    fn changes_the_disk(self) -> bool {
        matches!(self, Self::Write | Self::Sync | Self::Name)
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The device failed.
    Broken,
    /// No space is left.
    Full,
    /// The power goes in the middle of it.
    PowerCut,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// In a thousand, for each operation.
    failing: [u32; Operation::ALL.len()],
    /// No space is left.
    full: bool,
    /// The power goes with the change of the disk that is so many away.
    cut_in: Option<u32>,
    /// Nothing fails for a moment: somebody looks around who is no part of the machine.
    calm: bool,
    injected: u64,
}

/// What goes wrong at present.
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
}

impl Faults {
    /// Nothing does.
    pub fn new(random: Random) -> Self {
        let state = State { random, failing: [0; 7], full: false, cut_in: None, calm: false, injected: 0 };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on an operation fails so many times in a thousand.
    pub fn fail(&self, operation: Operation, per_mille: u32) {
        self.state().failing[operation as usize] = per_mille;
    }

    /// Whether the disk has space.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether it has none.
    pub fn is_full(&self) -> bool {
        self.state().full
    }

    /// The power goes in the middle of the change of the disk that is so many away.
    pub fn cut_power_in(&self, changes: u32) {
        self.state().cut_in = Some(changes);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.failing = [0; 7];
        state.full = false;
        state.cut_in = None;
    }

    /// The power was cut: that is over.
    pub fn power_is_cut(&self) {
        self.state().cut_in = None;
    }

    /// Looks around while nothing fails.
    pub fn calmly<T>(&self, look: impl FnOnce() -> T) -> T {
        self.state().calm = true;
        let seen = look();
        self.state().calm = false;
        seen
    }

    /// How many operations were made to fail.
    pub fn injected(&self) -> u64 {
        self.state().injected
    }

    /// Whether this operation fails, and how. `takes_space`: it needs space that it does not have yet.
    pub fn strike(&self, operation: Operation, takes_space: bool) -> Option<Failure> {
        let mut state = self.state();
        if state.calm {
            return None;
        }
        if operation.changes_the_disk()
            && let Some(left) = state.cut_in
        {
            state.cut_in = left.checked_sub(1);
            if left == 0 {
                return Some(Failure::PowerCut);
            }
        }
        let failure = if takes_space && state.full {
            Some(Failure::Full)
        } else {
            let per_mille = state.failing[operation as usize];
            (per_mille > 0 && state.random.chance(per_mille)).then_some(Failure::Broken)
        };
        state.injected += u64::from(failure.is_some());
        failure
    }

    /// A number for how far a failing operation came.
    pub fn draw(&self) -> u64 {
        self.state().random.next()
    }
}

/// What a mutated run gets wrong: each breaks one promise, and the checks must see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The disk acknowledges every sync and does nothing.
    DiskSyncLies,
    /// The disk acknowledges some syncs of files and does nothing: what was acknowledged last is not durable.
    SyncsSkipped,
    /// The store acknowledges a sync and does nothing: the journal is trimmed too early.
    StoreSyncLies,
    /// The store forgets message ids: a message that is sent again gets another seq.
    IdsForgotten,
    /// The store forgets new positions: they retreat.
    CursorsForgotten,
    /// The store forgets that members were removed.
    RemovalsForgotten,
    /// The store loses messages from the middle of a log.
    LogForgotten,
    /// The store forgets where logs end.
    HeadsForgotten,
    /// The store forgets what sessions are owed of free topics.
    QueuesForgotten,
    /// The store forgets packet ids of QoS 2 publishes.
    ReceivedForgotten,
    /// Some deliveries are lost on their way, and acknowledged.
    DeliveryLost,
    /// Some deliveries change places on their way.
    DeliveriesSwapped,
    /// Some deliveries are changed on their way.
    DeliveryForged,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::DiskSyncLies,
        Self::SyncsSkipped,
        Self::StoreSyncLies,
        Self::IdsForgotten,
        Self::CursorsForgotten,
        Self::RemovalsForgotten,
        Self::LogForgotten,
        Self::HeadsForgotten,
        Self::QueuesForgotten,
        Self::ReceivedForgotten,
        Self::DeliveryLost,
        Self::DeliveriesSwapped,
        Self::DeliveryForged,
    ];

    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::DiskSyncLies => "disk-sync-lies",
            Self::SyncsSkipped => "syncs-skipped",
            Self::StoreSyncLies => "store-sync-lies",
            Self::IdsForgotten => "ids-forgotten",
            Self::CursorsForgotten => "cursors-forgotten",
            Self::RemovalsForgotten => "removals-forgotten",
            Self::LogForgotten => "log-forgotten",
            Self::HeadsForgotten => "heads-forgotten",
            Self::QueuesForgotten => "queues-forgotten",
            Self::ReceivedForgotten => "received-forgotten",
            Self::DeliveryLost => "delivery-lost",
            Self::DeliveriesSwapped => "deliveries-swapped",
            Self::DeliveryForged => "delivery-forged",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutation| mutation.word() == word)
    }
}
