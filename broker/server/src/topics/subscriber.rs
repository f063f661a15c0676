//! A session as the subscriptions know it: connected or not.

use crate::peer::Peer;
use parlance_mqtt::TopicFilter;
use parlance_plugin_api::{
    access::{AccessRules, Subject, TopicAction, TopicRights},
    identity::AccountKind,
    record::SessionKey,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// What of a session's queue is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Entries up to this number are gone.
    pub done: u64,
    /// The newest entry that is durable; without entries the same as `done`.
    pub last: u64,
    /// Entries.
    pub messages: u64,
    /// What they count for, bytes.
    pub bytes: u64,
    /// The last entry of QoS 2 that the client is known to have; it may be gone meanwhile.
    pub released: u64,
}

/// A session that may subscribe to free topics. Equal by its key.
///
/// What the decider alone changes: its filters, the state of its queue. What its connection changes: the peer, whether it
/// is durable, whose it is. Everybody reads.
pub struct Subscriber {
    /// Which session.
    pub key: SessionKey,
    /// It came through a listener that is open to all: every free topic is allowed.
    pub open: bool,
    subject: Mutex<Arc<Subject>>,
    durable: AtomicBool,
    peer: Mutex<Option<Arc<Peer>>>,
    rights: Mutex<Rights>,
    queue: Mutex<QueueState>,
    /// Entries up to this number were handed to its connection, and may be sent at any time.
    handed: AtomicU64,
    /// Entries up to this number were sent.
    sent: AtomicU64,
    dropped: AtomicU64,
    filters: Mutex<Vec<TopicFilter>>,
}

/// Rights, compiled for one version of the rules.
struct Rights {
    version: u64,
    rights: Arc<TopicRights>,
}

impl Rights {
    /// No version is the greatest: the first look compiles them.
    fn none() -> Self {
        Self { version: u64::MAX, rights: Arc::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Single assignments: a panic elsewhere leaves them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber {
    /// A session. `durable`: it outlives its connection, so it has a queue.
    pub fn new(key: SessionKey, subject: Subject, open: bool, durable: bool) -> Self {
        Self {
            key,
            open,
            subject: Mutex::new(Arc::new(subject)),
            durable: AtomicBool::new(durable),
            peer: Mutex::new(None),
            rights: Mutex::new(Rights::none()),
            queue: Mutex::default(),
            handed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            filters: Mutex::default(),
        }
    }

    /// Whose rights count.
    pub fn subject(&self) -> Arc<Subject> {
        lock(&self.subject).clone()
    }

    /// What kind of account it is of.
    pub fn kind(&self) -> AccountKind {
        lock(&self.subject).kind
    }

    /// Whether its account was looked up: not yet, where only the store has told of it.
    pub(crate) fn is_named(&self) -> bool {
        let subject = lock(&self.subject);
        subject.handle.is_some() || matches!(subject.kind, AccountKind::Admin | AccountKind::Anonymous)
    }

    /// Whose rights count from now on.
    pub fn set_subject(&self, subject: Subject) {
        *lock(&self.subject) = Arc::new(subject);
        *lock(&self.rights) = Rights::none();
    }

    /// Whether it outlives its connection.
    pub fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Acquire)
    }

    /// What a connection has agreed on.
    pub fn set_durable(&self, durable: bool) {
        self.durable.store(durable, Ordering::Release);
    }

    /// The connection, if it has one.
    pub fn peer(&self) -> Option<Arc<Peer>> {
        lock(&self.peer).clone()
    }

    /// Whether it has a connection.
    pub fn is_online(&self) -> bool {
        lock(&self.peer).is_some()
    }

    /// A connection began. To be called before [`Self::queue`] is read: what is committed later is handed to the peer.
    pub fn attach(&self, peer: Arc<Peer>) {
        *lock(&self.peer) = Some(peer);
    }

    /// Its connection ended; one that began since then stays.
    pub fn detach(&self, peer: &Arc<Peer>) {
        let mut held = lock(&self.peer);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, peer)) {
            *held = None;
        }
    }

    /// Its rights as they are now.
    pub fn rights(&self, access: &dyn AccessRules) -> Arc<TopicRights> {
        // Before the rights are compiled: they are at least as new.
        let version = access.version(self.key.user);
        {
            let held = lock(&self.rights);
            if held.version == version {
                return held.rights.clone();
            }
        }
        // Outside of the lock: the rules have one of their own.
        let subject = self.subject();
        let rights = access.rights(&subject);
        let mut held = lock(&self.rights);
        *held = Rights { version, rights: rights.clone() };
        drop(held);
        if !Arc::ptr_eq(&subject, &self.subject()) {
            // It became somebody else meanwhile: what was compiled is right for this look and for none after it.
            *lock(&self.rights) = Rights::none();
        }
        rights
    }

    /// Whether it may publish to, or receive from, a topic now.
    pub fn may(&self, access: &dyn AccessRules, action: TopicAction, topic: &str) -> bool {
        self.open
            || self.rights(access).allows(action, topic)
            // The operator hears what the broker says of itself.
            || (action == TopicAction::Subscribe
                && topic.starts_with("$SYS/")
                && self.subject().kind == AccountKind::Admin)
    }

    /// Its queue as far as it is durable.
    pub fn queue(&self) -> QueueState {
        *lock(&self.queue)
    }

    pub(crate) fn set_queue(&self, state: QueueState) {
        *lock(&self.queue) = state;
    }

    /// Entries up to this number may be sent by now: those that were sent, and while there is a connection, those that it
    /// was handed.
    pub(crate) fn may_be_sent(&self) -> u64 {
        let sent = self.sent();
        if self.is_online() { sent.max(self.handed.load(Ordering::Acquire)) } else { sent }
    }

    /// Entries up to this number were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    pub(crate) fn set_handed(&self, number: u64) {
        self.handed.fetch_max(number, Ordering::AcqRel);
    }

    pub(crate) fn set_sent(&self, number: u64) {
        self.sent.fetch_max(number, Ordering::AcqRel);
    }

    /// Its numbers begin anew.
    pub(crate) fn begin_anew(&self) {
        self.handed.store(0, Ordering::Release);
        self.sent.store(0, Ordering::Release);
        self.dropped.store(0, Ordering::Release);
        self.set_queue(QueueState::default());
    }

    /// Entries that were dropped for want of room since this was last asked: the user is told of them.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::AcqRel)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }

    pub(crate) fn add_dropped(&self, entries: u64) {
        self.dropped.fetch_add(entries, Ordering::AcqRel);
    }

    pub(crate) fn filters(&self) -> Vec<TopicFilter> {
        lock(&self.filters).clone()
    }

    /// Keeps a filter of it. `true`: it is new.
    pub(crate) fn add_filter(&self, filter: &TopicFilter) -> bool {
        let mut filters = lock(&self.filters);
        let new = !filters.contains(filter);
        if new {
            filters.reserve_exact(1); // most sessions have few, and there are many sessions
            filters.push(filter.clone());
        }
        new
    }

    pub(crate) fn remove_filter(&self, filter: &TopicFilter) {
        lock(&self.filters).retain(|known| known != filter);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("key", &self.key).finish_non_exhaustive()
    }
}

impl PartialEq for Subscriber {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Subscriber {}

impl Hash for Subscriber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
