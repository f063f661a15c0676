//! What goes to the client: messages in its formats, signals, and what is read from the log for it.

use super::{Connection, OPEN_PAGE, io::Transport};
use crate::{
    api::Code,
    delivery::{Committed, ConversationInfo, user_label},
    ledger::head,
    peer::Signal,
    session_domain::{Item, Messenger, Note, Origin},
};
use bytes::Bytes;
use parlance_engine::{Channels, Entry, NoteFate, Output};
use parlance_mqtt::{PacketId, PublishProperties, PublishTemplate, QoS, ReasonCode, Recipient, TopicName};
use parlance_plugin_api::{
    ConversationId, UserId,
    identity::Action,
    ledger::View,
    record::{self, ConversationRecord, CursorRecord, DeviceRecord, LogRecord, MemberRecord},
    store::{Direction, Scan, StoreError, Table},
};
use parlance_schema::{
    Format,
    message::Down,
    pb,
    topic::{Channel, mine},
};
use std::sync::Arc;

/// Conversation names kept by a connection.
const INFOS_MAX: usize = 256;
/// Messages that a read of the log begins with, before it is known how large they are.
const FIRST_READ_MESSAGES: usize = 8;

impl<S: Transport> Connection<S> {
    /// A committed message for this user.
    pub(super) fn announce(&mut self, message: Arc<Committed>) {
        if !self.subscriptions.has_inbox() {
            return;
        }
        let id = message.conversation.id;
        if !self.may_read(id) {
            return;
        }
        let origin = Origin::Conversation(id);
        if !self.session.is_tracked(origin) {
            match self.position(id, message.seq.saturating_sub(1)) {
                Ok(Some(acked)) => {
                    self.session.track(origin, acked, acked.max(message.seq.saturating_sub(1)))
                }
                Ok(None) => return,
                Err(error) => return self.position_unknown(id, &error),
            }
        }
        let channels = self.channels(&message);
        self.session.announce(origin, message.seq, Item::Message(message), channels);
    }

    /// In which formats this device wants a message: none of its own.
    fn channels(&self, message: &Committed) -> Channels {
        let own = message.device == Some(self.owner.device) && message.sender == self.owner.user;
        if own {
            return Channels::NONE;
        }
        let rest = || self.inbox_rest(message);
        self.subscriptions.wanted(Channel::Inbox, rest).map(|wanted| wanted.format as u8).collect()
    }

    fn inbox_rest(&self, message: &Committed) -> String {
        let directory = &*self.context.directory;
        let conversation = message.conversation.label(self.owner.user, directory);
        format!("{conversation}/{}", user_label(message.sender, directory))
    }

    pub(super) fn deliver(
        &mut self,
        message: &Arc<Committed>,
        channel: u8,
        qos: QoS,
        packet_id: Option<PacketId>,
        dup: bool,
    ) {
        let format = Format::ALL[usize::from(channel) % Format::ALL.len()];
        let encoding = message.encoding(format, self.version, self.owner.user, &*self.context.directory);
        let mut ids = std::mem::take(&mut self.ids);
        self.subscriptions.ids(format, Channel::Inbox, || self.inbox_rest(message), &mut ids);
        let recipient =
            Recipient { qos, dup, packet_id, subscription_ids: &ids, topic_alias: None, retain: false };
        match encoding {
            Some(template) if template.len(&recipient) <= self.client_packet_max => {
                template.write(&recipient, &mut self.out);
                self.tally.messages_sent += 1;
                self.tally.delivered += 1;
            }
            _ => {
                self.session.undeliverable(packet_id);
                let words = format!(
                    "message {} of {} is larger than this client accepts; read it over HTTP",
                    message.seq, message.conversation.id
                );
                self.error_event(Code::AnswerTooLarge, "", words);
            }
        }
        self.ids = ids;
    }

    pub(super) fn write_note(
        &mut self,
        note: &PublishTemplate,
        qos: QoS,
        packet_id: Option<PacketId>,
        dup: bool,
    ) {
        let recipient =
            Recipient { qos, dup, packet_id, subscription_ids: &[], topic_alias: None, retain: false };
        if note.len(&recipient) <= self.client_packet_max {
            self.tally.messages_sent += 1;
            note.write(&recipient, &mut self.out);
        } else {
            self.session.undeliverable(packet_id);
        }
    }

