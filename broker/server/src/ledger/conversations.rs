//! The decider's conversations: the engine's rules with what the store knows of each, loaded when first needed.

use lru::LruCache;
use parlance_engine::{Conversation, Member as EngineMember, Role as EngineRole};
use parlance_plugin_api::{
    ConversationId, ConversationKind, UserId,
    ledger::View,
    record::{self, ConversationRecord, CursorRecord, HeadRecord, MemberRecord},
    store::{Direction, Entry, Scan, StoreError, Table},
};
use std::{collections::BTreeMap, sync::Arc};

use crate::delivery::ConversationInfo;

/// A conversation in memory.
#[derive(Clone)]
pub(crate) struct Known {
    /// The rules.
    pub(crate) rules: Conversation<UserId>,
    /// What the rules do not carry: times of cursors, what devices acknowledged.
    pub(crate) cursors: BTreeMap<UserId, CursorRecord>,
    /// How it is named.
    pub(crate) info: Arc<ConversationInfo>,
}

impl Known {
    /// The stored form of a member's cursors.
    pub(crate) fn cursor_record(&self, user: UserId) -> CursorRecord {
        let mut record = self.cursors.get(&user).copied().unwrap_or_default();
        if let Some(member) = self.rules.member(&user) {
            record.delivered = member.delivered;
            record.read = member.read;
        }
        record
    }
}

/// The conversations that were touched lately. Grows within a batch, since what a batch changed must stay until it is
/// durable, and is cut to its bound between batches.
pub(crate) struct Conversations {
    cache: LruCache<ConversationId, Known>,
    conversations_max: usize,
}

/// Entries per page while a conversation is loaded.
const LOAD_PAGE: usize = 1024;

impl Conversations {
    pub(crate) fn new(conversations_max: usize) -> Self {
        Self { cache: LruCache::unbounded(), conversations_max }
    }

    /// Lets go of the least recently used ones beyond the bound.
    pub(crate) fn trim(&mut self) {
        while self.cache.len() > self.conversations_max {
            self.cache.pop_lru();
        }
    }

    /// The conversation, loaded if need be; `None` when there is none.
    pub(crate) fn get(
        &mut self,
        view: &dyn View,
        id: ConversationId,
    ) -> Result<Option<&mut Known>, StoreError> {
        let loaded = || load(view, id).map_err(Some)?.ok_or(None);
        match self.cache.try_get_or_insert_mut(id, loaded) {
            Ok(known) => Ok(Some(known)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    pub(crate) fn insert(&mut self, id: ConversationId, known: Known) {
        self.cache.put(id, known);
    }

    /// Forgets what was decided but did not become durable.
    pub(crate) fn forget(&mut self, id: ConversationId) {
        self.cache.pop(&id);
    }
}

fn load(view: &dyn View, id: ConversationId) -> Result<Option<Known>, StoreError> {
    let Some(value) = view.get(Table::Conversations, &record::conversation_key(id))? else { return Ok(None) };
    let damaged = |table, key: &[u8]| StoreError::Damaged {
        table,
        key: bytes::Bytes::copy_from_slice(key),
        problem: "it is not a record of this kind",
    };
    let record: ConversationRecord =
        record::decode(value).ok_or_else(|| damaged(Table::Conversations, &id.0))?;
    let mut cursors = BTreeMap::new();
    scan_prefix(view, Table::Cursors, &id.0, |(key, value)| {
        if let (Some((_, user)), Some(cursor)) =
            (record::parse_member_key(&key), record::decode::<CursorRecord>(value))
        {
            cursors.insert(user, cursor);
        }
    })?;
    let mut members = Vec::new();
    scan_prefix(view, Table::Members, &id.0, |(key, value)| {
        if let (Some((_, user)), Some(member)) =
            (record::parse_member_key(&key), record::decode::<MemberRecord>(value))
        {
            let cursor = cursors.get(&user).copied().unwrap_or_default();
            members.push((user, engine_member(&member, &cursor)));
        }
    })?;
    cursors.retain(|user, _| members.iter().any(|(member, _)| member == user));
    let rules = Conversation::restore(head(view, id)?, members);
    Ok(Some(Known { rules, cursors, info: Arc::new(ConversationInfo::new(id, &record)) }))
}

/// The newest seq: of the head record or of the log itself, whichever is greater, so that a damaged head costs nothing.
pub(crate) fn head(view: &dyn View, id: ConversationId) -> Result<u64, StoreError> {
    let recorded = match view.get(Table::Heads, &record::conversation_key(id)) {
        Ok(value) => value.and_then(record::decode::<HeadRecord>).map(|head| head.seq),
        Err(StoreError::Damaged { .. }) => None,
        Err(error) => return Err(error),
    };
    if let Some(seq) = recorded {
        return Ok(seq);
    }
    let (from, to) = (record::log_key(id, 0), record::prefix_end(&id.0));
    let scan = Scan { table: Table::Log, from: &from, to: &to, direction: Direction::Backward, limit: 1 };
    Ok(view.scan(scan)?.first().and_then(|(key, _)| record::parse_log_key(key)).map_or(0, |(_, seq)| seq))
}

fn engine_member(member: &MemberRecord, cursor: &CursorRecord) -> EngineMember {
    EngineMember {
        role: EngineRole(member.role.min(u32::from(u8::MAX)) as u8),
        joined_seq: member.joined_seq,
        read: cursor.read,
        delivered: cursor.delivered,
    }
}

/// Every entry behind a prefix, page by page.
fn scan_prefix(
    view: &dyn View,
    table: Table,
    prefix: &[u8],
    mut visit: impl FnMut(Entry),
) -> Result<(), StoreError> {
    let to = record::prefix_end(prefix);
    let mut from = prefix.to_vec();
    loop {
        let scan = Scan { table, from: &from, to: &to, direction: Direction::Forward, limit: LOAD_PAGE };
        let page = view.scan(scan)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = last.to_vec();
        from.push(0);
        page.into_iter().for_each(&mut visit);
    }
}

/// The records that begin a conversation between two users (or of one with itself).
pub(crate) fn direct_record(peers: &[UserId], now: u64) -> ConversationRecord {
    let peers = peers.iter().map(|user| user.0.to_vec()).collect();
    ConversationRecord { peers, created_ms: now, ..ConversationRecord::default() }
}

/// Whether an id may begin a conversation by a first message: only a direct one between exactly these two.
pub(crate) fn is_direct_between(id: ConversationId, sender: UserId, peer: UserId) -> bool {
    id.kind() == ConversationKind::Direct && id == ConversationId::direct(sender, peer)
}

/// The members of a conversation, at most so many.
pub(crate) fn members_up_to(
    view: &dyn View,
    id: ConversationId,
    limit: usize,
) -> Result<Vec<UserId>, StoreError> {
    let to = record::prefix_end(&id.0);
    let scan = Scan { table: Table::Members, from: &id.0, to: &to, direction: Direction::Forward, limit };
    let members = view.scan(scan)?;
    Ok(members.iter().filter_map(|(key, _)| record::parse_member_key(key)).map(|(_, user)| user).collect())
}
