//! A server that stores what the engine asks it to, and checks what the engine sends.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use parlance_engine::{
    Channels, Domain, Entry, Millis, Output, POSITIONS_PER_ID, Parked, PublishOutcome, Recovered, Session,
    SessionConfig, Ticket,
};
use parlance_mqtt::{Packet, PacketId, Publish, QoS, ReasonCode, Version};

use super::Step;
use super::client::{Client, OPEN_MAX, Said, is_refused, number_of};

pub(super) struct Queue;

impl Domain for Queue {
    type Conversation = ();
    type User = ();
    /// Its position.
    type Message = u64;
    type Note = ();
}

const ONCE: u8 = 4;
const PLAIN: u8 = 3;

/// What is stored for the client.
#[derive(Clone, Copy)]
struct Row {
    exact: bool,
    released: bool,
}

/// What the storage is asked to do, in order, and by which connection.
#[expect(clippy::large_enum_variant, reason = "there are few at once")]
enum Task {
    Publish { connection: u32, ticket: Ticket, publish: Publish },
    Release { connection: u32, seq: u64, packet_id: PacketId },
    Complete { connection: u32, packet_id: PacketId },
}

struct Link {
    session: Session<Queue>,
    wire: VecDeque<Said>,
    read: Option<(u64, usize)>,
    restore: Option<Vec<u64>>,
    /// Packets of this connection that are not settled.
    in_flight: BTreeSet<PacketId>,
}

pub(super) struct Server {
    config: SessionConfig,
    client: Client,
    now: Millis,
    // Stored:
    rows: BTreeMap<u64, Row>,
    received: BTreeSet<PacketId>,
    stored_once: Vec<u32>,
    stored: BTreeSet<u32>,
    saved: u64,
    // In memory:
    cursor: u64,
    parked: Option<Parked<Queue>>,
    link: Option<Link>,
    tasks: VecDeque<Task>,
    // What the model remembers:
    connection: u32,
    head: u64,
    enqueued: Vec<(u64, bool)>,
    /// Packet ids of messages that are not settled.
    given: HashMap<PacketId, u64>,
    /// Messages whose PUBREL was sent.
    pubrel_sent: BTreeSet<u64>,
    seen: BTreeSet<&'static str>,
}

impl Server {
    pub(super) fn new(v5: bool, send_window: u16) -> Self {
        let config = SessionConfig {
            version: if v5 { Version::V5 } else { Version::V3 },
            send_window,
            client_packet_max: None,
            receive_maximum: OPEN_MAX,
            keep_alive_ms: 0,
            session_expiry_s: 100,
            session_expiry_s_max: 100,
            durable: true,
            topic_alias_maximum: 0,
            client_topic_alias_maximum: 0,
            authentication_method: None,
            problem_information: true,
            ready_messages_max: 4,
            ready_bytes_max: SessionConfig::READY_BYTES_MAX,
            notes_max: 1,
            page_messages_max: 3,
            reads_in_flight_max: 1,
        };
        Self {
            config,
            client: Client::new(v5),
            now: Millis(1),
            rows: BTreeMap::new(),
            received: BTreeSet::new(),
            stored_once: Vec::new(),
            stored: BTreeSet::new(),
            saved: 0,
            cursor: 0,
            parked: None,
            link: None,
            tasks: VecDeque::new(),
            connection: 0,
            head: 0,
            enqueued: Vec::new(),
            given: HashMap::new(),
            pubrel_sent: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Which effects of QoS 2 came out.
    pub(super) fn seen(&self) -> Vec<&'static str> {
        self.seen.iter().copied().collect()
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Publish { exact } => self.client.publish(qos_of(exact), self.link.is_some()),
            Step::Enqueue { exact, gap } => self.enqueue(exact, gap),
            Step::Connect => self.connect(),
            Step::Break => self.lose_connection(),
            Step::Evict => self.parked = None,
            Step::Crash => self.crash(),
            Step::SaveCursor => {
                self.saved = self.cursor;
                self.rows.retain(|seq, _| *seq > self.cursor);
            }
            Step::Commit { count } => self.commit(count),
            Step::ToClient { count } => self.reach_client(count),
            Step::ToServer { count } => self.reach_server(count),
            Step::Acknowledge { which } => self.client.acknowledge(which),
            Step::AnswerRead { limit, fails } => self.answer_read(limit, fails),
            Step::AnswerRestore => self.answer_restore(),
        }
        self.pump();
    }

