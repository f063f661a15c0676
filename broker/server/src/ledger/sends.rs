//! How a message gets its place: once per id, in one order, by members only.

use super::{
    Done, Published, SendIntent, SendRefusal, Stored,
    conversations::{Known, direct_record, is_direct_between},
    decider::{Answer, Decider, answer_sent, body_hash, id_bytes, known_id, store_error},
};
use crate::delivery::{Committed, ConversationInfo};
use bytes::Bytes;
use parlance_engine::{Conversation, Known as KnownId, Verdict};
use parlance_plugin_api::{
    ConversationId, UserId,
    ledger::{LedgerError, View},
    record::{self, ConversationRecord, DataRecord, IdRecord, LogRecord, MemberRecord, Role},
    store::{Direction, Scan, StoreError, Table, VaultError},
};
use parlance_schema::Content;
use prost::Message as _;
use std::{collections::BTreeMap, sync::Arc};

/// How long a packet id without a message id is believed to be a retransmission, milliseconds: a device that wakes
/// once a day begins at the same packet id each time, and its "alarm" of today is not that of yesterday.
const IMPLICIT_RETRY_MS: u64 = 60 * 60 * 1000;
/// Entries of a log that are looked through for it, and how many at once.
const RETRY_ENTRIES_MAX: usize = 4_096;
const RETRY_PAGE: usize = 64;

impl Decider {
    pub(super) fn send(&mut self, intent: SendIntent, done: Done) {
        match self.place(intent) {
            // A repeat of something in this very batch waits for it like the first one.
            Ok(stored) => self.running.answers.push(Answer::Sent(done, Ok(Published::Stored(stored)))),
            Err(refusal) => answer_sent(done, Err(refusal)),
        }
    }

    fn place(&mut self, intent: SendIntent) -> Result<Stored, SendRefusal> {
        let record = log_record(&intent, self.now);
        let bytes_max = self.limits.message_bytes_max;
        if content_bytes(&record) > bytes_max {
            return Err(SendRefusal::TooLarge { bytes_max });
        }
        if let Some((session, packet_id)) = intent.received
            && let Some(stored) = self.received(session, packet_id)?
        {
            return Ok(self.sent_before(&intent, stored));
        }
        let key = self.id_key(&intent);
        let body = if key.is_some() { body_hash(&self.view, &record) } else { 0 };
        let known = match &key {
            Some(key) => known_id(&self.running, &self.view, key).map_err(store_error)?,
            None => self.retransmitted(&intent, &record).map_err(store_error)?,
        };
        let known_id = known.as_ref().map(|record| KnownId {
            same_conversation: record.conversation() == Some(intent.conversation),
            seq: record.seq,
            same_body: record.body == body,
        });
        let verdict = self
            .conversation_for(&intent, known_id)?
            .rules
            .send(&intent.sender, known_id)
            .map_err(refusal)?;
        match verdict {
            Verdict::Repeat { seq } => {
                let time_ms = known.map_or(self.now, |record| record.time_ms);
                self.keep_received(&intent, seq, time_ms)?;
                Ok(Stored { conversation: intent.conversation, seq, time_ms, repeated: true })
            }
            Verdict::Append { seq } => {
                let written = self.append(&intent, seq, record);
                let written =
                    written.and_then(|()| key.map_or(Ok(()), |key| self.take_id(key, &intent, seq, body)));
                written.map_err(|error| self.broken(error))?;
                self.keep_received(&intent, seq, self.now)?;
                Ok(Stored { conversation: intent.conversation, seq, time_ms: self.now, repeated: false })
            }
        }
    }

    /// A QoS 2 publish that came again because the server did not remember it: what its packet id was used for tells.
    fn sent_before(&self, intent: &SendIntent, stored: Bytes) -> Stored {
        // Nothing is told of a free message; then the same packet id was one, which is stored as well.
        let record: IdRecord = record::decode(stored).unwrap_or_default();
        let conversation = record.conversation().unwrap_or(intent.conversation);
        Stored { conversation, seq: record.seq, time_ms: record.time_ms, repeated: true }
    }

    /// Until the session releases it, its packet id names this message.
    fn keep_received(&mut self, intent: &SendIntent, seq: u64, time_ms: u64) -> Result<(), LedgerError> {
        let Some((session, packet_id)) = intent.received else { return Ok(()) };
        let record =
            IdRecord { conversation: intent.conversation.0.to_vec(), seq, time_ms, ..IdRecord::default() };
        let key = record::received_key(session, packet_id);
        let written = self.write(Table::Received, &key, Some(record.encode_to_vec().into()));
        written.map_err(|error| self.broken(error))
    }

