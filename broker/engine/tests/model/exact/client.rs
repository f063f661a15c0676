//! A client that keeps to the specification and never loses its session.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use parlance_mqtt::{Ack, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode, TopicName};

/// Publishes that are open at once; the server's Receive Maximum is the same.
pub(super) const OPEN_MAX: u16 = 3;
/// Ids are few, so that they come again soon.
const IDS: u16 = 5;

/// What the server says, as the client sees it.
#[expect(clippy::large_enum_variant, reason = "there are few at once")]
pub(super) enum Said {
    /// A message: its position.
    Message {
        seq: u64,
        qos: QoS,
        packet_id: PacketId,
    },
    Packet(Packet),
}

/// A publish of the client that is not done with.
struct Open {
    packet_id: PacketId,
    number: u32,
    qos: QoS,
    /// PUBREC came.
    released: bool,
}

pub(super) struct Client {
    v5: bool,
    open: Vec<Open>,
    last_id: u16,
    pub(super) published: Vec<(u32, QoS)>,
    /// Ids of QoS 2 messages that the server has not released.
    held: BTreeSet<PacketId>,
    /// What the application got.
    pub(super) got_once: Vec<u64>,
    pub(super) got: BTreeSet<u64>,
    /// Acknowledgements that the client owes on this connection.
    owed: VecDeque<Packet>,
    /// PUBRECs of this connection without PUBREL, in order.
    pubrecs: VecDeque<PacketId>,
    pub(super) wire: VecDeque<Packet>,
}

/// What the server refuses of the client, and the client of the server.
pub(super) fn is_refused(number: u64) -> bool {
    number % 11 == 7
}

pub(super) fn number_of(payload: &Bytes) -> u32 {
    u32::from_be_bytes(payload[..].try_into().expect("the client sends numbers"))
}

impl Client {
    pub(super) fn new(v5: bool) -> Self {
        Self {
            v5,
            open: Vec::new(),
            last_id: 0,
            published: Vec::new(),
            held: BTreeSet::new(),
            got_once: Vec::new(),
            got: BTreeSet::new(),
            owed: VecDeque::new(),
            pubrecs: VecDeque::new(),
            wire: VecDeque::new(),
        }
    }

    pub(super) fn publish(&mut self, qos: QoS, connected: bool) {
        if self.open.len() >= usize::from(OPEN_MAX) {
            return;
        }
        let packet_id = loop {
            self.last_id = self.last_id % IDS + 1;
            let candidate = PacketId::new(self.last_id).expect("it is 1 or more");
            if self.open.iter().all(|open| open.packet_id != candidate) {
                break candidate;
            }
        };
        let number = self.published.len() as u32;
        self.published.push((number, qos));
        self.open.push(Open { packet_id, number, qos, released: false });
        if connected {
            self.wire.push_back(packet(self.open.last().expect("it was pushed"), false));
        }
    }

    /// MQTT-4.4.0-1.
    pub(super) fn connected(&mut self) {
        self.lost();
        self.wire.extend(self.open.iter().map(|open| packet(open, true)));
    }

    pub(super) fn lost(&mut self) {
        self.wire.clear();
        self.owed.clear();
        self.pubrecs.clear();
    }

    pub(super) fn hear(&mut self, said: Said) {
        match said {
            Said::Message { seq, qos: QoS::ExactlyOnce, packet_id } => self.hear_once(seq, packet_id),
            Said::Message { seq, packet_id, .. } => {
                self.got.insert(seq);
                self.owed.push_back(Packet::PubAck(Ack::success(packet_id)));
            }
            Said::Packet(Packet::PubAck(ack)) => self.done(ack.packet_id, QoS::AtLeastOnce),
            Said::Packet(Packet::PubRec(ack)) if ack.reason.is_error() => {
                assert!(self.v5, "3.1.1 has no refusal");
                self.done(ack.packet_id, QoS::ExactlyOnce);
            }
            Said::Packet(Packet::PubRec(ack)) => {
                let open = self.open.iter_mut().find(|open| open.packet_id == ack.packet_id);
                let open = open.expect("a PUBREC is for an open publish");
                assert_eq!(open.qos, QoS::ExactlyOnce);
                open.released = true;
                self.wire.push_back(Packet::PubRel(Ack::success(ack.packet_id)));
            }
            Said::Packet(Packet::PubRel(ack)) => self.release(ack.packet_id),
            Said::Packet(Packet::PubComp(ack)) => {
                let open = self.open.iter().find(|open| open.packet_id == ack.packet_id);
                assert!(open.is_none_or(|open| open.released), "PUBCOMP before PUBREL");
                self.done(ack.packet_id, QoS::ExactlyOnce);
            }
            Said::Packet(other) => panic!("nobody asked for {other:?}"),
        }
    }

    /// The application gets a QoS 2 message when its PUBLISH comes first (method A of MQTT-4.3.3).
    fn hear_once(&mut self, seq: u64, packet_id: PacketId) {
        if self.v5 && is_refused(seq) {
            let refused = Ack { reason: ReasonCode::QuotaExceeded, ..Ack::success(packet_id) };
            return self.owed.push_back(Packet::PubRec(refused));
        }
        if self.held.insert(packet_id) {
            assert!(self.got_once.last().is_none_or(|last| *last < seq), "{seq} after {:?}", self.got_once);
            self.got_once.push(seq);
        }
        self.owed.push_back(Packet::PubRec(Ack::success(packet_id)));
    }

    fn release(&mut self, packet_id: PacketId) {
        if self.pubrecs.contains(&packet_id) {
            assert_eq!(self.pubrecs.front(), Some(&packet_id), "MQTT-4.6.0-4: {:?}", self.pubrecs);
            self.pubrecs.pop_front();
        }
        let mut done = Ack::success(packet_id);
        if !self.held.remove(&packet_id) && self.v5 {
            done.reason = ReasonCode::PacketIdentifierNotFound;
        }
        self.owed.push_back(Packet::PubComp(done));
    }

    fn done(&mut self, packet_id: PacketId, qos: QoS) {
        let index = self.open.iter().position(|open| open.packet_id == packet_id && open.qos == qos);
        self.open.remove(index.expect("an acknowledgement is for an open publish"));
    }

    /// Sends one of the acknowledgements that are owed.
    pub(super) fn acknowledge(&mut self, which: usize) {
        let index = which.min(self.owed.len().saturating_sub(1));
        let Some(packet) = self.owed.remove(index) else { return };
        if let Packet::PubRec(ack) = &packet
            && !ack.reason.is_error()
            && !self.pubrecs.contains(&ack.packet_id)
        {
            self.pubrecs.push_back(ack.packet_id);
        }
        self.wire.push_back(packet);
    }

    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.owed.is_empty() && self.wire.is_empty() && self.held.is_empty()
    }

    pub(super) fn left_over(&self) -> String {
        let open = self.open.iter().map(|open| open.number).collect::<Vec<_>>();
        format!("open {open:?} held {:?} owed {:?}", self.held, self.owed)
    }
}

fn packet(open: &Open, dup: bool) -> Packet {
    if open.released {
        return Packet::PubRel(Ack::success(open.packet_id));
    }
    Packet::Publish(Publish {
        dup,
        qos: open.qos,
        retain: false,
        topic: Some(TopicName::new("app/x".to_owned()).expect("it is one")),
        packet_id: Some(open.packet_id),
        properties: PublishProperties::default(),
        payload: Bytes::copy_from_slice(&open.number.to_be_bytes()),
    })
}
