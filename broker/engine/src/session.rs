//! One client's protocol state: MQTT 3.1.1 and 5, QoS 0 to 2, and the delivery of conversations by cursors.

mod auth;
mod exact;
mod inbound;
mod outbound;
mod parking;

use std::collections::VecDeque;

use bytes::Bytes;
use parlance_mqtt::{Ack, Packet, PacketId, QoS, ReasonCode, SubAck, TopicName, UnsubAck, Version};

use crate::alias::{self, Aliases};
use crate::catch_up::CatchUp;
use crate::fit::fit;
use crate::inflight::{Inflight, Slot, What};
use crate::keep_alive::KeepAlive;
use crate::lazy::Lazy;
use crate::received::{Answer, Received};
use crate::restore::Restore;
use crate::{
    Channels, Domain, Entry, Millis, NoteFate, Output, PublishOutcome, SessionConfig, Ticket, WillFate,
};

/// How long a read that brought nothing, though something was announced, waits before it is asked again.
const READ_RETRY_MS: u64 = 200;

/// Answers and requests that may wait to be polled before no more input is accepted: a client that does not take its
/// answers is not heard.
const CONTROL_MAX: usize = 1024;

/// SUBSCRIBE and UNSUBSCRIBE packets that may wait for their answer before no more input is accepted.
const REQUESTS_MAX: u16 = 16;

/// What happened that nobody needs to be answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// PUBACKs, PUBRECs and PUBCOMPs for packets that are not in flight.
    pub unknown_acks: u32,
    /// Publishes that came again: while their first copy waits for its outcome, or before their PUBREL (QoS 2).
    pub repeated_publishes: u32,
    /// Publishes whose payload is not the UTF-8 that they say it is (5).
    pub invalid_payloads: u32,
    /// Notes that found the queue full.
    pub dropped_notes: u32,
    /// Packets that the client would not accept for their size.
    pub undeliverable: u32,
}

/// Why and how a session ended.
struct Ending {
    cause: ReasonCode,
    /// A DISCONNECT with `cause` is sent.
    disconnect: bool,
    reason_string: Option<Bytes>,
    will: WillFate,
    /// [`Output::Close`] came out.
    told: bool,
}

/// The state machine of one client's session while it has a connection. See the crate for how it is driven.
///
/// Between two connections it is [`Parked`](crate::Parked). What a device is owed of its conversations does not
/// live here but in its cursors: a session may be dropped at any time, at the price that messages with QoS 1 come
/// twice.
pub struct Session<D: Domain> {
    config: SessionConfig,
    keep_alive: KeepAlive,
    /// The newest moment heard of.
    clock: Millis,
    retry_at: Option<Millis>,
    received: Received,
    /// SUBSCRIBE and UNSUBSCRIBE packets that wait for their answer.
    requests: u16,
    /// What goes out before anything else, in order.
    control: VecDeque<Output<D>>,
    inflight: Inflight<D>,
    /// `Some`: packets of an earlier connection go first.
    restore: Option<Box<Restore<D>>>,
    catch_up: CatchUp<D>,
    notes: VecDeque<(D::Note, QoS)>,
    /// The last thing sent was a note: a message comes next, if one waits.
    note_was_last: bool,
    /// Channels whose packets are acknowledged (QoS 1 or 2).
    acknowledged: Channels,
    /// Those of them with QoS 2.
    exactly_once: Channels,
    /// Topic aliases of this connection.
    aliases: Lazy<Aliases>,
    /// A re-authentication waits for its answer.
    authenticating: bool,
    resync: bool,
    /// It goes on from an earlier connection, which may have lost the last answer to something.
    resumed: bool,
    /// The last packet was one too many to go on reading: what the client says since then is not heard.
    deaf: bool,
    /// The client says nothing but that it is there, or what it listens to: memory may be given back.
    resting: bool,
    ending: Option<Box<Ending>>,
    counters: Counters,
}