    // ---- storage

    fn enqueue(&mut self, exact: bool, gap: u64) {
        self.head += gap;
        // No two messages that are stored at once share a packet id (`POSITIONS_PER_ID`).
        while self.rows.keys().any(|seq| (self.head - seq).is_multiple_of(POSITIONS_PER_ID)) {
            self.head += 1;
        }
        let seq = self.head;
        self.rows.insert(seq, Row { exact, released: false });
        self.enqueued.push((seq, exact));
        if let Some(link) = &mut self.link
            && !link.session.announce((), seq, seq, channels(exact))
        {
            link.session.track((), self.cursor, seq);
        }
    }

    fn commit(&mut self, count: usize) {
        for _ in 0..count {
            let Some(task) = self.tasks.pop_front() else { return };
            let connection = self.connection;
            let session = self.link.as_mut().map(|link| &mut link.session);
            match task {
                Task::Publish { connection: of, ticket, publish } => {
                    let outcome =
                        store(&publish, &mut self.received, &mut self.stored_once, &mut self.stored);
                    if let Some(session) = session.filter(|_| of == connection) {
                        session.publish_done(ticket, PublishOutcome::with(outcome));
                    }
                }
                Task::Release { connection: of, seq, packet_id } => {
                    if let Some(row) = self.rows.get_mut(&seq) {
                        row.released = true;
                    }
                    if let Some(session) = session.filter(|_| of == connection) {
                        session.released(packet_id);
                    }
                }
                Task::Complete { connection: of, packet_id } => {
                    self.received.remove(&packet_id);
                    if let Some(session) = session.filter(|_| of == connection) {
                        session.completed(packet_id);
                    }
                }
            }
            self.pump();
        }
    }

    fn answer_read(&mut self, limit: usize, fails: bool) {
        let Some((link, (after, max))) = self.link.as_mut().and_then(|link| {
            let read = link.read.take()?;
            Some((link, read))
        }) else {
            return;
        };
        if fails {
            return link.session.page((), after, Vec::new(), after);
        }
        let page = self.rows.range(after + 1..).take(limit.min(max));
        let entries = page.map(|(seq, row)| {
            assert!(!row.released, "{seq} was sent: it is recovered, not read");
            Entry { seq: *seq, message: *seq, channels: channels(row.exact) }
        });
        let entries = entries.collect();
        link.session.page((), after, entries, self.head);
    }

    fn answer_restore(&mut self) {
        if let Some(link) = &mut self.link
            && let Some(wanted) = link.restore.take()
        {
            link.session.restored(wanted.into_iter().map(Some).collect());
        }
    }

    // ---- connections

    fn connect(&mut self) {
        self.lose_connection();
        self.connection += 1;
        let parked = match self.parked.take() {
            Some(parked) => parked,
            None => {
                // Ids in turn are not stored.
                self.given.retain(|packet_id, _| packet_id.get() >= 32_768);
                self.recovered()
            }
        };
        let mut session = Session::resume(parked, self.config.clone(), self.now);
        session.set_channel_qos(ONCE, QoS::ExactlyOnce);
        session.set_channel_qos(PLAIN, QoS::AtLeastOnce);
        session.track((), self.cursor, self.head);
        let (wire, in_flight) = (VecDeque::new(), BTreeSet::new());
        self.link = Some(Link { session, wire, read: None, restore: None, in_flight });
        self.client.connected();
    }

