//! A device: what the server holds for it, and what its client saw.

use std::collections::{HashMap, HashSet, VecDeque};

use parlance_engine::{Channels, Domain, Millis, Parked, Session, SessionConfig};
use parlance_mqtt::{Ack, Packet, PacketId, QoS, Version};

use crate::world::CONVERSATIONS;

pub(crate) struct Chat;

impl Domain for Chat {
    type Conversation = usize;
    type User = u8;
    /// Conversation and seq.
    type Message = (usize, u64);
    /// A running number.
    type Note = u32;
}

/// What a packet carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Carried {
    Message { conversation: usize, seq: u64, channel: u8 },
    Note(u32),
}

/// A connection.
pub(crate) struct Link {
    pub(crate) session: Session<Chat>,
    /// Committed messages on their way to the session: (conversation, seq).
    pub(crate) outbox: VecDeque<(usize, u64)>,
    pub(crate) overflowed: bool,
    /// Log reads without an answer.
    pub(crate) reads: Vec<(usize, u64, usize)>,
    pub(crate) restore: Option<Vec<(usize, u64)>>,
    /// Written, not yet received.
    pub(crate) wire: VecDeque<(Option<PacketId>, Carried)>,
    /// Received, not yet acknowledged.
    pub(crate) unacknowledged: VecDeque<PacketId>,
    /// Packets with QoS 1 or 2 sent on this connection and not acknowledged.
    pub(crate) in_flight: HashSet<PacketId>,
    /// QoS 2 messages that the client has, of which the storage is to know.
    pub(crate) releases: Vec<PacketId>,
    /// PUBRELs without PUBCOMP.
    pub(crate) pubrels: Vec<PacketId>,
    /// A packet with QoS 1 or 2 without DUP was sent.
    pub(crate) fresh: bool,
    /// Last seq of each conversation and channel on this connection.
    pub(crate) last: HashMap<(usize, u8), u64>,
    pub(crate) last_note: Option<u32>,
}

impl Link {
    pub(crate) fn new(session: Session<Chat>) -> Self {
        Self {
            session,
            outbox: VecDeque::new(),
            overflowed: false,
            reads: Vec::new(),
            restore: None,
            wire: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            in_flight: HashSet::new(),
            releases: Vec::new(),
            pubrels: Vec::new(),
            fresh: false,
            last: HashMap::new(),
            last_note: None,
        }
    }
}

pub(crate) struct Device {
    pub(crate) user: u8,
    pub(crate) channels: Channels,
    pub(crate) acknowledged_channels: Channels,
    /// Those of them with QoS 2.
    pub(crate) exact_channels: Channels,
    pub(crate) config: SessionConfig,
    pub(crate) link: Option<Link>,
    pub(crate) parked: Option<Parked<Chat>>,
    /// The device's cursors: in memory, and as written down.
    pub(crate) cursors: [u64; CONVERSATIONS],
    pub(crate) saved: [u64; CONVERSATIONS],
    /// Packets of this session that were sent and not acknowledged.
    pub(crate) open: HashMap<PacketId, Carried>,
    /// What reached the client.
    pub(crate) got: HashSet<Carried>,
    /// What the server may count as done: acknowledged, or handed out with QoS 0.
    pub(crate) done: HashSet<Carried>,
    /// QoS 1 notes that were taken and must arrive as long as the session lives.
    pub(crate) promised: HashSet<u32>,
    /// QoS 2 packets that the server gave up, whose PUBCOMP it awaits.
    pub(crate) given_up: HashSet<PacketId>,
}

