//! The server around a session: its log, its store, and the questions it has to answer.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use parlance_engine::{
    Channels, Entry, Millis, NoteFate, Parked, PublishOutcome, Recovered, Session, Ticket,
};
use parlance_mqtt::{Disconnect, Packet, PacketId, QoS, ReasonCode};

use super::Step;
use super::client::{Carried, Client, ToClient};
use super::raw::{auth, qos_of, raw, subscribe_to, unsubscribe};
use super::setup::{CONVERSATIONS, Chat, QUEUE, Setup, Token};

/// A message of the log.
pub(super) struct Record {
    pub(super) channels: Channels,
    pub(super) expired: bool,
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
    pub(super) now: Millis,
    pub(super) session: Session<Chat>,
    /// Close came out.
    pub(super) closed: bool,
    /// Nothing was said since the last poll round.
    pub(super) polled: bool,
    pub(super) alive: [Rc<()>; 2],
    pub(super) log: [Vec<Record>; CONVERSATIONS],
    pub(super) cursors: [u64; CONVERSATIONS],
    pub(super) saved: [u64; CONVERSATIONS],
    /// Of the queue: what the client has, durably.
    pub(super) durably_released: HashSet<u64>,
    /// Of the queue: up to here messages may have been sent by a process that is gone.
    maybe_sent: u64,
    /// QoS 2 packet ids of the client that are stored, with the number of the publish.
    pub(super) kept: BTreeMap<PacketId, Option<u64>>,
    /// How often each publish of the client was stored.
    pub(super) stored: HashMap<u64, u32>,
    /// Publishes that were refused.
    pub(super) refused: HashSet<u64>,

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
    pub(super) notes: u64,
    pub(super) promised: HashSet<u64>,
    pub(super) requests_sent: u16,
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
            maybe_sent: 0,
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

    pub(super) fn track_all(&mut self) {
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

    pub(super) fn publish_done(&mut self, which: usize, refused: bool) {
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

    pub(super) fn request_done(&mut self, which: usize) {
        let Some((packet_id, subscribe)) = take_of(&mut self.requests, which) else { return };
        if subscribe {
            self.session.subscribe_done(packet_id, vec![ReasonCode::GrantedQoS1], None);
        } else {
            self.session.unsubscribe_done(packet_id, vec![ReasonCode::Success], None);
        }
    }

    pub(super) fn complete(&mut self, which: usize) {
        let Some(packet_id) = take_of(&mut self.completes, which) else { return };
        self.kept.remove(&packet_id);
        self.session.completed(packet_id);
    }

    pub(super) fn release(&mut self, which: usize) {
        let Some((packet_id, conversation, seq)) = take_of(&mut self.releases, which) else { return };
        if conversation == QUEUE {
            self.durably_released.insert(seq);
        }
        self.session.released(packet_id);
    }

    pub(super) fn authenticated(&mut self, fails: bool) {
        if std::mem::take(&mut self.authenticating) {
            let fails = fails && self.setup.hostile;
            let outcome = if fails { Err((ReasonCode::NotAuthorized, None)) } else { Ok(None) };
            self.session.authenticated(outcome);
        }
    }

    pub(super) fn page(&mut self, which: usize, cut: usize, fails: bool) {
        let Some((conversation, after, limit)) = take_of(&mut self.reads, which) else { return };
        let head = self.head(conversation);
        let entries: Vec<_> = (after + 1..=head)
            .filter_map(|seq| {
                let record = self.record(conversation, seq)?;
                // What was sent does not expire (MQTT-4.3.3-7), nor what may have been.
                let sent = conversation == QUEUE
                    && seq <= self.maybe_sent
                    && record.channels.first().is_some_and(|it| self.setup.qos(it) == QoS::ExactlyOnce);
                if record.expired && !sent {
                    return None;
                }
                Some(Entry { seq, message: self.message(seq), channels: record.channels })
            })
            .take(if fails { 0 } else { limit.min(1 + cut) })
            .collect();
        self.session.page(conversation, after, entries, if fails { after } else { head });
    }

    pub(super) fn restored(&mut self, without: u8) {
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

    pub(super) fn receive(&mut self, count: usize) {
        for _ in 0..=count {
            let Some(what) = self.wire.pop_front() else { return };
            if self.setup.hostile {
                // The client of a hostile input answers only with what the input says.
                continue;
            }
            self.client.receive(what);
        }
    }

    pub(super) fn send(&mut self, count: usize) {
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

    pub(super) fn reconnect(&mut self) {
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
        let (from, head) = (self.cursors[QUEUE], self.head(QUEUE));
        let window = 2 * u64::from(self.setup.config.send_window);
        let released = self.durably_released.iter().max().copied().unwrap_or(0);
        // The rows of the queue, expired ones too: they may have been sent.
        let rows = (from + 1..=head.min(released.max(from + window))).filter_map(|seq| {
            let channel = self.record(QUEUE, seq)?.channels.first()?;
            let qos = self.setup.qos(channel);
            let released = self.durably_released.contains(&seq);
            Some(Recovered { conversation: QUEUE, seq, channel, qos, released })
        });
        let parked = Parked::recovered(self.kept.keys().copied().collect(), rows.collect());
        // The cursors were saved at any time before, so that the rows may not be all.
        let parked = parked.maybe_sent(QUEUE, head);
        self.maybe_sent = head;
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
}

fn take_of<T>(list: &mut Vec<T>, which: usize) -> Option<T> {
    if list.is_empty() { None } else { Some(list.remove(which % list.len())) }
}
