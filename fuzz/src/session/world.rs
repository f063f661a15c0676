//! The server around a session: its log, its store, and the questions it has to answer.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use parlance_engine::{
    Channels, Entry, Millis, NoteFate, Parked, PublishOutcome, Recovered, Session, Ticket,
};
use parlance_mqtt::{
    Ack, Auth, Disconnect, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, RetainHandling,
    SubAck, Subscribe, SubscribeFilter, Unsubscribe,
};

use super::Step;
use super::client::{Carried, Client, ToClient};
use super::setup::{CONVERSATIONS, Chat, METHOD, QUEUE, Setup, Token};

/// Rounds in which everything must come to its end.
const ROUNDS_MAX: usize = 4_000;

/// A message of the log.
pub(super) struct Record {
    pub(super) channels: Channels,
    expired: bool,
}

/// How far a packet to the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Published,
    Received,
    Released,
}

/// A packet to the client that is not settled.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) carried: Carried,
    pub(super) qos: QoS,
    pub(super) stage: Stage,
    /// Its PUBLISH was sent on this connection.
    pub(super) live: bool,
    /// What it carried is not wanted any more.
    pub(super) forgotten: bool,
    /// The server lost its memory since it was sent.
    pub(super) unknown: bool,
}

pub(super) struct World {
    pub(super) setup: Setup,
    now: Millis,
    pub(super) session: Session<Chat>,
    /// Close came out.
    pub(super) closed: bool,
    /// Nothing was said since the last poll round.
    pub(super) polled: bool,
    pub(super) alive: [Rc<()>; 2],
    pub(super) log: [Vec<Record>; CONVERSATIONS],
    pub(super) cursors: [u64; CONVERSATIONS],
    saved: [u64; CONVERSATIONS],
    /// Of the queue: what the client has, durably.
    durably_released: HashSet<u64>,
    /// QoS 2 packet ids of the client that are stored, with the number of the publish.
    pub(super) kept: BTreeMap<PacketId, Option<u64>>,
    /// How often each publish of the client was stored.
    pub(super) stored: HashMap<u64, u32>,
    /// Publishes that were refused.
    refused: HashSet<u64>,

    // Questions without an answer.
    pub(super) tickets: Vec<(Ticket, Option<PacketId>, QoS, Option<u64>)>,
    pub(super) requests: Vec<(PacketId, bool)>,
    pub(super) completes: Vec<PacketId>,
    pub(super) releases: Vec<(PacketId, usize, u64)>,
    pub(super) reads: Vec<(usize, u64, usize)>,
    pub(super) restore: Option<Vec<(usize, u64)>>,
    pub(super) authenticating: bool,
    pub(super) resync: bool,

