//! A ledger and a vault in memory, for the tests of plugins. They keep no promise about crashes or secrecy.

use crate::{
    ConversationId, UnixMillis, UserId,
    event::Event,
    ledger::{Decision, Job, Ledger, LedgerError, Transaction, View},
    record::{
        CursorRecord, HeadRecord, LogRecord, MemberRecord, decode, log_key, member_key, user_conversation_key,
    },
    store::{Direction, Entry, Scan, StoreError, Table, Vault, VaultError},
};
use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

type Rows = BTreeMap<(Table, Vec<u8>), Bytes>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub fn at(now: UnixMillis) -> Self {
        Self(Arc::new(AtomicU64::new(now)))
    }

    pub fn now(&self) -> UnixMillis {
        self.0.load(Ordering::SeqCst)
    }

    pub fn advance(&self, milliseconds: u64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

/// A ledger in memory: one transaction at a time, whole or not at all.
#[derive(Debug)]
pub struct MemoryLedger {
    clock: ManualClock,
    rows: Mutex<Rows>,
    deciding: Mutex<()>,
    events: Mutex<Vec<Event>>,
    failing: Mutex<Option<LedgerError>>,
}

impl MemoryLedger {
    pub fn new(clock: ManualClock) -> Self {
        Self {
            clock,
            rows: Mutex::default(),
            deciding: Mutex::default(),
            events: Mutex::default(),
            failing: Mutex::default(),
        }
    }

    /// What was emitted since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.events))
    }

    /// From now on nothing is committed, until it is called with `None`.
    pub fn fail_with(&self, error: Option<LedgerError>) {
        *lock(&self.failing) = error;
    }

    /// Every row of a table.
    pub fn table(&self, table: Table) -> Vec<(Vec<u8>, Bytes)> {
        lock(&self.rows)
            .iter()
            .filter(|((t, _), _)| *t == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The log of a conversation, oldest first.
    pub fn log(&self, conversation: ConversationId) -> Vec<LogRecord> {
        self.table(Table::Log)
            .into_iter()
            .filter(|(key, _)| key.starts_with(&conversation.0))
            .filter_map(|(_, value)| decode(value))
            .collect()
    }
}

fn scan_rows(rows: &Rows, scan: Scan<'_>) -> Vec<Entry> {
    let inside = |key: &[u8]| key >= scan.from && (scan.to.is_empty() || key < scan.to);
    let chosen = rows
        .range((scan.table, scan.from.to_vec())..)
        .take_while(|((table, _), _)| *table == scan.table)
        .filter(|((_, key), _)| inside(key))
        .map(|((_, key), value)| (Bytes::from(key.clone()), value.clone()));
    match scan.direction {
        Direction::Forward => chosen.take(scan.limit).collect(),
        Direction::Backward => {
            let mut all: Vec<_> = chosen.collect();
            all.reverse();
            all.truncate(scan.limit);
            all
        }
    }
}

impl View for MemoryLedger {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(lock(&self.rows).get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        Ok(scan_rows(&lock(&self.rows), scan))
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn submit(&self, job: Job) -> Result<(), LedgerError> {
        if let Some(error) = lock(&self.failing).clone() {
            return Err(error);
        }
        let _alone = lock(&self.deciding);
        let mut transaction =
            MemoryTransaction { now: self.clock.now(), rows: lock(&self.rows).clone(), events: Vec::new() };
        if job(&mut transaction) == Decision::Commit {
            *lock(&self.rows) = transaction.rows;
            lock(&self.events).append(&mut transaction.events);
        }
        Ok(())
    }
}

struct MemoryTransaction {
    now: UnixMillis,
    rows: Rows,
    events: Vec<Event>,
}

impl MemoryTransaction {
    fn head(&self, conversation: ConversationId) -> u64 {
        let head = self.rows.get(&(Table::Heads, conversation.0.to_vec())).cloned();
        head.and_then(decode::<HeadRecord>).map_or(0, |head| head.seq)
    }
}

impl View for MemoryTransaction {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        Ok(scan_rows(&self.rows, scan))
    }
}

impl Transaction for MemoryTransaction {
    fn now(&self) -> UnixMillis {
        self.now
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.rows.insert((table, key.to_vec()), Bytes::copy_from_slice(value));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.rows.remove(&(table, key.to_vec()));
    }

    fn add_member(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        role: u32,
    ) -> Result<bool, StoreError> {
        if self.member(conversation, user)?.is_some() {
            return Ok(false);
        }
        let head = self.head(conversation);
        let member = MemberRecord { role, joined_seq: head + 1, joined_ms: self.now };
        let cursor = CursorRecord { delivered: head, read: head, ..CursorRecord::default() };
        let key = member_key(conversation, user);
        self.put(Table::Members, &key, &member.encode_to_vec());
        self.put(Table::Cursors, &key, &cursor.encode_to_vec());
        self.put(Table::UserConversations, &user_conversation_key(user, conversation), &[]);
        self.emit(Event::MemberAdded { conversation, user, joined_seq: head + 1 });
        Ok(true)
    }

    fn remove_member(
        &mut self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<MemberRecord>, StoreError> {
        let Some(member) = self.member(conversation, user)? else { return Ok(None) };
        let key = member_key(conversation, user);
        self.delete(Table::Members, &key);
        self.delete(Table::Cursors, &key);
        self.delete(Table::UserConversations, &user_conversation_key(user, conversation));
        self.emit(Event::MemberRemoved { conversation, user });
        Ok(Some(member))
    }

    fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<MemberRecord>, StoreError> {
        Ok(self.get(Table::Members, &member_key(conversation, user))?.and_then(decode))
    }

    fn append(&mut self, conversation: ConversationId, mut entry: LogRecord) -> Result<u64, StoreError> {
        let seq = self.head(conversation) + 1;
        entry.time_ms = self.now;
        let head = HeadRecord { seq, time_ms: self.now };
        self.put(Table::Log, &log_key(conversation, seq), &entry.encode_to_vec());
        self.put(Table::Heads, &conversation.0, &head.encode_to_vec());
        Ok(seq)
    }

    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// A vault that seals nothing and names everything by a hash that is not secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainVault;

impl Vault for PlainVault {
    fn seal(&self, _: Table, _: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError> {
        // A sealed value never begins with 0.
        out.push(1);
        out.extend_from_slice(plain);
        Ok(())
    }

    fn open(&self, _: Table, _: &[u8], sealed: &[u8]) -> Result<Bytes, VaultError> {
        sealed.strip_prefix(&[1]).map(Bytes::copy_from_slice).ok_or(VaultError::Malformed)
    }

    fn pseudonym(&self, purpose: &str, name: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        for (part, bytes) in hash.chunks_exact_mut(8).enumerate() {
            let mut hasher = DefaultHasher::new();
            hasher.write_usize(part);
            hasher.write(purpose.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(name);
            bytes.copy_from_slice(&hasher.finish().to_be_bytes());
        }
        hash
    }
}