    /// Something that is told live: rendered in each format that is subscribed to.
    pub(super) fn signal(&mut self, signal: Signal) {
        let directory = self.context.directory.clone();
        match signal {
            Signal::Receipt(moved) => {
                if !self.subscriptions.has(Channel::Receipts) || !self.may_read(moved.conversation.id) {
                    return;
                }
                let label = moved.conversation.label(self.owner.user, &*directory);
                let member = user_label(moved.user, &*directory);
                let receipt = pb::Receipt {
                    conversation: moved.conversation.id.to_string(),
                    user: moved.user.to_string(),
                    user_handle: handle(&member),
                    delivered: moved.record.delivered,
                    read: moved.record.read,
                    time_ms: moved.record.delivered_ms.max(moved.record.read_ms),
                };
                self.tell(Channel::Receipts, &[&label, &member], &receipt);
            }
            Signal::Typing { conversation, user, typing } => {
                if !self.subscriptions.has(Channel::Typing) || !self.may_read(conversation.id) {
                    return;
                }
                let label = conversation.label(self.owner.user, &*directory);
                let member = user_label(user, &*directory);
                let sign = pb::Typing {
                    typing,
                    conversation: conversation.id.to_string(),
                    user: user.to_string(),
                    user_handle: handle(&member),
                };
                self.tell(Channel::Typing, &[&label, &member], &sign);
            }
            Signal::Event(event) => {
                // An event of a conversation names it.
                if event.conversation.parse().is_ok_and(|id| !self.may_read(id)) {
                    return;
                }
                self.tell(Channel::Events, &[&event.event], &*event);
            }
            Signal::Presence { user, last_seen_ms } => self.presence(user, last_seen_ms),
        }
    }

    fn tell(&mut self, channel: Channel, rest: &[&str], what: &impl Down) {
        let wanted: Vec<_> = self.subscriptions.wanted(channel, || rest.join("/")).collect();
        for wanted in wanted {
            // The lesser of the subscription's and the channel's own (topics.md).
            let qos = if channel == Channel::Typing { QoS::AtMostOnce } else { wanted.qos };
            self.note(mine(wanted.format, channel, rest), what.render(wanted.format), qos);
        }
    }

    fn note(&mut self, topic: String, payload: Bytes, qos: QoS) {
        let template = TopicName::new(topic).ok().and_then(|t| {
            PublishTemplate::new(self.version, &t, &PublishProperties::default(), &payload, false).ok()
        });
        let fate = template.map(|template| self.session.note(Note::Own(template), qos));
        if fate != Some(NoteFate::Queued) {
            metrics::counter!("parlance_signals_dropped_total").increment(1);
        }
    }

    fn presence(&mut self, user: UserId, last_seen_ms: u64) {
        if !self.may_watch(user) {
            return;
        }
        let name = user_label(user, &*self.context.directory);
        // Looked up now: of two changes that cross, the later look is the truer one.
        let online = self.context.hub.is_online(user);
        let last_seen_ms = if online { 0 } else { last_seen_ms };
        let presence =
            pb::Presence { user: user.to_string(), user_handle: handle(&name), online, last_seen_ms };
        // The topic is the one that was subscribed to: by id or by handle.
        let wanted: Vec<_> = self
            .subscriptions
            .presence(user)
            .map(|(s, format)| (s.filter.as_str().to_owned(), format, s.qos))
            .collect();
        for (topic, format, qos) in wanted {
            self.note(topic, presence.render(format), qos);
        }
    }

    pub(super) fn last_seen(&self, user: UserId) -> u64 {
        let to = record::prefix_end(&user.0);
        let limit = self.context.config.limits.devices_per_user_max + 1;
        let scan =
            Scan { table: Table::Devices, from: &user.0, to: &to, direction: Direction::Forward, limit };
        let devices = self.context.ledger.scan(scan).unwrap_or_default();
        let seen = devices.into_iter().filter_map(|(_, value)| record::decode::<DeviceRecord>(value));
        seen.map(|device| device.last_seen_ms).max().unwrap_or_default()
    }

    /// Membership, as it is now.
    pub(super) fn member(&self, id: ConversationId) -> Result<Option<MemberRecord>, StoreError> {
        let key = record::member_key(id, self.owner.user);
        Ok(self.context.ledger.get(Table::Members, &key)?.and_then(record::decode))
    }