    // What is on its way.
    pub(super) open: HashMap<PacketId, Open>,
    /// PUBRECs of this connection whose PUBREL did not leave yet.
    pub(super) receipts: VecDeque<PacketId>,
    /// Publishes of this connection that were not answered, in order.
    pub(super) unanswered: VecDeque<(PacketId, QoS)>,
    /// QoS 2 packet ids that were answered with PUBREC and not released.
    pub(super) accepted: HashSet<PacketId>,
    /// Those whose PUBREL came before the PUBREC left.
    pub(super) released_early: HashSet<PacketId>,
    /// Last seq of each conversation and channel on this connection.
    pub(super) last: HashMap<(usize, u8), u64>,
    pub(super) wire: VecDeque<ToClient>,
    pub(super) client: Client,
    pub(super) too_large: bool,
    pub(super) given_up: HashSet<Carried>,
    notes: u64,
    pub(super) promised: HashSet<u64>,
    requests_sent: u16,
}

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let bases = setup.bases;
        let session = Session::new(setup.config.clone(), Millis(1));
        let mut world = Self {
            setup,
            now: Millis(1),
            session,
            closed: false,
            polled: false,
            alive: [Rc::new(()), Rc::new(())],
            log: [Vec::new(), Vec::new()],
            cursors: bases,
            saved: bases,
            durably_released: HashSet::new(),
            kept: BTreeMap::new(),
            stored: HashMap::new(),
            refused: HashSet::new(),
            tickets: Vec::new(),
            requests: Vec::new(),
            completes: Vec::new(),
            releases: Vec::new(),
            reads: Vec::new(),
            restore: None,
            authenticating: false,
            resync: false,
            open: HashMap::new(),
            receipts: VecDeque::new(),
            unanswered: VecDeque::new(),
            accepted: HashSet::new(),
            released_early: HashSet::new(),
            last: HashMap::new(),
            wire: VecDeque::new(),
            client: Client::default(),
            too_large: false,
            given_up: HashSet::new(),
            notes: 0,
            promised: HashSet::new(),
            requests_sent: 0,
        };
        world.begin();
        world
    }

    /// What a server does when a connection begins.
    fn begin(&mut self) {
        for channel in 0..5 {
            self.session.set_channel_qos(channel, self.setup.qos(channel));
        }
        self.track_all();
    }

    fn track_all(&mut self) {
        for conversation in 0..CONVERSATIONS {
            self.session.track(conversation, self.cursors[conversation], self.head(conversation));
        }
    }

    pub(super) fn head(&self, conversation: usize) -> u64 {
        self.setup.bases[conversation] + self.log[conversation].len() as u64
    }

    pub(super) fn record(&self, conversation: usize, seq: u64) -> Option<&Record> {
        let index = seq.checked_sub(self.setup.bases[conversation] + 1)?;
        self.log[conversation].get(usize::try_from(index).ok()?)
    }

    fn message(&self, seq: u64) -> Token {
        Token { number: seq, _alive: Rc::clone(&self.alive[0]) }
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Commit { conversation, channels, lost } => {
                self.commit(usize::from(conversation), channels, lost)
            }
            Step::Expire { conversation, which } => {
                let log = &mut self.log[usize::from(conversation) % CONVERSATIONS];
                let index = usize::from(which) % log.len().max(1);
                if let Some(record) = log.get_mut(index) {
                    record.expired = true;
                }
            }
            Step::PublishDone { which, refused } => self.publish_done(usize::from(which), refused),
            Step::RequestDone { which } => self.request_done(usize::from(which)),
            Step::Completed { which } => self.complete(usize::from(which)),
            Step::Released { which } => self.release(usize::from(which)),
            Step::Authenticated { fails } => self.authenticated(fails),
            Step::Page { which, cut, fails } => self.page(usize::from(which), usize::from(cut), fails),
            Step::Restored { without } => self.restored(without),
            Step::Note { qos } => self.note(qos),
            Step::TooLarge => self.too_large = true,
            Step::Takeover => self.session.close(ReasonCode::SessionTakenOver, None),
            Step::Forget => _ = self.session.forget_idle(),
            Step::SaveCursors => self.saved = self.cursors,
            Step::Track { conversation, on } => self.track(usize::from(conversation), on),
            Step::Publish { qos, alias } => {
                let config = &self.setup.config;
                let alias = u16::from(alias).min(config.topic_alias_maximum);
                self.client.publish(qos_of(qos), alias, config.receive_maximum, config.version);
            }
            Step::Receive { count } => self.receive(usize::from(count)),
            Step::Send { count } => self.send(usize::from(count)),
            Step::Request { subscribe } => self.request(subscribe),
            Step::Ping => self.client.out.push_back(Packet::PingReq),
            Step::Disconnect => {
                self.client.out.push_back(Packet::Disconnect(Disconnect::with(ReasonCode::Success)))
            }
            Step::Authenticate => self.authenticate(),
            Step::Reconnect => self.reconnect(),
            Step::Restart => self.restart(),
            Step::Wait { tenths } => {
                self.now = self.now + u64::from(tenths) * 100;
                self.session.handle_timeout(self.now);
            }
            Step::Raw { kind, id, flags } if self.setup.hostile => {
                let packet = raw(kind, id, flags, &self.open);
                self.hand_over(packet);
            }
            Step::Raw { .. } => {}
        }
    }

    fn commit(&mut self, conversation: usize, bits: u8, lost: bool) {
        let conversation = conversation % CONVERSATIONS;
        let channels = self.setup.channels(conversation, bits);
        self.log[conversation].push(Record { channels, expired: false });
        let seq = self.head(conversation);
        if lost {
            return self.session.lagging();
        }
        let message = self.message(seq);
        if !self.session.announce(conversation, seq, message, channels) {
            self.session.track(conversation, self.cursors[conversation], seq);
        }
    }

    fn track(&mut self, conversation: usize, on: bool) {
        let conversation = conversation % CONVERSATIONS;
        if on {
            self.session.track(conversation, self.cursors[conversation], self.head(conversation));
        } else if self.setup.hostile {
            // A membership that ends: what is under way goes with it, and what it carried cannot be told any more.
            self.session.untrack(conversation);
            self.last.retain(|(of, _), _| *of != conversation);
            for open in self.open.values_mut() {
                open.forgotten |=
                    matches!(open.carried, Carried::Message { conversation: of, .. } if of == conversation);
            }
        }
    }

    fn publish_done(&mut self, which: usize, refused: bool) {
        let Some((ticket, packet_id, qos, number)) = take_of(&mut self.tickets, which) else { return };
        let known = packet_id.filter(|_| qos == QoS::ExactlyOnce).and_then(|id| self.kept.get(&id).copied());
        if let Some(before) = known {
            // Stored on an earlier connection, whose answer was lost.
            assert!(self.setup.hostile || before == number, "the id stands for one publish");
        } else if !refused {
            if let Some(number) = number {
                *self.stored.entry(number).or_default() += 1;
            }
            if let Some(id) = packet_id.filter(|_| qos == QoS::ExactlyOnce && self.setup.config.durable) {
                self.kept.insert(id, number);
            }
        } else {
            self.refused.extend(number);
        }
        let reason = if refused && known.is_none() { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        self.session.publish_done(ticket, PublishOutcome::with(reason));
    }

    fn request_done(&mut self, which: usize) {
        let Some((packet_id, subscribe)) = take_of(&mut self.requests, which) else { return };
        if subscribe {
            self.session.subscribe_done(packet_id, vec![ReasonCode::GrantedQoS1], None);
        } else {
            self.session.unsubscribe_done(packet_id, vec![ReasonCode::Success], None);
        }
    }

    fn complete(&mut self, which: usize) {
        let Some(packet_id) = take_of(&mut self.completes, which) else { return };
        self.kept.remove(&packet_id);
        self.session.completed(packet_id);
    }

    fn release(&mut self, which: usize) {
        let Some((packet_id, conversation, seq)) = take_of(&mut self.releases, which) else { return };
        if conversation == QUEUE {
            self.durably_released.insert(seq);
        }
        self.session.released(packet_id);
    }

    fn authenticated(&mut self, fails: bool) {
        if std::mem::take(&mut self.authenticating) {
            let fails = fails && self.setup.hostile;
            let outcome = if fails { Err((ReasonCode::NotAuthorized, None)) } else { Ok(None) };
            self.session.authenticated(outcome);
        }
    }

    fn page(&mut self, which: usize, cut: usize, fails: bool) {
        let Some((conversation, after, limit)) = take_of(&mut self.reads, which) else { return };
        let head = self.head(conversation);
        let entries: Vec<_> = (after + 1..=head)
            .filter_map(|seq| {
                let record = self.record(conversation, seq).filter(|record| !record.expired)?;
                Some(Entry { seq, message: self.message(seq), channels: record.channels })
            })
            .take(if fails { 0 } else { limit.min(1 + cut) })
            .collect();
        self.session.page(conversation, after, entries, if fails { after } else { head });
    }

    fn restored(&mut self, without: u8) {
        let Some(wanted) = self.restore.take() else { return };
        let gone = |index: usize| self.setup.hostile && without >> (index % 8) & 1 == 1;
        let messages = wanted.into_iter().enumerate();
        let messages = messages.map(|(index, (_, seq))| (!gone(index)).then(|| self.message(seq))).collect();
        self.session.restored(messages);
    }

    fn note(&mut self, qos: u8) {
        let number = self.notes;
        // A durable session gets its QoS 2 messages through the queue.
        let qos = if self.setup.config.durable { qos_of(qos % 2) } else { qos_of(qos) };
        let note = Token { number, _alive: Rc::clone(&self.alive[1]) };
        if self.session.note(note, qos) == NoteFate::Queued {
            self.notes += 1;
            if qos != QoS::AtMostOnce {
                self.promised.insert(number);
            }
        }
    }

    fn receive(&mut self, count: usize) {
        for _ in 0..=count {
            let Some(what) = self.wire.pop_front() else { return };
            if self.setup.hostile {
                // The client of a hostile input answers only with what the input says.
                continue;
            }
            self.client.receive(what);
        }
    }

    fn send(&mut self, count: usize) {
        for _ in 0..=count {
            if self.session.is_closed() || !self.session.accepts_input() {
                return;
            }
            let Some(packet) = self.client.out.pop_front() else { return };
            self.hand_over(packet);
        }
    }

    fn request(&mut self, subscribe: bool) {
        self.requests_sent = self.requests_sent % 100 + 1;
        let packet_id = PacketId::MIN.saturating_add(99 + self.requests_sent);
        self.client.out.push_back(if subscribe {
            subscribe_to(packet_id, false)
        } else {
            unsubscribe(packet_id)
        });
    }

    fn authenticate(&mut self) {
        let agreed = self.setup.config.authentication_method.is_some();
        // One at a time (MQTT-4.12.1-1).
        if agreed && !std::mem::replace(&mut self.client.authenticating, true) {
            self.client.out.push_back(auth(ReasonCode::ReAuthenticate));
        }
    }

    fn reconnect(&mut self) {
        self.pump();
        let durable = self.setup.config.durable;
        let placeholder = Session::new(self.setup.config.clone(), self.now);
        let parked = std::mem::replace(&mut self.session, placeholder).park();
        self.lose_connection();
        if durable {
            self.session = Session::resume(parked, self.setup.config.clone(), self.now);
            self.client.reconnect();
        } else {
            self.open.clear();
            self.kept.clear();
            self.accepted.clear();
            self.promised.clear();
            self.client.forget();
        }
        self.begin();
    }

    /// Only what was stored is left: the log, cursors as they were saved, released rows, and the client's packet ids.
    fn restart(&mut self) {
        if !self.setup.config.durable || self.setup.exact_everywhere {
            return;
        }
        self.pump();
        self.lose_connection();
        self.cursors = self.saved;
        let from = self.cursors[QUEUE];
        let count = 2 * usize::from(self.setup.config.send_window);
        // The rows of the queue, expired ones too: they may have been sent.
        let rows = (from + 1..=self.head(QUEUE)).take(count).filter_map(|seq| {
            let channel = self.record(QUEUE, seq)?.channels.first()?;
            let qos = self.setup.qos(channel);
            let released = self.durably_released.contains(&seq);
            Some(Recovered { conversation: QUEUE, seq, channel, qos, released })
        });
        let parked = Parked::recovered(self.kept.keys().copied().collect(), rows.collect());
        self.session = Session::resume(parked, self.setup.config.clone(), self.now);
        self.open.retain(|_, open| {
            matches!(open.carried, Carried::Message { conversation: QUEUE, .. })
                && open.qos == QoS::ExactlyOnce
        });
        for open in self.open.values_mut() {
            let Carried::Message { seq, .. } = open.carried else { continue };
            open.unknown = true;
            open.stage =
                if self.durably_released.contains(&seq) { Stage::Released } else { Stage::Published };
        }
        self.accepted = self.kept.keys().copied().collect();
        self.promised.clear();
        self.client.reconnect();
        self.begin();
    }

    fn lose_connection(&mut self) {
        self.closed = false;
        self.tickets.clear();
        self.requests.clear();
        self.completes.clear();
        self.releases.clear();
        self.reads.clear();
        self.restore = None;
        self.authenticating = false;
        self.receipts.clear();
        self.unanswered.clear();
        self.released_early.clear();
        self.last.clear();
        self.wire.clear();
        self.open.values_mut().for_each(|open| open.live = false);
        // With QoS 1 nobody asks for the id again.
        self.open.retain(|_, open| !(open.forgotten && open.qos == QoS::AtLeastOnce));
        self.too_large = false;
    }

    /// A packet of the client reaches the session, and the model beside it.
    fn hand_over(&mut self, packet: Packet) {
        if self.session.is_closed() || !self.session.accepts_input() {
            return;
        }
        if matches!(packet, Packet::Publish(_) | Packet::PubComp(_)) {
            // What they mean depends on what was answered.
            self.pump();
        }
        // What was said since then may have been answered: the model sees that only when it is polled.
        let violated = self.heed(&packet) && std::mem::take(&mut self.polled);
        self.polled = false;
        self.session.handle_packet(packet, self.now);
        assert!(!violated || self.session.is_closed(), "a violation ends the connection");
    }

    /// A packet to the client needs nothing more.
    pub(super) fn settle(&mut self, packet_id: PacketId) {
        if let Some(Open { carried: Carried::Note(number), .. }) = self.open.remove(&packet_id) {
            self.promised.remove(&number);
        }
        self.receipts.retain(|id| *id != packet_id);
    }

    /// What the model knows of a packet of the client. Returns whether it must end the connection. Of packets of an
    /// earlier connection that is not known: the session may have given them up without a word.
    fn heed(&mut self, packet: &Packet) -> bool {
        match packet {
            Packet::Publish(publish) => {
                if let Some(id) = publish.packet_id
                    && !self.unanswered.contains(&(id, publish.qos))
                {
                    self.unanswered.push_back((id, publish.qos));
                }
                false
            }
            Packet::PubAck(ack) => match self.open.get(&ack.packet_id) {
                Some(open) if open.qos == QoS::ExactlyOnce => open.live,
                _ => {
                    self.settle(ack.packet_id);
                    false
                }
            },
            Packet::PubRec(ack) => match self.open.get_mut(&ack.packet_id) {
                Some(open) if open.qos != QoS::ExactlyOnce => open.live,
                Some(_) if ack.reason.is_error() => {
                    self.settle(ack.packet_id);
                    false
                }
                Some(open) => {
                    if open.stage == Stage::Published {
                        open.stage = Stage::Received;
                        self.receipts.push_back(ack.packet_id);
                    }
                    false
                }
                None => false,
            },
            Packet::PubRel(ack) => {
                self.accepted.remove(&ack.packet_id);
                if self.unanswered.contains(&(ack.packet_id, QoS::ExactlyOnce)) {
                    self.released_early.insert(ack.packet_id);
                }
                false
            }
            Packet::PubComp(ack) => match self.open.get(&ack.packet_id) {
                Some(open) if open.stage == Stage::Released => {
                    self.settle(ack.packet_id);
                    false
                }
                Some(open) => open.live,
                None => false,
            },
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => true,
            _ => false,
        }
    }

    /// A good client comes back and everything is answered: then nobody lacks anything, and nothing is held.
    pub(super) fn end(mut self) {
        if self.setup.hostile {
            return;
        }
        for _ in 0..ROUNDS_MAX {
            if self.session.is_closed() {
                self.reconnect();
            }
            self.client.out.push_back(Packet::PingReq);
            self.send(usize::MAX - 1);
            self.pump();
            self.answer_all();
            self.receive(usize::MAX - 1);
            self.now = self.now + 250;
            self.session.handle_timeout(self.now);
            self.pump();
            if self.is_settled() {
                break;
            }
        }
        self.check_complete();
    }

    fn answer_all(&mut self) {
        while !self.tickets.is_empty() {
            self.publish_done(0, false);
        }
        while !self.requests.is_empty() {
            self.request_done(0);
        }
        while !self.completes.is_empty() {
            self.complete(0);
        }
        while !self.releases.is_empty() {
            self.release(0);
        }
        while !self.reads.is_empty() {
            self.page(0, usize::MAX - 1, false);
        }
        self.authenticated(false);
        self.restored(0);
        if std::mem::take(&mut self.resync) {
            self.track_all();
        }
    }

    fn is_settled(&self) -> bool {
        let caught_up = (0..CONVERSATIONS).all(|it| self.cursors[it] == self.head(it));
        caught_up
            && self.client.sent.is_empty()
            && self.client.out.is_empty()
            && self.wire.is_empty()
            && self.open.is_empty()
            && self.promised.is_empty()
            && !self.session.is_closed()
    }

    fn check_complete(&mut self) {
        assert!(self.client.sent.is_empty(), "publishes without an answer: {:?}", self.client.sent.keys());
        assert!(self.promised.is_empty(), "notes {:?} were promised", self.promised);
        for (number, count) in &self.stored {
            let exact = self.client.exact.contains(number);
            assert!(!exact || *count == 1, "publish {number} was stored {count} times (MQTT-4.3.3)");
        }
        for number in self.client.settled.difference(&self.refused) {
            assert!(self.stored.contains_key(number), "publish {number} was acknowledged and not stored");
        }
        for conversation in 0..CONVERSATIONS {
            assert_eq!(self.cursors[conversation], self.head(conversation), "the cursor of {conversation}");
            for seq in self.setup.bases[conversation] + 1..=self.head(conversation) {
                self.check_delivered(conversation, seq);
            }
        }
        self.session.forget_idle();
        assert_eq!((self.session.tracked(), self.session.in_flight()), (0, 0), "nothing is held at the end");
        assert!(self.open.is_empty(), "not settled: {:?}", self.open);
        let held = self.alive.each_ref().map(|alive| Rc::strong_count(alive) - 1);
        assert_eq!(held, [0, 0], "messages and notes that the session holds");
    }

    fn check_delivered(&self, conversation: usize, seq: u64) {
        let record = self.record(conversation, seq).expect("it is in the log");
        for channel in (0..Channels::COUNT).filter(|channel| record.channels.contains(*channel)) {
            let carried = Carried::Message { conversation, seq, channel };
            let got = self.client.got.get(&carried).copied().unwrap_or(0);
            let qos = self.setup.qos(channel);
            assert!(
                qos != QoS::ExactlyOnce || got <= 1 || self.given_up.contains(&carried),
                "{carried:?} came {got} times (MQTT-4.3.3)"
            );
            let owed = qos != QoS::AtMostOnce && !record.expired && !self.given_up.contains(&carried);
            assert!(!owed || got >= 1, "{carried:?} never came");
        }
    }
}

