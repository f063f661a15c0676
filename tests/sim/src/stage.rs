//! What everybody in a run shares.

use crate::{
    checks::{Book, Log, audit},
    faults::Mutation,
    machine::Machine,
    people::People,
    tell,
    trace::Trace,
};
use parlance_plugin_api::store::StoreError;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The stage of one run.
pub struct Stage {
    /// The machine.
    pub machine: Machine,
    /// What must hold.
    pub book: Arc<Book>,
    /// What happens.
    pub trace: Arc<Trace>,
    /// What is wrong on purpose.
    pub mutation: Option<Mutation>,
    /// The users.
    pub people: Arc<People>,
    /// How many.
    pub users: usize,
    /// The first members of each group.
    pub groups: Vec<BTreeSet<usize>>,
    finishing: AtomicBool,
    full: AtomicBool,
    jumped: AtomicBool,
}

impl Stage {
    /// Before the first act.
    pub fn new(
        machine: Machine,
        book: Arc<Book>,
        trace: Arc<Trace>,
        mutation: Option<Mutation>,
        people: Arc<People>,
        users: usize,
        groups: Vec<BTreeSet<usize>>,
    ) -> Self {
        Self {
            machine,
            book,
            trace,
            mutation,
            people,
            users,
            groups,
            finishing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            jumped: AtomicBool::new(false),
        }
    }

    /// Everything works again, and everybody comes to an end.
    pub fn finish(&self) {
        self.finishing.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Relaxed)
    }

    /// The disk has been full.
    pub fn note_full(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    /// Whether it has ever been: sessions are then not written down.
    pub fn was_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// The wall clock has jumped.
    pub fn note_jump(&self) {
        self.jumped.store(true, Ordering::Relaxed);
    }

    /// Whether the server knows for sure that a message without an id was sent before: by its packet id, in the same
    /// session, within an hour of its clock.
    pub fn knows_retries(&self) -> bool {
        !self.was_full() && !self.jumped.load(Ordering::Relaxed)
    }

    /// Compares what is durable with what was told. `None`: there is no server to ask.
    pub fn audit(&self) -> Option<Log> {
        let server = self.machine.server()?;
        let look = || audit(&self.book, &**server.ledger(), &self.people, self.users, &self.groups);
        match self.machine.faults().calmly(look) {
            Ok(log) => Some(log),
            Err(StoreError::Io(_)) => None,
            Err(error) => {
                tell!(self.trace, "the audit cannot read: {error}");
                None
            }
        }
    }
}

/// How a device is.
#[derive(Debug, Default)]
pub struct Status {
    ready: AtomicBool,
    done: AtomicBool,
}

impl Status {
    /// Connected and subscribed, or not.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Has nothing left to do, or has.
    pub fn set_done(&self, done: bool) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// Both.
    pub fn is_at_rest(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && self.done.load(Ordering::Relaxed)
    }
}
