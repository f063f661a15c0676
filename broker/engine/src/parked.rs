//! A session between two connections.

use std::collections::VecDeque;

use parlance_mqtt::{PacketId, QoS};

use crate::Domain;

/// What is left of a session when its connection is gone: what the client has received without acknowledging
/// it, and the next packet id. Messages are kept as positions (they are read again), notes as they are.
/// Small and without spare capacity: millions may be parked.
pub struct Parked<D: Domain> {
    pub(crate) next: PacketId,
    pub(crate) in_flight: Box<[ParkedPacket<D>]>,
    /// QoS 1 notes that were not sent yet.
    pub(crate) notes: Box<[D::Note]>,
}

/// A packet that was sent and not acknowledged.
pub(crate) struct ParkedPacket<D: Domain> {
    pub(crate) packet_id: PacketId,
    pub(crate) what: ParkedWhat<D>,
}

pub(crate) enum ParkedWhat<D: Domain> {
    Message {
        conversation: D::Conversation,
        seq: u64,
        channel: u8,
        /// All channels of the message were served.
        complete: bool,
    },
    Note(D::Note),
}

impl<D: Domain> Parked<D> {
    pub(crate) fn new(
        next: PacketId,
        in_flight: Vec<ParkedPacket<D>>,
        notes: VecDeque<(D::Note, QoS)>,
    ) -> Self {
        let notes = notes.into_iter().filter(|(_, qos)| *qos != QoS::AtMostOnce).map(|(note, _)| note);
        Self { next, in_flight: in_flight.into_boxed_slice(), notes: notes.collect() }
    }

    /// Whether nothing would be lost by forgetting it: no packet is in flight and no note is waiting.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.notes.is_empty()
    }

    /// Packets that were sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}
