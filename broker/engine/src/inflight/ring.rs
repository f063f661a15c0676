//! Packets in flight whose ids come out of one range.
//!
//! A packet has a position, and its id is the position's place in the range. Positions ascend in the order of
//! sending and lie within one length of the range, so no id is given twice; they may have gaps. Finding, adding
//! and settling are O(1) where there are none, and O(log n) at worst.

use std::collections::VecDeque;

use parlance_mqtt::{PacketId, QoS};

use super::What;
use crate::Domain;

/// How far a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Settled; goes when it comes to the front.
    Done,
    /// PUBLISH: PUBACK or PUBREC is awaited.
    Published,
    /// PUBREC came: that it did must be durable before PUBREL leaves.
    Received,
    /// It is durable: PUBREL leaves when it is its turn.
    Releasable,
    /// PUBREL was sent: PUBCOMP is awaited.
    Released,
}

/// A packet in flight.
pub(crate) struct Slot<D: Domain> {
    position: u64,
    /// Which of the session's acknowledged packets it was, in the order of sending. Wraps.
    pub(super) number: u32,
    /// When its stage began that is repeated after a resume: the PUBLISH, or the PUBREC. Wraps.
    pub(super) order: u32,
    pub(crate) stage: Stage,
    /// It takes a place in the window of this connection. False: owed from an earlier one.
    pub(crate) live: bool,
    /// An earlier connection may have sent it: the client may hold its id.
    pub(crate) earlier: bool,
    /// 1 or 2.
    pub(crate) qos: QoS,
    pub(crate) what: What<D>,
}

impl<D: Domain> Slot<D> {
    pub(super) fn new(number: u32, order: u32, qos: QoS, what: What<D>) -> Self {
        Self { position: 0, number, order, stage: Stage::Published, live: true, earlier: false, qos, what }
    }
}

/// See the module. Ids from `FIRST` on, as many as [`COUNT`](Self::COUNT).
pub(crate) struct Ring<D: Domain, const FIRST: u16> {
    slots: VecDeque<Slot<D>>,
    next: u64,
}

/// Ids that are given in turn.
pub(crate) type InTurn<D> = Ring<D, { PacketId::MIN.get() }>;
/// Ids that follow from positions in a conversation.
pub(crate) type Fixed<D> = Ring<D, FIXED_FIRST>;

/// The first id that follows from a position.
pub(super) const FIXED_FIRST: u16 = 1 << 15;

impl<D: Domain, const FIRST: u16> Default for Ring<D, FIRST> {
    fn default() -> Self {
        Self { slots: VecDeque::new(), next: 0 }
    }
}

impl<D: Domain, const FIRST: u16> Ring<D, FIRST> {
    /// How many ids there are: up to the middle of all, or from there to the end.
    pub(super) const COUNT: u64 =
        (if FIRST < FIXED_FIRST { FIXED_FIRST - FIRST } else { FIXED_FIRST }) as u64;

    fn id(position: u64) -> PacketId {
        PacketId::MIN.saturating_add(FIRST - 1 + (position % Self::COUNT) as u16)
    }

    /// The first position from `next` on whose id is `place` in the range (taken modulo the range).
    pub(super) fn position_from(next: u64, place: u64) -> u64 {
        next + (place % Self::COUNT + Self::COUNT - next % Self::COUNT) % Self::COUNT
    }

    fn position_of(&self, place: u64) -> u64 {
        Self::position_from(self.next, place)
    }

    fn place(packet_id: PacketId) -> u64 {
        u64::from(packet_id.get() - FIRST)
    }

    /// The id that is given next.
    pub(super) fn next_id(&self) -> PacketId {
        Self::id(self.next)
    }

    /// Whether the id at `place` can be given: positions stay within one length of the range.
    pub(super) fn is_free(&self, place: u64) -> bool {
        self.slots.front().is_none_or(|front| self.position_of(place) - front.position < Self::COUNT)
    }

    /// Puts a packet in flight, under the next id or under the one at `place`.
    pub(super) fn push(&mut self, place: Option<u64>, mut slot: Slot<D>) -> PacketId {
        slot.position = place.map_or(self.next, |place| self.position_of(place));
        self.next = slot.position + 1;
        let packet_id = Self::id(slot.position);
        self.slots.push_back(slot);
        packet_id
    }

    /// Puts a packet of an earlier connection in flight, under its id.
    pub(super) fn owe(&mut self, packet_id: PacketId, slot: Slot<D>) {
        self.push(Some(Self::place(packet_id)), Slot { live: false, ..slot });
    }

    /// `packet_id` is given next.
    pub(super) fn skip_to(&mut self, packet_id: PacketId) {
        self.next = self.position_of(Self::place(packet_id));
    }

    /// The oldest packet that is not settled.
    pub(super) fn front(&self) -> Option<&Slot<D>> {
        self.slots.front()
    }

    fn index_of(&self, packet_id: PacketId) -> Option<usize> {
        let front = self.slots.front()?.position;
        let offset = (Self::place(packet_id) + Self::COUNT - front % Self::COUNT) % Self::COUNT;
        // Where there are no gaps the offset is the index.
        let guess = (offset as usize).min(self.slots.len() - 1);
        if self.slots[guess].position == front + offset {
            return Some(guess);
        }
        self.slots.binary_search_by_key(&(front + offset), |slot| slot.position).ok()
    }

    /// A packet that is not settled.
    pub(super) fn get(&self, packet_id: PacketId) -> Option<&Slot<D>> {
        let slot = &self.slots[self.index_of(packet_id)?];
        (slot.stage != Stage::Done).then_some(slot)
    }

    /// A packet that is not settled.
    pub(super) fn get_mut(&mut self, packet_id: PacketId) -> Option<&mut Slot<D>> {
        let index = self.index_of(packet_id)?;
        let slot = &mut self.slots[index];
        (slot.stage != Stage::Done).then_some(slot)
    }

    /// Lets go of what is settled and has nothing unsettled before it.
    pub(super) fn trim(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.stage == Stage::Done) {
            self.slots.pop_front();
        }
    }

    /// Everything that is not settled, in the order of sending.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (PacketId, &Slot<D>)> {
        let open = self.slots.iter().filter(|slot| slot.stage != Stage::Done);
        open.map(|slot| (Self::id(slot.position), slot))
    }

    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot<D>> {
        self.slots.iter_mut()
    }

    /// Everything that is not settled, taken out.
    pub(super) fn into_unsettled(self) -> impl Iterator<Item = (PacketId, Slot<D>)> {
        let open = self.slots.into_iter().filter(|slot| slot.stage != Stage::Done);
        open.map(|slot| (Self::id(slot.position), slot))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn shrink(&mut self) {
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
    }
}
