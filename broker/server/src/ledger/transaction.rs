//! Jobs: decisions of plugins, run alone on the decider thread. A job's writes join the batch only if it commits.

use super::{
    decider::{Answer, Decider},
    layer::Layer,
    sends,
};
use bytes::Bytes;
use parlance_engine::Role as EngineRole;
use parlance_plugin_api::{
    ConversationId, UnixMillis, UserId,
    event::Event,
    ledger::{Decision, Job, LedgerError, Transaction, View},
    record::{self, ConversationRecord, CursorRecord, LogRecord, MemberRecord},
    store::{Entry as Row, Scan, StoreError, Table, VaultError},
};
use prost::Message as _;
use std::collections::{BTreeMap, btree_map::Entry};
use tokio::sync::oneshot;

use super::conversations::Known;

/// A job in progress.
struct Tx<'a> {
    decider: &'a mut Decider,
    /// Its writes, plain.
    writes: Layer,
    /// Entries that it appends, in order.
    entries: Vec<(ConversationId, u64, LogRecord)>,
    events: Vec<Event>,
    /// Cursors that it sets.
    cursors: Vec<(ConversationId, UserId)>,
    /// Conversations as they were before it changed them; `None`: not in memory.
    before: BTreeMap<ConversationId, Option<Known>>,
}

impl Decider {
    pub(super) fn job(&mut self, job: Job, done: oneshot::Sender<Result<(), LedgerError>>) {
        let mut tx = Tx {
            decider: self,
            writes: Layer::default(),
            entries: Vec::new(),
            events: Vec::new(),
            cursors: Vec::new(),
            before: BTreeMap::new(),
        };
        match job(&mut tx) {
            Decision::Abort => {
                tx.roll_back();
                // The asker may have gone.
                let _ = done.send(Ok(()));
            }
            Decision::Commit => match tx.keep() {
                Ok(()) => self.running.answers.push(Answer::Job(done)),
                Err(error) => {
                    let error = LedgerError::Store(error.to_string());
                    self.running.broken = Some(error.clone());
                    let _ = done.send(Err(error));
                }
            },
        }
    }
}

impl Tx<'_> {
    fn roll_back(self) {
        for (id, known) in self.before {
            match known {
                Some(known) => self.decider.conversations.insert(id, known),
                None => self.decider.conversations.forget(id),
            }
        }
    }

    /// Moves everything into the batch.
    fn keep(self) -> Result<(), VaultError> {
        let decider = self.decider;
        for write in self.writes.sorted() {
            let running = &mut decider.running;
            match &write.value {
                Some(plain) => running.batch.put(&*decider.view.vault, write.table, &write.key, plain)?,
                None => running.batch.delete(write.table, &write.key),
            }
            running.plain.insert(write.table, write.key, write.value);
        }
        for (id, seq, entry) in self.entries {
            decider.write_entry(id, seq, entry)?;
        }
        decider.running.touched.extend(self.before.into_keys());
        for key in self.cursors {
            decider.running.cursors.push((key, false));
        }
        decider.running.events.extend(self.events);
        Ok(())
    }

    /// The conversation, remembered as it was, so that the job can be undone. Begins one whose record this job wrote.
    fn change(&mut self, id: ConversationId) -> Result<&mut Known, StoreError> {
        let missing = || StoreError::Damaged {
            table: Table::Conversations,
            key: Bytes::copy_from_slice(&id.0),
            problem: "there is no such conversation",
        };
        let decider = &mut *self.decider;
        let loaded = decider.conversations.get(&decider.view, id)?;
        let exists = loaded.is_some();
        if let Entry::Vacant(before) = self.before.entry(id) {
            before.insert(loaded.map(|known| known.clone()));
        }
        if !exists {
            let key = record::conversation_key(id);
            let plain = self.writes.get(Table::Conversations, &key).flatten();
            let record: ConversationRecord = plain.and_then(record::decode).ok_or_else(missing)?;
            decider.conversations.insert(id, sends::known(id, parlance_engine::Conversation::new(), &record));
        }
        decider.conversations.get(&decider.view, id)?.ok_or_else(missing)
    }
}

impl View for Tx<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(known) =
            self.writes.get(table, key).or_else(|| self.decider.running.plain.get(table, key))
        {
            return Ok(known);
        }
        self.decider.view.get(table, key)
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Row>, StoreError> {
        self.writes.scan_over(scan, |scan| {
            self.decider.running.plain.scan_over(scan, |scan| self.decider.view.scan(scan))
        })
    }
}

impl Transaction for Tx<'_> {
    fn now(&self) -> UnixMillis {
        self.decider.now
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.writes.insert(table, Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.writes.insert(table, Bytes::copy_from_slice(key), None);
    }

    fn add_member(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        role: u32,
    ) -> Result<bool, StoreError> {
        let now = self.decider.now;
        let known = self.change(conversation)?;
        let role_number = EngineRole(role.min(u32::from(u8::MAX)) as u8);
        let Ok(joined_seq) = known.rules.add(user, role_number) else { return Ok(false) };
        let before = joined_seq.saturating_sub(1);
        let cursor =
            CursorRecord { delivered: before, read: before, acknowledged: before, ..CursorRecord::default() };
        known.cursors.insert(user, cursor);
        let member = MemberRecord { role, joined_seq, joined_ms: now };
        self.put(Table::Members, &record::member_key(conversation, user), &member.encode_to_vec());
        self.put(Table::UserConversations, &record::user_conversation_key(user, conversation), &[]);
        self.cursors.push((conversation, user));
        self.events.push(Event::MemberAdded { conversation, user, joined_seq });
        Ok(true)
    }

    fn remove_member(
        &mut self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<MemberRecord>, StoreError> {
        let Some(member) = self.member(conversation, user)? else { return Ok(None) };
        let known = self.change(conversation)?;
        if known.rules.remove(&user).is_err() {
            return Ok(None);
        }
        known.cursors.remove(&user);
        let key = record::member_key(conversation, user);
        self.delete(Table::Members, &key);
        self.delete(Table::Cursors, &key);
        self.delete(Table::UserConversations, &record::user_conversation_key(user, conversation));
        self.events.push(Event::MemberRemoved { conversation, user });
        Ok(Some(member))
    }

    fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<MemberRecord>, StoreError> {
        Ok(self.get(Table::Members, &record::member_key(conversation, user))?.and_then(record::decode))
    }

    fn append(&mut self, conversation: ConversationId, entry: LogRecord) -> Result<u64, StoreError> {
        let seq = self.change(conversation)?.rules.append_system();
        self.entries.push((conversation, seq, entry));
        Ok(seq)
    }

    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }
}
