//! A small world in memory for the tests of this module: records, accounts and names.

use bytes::Bytes;
use parlance_plugin_api::{
    ConversationId, Handle, UserId,
    identity::{AccountKind, Directory, Named, Principal, Profile, Scopes},
    ledger::View,
    record::{
        ConversationRecord, CursorRecord, HeadRecord, LogRecord, MemberRecord, conversation_key, log_key,
        member_key, user_conversation_key,
    },
    store::{Direction, Entry, Scan, StoreError, Table},
};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

type Key = (u8, Vec<u8>);

#[derive(Default)]
pub(crate) struct World {
    records: BTreeMap<Key, Bytes>,
    damaged: BTreeSet<Key>,
    profiles: HashMap<UserId, Arc<Profile>>,
    names: HashMap<Handle, Named>,
}

impl World {
    pub(crate) fn put(&mut self, table: Table, key: &[u8], record: &impl Message) {
        self.records.insert((table.tag(), key.to_vec()), record.encode_to_vec().into());
    }

    pub(crate) fn damage(&mut self, table: Table, key: &[u8]) {
        self.damaged.insert((table.tag(), key.to_vec()));
    }

    pub(crate) fn user(&mut self, handle: &str) -> UserId {
        self.account(handle, false)
    }

    pub(crate) fn account(&mut self, handle: &str, disabled: bool) -> UserId {
        let user = UserId::fresh();
        let handle: Handle = handle.parse().unwrap();
        self.names.insert(handle.clone(), Named::User(user));
        self.profiles.insert(user, Arc::new(Profile { handle, kind: AccountKind::Person, disabled }));
        user
    }

    pub(crate) fn rename(&mut self, user: UserId, handle: &str) {
        let profile = Profile { handle: handle.parse().unwrap(), ..(*self.profiles[&user]).clone() };
        self.profiles.insert(user, Arc::new(profile));
    }

    /// A group with its members, each from `joined_seq` on.
    pub(crate) fn group(&mut self, handle: &str, members: &[(UserId, u64)]) -> ConversationId {
        let group = ConversationId::fresh_group();
        self.names.insert(handle.parse().unwrap(), Named::Group(group));
        let record = ConversationRecord {
            name: format!("The {handle}"),
            handle: handle.to_owned(),
            ..ConversationRecord::default()
        };
        self.put(Table::Conversations, &conversation_key(group), &record);
        for (user, joined_seq) in members {
            self.member(group, *user, *joined_seq);
        }
        group
    }

    /// A direct conversation that has begun.
    pub(crate) fn direct(&mut self, a: UserId, b: UserId) -> ConversationId {
        let id = ConversationId::direct(a, b);
        let record =
            ConversationRecord { peers: vec![a.0.to_vec(), b.0.to_vec()], ..ConversationRecord::default() };
        self.put(Table::Conversations, &conversation_key(id), &record);
        self.member(id, a, 1);
        self.member(id, b, 1);
        id
    }

    pub(crate) fn member(&mut self, conversation: ConversationId, user: UserId, joined_seq: u64) {
        let record = MemberRecord { role: 0, joined_seq, joined_ms: 1 };
        self.put(Table::Members, &member_key(conversation, user), &record);
        self.records.insert(
            (Table::UserConversations.tag(), user_conversation_key(user, conversation).to_vec()),
            Bytes::new(),
        );
    }

    pub(crate) fn read_up_to(&mut self, conversation: ConversationId, user: UserId, read: u64) {
        let record = CursorRecord { delivered: read, read, ..CursorRecord::default() };
        self.put(Table::Cursors, &member_key(conversation, user), &record);
    }

    /// Fills the log with texts `1`, `2` … up to `head`, each padded with spaces.
    pub(crate) fn log(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        head: u64,
        padding_bytes: usize,
    ) {
        for seq in 1..=head {
            let record = LogRecord {
                sender: sender.0.to_vec().into(),
                time_ms: seq,
                text: format!("{seq}{}", " ".repeat(padding_bytes)).into(),
                ..LogRecord::default()
            };
            self.put(Table::Log, &log_key(conversation, seq), &record);
        }
        let record = HeadRecord { seq: head, time_ms: head };
        self.put(Table::Heads, &conversation_key(conversation), &record);
    }

    pub(crate) fn principal(&self, user: UserId) -> Principal {
        Principal {
            user,
            handle: self.profiles[&user].handle.clone(),
            kind: AccountKind::Person,
            scopes: Scopes::Everything,
            credential: None,
            bound_client_id: None,
            expires_ms: None,
            epoch: None,
        }
    }
}

impl View for World {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let at = (table.tag(), key.to_vec());
        if self.damaged.contains(&at) {
            return Err(StoreError::Damaged { table, key: at.1.into(), problem: "for the test" });
        }
        Ok(self.records.get(&at).cloned())
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let tag = scan.table.tag();
        let inside = |key: &&Key| {
            key.0 == tag && key.1[..] >= *scan.from && (scan.to.is_empty() || key.1[..] < *scan.to)
        };
        let mut keys: Vec<&Key> =
            self.records.keys().filter(inside).filter(|key| !self.damaged.contains(*key)).collect();
        if scan.direction == Direction::Backward {
            keys.reverse();
        }
        let page = keys.into_iter().take(scan.limit);
        Ok(page.map(|key| (Bytes::from(key.1.clone()), self.records[key].clone())).collect())
    }
}

impl Directory for World {
    fn resolve(&self, handle: &Handle) -> Option<Named> {
        self.names.get(handle).copied()
    }

    fn profile(&self, user: UserId) -> Option<Arc<Profile>> {
        self.profiles.get(&user).cloned()
    }
}