    /// The rules have moved on and the record could not be sealed: the whole batch is given up, so that no seq is skipped.
    pub(super) fn broken(&mut self, error: VaultError) -> LedgerError {
        let error = LedgerError::Store(error.to_string());
        self.running.broken = Some(error.clone());
        error
    }

    /// The key under which a retry would find this message. A client's id is hashed: it may say more than an id should.
    fn id_key(&self, intent: &SendIntent) -> Option<Vec<u8>> {
        let id = intent.id.as_ref()?;
        let mut name = Vec::with_capacity(16 + id.len());
        name.extend_from_slice(&intent.sender.0);
        name.extend_from_slice(id);
        let hash = self.view.vault.pseudonym("message id", &name);
        Some(record::explicit_id_key(intent.sender, &hash[..16]))
    }

    /// Where a message without an id is that its client says it sends again (DUP): the newest one in the log that the same
    /// device sent under the same packet id, in this session and not too long ago, if it says the same. Nothing is kept
    /// for the others, which are nearly all.
    fn retransmitted(
        &mut self,
        intent: &SendIntent,
        again: &LogRecord,
    ) -> Result<Option<IdRecord>, StoreError> {
        let Some(retry) = intent.retry.filter(|retry| retry.dup) else { return Ok(None) };
        let id = intent.conversation;
        let oldest_ms = retry.session_ms.max(self.now.saturating_sub(IMPLICIT_RETRY_MS));
        let found = |seq, record: &LogRecord| {
            let same = (&record.text, &record.data) == (&again.text, &again.data);
            same.then(|| IdRecord { conversation: id.0.to_vec(), seq, time_ms: record.time_ms, body: 0 })
        };
        let is_it = |record: &LogRecord| {
            record.packet_id == u32::from(retry.packet_id)
                && record.device == again.device
                && record.sender == again.sender
                && record.time_ms >= oldest_ms
        };
        // What this batch has decided is not in the view yet.
        let running = self.running.messages.iter().rev().filter(|(message, _)| message.conversation.id == id);
        for (message, _) in running {
            if let Some(record) = message.record.as_ref().filter(|record| is_it(record)) {
                return Ok(found(message.seq, record));
            }
        }
        let (from, mut to) = (record::log_key(id, 0), record::prefix_end(&id.0));
        let mut looked = 0;
        while looked < RETRY_ENTRIES_MAX {
            let (table, direction, limit) = (Table::Log, Direction::Backward, RETRY_PAGE);
            let page = self.view.scan(Scan { table, from: &from, to: &to, direction, limit })?;
            for (key, value) in &page {
                let Some(record) = record::decode::<LogRecord>(value.clone()) else { continue };
                if record.time_ms < oldest_ms {
                    return Ok(None);
                }
                if is_it(&record) {
                    return Ok(record::parse_log_key(key).and_then(|(_, seq)| found(seq, &record)));
                }
            }
            looked += page.len();
            match page.last() {
                Some((key, _)) if page.len() == RETRY_PAGE => to = key.to_vec(),
                _ => break,
            }
        }
        Ok(None)
    }

    fn take_id(&mut self, key: Vec<u8>, intent: &SendIntent, seq: u64, body: u64) -> Result<(), VaultError> {
        let conversation = intent.conversation.0.to_vec();
        let record = IdRecord { conversation, seq, time_ms: self.now, body };
        self.running.batch.put(&*self.view.vault, Table::Ids, &key, &record.encode_to_vec())?;
        self.running.ids.insert(key, record);
        Ok(())
    }

    fn conversation_for(
        &mut self,
        intent: &SendIntent,
        known_id: Option<KnownId>,
    ) -> Result<&mut Known, SendRefusal> {
        let id = intent.conversation;
        let exists = self.conversations.get(&self.view, id).map_err(store_error)?.is_some();
        if !exists {
            let peer = intent.peer.filter(|peer| is_direct_between(id, intent.sender, *peer));
            let peer = peer.ok_or(SendRefusal::NotMember)?;
            // A message that is refused begins nothing: a conversation shows people to each other.
            if let Some(KnownId { seq, .. }) = known_id {
                return Err(SendRefusal::IdReused { seq });
            }
            self.begin_direct(id, intent.sender, peer).map_err(|error| self.broken(error))?;
        }
        let known = self.conversations.get(&self.view, id).map_err(store_error)?;
        known.ok_or(SendRefusal::NotMember)
    }