    /// Where this device stands in a conversation: `None` when the user is no member. One that has never been here begins
    /// behind what another device of the user has acknowledged, but not above `newest`: a message that reached this
    /// device live is its own to get, though another device was faster. And where it has begun, it goes on: a session that
    /// receives has a position wherever it was, so that a conversation without one is newer, and all of it is owed.
    fn position(&mut self, id: ConversationId, newest: u64) -> Result<Option<u64>, StoreError> {
        let ledger = self.context.ledger.clone();
        let Some(member) = self.member(id)? else { return Ok(None) };
        let device_key = record::device_cursor_key(self.owner.user, self.owner.device, id);
        let own = ledger
            .get(Table::DeviceCursors, &device_key)?
            .and_then(|value| record::parse_device_cursor(&value));
        let begin = match own {
            Some(seq) => seq,
            None if self.follows => 0,
            None => {
                let member_key = record::member_key(id, self.owner.user);
                let cursors =
                    ledger.get(Table::Cursors, &member_key)?.and_then(record::decode::<CursorRecord>);
                let begun = self.session.holds(Origin::Conversation(id));
                let newest = if begun { 0 } else { newest };
                let begin = cursors.unwrap_or_default().acknowledged.min(newest);
                self.begins(id, begin);
                begin
            }
        };
        Ok(Some(begin.max(member.joined_seq.saturating_sub(1))))
    }