    fn recovered(&self) -> Parked<Queue> {
        let owed: Vec<_> = self.rows.range(self.cursor + 1..).collect();
        let released = owed.iter().rposition(|(_, row)| row.released).map_or(0, |last| last + 1);
        let count = released.max(2 * usize::from(self.config.send_window));
        let packets = owed.into_iter().take(count).map(|(&seq, row)| Recovered {
            conversation: (),
            seq,
            channel: if row.exact { ONCE } else { PLAIN },
            qos: qos_of(row.exact),
            released: row.released,
        });
        let received = self.received.iter().copied().collect();
        // When the server went nobody wrote down how far it was.
        Parked::recovered(received, packets.collect()).maybe_sent((), self.head)
    }

    fn lose_connection(&mut self) {
        if let Some(link) = self.link.take() {
            self.parked = Some(link.session.park());
            self.client.lost();
        }
    }

    fn crash(&mut self) {
        self.lose_connection();
        self.parked = None;
        self.tasks.clear();
        self.cursor = self.saved;
    }

    fn reach_client(&mut self, count: usize) {
        for _ in 0..count {
            let Some(said) = self.link.as_mut().and_then(|link| link.wire.pop_front()) else { return };
            self.client.hear(said);
        }
    }

    fn reach_server(&mut self, count: usize) {
        for _ in 0..count {
            let Some(link) = self.link.as_mut().filter(|link| link.session.accepts_input()) else { return };
            let Some(packet) = self.client.wire.pop_front() else { return };
            let settled = match &packet {
                Packet::PubAck(ack) | Packet::PubComp(ack) => Some(ack.packet_id),
                Packet::PubRec(ack) if ack.reason.is_error() => Some(ack.packet_id),
                _ => None,
            };
            if let Some(packet_id) = settled {
                link.in_flight.remove(&packet_id);
                self.given.remove(&packet_id);
            }
            link.session.handle_packet(packet, self.now);
            assert!(!link.session.is_closed(), "{:?}", link.session.close_reason());
            self.pump();
        }
    }

    // ---- what the engine wants

