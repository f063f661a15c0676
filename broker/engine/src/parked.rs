//! A session between two connections.

use std::collections::{HashMap, VecDeque};

use parlance_mqtt::{PacketId, QoS};

use crate::Domain;
use crate::inflight::{Inflight, MaybeSent, Stage};
use crate::lazy::Lazy;

/// What is left of a session when its connection is gone: what was sent and is not settled, which QoS 2 publishes
/// the client has not released, and the next packet id. Messages are kept as positions (they are read again),
/// notes as they are. Small and without spare capacity: millions may be parked.
pub struct Parked<D: Domain> {
    /// The next packet id that is given in turn.
    pub(crate) next: PacketId,
    /// Acknowledged packets sent in the life of the session.
    pub(crate) sent: u32,
    /// In the order in which they are owed.
    pub(crate) in_flight: Box<[ParkedPacket<D>]>,
    /// Notes with QoS 1 or 2 that were not sent yet.
    pub(crate) notes: Box<[(D::Note, QoS)]>,
    /// What only QoS 2 needs.
    pub(crate) exact: Lazy<ParkedExact<D::Conversation>>,
}

/// What is kept of QoS 2 beside packets in flight.
pub(crate) struct ParkedExact<C> {
    /// QoS 2 publishes of the client that it has not released.
    pub(crate) received: Box<[PacketId]>,
    /// What an earlier process may have sent besides.
    pub(crate) maybe_sent: MaybeSent<C>,
}

impl<C> Default for ParkedExact<C> {
    fn default() -> Self {
        Self { received: Box::default(), maybe_sent: MaybeSent::default() }
    }
}

impl<C: Copy + Eq> ParkedExact<C> {
    /// Without a word of memory for nothing.
    pub(crate) fn lazy(self) -> Lazy<Self> {
        let mut lazy = Lazy::new();
        if !self.is_empty() {
            *lazy.made() = self;
        }
        lazy
    }

    fn is_empty(&self) -> bool {
        self.received.is_empty() && self.maybe_sent.is_empty()
    }
}

/// A packet that was sent and is not settled.
pub(crate) struct ParkedPacket<D: Domain> {
    pub(crate) packet_id: PacketId,
    pub(crate) number: u32,
    pub(crate) stage: Stage,
    pub(crate) qos: QoS,
    pub(crate) what: ParkedWhat<D>,
}

pub(crate) enum ParkedWhat<D: Domain> {
    /// Not wanted any more, but the client may hold its id (QoS 2).
    Nothing,
    Message {
        conversation: D::Conversation,
        seq: u64,
        channel: u8,
        /// Up to here the messages of the conversation were served to all their channels: what is not in flight
        /// of them is acknowledged, and must not be sent again.
        sent: u64,
    },
    Note(D::Note),
}

/// QoS 2 messages whose positions differ by a multiple of this have the same packet id. While both are stored, what a
/// lost process had sent of them cannot be told: the server must not store two such positions of one queue at once.
pub const POSITIONS_PER_ID: u64 = 32_768;

/// A packet that an earlier connection may have sent, known from what was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered<C> {
    /// Its conversation.
    pub conversation: C,
    /// Its position.
    pub seq: u64,
    /// The channel that wants it.
    pub channel: u8,
    /// QoS 1 or 2.
    pub qos: QoS,
    /// QoS 2: the client has it; PUBREL is owed.
    pub released: bool,
}

impl<D: Domain> Parked<D> {
    /// What is known of a session when the process that held it is gone: the packet ids of QoS 2 publishes that the
    /// client has not released, and messages that may have been sent, in the order of their positions.
    ///
    /// `packets` must hold the messages that the device is owed from its stored cursor on without a hole: at least
    /// `2 × send_window` of them, for the greatest window that the session can have had, and all up to the last that
    /// is `released` (the stored cursor may lie far behind what the client has). Those that were not sent are sent with
    /// DUP all the same, and those with QoS 1 under new ids; QoS 2 messages have the ids they had. Of messages that are
    /// [`POSITIONS_PER_ID`] or more apart only the first can have been in flight, unless a later one is released.
    ///
    /// More can have been sent where the stored cursor is older than the process: over what was acknowledged with
    /// QoS 1, had expired or was too large it moves without a step that is stored before the next packet leaves. Say
    /// so with [`maybe_sent`](Self::maybe_sent).
    pub fn recovered(received: Vec<PacketId>, packets: Vec<Recovered<D::Conversation>>) -> Self {
        let mut recovery = Recovery::new(packets.len());
        for packet in packets {
            recovery.add(&packet);
        }
        let Recovery { next, mut in_flight, unsent, .. } = recovery;
        reopen(&mut in_flight, &unsent);
        for (packet, number) in in_flight.iter_mut().zip(0..) {
            packet.number = number;
        }
        Self {
            next,
            sent: in_flight.len() as u32,
            in_flight: in_flight.into_boxed_slice(),
            notes: Box::default(),
            exact: ParkedExact { received: received.into_boxed_slice(), ..ParkedExact::default() }.lazy(),
        }
    }