impl<D: Domain> Session<D> {
    /// The clock moved: call it at [`next_timeout`](Self::next_timeout), or whenever.
    pub fn handle_timeout(&mut self, now: Millis) {
        self.clock = self.clock.max(now);
        if self.is_closed() {
            return;
        }
        if self.keep_alive.is_over(now) {
            let deaf = std::mem::take(&mut self.deaf) || !self.accepts_input();
            if !deaf {
                // MQTT-3.1.2-22
                return self.end(ReasonCode::KeepAliveTimeout, None, WillFate::Publish);
            }
            // We did not listen: its silence means nothing.
            self.keep_alive.heard(now);
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            self.catch_up.retry();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, `None`: never. May lie in the past.
    pub fn next_timeout(&self) -> Option<Millis> {
        if self.is_closed() {
            return None;
        }
        match (self.keep_alive.deadline(), self.retry_at) {
            (Some(silence), Some(retry)) => Some(silence.min(retry)),
            (silence, retry) => silence.or(retry),
        }
    }

    /// Whether the next packet of the client may be given to the session. False while too much of what came
    /// waits for its answer: the connection then stops reading. (An MQTT 5 client keeps to Receive Maximum
    /// itself, or is closed with 0x93.)
    pub fn accepts_input(&self) -> bool {
        // What waits for the client (QoS 2 before PUBREL) must not count: its answer may be the next packet.
        let full = self.config.version == Version::V3
            && self.received.waiting() >= usize::from(self.config.receive_maximum);
        !full && self.requests < REQUESTS_MAX && self.control.len() < CONTROL_MAX
    }

    /// How a publish ended. PUBACKs and PUBRECs leave in the order of the PUBLISH packets (MQTT-4.6.0-2,
    /// MQTT-4.6.0-3), so this one may wait for those before it. Unknown and QoS 0 tickets are ignored.
    ///
    /// A QoS 2 publish that is refused (0x80 or more, 5) frees its packet id; otherwise the id stands for this message
    /// until the client releases it (MQTT-4.3.3-10).
    pub fn publish_done(&mut self, ticket: Ticket, outcome: PublishOutcome) {
        if self.is_closed() {
            return;
        }
        let Some(packet_id) = self.received.open(ticket) else { return };
        let PublishOutcome { mut reason, mut reason_string, mut user_properties } = outcome;
        fit(&self.config, 0, &mut reason_string, &mut user_properties);
        if self.config.version == Version::V3 {
            // It cannot be told: on the wire the publish was accepted.
            reason = ReasonCode::Success;
        }
        self.received.done(ticket, Ack { packet_id, reason, reason_string, user_properties });
        self.send_answers();
    }

    /// Sends the PUBACKs and PUBRECs whose turn it is.
    fn send_answers(&mut self) {
        while let Some(Answer { qos, ack, released }) = self.received.next_answer() {
            let packet_id = ack.packet_id;
            if qos != QoS::ExactlyOnce {
                self.control.push_back(Output::Send(Packet::PubAck(ack)));
                continue;
            }
            self.control.push_back(Output::Send(Packet::PubRec(ack)));
            if released {
                self.handle_pubrel(packet_id);
            }
        }
    }

    /// The answer to [`Output::Subscribe`]: one code for each filter, in order (MQTT-3.8.4-6).
    pub fn subscribe_done(
        &mut self,
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
        reason_string: Option<Bytes>,
    ) {
        if let Some(reason_string) = self.request_done(codes.len(), reason_string) {
            let ack = SubAck { packet_id, codes, reason_string, user_properties: Vec::new() };
            self.control.push_back(Output::Send(Packet::SubAck(ack)));
        }
    }

    /// The answer to [`Output::Unsubscribe`]: one code for each filter, in order (MQTT-3.11.3-2).
    pub fn unsubscribe_done(
        &mut self,
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
        reason_string: Option<Bytes>,
    ) {
        if let Some(reason_string) = self.request_done(codes.len(), reason_string) {
            let ack = UnsubAck { packet_id, codes, reason_string, user_properties: Vec::new() };
            self.control.push_back(Output::Send(Packet::UnsubAck(ack)));
        }
    }

    /// One request less waits. Returns its reason string as far as the client takes it, unless it is too late.
    fn request_done(&mut self, codes: usize, mut reason_string: Option<Bytes>) -> Option<Option<Bytes>> {
        if self.is_closed() {
            return None;
        }
        self.requests = self.requests.saturating_sub(1);
        // Who subscribes listens from then on, and may say nothing for long.
        self.resting = true;
        fit(&self.config, codes, &mut reason_string, &mut Vec::new());
        Some(reason_string)
    }

    /// Starts or refreshes the delivery of a conversation: the device has everything up to `acked`, and `head`
    /// is the newest seq that is known. What is known here already is never taken back.
    pub fn track(&mut self, conversation: D::Conversation, acked: u64, head: u64) {
        if !self.is_closed() {
            self.catch_up.follow(conversation, acked, head);
        }
    }

    /// Ends the delivery of a conversation at once: nothing more of it is sent, also not again. Packets in
    /// flight keep their ids until the client acknowledges them; that is then ignored.
    pub fn untrack(&mut self, conversation: D::Conversation) {
        if self.catch_up.untrack(conversation) {
            self.inflight.forget(conversation);
        }
    }

    /// Whether the server tracks the conversation. False after a resume, until it does again.
    pub fn is_tracked(&self, conversation: D::Conversation) -> bool {
        self.catch_up.is_followed(conversation)
    }

    /// Whether anything of the conversation is here: it is tracked, or packets of it are in flight after a resume.
    pub fn holds(&self, conversation: D::Conversation) -> bool {
        self.catch_up.holds(conversation)
    }

    /// How many conversations are held.
    pub fn tracked(&self) -> usize {
        self.catch_up.len()
    }

    /// Content of the messages that wait for the window, bytes.
    pub fn ready_bytes(&self) -> usize {
        self.catch_up.ready_bytes()
    }

    /// A live message: the next one of its conversation waits for the window, one seen before is ignored,
    /// one beyond a gap (or beyond what memory may hold) will be read from the log.
    /// Returns false if the conversation is not tracked: then nothing happened.
    pub fn announce(
        &mut self,
        conversation: D::Conversation,
        seq: u64,
        message: D::Message,
        channels: Channels,
    ) -> bool {
        !self.is_closed() && self.catch_up.announce(conversation, seq, message, channels)
    }

    /// The answer to [`Output::ReadLog`]: records after `after`, ascending, from the first on without leaving
    /// out any that can be read, at most as many as asked for; `head` is the newest seq the log has.
    ///
    /// Records that are missing between two entries, or before the first, are taken as gone (expired,
    /// unreadable): the cursor passes over them. So does an empty page with `head` beyond `after`. An empty
    /// page with `head == after` says that the log has no more: the device is caught up, or, if something
    /// beyond was announced, the read is asked again a little later; that is also the answer when a read
    /// failed. An answer to no question is ignored.
    ///
    /// A QoS 2 message that [may have been sent](crate::Parked::maybe_sent) does not expire (MQTT-4.3.3-7): it is not
    /// left out, and comes out with DUP.
    pub fn page(&mut self, conversation: D::Conversation, after: u64, entries: Vec<Entry<D>>, head: u64) {
        if !self.is_closed() && self.catch_up.page(conversation, after, entries, head) {
            self.retry_at = Some(self.clock + READ_RETRY_MS);
        }
    }

    /// The answer to [`Output::Restore`], in its order. `None`: the message is gone, or not to be seen by this
    /// user any more; it counts as acknowledged. That a message expired is no reason: its PUBLISH was sent
    /// (MQTT-4.3.3-7).
    pub fn restored(&mut self, messages: Vec<Option<D::Message>>) {
        if let Some(restore) = &mut self.restore {
            restore.answer(messages);
        }
    }

    /// Sends an event, receipt, typing sign, reply or a message without a position. What is in flight or queued with
    /// QoS 1 or 2 survives the connection, while the [`Parked`](crate::Parked) session is kept in memory: PUBREL of a
    /// QoS 2 note waits for no storage. The queue is bounded: the newest is dropped.
    pub fn note(&mut self, note: D::Note, qos: QoS) -> NoteFate {
        if self.is_closed() {
            return NoteFate::Dropped;
        }
        if self.notes.len() >= self.config.notes_max {
            self.counters.dropped_notes = self.counters.dropped_notes.saturating_add(1);
            return NoteFate::Dropped;
        }
        self.notes.push_back((note, qos));
        NoteFate::Queued
    }

    /// A `Deliver` or `Note` was not written because the client does not accept packets that large: it counts
    /// as acknowledged (MQTT-3.1.2-25). With QoS 0 (`None`) there is nothing to do but to count it. An
    /// [`alias`](Self::alias) that was made for it is taken back.
    pub fn undeliverable(&mut self, packet_id: Option<PacketId>) {
        self.counters.undeliverable = self.counters.undeliverable.saturating_add(1);
        if let Some(aliases) = self.aliases.get_mut() {
            aliases.take_back();
        }
        let Some(packet_id) = packet_id else { return };
        let held = |slot: &Slot<D>| slot.earlier && slot.qos == QoS::ExactlyOnce;
        if self.inflight.get(packet_id).is_some_and(held) {
            // It went out before, when the client took larger packets, or may have.
            self.abandon(packet_id);
        } else {
            self.settle(packet_id);
        }
    }

    /// Live messages were lost on the way to the session (its outbox overflowed): asks for the heads.
    pub fn lagging(&mut self) {
        self.resync = true;
    }

    /// The alias under which a topic is sent on this connection (5), and whether the topic name must travel too;
    /// `None`: the client takes none, or the topic is too short to gain by it. Call it for the packet that is written
    /// next, and for no other: afterwards the client is taken to know the alias. (A packet that turns out too large is
    /// [`undeliverable`](Self::undeliverable).)
    pub fn alias(&mut self, topic: &TopicName) -> Option<(u16, bool)> {
        let client_max = self.config.client_topic_alias_maximum;
        if client_max == 0 || self.is_closed() || !alias::is_worth_it(topic) {
            return None;
        }
        self.aliases.made().tell(topic, client_max)
    }

    /// Ends the connection from the server's side: takeover, shutdown, token expired, malformed packet.
    pub fn close(&mut self, reason: ReasonCode, reason_string: Option<Bytes>) {
        if !self.is_closed() {
            self.end(reason, reason_string, WillFate::Publish);
        }
    }

    /// QoS of the packets of a channel, 1 until said otherwise. Messages of a QoS 0 channel count as acknowledged when
    /// they are handed out. Those of a QoS 2 channel have packet ids that follow from their positions: where two
    /// conversations, or two channels, want the same id, one waits for the other. What is in flight keeps its QoS.
    /// Exactly once over several connections is only what goes to one channel.
    pub fn set_channel_qos(&mut self, channel: u8, qos: QoS) {
        let set = |set: Channels, on: bool| if on { set.with(channel) } else { set.without(channel) };
        self.acknowledged = set(self.acknowledged, qos != QoS::AtMostOnce);
        self.exactly_once = set(self.exactly_once, qos == QoS::ExactlyOnce);
    }

    /// Drops the conversations of which the device has everything, and gives memory back. The server tracks
    /// them again when the next message is announced. Returns how many were dropped.
    pub fn forget_idle(&mut self) -> usize {
        self.inflight.settle_doubt(|conversation| self.catch_up.sent(conversation));
        let dropped = self.catch_up.forget_idle();
        self.shrink();
        dropped
    }

    /// Whether the session ended: [`Output::Close`] came out or will.
    pub fn is_closed(&self) -> bool {
        self.ending.is_some()
    }

    /// Why the session ended, also where no DISCONNECT says it.
    pub fn close_reason(&self) -> Option<ReasonCode> {
        self.ending.as_ref().map(|ending| ending.cause)
    }

    /// How long the session outlives its connection, seconds; 0 = not at all, `u32::MAX` = for ever.
    pub fn session_expiry_s(&self) -> u32 {
        self.config.session_expiry_s
    }

    /// What was agreed for this connection.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// What happened and needed no answer.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Packets sent on this connection that the client has not acknowledged to the end: PUBACK or PUBCOMP.
    pub fn in_flight(&self) -> u16 {
        self.inflight.on_wire()
    }

    fn end(&mut self, cause: ReasonCode, reason_string: Option<Bytes>, will: WillFate) {
        let disconnect = self.config.version == Version::V5;
        self.ending = Some(Box::new(Ending { cause, disconnect, reason_string, will, told: false }));
    }

    fn count_unknown_ack(&mut self) {
        self.counters.unknown_acks = self.counters.unknown_acks.saturating_add(1);
    }

    /// The packet needs no acknowledgement any more. Returns false if it is not in flight.
    fn settle(&mut self, packet_id: PacketId) -> bool {
        let Some(what) = self.inflight.settle(packet_id) else { return false };
        self.count_as_acknowledged(&what);
        true
    }

    fn count_as_acknowledged(&mut self, what: &What<D>) {
        if let &What::Message { conversation, seq, channel } = what {
            self.catch_up.ack(conversation, seq, channel);
        }
    }

    /// Gives back the memory of empty queues.
    fn shrink(&mut self) {
        if self.control.is_empty() {
            self.control = VecDeque::new();
        }
        if self.notes.is_empty() {
            self.notes = VecDeque::new();
        }
        self.received.shrink();
        self.inflight.shrink();
        self.catch_up.shrink();
    }
}