    /// Looks at the next conversations of the user and follows those in which this device is behind.
    pub(super) fn open_more(&mut self) {
        let Some(from) = self.opening.take() else { return };
        if !self.subscriptions.has_inbox() {
            return;
        }
        let user = self.owner.user;
        let from = if from.is_empty() { Bytes::copy_from_slice(&user.0) } else { from };
        let to = record::prefix_end(&user.0);
        let scan = Scan {
            table: Table::UserConversations,
            from: &from,
            to: &to,
            direction: Direction::Forward,
            limit: OPEN_PAGE,
        };
        let page = match self.context.ledger.scan(scan) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "the conversations of a user could not be read");
                return self.session.close(ReasonCode::ServerUnavailable, None);
            }
        };
        if page.len() == OPEN_PAGE
            && let Some((last, _)) = page.last()
        {
            let mut next = last.to_vec();
            next.push(0);
            self.opening = Some(next.into());
        }
        for (key, _) in page {
            let Some(Ok(id)) = key.get(16..32).map(<[u8; 16]>::try_from) else { continue };
            self.open_conversation(ConversationId(id));
        }
    }

    /// Whether this credential reaches a conversation. One that it does not reach is not followed: what somebody else's
    /// credential has yet to read must not count as delivered here.
    fn may_read(&self, id: ConversationId) -> bool {
        self.principal.allows(Action::Read, Some(id))
    }

    fn open_conversation(&mut self, id: ConversationId) {
        if !self.may_read(id) {
            return;
        }
        let tracked = self.session.is_tracked(Origin::Conversation(id));
        let mut look = || -> Result<Option<(u64, u64)>, StoreError> {
            let Some(acked) = self.position(id, u64::MAX)? else { return Ok(None) };
            Ok(Some((acked, head(&*self.context.ledger, id)?)))
        };
        match look() {
            Ok(Some((acked, head))) if head > acked || tracked => {
                self.session.track(Origin::Conversation(id), acked, head);
            }
            Ok(_) => {}
            Err(error) => self.position_unknown(id, &error),
        }
    }

    /// Where a device stands could not be read. One damaged record costs its conversation's live delivery; a store that does
    /// not answer costs the connection, since the client would wait for messages that nobody looks for.
    fn position_unknown(&mut self, id: ConversationId, error: &StoreError) {
        self.read_failed(id, error);
        if !matches!(error, StoreError::Damaged { .. }) {
            self.session.close(ReasonCode::ServerUnavailable, None);
        }
    }

    /// Answers the session's reads.
    pub(super) fn read_more(&mut self) {
        while let Some(read) = self.reads.pop_front() {
            match read {
                Output::ReadLog { conversation: Origin::Conversation(id), after, limit } => {
                    self.read_log(id, after, limit);
                }
                Output::ReadLog { conversation: Origin::Queue, after, limit } => {
                    self.read_queue(after, limit);
                }
                Output::Restore(wanted) => {
                    let found: Result<Vec<_>, _> =
                        wanted.into_iter().map(|(origin, seq)| self.restore(origin, seq)).collect();
                    match found {
                        Ok(found) => self.session.restored(found),
                        Err(error) => {
                            // Nothing of it may count as delivered: the client comes back when the store answers.
                            tracing::error!(%error, "messages in flight could not be read again");
                            self.session.close(ReasonCode::ServerUnavailable, None);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn read_log(&mut self, id: ConversationId, after: u64, limit: usize) {
        if !self.subscriptions.has_inbox() {
            // Its subscription has ended meanwhile: what nobody wants now is not delivered by that.
            return self.session.page(Origin::Conversation(id), after, Vec::new(), after);
        }
        let page = match self.member(id) {
            Ok(None) => return self.session.untrack(Origin::Conversation(id)),
            Ok(Some(member)) => self.log_page(id, &member, after, limit),
            Err(error) => Err(error),
        };
        match page {
            Ok((entries, head)) => self.session.page(Origin::Conversation(id), after, entries, head),
            Err(error) => {
                self.read_failed(id, &error);
                // A page that says nothing: the session asks again after a while.
                self.session.page(Origin::Conversation(id), after, Vec::new(), after);
            }
        }
    }

    #[allow(clippy::type_complexity)] // entries and head, used once
    fn log_page(
        &mut self,
        id: ConversationId,
        member: &MemberRecord,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Entry<Messenger>>, u64), StoreError> {
        let head = head(&*self.context.ledger, id)?;
        let last = head.min(after.saturating_add(limit as u64));
        let bytes_max = (self.context.config.limits.ready_bytes_max / 2).max(1);
        let (mut entries, mut bytes, mut count) = (Vec::new(), 0, FIRST_READ_MESSAGES);
        let mut read = after;
        while read < last && bytes < bytes_max {
            let to = last.min(read.saturating_add(count as u64));
            bytes += self.read_entries(id, member, read, to, &mut entries)?;
            read = to;
            // As many as will find room, if they are like those before.
            count = ((bytes_max.saturating_sub(bytes)) * entries.len() / bytes.max(1)).clamp(1, limit);
        }
        Ok((entries, head))
    }

    /// Reads the entries behind `after` up to `to`; answers how much memory they hold.
    fn read_entries(
        &mut self,
        id: ConversationId,
        member: &MemberRecord,
        after: u64,
        to: u64,
        entries: &mut Vec<Entry<Messenger>>,
    ) -> Result<usize, StoreError> {
        let (from, until) = (record::log_key(id, after + 1), record::log_key(id, to + 1));
        let limit = usize::try_from(to - after).unwrap_or(usize::MAX);
        let scan = Scan { table: Table::Log, from: &from, to: &until, direction: Direction::Forward, limit };
        let mut found = self.context.ledger.scan(scan)?.into_iter().peekable();
        let info = self.info(id)?;
        let mut bytes = 0;
        for seq in after + 1..=to {
            let key = record::log_key(id, seq);
            // A record that does not open keeps its place, so that nobody takes a hole for a loss in transit.
            let value = found
                .next_if(|(k, _)| k[..] == key)
                .and_then(|(_, value)| record::decode::<LogRecord>(value));
            let message =
                Arc::new(Committed::new(info.clone(), seq, value).counted(self.context.hub.inflight()));
            // Who left and came back has not seen what was between, however far behind the device is.
            let channels = if seq < member.joined_seq { Channels::NONE } else { self.channels(&message) };
            bytes += message.bytes();
            entries.push(Entry { seq, message: Item::Message(message), channels });
        }
        Ok(bytes)
    }

    /// What was in flight; `None` when this device may not have it any more.
    fn restore(&mut self, origin: Origin, seq: u64) -> Result<Option<Item>, StoreError> {
        match origin {
            Origin::Conversation(id) => Ok(self.restore_message(id, seq)?.map(Item::Message)),
            Origin::Queue => self.restore_queued(seq),
        }
    }

    fn restore_message(
        &mut self,
        id: ConversationId,
        seq: u64,
    ) -> Result<Option<Arc<Committed>>, StoreError> {
        let Some(member) = self.member(id)? else { return Ok(None) };
        if seq < member.joined_seq || !self.may_read(id) {
            return Ok(None);
        }
        let value = match self.context.ledger.get(Table::Log, &record::log_key(id, seq)) {
            Err(StoreError::Damaged { .. }) => None,
            other => other?,
        };
        let message = Committed::new(self.info(id)?, seq, value.and_then(record::decode));
        Ok(Some(Arc::new(message.counted(self.context.hub.inflight()))))
    }

    /// How a conversation is named; read once and kept. One whose record is gone or damaged is named by its id.
    pub(super) fn info(&mut self, id: ConversationId) -> Result<Arc<ConversationInfo>, StoreError> {
        if let Some(info) = self.infos.get(&id) {
            return Ok(info.clone());
        }
        let value = match self.context.ledger.get(Table::Conversations, &record::conversation_key(id)) {
            Err(StoreError::Damaged { .. }) => None,
            other => other?,
        };
        let record: ConversationRecord = value.and_then(record::decode).unwrap_or_default();
        let info = Arc::new(ConversationInfo::new(id, &record));
        if self.infos.len() >= INFOS_MAX {
            self.infos.clear();
        }
        self.infos.insert(id, info.clone());
        Ok(info)
    }

    fn read_failed(&self, id: ConversationId, error: &StoreError) {
        tracing::error!(conversation = %id, %error, "the log could not be read for a device");
    }
}

fn handle(label: &str) -> String {
    label.strip_prefix('@').unwrap_or_default().to_owned()
}