    fn pump(&mut self) {
        while let Some(output) = self.link.as_mut().and_then(|link| link.session.poll_output()) {
            let connection = self.connection;
            match output {
                Output::Deliver { seq, qos, packet_id, dup, .. } => {
                    self.seen.insert("Deliver");
                    self.write(seq, qos, packet_id.expect("both channels are acknowledged"), dup);
                }
                Output::Send(packet) => self.send(packet),
                Output::Publish { ticket, publish } => {
                    self.seen.insert("Publish");
                    self.tasks.push_back(Task::Publish { connection, ticket, publish });
                }
                Output::Release { seq, packet_id, .. } => {
                    self.seen.insert("Release");
                    self.tasks.push_back(Task::Release { connection, seq, packet_id });
                }
                Output::Complete { packet_id } => {
                    self.seen.insert("Complete");
                    self.tasks.push_back(Task::Complete { connection, packet_id });
                }
                Output::ReadLog { after, limit, .. } => {
                    let link = self.link.as_mut().expect("it is connected");
                    assert!(link.read.replace((after, limit)).is_none());
                }
                Output::Restore(wanted) => {
                    let link = self.link.as_mut().expect("it is connected");
                    let wanted = wanted.into_iter().map(|((), seq)| seq).collect();
                    assert!(link.restore.replace(wanted).is_none());
                }
                Output::Delivered { seq, .. } => {
                    assert!(seq > self.cursor);
                    self.cursor = seq;
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    fn write(&mut self, seq: u64, qos: QoS, packet_id: PacketId, dup: bool) {
        let row = self.rows.get(&seq).expect("what is sent is stored");
        assert_eq!(qos, qos_of(row.exact));
        assert!(!self.pubrel_sent.contains(&seq), "MQTT-4.3.3-6: {seq} after its PUBREL");
        if let Some(before) = self.given.insert(packet_id, seq) {
            assert!(before == seq, "MQTT-2.2.1-4: {packet_id} for {seq} while {before} has it");
            assert!(dup, "MQTT-3.3.1-1: {seq} again without DUP");
        }
        let link = self.link.as_mut().expect("it is connected");
        assert!(link.in_flight.insert(packet_id), "{packet_id} twice on one connection");
        assert!(link.in_flight.len() <= usize::from(self.config.send_window), "MQTT-3.3.4-7");
        link.wire.push_back(Said::Message { seq, qos, packet_id });
    }

    fn send(&mut self, packet: Packet) {
        if let Packet::PubRel(ack) = &packet {
            assert_eq!(ack.reason, ReasonCode::Success, "every PUBREC is for a packet in flight");
            // After a crash it may be of a message that is settled, or was not known to be sent.
            if let Some(given) = self.given.get(&ack.packet_id) {
                let row = self.rows.get(given).expect("what is in flight is stored");
                assert!(row.released, "PUBREL of {given} before the storage knows");
                self.pubrel_sent.insert(*given);
            }
        }
        self.link.as_mut().expect("it is connected").wire.push_back(Said::Packet(packet));
    }

    /// Everybody goes on until there is nothing to do: nothing may lack, come twice, or be left over.
    pub(super) fn settle(&mut self) {
        if self.link.is_none() {
            self.connect();
        }
        for _ in 0..2_000 {
            self.pump();
            self.answer_restore();
            self.answer_read(3, false);
            self.commit(usize::MAX);
            self.reach_client(usize::MAX);
            while self.client.owes() {
                self.client.acknowledge(0);
            }
            self.reach_server(usize::MAX);
            if self.is_settled() {
                break;
            }
            self.now = self.now + 250;
            if let Some(link) = &mut self.link {
                link.session.handle_timeout(self.now);
            }
        }
        self.check();
    }

    fn is_settled(&self) -> bool {
        let last = self.rows.keys().next_back().copied().unwrap_or(0);
        self.client.is_idle() && self.tasks.is_empty() && self.cursor >= last && self.received.is_empty()
    }

    fn check(&mut self) {
        let v5 = self.config.version == Version::V5;
        let enqueued = |exact: bool| {
            let of_it = self.enqueued.iter().filter(move |(_, it)| *it == exact).map(|(seq, _)| *seq);
            of_it.filter(move |seq| !(exact && v5 && is_refused(*seq)))
        };
        assert!(enqueued(true).eq(self.client.got_once.iter().copied()), "out: {:?}", self.client.got_once);
        assert!(enqueued(false).all(|seq| self.client.got.contains(&seq)), "out: {:?}", self.client.got);
        let published = |qos: QoS| {
            let of_it =
                self.client.published.iter().filter(move |(_, it)| *it == qos).map(|(number, _)| *number);
            of_it.filter(|number| !is_refused(u64::from(*number)))
        };
        assert!(
            published(QoS::ExactlyOnce).eq(self.stored_once.iter().copied()),
            "in: {:?}",
            self.stored_once
        );
        assert!(
            published(QoS::AtLeastOnce).all(|number| self.stored.contains(&number)),
            "in: {:?}",
            self.stored
        );
        assert!(self.client.is_idle(), "{}", self.client.left_over());
        assert!(self.received.is_empty(), "{:?}", self.received);
        let link = self.link.take().expect("it is connected");
        assert_eq!(link.session.in_flight(), 0);
        assert!(link.session.park().is_empty(), "nothing is left");
    }
}

/// What the storage makes of a publish. A QoS 2 packet id that it knows is a message that it has.
fn store(
    publish: &Publish,
    received: &mut BTreeSet<PacketId>,
    stored_once: &mut Vec<u32>,
    stored: &mut BTreeSet<u32>,
) -> ReasonCode {
    let number = number_of(&publish.payload);
    let packet_id = publish.packet_id.expect("the client publishes with QoS 1 and 2");
    if publish.qos == QoS::ExactlyOnce && received.contains(&packet_id) {
        return ReasonCode::Success;
    }
    if is_refused(u64::from(number)) {
        return ReasonCode::NotAuthorized;
    }
    if publish.qos == QoS::ExactlyOnce {
        received.insert(packet_id);
        stored_once.push(number);
    } else {
        stored.insert(number);
    }
    ReasonCode::Success
}

fn qos_of(exact: bool) -> QoS {
    if exact { QoS::ExactlyOnce } else { QoS::AtLeastOnce }
}

fn channels(exact: bool) -> Channels {
    Channels::one(if exact { ONCE } else { PLAIN })
}
