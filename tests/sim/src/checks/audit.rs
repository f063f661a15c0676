//! The durable state against the book, and against itself.

use super::{
    book::{Book, DeviceName, Gap, Line, State, short},
    owed::is_beyond,
};
use crate::people::{People, group_id, principal, user_id};
use parlance_plugin_api::{
    ConversationId, ConversationKind, UserId,
    ledger::View,
    record::{
        self, ConversationRecord, CursorRecord, HeadRecord, LogRecord, conversation_key, parse_device_cursor,
        parse_log_key, parse_member_key,
    },
    store::{Direction, Scan, StoreError, Table},
};
use parlance_server::api::overview;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Entries of one read.
const PAGE: usize = 512;

/// All logs, as they are durable.
#[derive(Debug, Default)]
pub struct Log {
    entries: BTreeMap<ConversationId, BTreeMap<u64, LogRecord>>,
    /// Members at the beginning of each group, and when users came and went since.
    spans: BTreeMap<(ConversationId, UserId), Vec<Range<u64>>>,
    /// The users of each direct conversation.
    peers: BTreeMap<ConversationId, Vec<UserId>>,
}

/// Every record of a table.
fn each(view: &dyn View, table: Table, mut visit: impl FnMut(&[u8], bytes::Bytes)) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let scan = Scan { table, from: &from, to: &[], direction: Direction::Forward, limit: PAGE };
        let page = view.scan(scan)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = last.to_vec();
        from.push(0);
        for (key, value) in page {
            visit(&key, value);
        }
    }
}

fn line(record: &LogRecord) -> Line {
    let sender = UserId(record.sender[..].try_into().unwrap_or_default());
    match &record.change {
        Some(change) => {
            Line::change(sender, &change.action, UserId(change.user[..].try_into().unwrap_or_default()))
        }
        None => Line {
            sender,
            id: String::from_utf8_lossy(&record.id).into_owned(),
            text: String::from_utf8_lossy(&record.text).into_owned(),
        },
    }
}

impl Log {
    /// Reads it. `groups`: the first members of each.
    ///
    /// # Errors
    /// The store's.
    pub fn read(view: &dyn View, groups: &[BTreeSet<usize>]) -> Result<Self, StoreError> {
        let mut log = Self::default();
        each(view, Table::Log, |key, value| {
            let Some((conversation, seq)) = parse_log_key(key) else { return };
            let record = record::decode::<LogRecord>(value).unwrap_or_default();
            log.entries.entry(conversation).or_default().insert(seq, record);
        })?;
        each(view, Table::Conversations, |key, value| {
            let Ok(id) = key.try_into().map(ConversationId) else { return };
            let record = record::decode::<ConversationRecord>(value).unwrap_or_default();
            let peers = record.peers.iter().filter_map(|peer| peer.as_slice().try_into().ok().map(UserId));
            log.peers.insert(id, peers.collect());
        })?;
        for (number, members) in groups.iter().enumerate() {
            for member in members {
                let always = std::iter::once(1..u64::MAX).collect();
                log.spans.insert((group_id(number), user_id(*member)), always);
            }
        }
        for (conversation, entries) in &log.entries {
            for (seq, record) in entries {
                change(&mut log.spans, *conversation, *seq, record);
            }
        }
        Ok(log)
    }

    /// The newest position.
    pub fn head(&self, conversation: ConversationId) -> u64 {
        let entries = self.entries.get(&conversation);
        entries.and_then(|entries| entries.last_key_value()).map_or(0, |(seq, _)| *seq)
    }

    /// The conversations there are.
    pub fn conversations(&self) -> impl Iterator<Item = ConversationId> {
        self.entries.keys().copied()
    }

    /// An entry.
    pub fn entry(&self, conversation: ConversationId, seq: u64) -> Option<&LogRecord> {
        self.entries.get(&conversation)?.get(&seq)
    }

    /// Whether a user was a member when an entry was written.
    pub fn was_member(&self, conversation: ConversationId, user: UserId, seq: u64) -> bool {
        match conversation.kind() {
            ConversationKind::Direct => {
                self.peers.get(&conversation).is_some_and(|peers| peers.contains(&user))
            }
            ConversationKind::Group => self
                .spans
                .get(&(conversation, user))
                .is_some_and(|spans| spans.iter().any(|span| span.contains(&seq))),
        }
    }

    /// Whether a user was a member from one entry to another one behind it, without a break.
    fn was_member_throughout(&self, conversation: ConversationId, user: UserId, from: u64, to: u64) -> bool {
        let spans = self.spans.get(&(conversation, user));
        spans.is_none_or(|spans| spans.iter().any(|span| span.contains(&from) && span.contains(&to)))
    }