    fn begin_direct(&mut self, id: ConversationId, sender: UserId, peer: UserId) -> Result<(), VaultError> {
        let peers = if sender == peer { vec![sender] } else { vec![sender, peer] };
        let record = direct_record(&peers, self.now);
        let member = MemberRecord { role: Role::Member as u32, joined_seq: 1, joined_ms: self.now };
        let mut rules = Conversation::new();
        let vault = &*self.view.vault;
        let batch = &mut self.running.batch;
        batch.put(vault, Table::Conversations, &record::conversation_key(id), &record.encode_to_vec())?;
        for &user in &peers {
            // A fresh conversation has no members yet.
            let _ = rules.add(user, parlance_engine::Role(0));
            batch.put(vault, Table::Members, &record::member_key(id, user), &member.encode_to_vec())?;
            batch.put(vault, Table::UserConversations, &record::user_conversation_key(user, id), &[])?;
        }
        self.running.touched.push(id);
        self.conversations.insert(id, known(id, rules, &record));
        Ok(())
    }

    /// Writes an entry at the seq that the rules gave, and hands it to the members as they are now.
    fn append(&mut self, intent: &SendIntent, seq: u64, record: LogRecord) -> Result<(), VaultError> {
        self.write_entry(intent.conversation, seq, record)?;
        // Who writes has read: kept with the message, and no receipt, since the message says it.
        self.running.cursors.push(((intent.conversation, intent.sender), false));
        Ok(())
    }

    pub(super) fn write_entry(
        &mut self,
        id: ConversationId,
        seq: u64,
        entry: LogRecord,
    ) -> Result<(), VaultError> {
        let key = record::log_key(id, seq);
        let entry = detached(entry);
        self.running.touched.push(id);
        self.scratch.clear();
        // A Vec has room for everything.
        let _ = entry.encode(&mut self.scratch);
        self.running.batch.put(&*self.view.vault, Table::Log, &key, &self.scratch)?;
        self.running.heads.push((id, entry.time_ms));
        if let Ok(Some(known)) = self.conversations.get(&self.view, id) {
            let audience = known.rules.audience();
            let message = Committed::new(known.info.clone(), seq, Some(entry)).counted(self.hub.inflight());
            self.running.messages.push((Arc::new(message), audience));
        }
        Ok(())
    }
}

pub(super) fn known(id: ConversationId, rules: Conversation<UserId>, record: &ConversationRecord) -> Known {
    Known { rules, cursors: BTreeMap::new(), info: Arc::new(ConversationInfo::new(id, record)) }
}

fn refusal(refusal: parlance_engine::Refusal) -> SendRefusal {
    match refusal {
        parlance_engine::Refusal::NotMember => SendRefusal::NotMember,
        parlance_engine::Refusal::IdReused { seq } => SendRefusal::IdReused { seq },
    }
}

fn log_record(intent: &SendIntent, now: u64) -> LogRecord {
    let mut record = LogRecord {
        sender: id_bytes(&intent.sender.0),
        time_ms: now,
        id: intent.id.clone().unwrap_or_default().into(),
        device: intent.device.map(|device| id_bytes(&device.0)).unwrap_or_default(),
        packet_id: intent.retry.map_or(0, |retry| retry.packet_id.into()),
        ..LogRecord::default()
    };
    match &intent.content {
        Content::Text(text) => record.text = text.clone(),
        Content::Data { content_type, bytes } => {
            record.data = Some(DataRecord { content_type: content_type.clone(), bytes: bytes.clone() });
        }
    }
    record
}

/// The record without the buffer that its content was read into. Many messages share one of those, and each of them would
/// keep all of it in memory for as long as somebody waits for it.
fn detached(mut record: LogRecord) -> LogRecord {
    record.text = Bytes::copy_from_slice(&record.text);
    if let Some(data) = &mut record.data {
        data.bytes = Bytes::copy_from_slice(&data.bytes);
    }
    record
}

fn content_bytes(record: &LogRecord) -> usize {
    record.text.len() + record.data.as_ref().map_or(0, |data| data.bytes.len())
}