fn take_of<T>(list: &mut Vec<T>, which: usize) -> Option<T> {
    if list.is_empty() { None } else { Some(list.remove(which % list.len())) }
}

fn qos_of(byte: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(byte % 3)]
}

fn subscribe_to(packet_id: PacketId, no_local_share: bool) -> Packet {
    let filter = if no_local_share { "$share/g/app/#" } else { "app/#" };
    Packet::Subscribe(Subscribe {
        packet_id,
        filters: vec![SubscribeFilter {
            filter: filter.parse().expect("a filter"),
            qos: QoS::AtLeastOnce,
            no_local: no_local_share,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }],
        subscription_id: None,
        user_properties: Vec::new(),
    })
}

fn unsubscribe(packet_id: PacketId) -> Packet {
    let filters = vec!["app/#".parse().expect("a filter")];
    Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: Vec::new() })
}

fn auth(reason: ReasonCode) -> Packet {
    let method = Some(Bytes::from_static(METHOD));
    Packet::Auth(Auth { reason, method, data: None, reason_string: None, user_properties: Vec::new() })
}

/// Anything; the ids are those in use, or near the ends of their ranges.
fn raw(kind: u8, id: u8, flags: u8, open: &HashMap<PacketId, Open>) -> Packet {
    let mut in_use: Vec<PacketId> = open.keys().copied().collect();
    in_use.sort_unstable();
    let ends = [1, 2, 3, 4, 32_767, 32_768, 32_769, 65_535];
    let packet_id = if flags & 0x80 != 0 && !in_use.is_empty() {
        in_use[usize::from(id) % in_use.len()]
    } else {
        PacketId::new(ends[usize::from(id) % ends.len()]).unwrap_or(PacketId::MIN)
    };
    let reason = if flags & 0x40 != 0 { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
    let ack = Ack { reason, ..Ack::success(packet_id) };
    match kind % 16 {
        0..=3 => raw_publish(packet_id, flags),
        4 => Packet::PubAck(ack),
        5 | 6 => Packet::PubRec(ack),
        7 | 8 => Packet::PubRel(ack),
        9 | 10 => Packet::PubComp(ack),
        11 => subscribe_to(packet_id, flags & 1 != 0),
        12 => unsubscribe(packet_id),
        13 => {
            auth(if flags & 1 == 0 { ReasonCode::ReAuthenticate } else { ReasonCode::ContinueAuthentication })
        }
        14 if flags & 1 == 0 => Packet::PingReq,
        14 => {
            let expiry = (flags & 2 != 0).then_some(u32::from(flags));
            let reason = if flags & 4 == 0 { ReasonCode::Success } else { ReasonCode::DisconnectWithWill };
            Packet::Disconnect(Disconnect { session_expiry_s: expiry, ..Disconnect::with(reason) })
        }
        _ => match flags % 3 {
            0 => Packet::PingResp,
            1 => Packet::PubAck(ack),
            _ => Packet::SubAck(SubAck {
                packet_id,
                codes: Vec::new(),
                reason_string: None,
                user_properties: Vec::new(),
            }),
        },
    }
}

fn raw_publish(packet_id: PacketId, flags: u8) -> Packet {
    let qos = qos_of(flags & 3);
    let properties = PublishProperties {
        payload_is_utf8: (flags & 32 != 0).then_some(true),
        topic_alias: (flags & 8 != 0).then_some(u16::from(flags >> 4 & 3)),
        subscription_ids: if flags & 0x3F == 0x3F { vec![1] } else { Vec::new() },
        ..PublishProperties::default()
    };
    Packet::Publish(Publish {
        dup: flags & 4 != 0,
        qos,
        retain: false,
        topic: (flags & 0x18 != 0x08).then(|| super::client::topic_of(u64::from(flags))),
        // A packet that the decoder would not make: the session must not trust it.
        packet_id: (qos != QoS::AtMostOnce || flags & 0x7F == 0x74).then_some(packet_id),
        properties,
        payload: Bytes::from(vec![flags; usize::from(flags & 3)]),
    })
}