    /// The first position that a present member may see.
    pub fn member_since(&self, conversation: ConversationId, user: UserId) -> Option<u64> {
        match conversation.kind() {
            ConversationKind::Direct => self.was_member(conversation, user, 1).then_some(1),
            ConversationKind::Group => {
                let last = self.spans.get(&(conversation, user))?.last()?;
                (last.end == u64::MAX).then_some(last.start)
            }
        }
    }

    /// Whether a device wrote an entry: it is not sent that.
    pub(super) fn wrote(&self, device: DeviceName, conversation: ConversationId, seq: u64) -> bool {
        self.entry(conversation, seq).is_some_and(|record| {
            record.device[..] == device.id().0 && record.sender[..] == user_id(device.user).0
        })
    }
}

/// A change of a group: who is added sees the entry that says so, who is removed does not.
fn change(
    spans: &mut BTreeMap<(ConversationId, UserId), Vec<Range<u64>>>,
    conversation: ConversationId,
    seq: u64,
    record: &LogRecord,
) {
    let Some(change) = &record.change else { return };
    let Ok(user) = change.user[..].try_into().map(UserId) else { return };
    let spans = spans.entry((conversation, user)).or_default();
    match change.action.as_str() {
        "member_added" => spans.push(seq..u64::MAX),
        "member_removed" | "member_left" => {
            if let Some(last) = spans.last_mut() {
                last.end = seq;
            }
        }
        _ => {}
    }
}

/// Compares everything. Answers the log, for who wants to ask more of it.
///
/// # Errors
/// The store's.
pub fn audit(
    book: &Book,
    view: &dyn View,
    people: &People,
    users: usize,
    groups: &[BTreeSet<usize>],
) -> Result<Log, StoreError> {
    let log = Log::read(view, groups)?;
    let state = &mut *book.state();
    dense(book, state, view, &log)?;
    nothing_lost(book, state, &log);
    once(book, state, &log);
    members(book, state, view, &log, users, groups.len())?;
    gaps(book, state, &log);
    cursors(book, state, view, &log)?;
    unread(book, state, view, people, users, &log)?;
    Ok(log)
}

/// Each log has all positions from 1 on, and its head is the last.
fn dense(book: &Book, state: &mut State, view: &dyn View, log: &Log) -> Result<(), StoreError> {
    for (&conversation, entries) in &log.entries {
        let head = log.head(conversation);
        if entries.len() as u64 != head || entries.first_key_value().is_some_and(|(first, _)| *first != 1) {
            let seqs: Vec<u64> = entries.keys().copied().collect();
            book.violate(state, format_args!("a log is not dense: {seqs:?}"));
        }
        let record = view.get(Table::Heads, &conversation_key(conversation))?;
        let recorded = record.and_then(record::decode::<HeadRecord>).map_or(0, |record| record.seq);
        if recorded != head {
            book.violate(state, format_args!("a head is {recorded}, its log ends at {head}"));
        }
    }
    Ok(())
}

/// What anybody was told is there, and says the same.
fn nothing_lost(book: &Book, state: &mut State, log: &Log) {
    let known = std::mem::take(&mut state.lines);
    for ((conversation, seq), told) in &known {
        match log.entry(*conversation, *seq).map(line) {
            Some(found) if found == *told => {}
            found => {
                book.violate(state, format_args!("told as seq {seq}: {told:?}; durable: {found:?}"));
            }
        }
    }
    state.lines = known;
}

/// Each message that was acknowledged is there, each with an id once, and nothing that nobody wrote.
fn once(book: &Book, state: &mut State, log: &Log) {
    let mut found: BTreeMap<String, Vec<(ConversationId, u64)>> = BTreeMap::new();
    for (&conversation, entries) in &log.entries {
        for (&seq, record) in entries.iter().filter(|(_, record)| record.change.is_none()) {
            found.entry(line(record).text).or_default().push((conversation, seq));
        }
    }
    let fates = std::mem::take(&mut state.fates);
    for (text, fate) in &fates {
        let places = found.remove(text).unwrap_or_default();
        let most = if fate.draft.id.is_some() { 1 } else { fate.attempts };
        if places.len() > most {
            let (id, count) = (&fate.draft.id, places.len());
            let text = short(text);
            book.violate(state, format_args!("{text:?} (id {id:?}) is there {count} times: {places:?}"));
        }
        if fate.acknowledged && places.is_empty() {
            book.violate(
                state,
                format_args!("acknowledged and lost: {:?} of {}", short(text), fate.draft.device),
            );
        }
        if places.iter().any(|(conversation, _)| *conversation != fate.draft.conversation) {
            book.violate(state, format_args!("{:?} is in the wrong conversation", short(text)));
        }
    }
    state.fates = fates;
    for (text, places) in found {
        book.violate(state, format_args!("nobody wrote {:?}, and it is there: {places:?}", short(&text)));
    }
}