impl Device {
    pub(crate) fn new(user: u8, channels: &[(u8, QoS)], send_window: u16, memory: usize) -> Self {
        let from =
            |least: QoS| channels.iter().filter(move |(_, qos)| *qos >= least).map(|(channel, _)| *channel);
        Self {
            user,
            channels: channels.iter().map(|(channel, _)| *channel).collect(),
            acknowledged_channels: from(QoS::AtLeastOnce).collect(),
            exact_channels: from(QoS::ExactlyOnce).collect(),
            config: SessionConfig {
                version: Version::V5,
                send_window,
                client_packet_max: None,
                receive_maximum: 4,
                keep_alive_ms: 0,
                session_expiry_s: 100,
                session_expiry_s_max: 100,
                durable: true,
                topic_alias_maximum: 0,
                client_topic_alias_maximum: 0,
                authentication_method: None,
                problem_information: true,
                ready_messages_max: memory,
                ready_bytes_max: SessionConfig::READY_BYTES_MAX,
                notes_max: 3,
                page_messages_max: 3,
                reads_in_flight_max: 2,
            },
            link: None,
            parked: None,
            cursors: [0; CONVERSATIONS],
            saved: [0; CONVERSATIONS],
            open: HashMap::new(),
            got: HashSet::new(),
            done: HashSet::new(),
            promised: HashSet::new(),
            given_up: HashSet::new(),
        }
    }

    /// The session is gone: what it promised is not owed any more, what is durable is.
    pub(crate) fn forget_session(&mut self) {
        self.parked = None;
        self.open.clear();
        self.promised.clear();
        self.given_up.clear();
    }

    pub(crate) fn open_session(&mut self, clean: bool, now: Millis) {
        if clean {
            self.forget_session();
        }
        let mut session = match self.parked.take() {
            Some(parked) => Session::resume(parked, self.config.clone(), now),
            None => {
                self.forget_session();
                Session::new(self.config.clone(), now)
            }
        };
        for channel in 0..Channels::COUNT {
            session.set_channel_qos(channel, self.channel_qos(channel));
        }
        self.link = Some(Link::new(session));
    }

    pub(crate) fn receive(&mut self, count: usize) {
        let Some(link) = &mut self.link else { return };
        for _ in 0..count {
            let Some((packet_id, carried)) = link.wire.pop_front() else { return };
            self.got.insert(carried);
            if let Carried::Note(number) = carried {
                self.promised.remove(&number);
            }
            link.unacknowledged.extend(packet_id);
        }
    }

    pub(crate) fn channel_qos(&self, channel: u8) -> QoS {
        match (self.exact_channels.contains(channel), self.acknowledged_channels.contains(channel)) {
            (true, _) => QoS::ExactlyOnce,
            (false, true) => QoS::AtLeastOnce,
            (false, false) => QoS::AtMostOnce,
        }
    }

    pub(crate) fn acknowledge(&mut self, start: usize, count: usize, now: Millis) {
        self.complete(now);
        let exact = self.exact_channels;
        let Some(link) = &mut self.link else { return };
        for _ in 0..count {
            let index = start.min(link.unacknowledged.len().saturating_sub(1));
            let Some(packet_id) = link.unacknowledged.remove(index) else { return };
            let carried = *self.open.get(&packet_id).expect("a packet that is acknowledged was sent");
            let ack = Ack::success(packet_id);
            if matches!(carried, Carried::Message { channel, .. } if exact.contains(channel)) {
                link.session.handle_packet(Packet::PubRec(ack), now);
            } else {
                self.open.remove(&packet_id);
                self.done.insert(carried);
                link.in_flight.remove(&packet_id);
                link.session.handle_packet(Packet::PubAck(ack), now);
            }
            assert_eq!(link.session.counters().unknown_acks, 0, "{packet_id} was in flight");
        }
    }

    /// Answers the PUBRELs.
    fn complete(&mut self, now: Millis) {
        let Some(link) = &mut self.link else { return };
        for packet_id in std::mem::take(&mut link.pubrels) {
            let carried = self.open.remove(&packet_id).expect("a packet that is released was sent");
            if !self.given_up.remove(&packet_id) {
                self.done.insert(carried);
            }
            link.in_flight.remove(&packet_id);
            link.session.handle_packet(Packet::PubComp(Ack::success(packet_id)), now);
            assert_eq!(link.session.counters().unknown_acks, 0, "{packet_id} was in flight");
        }
    }

    /// The storage knows which QoS 2 messages the client has.
    pub(crate) fn release(&mut self) {
        let Some(link) = &mut self.link else { return };
        // The order of the PUBRELs is the engine's matter.
        for packet_id in std::mem::take(&mut link.releases).into_iter().rev() {
            link.session.released(packet_id);
        }
    }
}