    /// Messages of a conversation up to `seq` may have been sent by a process that is gone. It belongs to
    /// [`recovered`](Self::recovered): `seq` is the last that was stored while the lost connection was there.
    ///
    /// Those with QoS 2 are then not read from the log as new ones: they have DUP, and one that is given up (too large,
    /// not allowed any more) is released with the client, which may hold its packet id and would take the message that
    /// has the id [`POSITIONS_PER_ID`] later for this one. A page must not leave one of them out because it expired
    /// (MQTT-4.3.3-7): [`Session::page`](crate::Session::page).
    #[must_use]
    pub fn maybe_sent(mut self, conversation: D::Conversation, seq: u64) -> Self {
        self.exact.made().maybe_sent.add(conversation, seq);
        self
    }

    /// The notes with QoS 1 or 2 that another client may be given in place of this one, in their order: those that were
    /// not sent, and with QoS 1 those that were not acknowledged (MQTT-4.8.2-4, MQTT-4.8.2-5).
    pub fn into_notes(self) -> impl Iterator<Item = D::Note> {
        let sent = self.in_flight.into_iter().filter(|packet| packet.qos == QoS::AtLeastOnce);
        let sent = sent.filter_map(|packet| match packet.what {
            ParkedWhat::Note(note) => Some(note),
            ParkedWhat::Nothing | ParkedWhat::Message { .. } => None,
        });
        sent.chain(self.notes.into_iter().map(|(note, _)| note))
    }

    /// Whether nothing would be lost by forgetting it: no packet is in flight, no note is waiting, no QoS 2 publish of
    /// the client waits for its release, and all that an earlier process may have sent was sent again.
    pub fn is_empty(&self) -> bool {
        let exact_is_empty = self.exact.get().is_none_or(ParkedExact::is_empty);
        self.in_flight.is_empty() && self.notes.is_empty() && exact_is_empty
    }

    /// Packets that were sent and are not settled.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

/// Finds out which messages can have been sent, and under which ids.
struct Recovery<D: Domain> {
    /// The next packet id that is given in turn.
    next: PacketId,
    in_flight: Vec<ParkedPacket<D>>,
    /// QoS 2 messages among them as (position, packet id): as they were sent, positions lie within one round of ids.
    exact: VecDeque<(u64, PacketId)>,
    in_turn: u16,
    /// Conversations of which nothing from this position on can have been sent.
    unsent: HashMap<D::Conversation, u64>,
}

impl<D: Domain> Recovery<D> {
    fn new(capacity: usize) -> Self {
        Self {
            next: PacketId::MIN,
            in_flight: Vec::with_capacity(capacity),
            exact: VecDeque::new(),
            in_turn: 0,
            unsent: HashMap::new(),
        }
    }

    fn add(&mut self, packet: &Recovered<D::Conversation>) {
        let &Recovered { conversation, seq, channel, qos, released } = packet;
        if self.unsent.contains_key(&conversation) {
            return;
        }
        let exact = qos == QoS::ExactlyOnce;
        let released = exact && released;
        let packet_id = if exact { self.fixed_id(seq, released) } else { self.id_in_turn() };
        let Some(packet_id) = packet_id else {
            self.unsent.insert(conversation, seq);
            return;
        };
        self.in_flight.push(ParkedPacket {
            packet_id,
            number: 0,
            stage: if released { Stage::Released } else { Stage::Published },
            qos: if exact { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
            what: ParkedWhat::Message { conversation, seq, channel, sent: seq },
        });
    }

    fn id_in_turn(&mut self) -> Option<PacketId> {
        if u64::from(self.in_turn) + 1 >= Inflight::<D>::IN_TURN {
            return None;
        }
        self.in_turn += 1;
        let packet_id = self.next;
        self.next = Inflight::<D>::id_after(packet_id);
        Some(packet_id)
    }

    /// `None`: while the first one was not settled, this one waited.
    fn fixed_id(&mut self, seq: u64, released: bool) -> Option<PacketId> {
        let next = self.exact.back().map_or(0, |(last, _)| last + 1);
        let position = Inflight::<D>::fixed_position(next, seq);
        while let Some(&(first, id)) = self.exact.front()
            && position - first >= Inflight::<D>::FIXED
        {
            if !released {
                return None;
            }
            // This one was sent: the client was done with the first.
            self.exact.pop_front();
            self.in_flight.retain(|packet| packet.packet_id != id);
        }
        let packet_id = Inflight::<D>::fixed_id(seq);
        self.exact.push_back((position, packet_id));
        Some(packet_id)
    }
}

/// Of conversations that were cut short at a message: the channels of it that were served are not all.
fn reopen<D: Domain>(in_flight: &mut [ParkedPacket<D>], cut: &HashMap<D::Conversation, u64>) {
    for packet in in_flight {
        if let ParkedWhat::Message { conversation, seq, sent, .. } = &mut packet.what
            && cut.get(conversation) == Some(seq)
        {
            *sent = seq.saturating_sub(1);
        }
    }
}