/// Nobody has what was written while it was no member, and the members are those that the log tells of.
fn members(
    book: &Book,
    state: &mut State,
    view: &dyn View,
    log: &Log,
    users: usize,
    groups: usize,
) -> Result<(), StoreError> {
    let held = std::mem::take(&mut state.held);
    for (device, conversations) in &held {
        for (conversation, held) in conversations {
            let user = user_id(device.user);
            for seq in held.received.iter().filter(|seq| !log.was_member(*conversation, user, **seq)) {
                book.violate(state, format_args!("{device} has seq {seq} and was no member then"));
            }
        }
    }
    state.held = held;
    let mut members = BTreeSet::new();
    each(view, Table::Members, |key, _| members.extend(parse_member_key(key)))?;
    for group in (0..groups).map(group_id) {
        for user in (0..users).map(user_id) {
            let (is, told) = (members.contains(&(group, user)), log.member_since(group, user).is_some());
            if is != told {
                book.violate(state, format_args!("{user} is a member: {is}; the log says {told}"));
            }
        }
    }
    Ok(())
}

/// What a device was not sent, it was not owed.
fn gaps(book: &Book, state: &mut State, log: &Log) {
    let devices: Vec<DeviceName> = state.devices.clone();
    for Gap { device, conversation, from, to, first } in std::mem::take(&mut state.gaps) {
        let user = user_id(device.user);
        for seq in from..=to {
            let own = log.wrote(device, conversation, seq);
            let elsewhere = first
                && devices.iter().any(|other| {
                    other.user == device.user
                        && *other != device
                        && is_beyond(state, log, *other, conversation, seq)
                });
            let next = to + 1;
            // Who comes back to a group begins there.
            if !own && !elsewhere && log.was_member_throughout(conversation, user, seq, next) {
                book.violate(state, format_args!("{device} was sent seq {next} without seq {seq}"));
            }
        }
    }
}

/// No position retreats, and none is beyond its log.
fn cursors(book: &Book, state: &mut State, view: &dyn View, log: &Log) -> Result<(), StoreError> {
    let mut found = BTreeMap::new();
    each(view, Table::Cursors, |key, value| {
        if let Some(of) = parse_member_key(key) {
            found.insert(of, record::decode::<CursorRecord>(value).unwrap_or_default());
        }
    })?;
    for (of, now) in found {
        let known = state.cursors.entry(of).or_default();
        let before = *known;
        *known = CursorRecord {
            delivered: now.delivered.max(before.delivered),
            read: now.read.max(before.read),
            acknowledged: now.acknowledged.max(before.acknowledged),
            ..now
        };
        let retreats = now.delivered < before.delivered
            || now.read < before.read
            || now.acknowledged < before.acknowledged;
        if retreats {
            book.violate(state, format_args!("the positions of {} retreat: {before:?}, {now:?}", of.1));
        }
        if now.delivered.max(now.read).max(now.acknowledged) > log.head(of.0) {
            book.violate(state, format_args!("the positions of {} are beyond the log: {now:?}", of.1));
        }
    }
    let mut devices = Vec::new();
    each(view, Table::DeviceCursors, |key, value| {
        devices.push((key.to_vec(), parse_device_cursor(&value).unwrap_or_default()));
    })?;
    for (key, now) in devices {
        let before = state.device_cursors.insert(key, now).unwrap_or_default();
        if now < before {
            book.violate(state, format_args!("the position of a device retreats: {before}, {now}"));
        }
    }
    Ok(())
}

/// What a user is told to be unread is what can be counted.
fn unread(
    book: &Book,
    state: &mut State,
    view: &dyn View,
    people: &People,
    users: usize,
    log: &Log,
) -> Result<(), StoreError> {
    for user in 0..users {
        let Ok(page) = overview::conversations(view, people, &principal(user), None, 500) else { continue };
        for told in page.conversations {
            let read = told.read;
            let entries = log.entries.get(&told.id);
            let since = log.member_since(told.id, user_id(user)).unwrap_or(1);
            let counted = entries.map_or(0, |entries| entries.range((read + 1).max(since)..).count());
            if counted as u64 != told.unread {
                book.violate(state, format_args!("u{user}: counted {counted} unread, told {told:?}"));
            }
            if told.head != log.head(told.id) {
                book.violate(state, format_args!("u{user}: the head is not the log's: {told:?}"));
            }
        }
    }
    Ok(())
}
