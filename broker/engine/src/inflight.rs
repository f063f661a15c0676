//! The outgoing QoS 1 window: packet ids, what each stands for, and the order of redelivery.
//!
//! Packet ids are given in turn, so the packets in flight are a run of ids with holes where the client
//! acknowledged out of order. The run is a ring of slots: finding, adding and settling are O(1), no id is
//! given twice, and the order of sending is kept for redelivery (MQTT-4.4.0-1, MQTT-4.6.0-1).

use std::collections::VecDeque;

use parlance_mqtt::PacketId;

use crate::Domain;

/// Packet ids are 1 to 65,535.
const PACKET_IDS: u64 = 65_535;

/// What a packet in flight carries.
pub(crate) enum What<D: Domain> {
    /// Nothing that is still wanted: its acknowledgement is awaited and then ignored.
    Nothing,
    /// A message, without its content: it can be read again.
    Message { conversation: D::Conversation, seq: u64, channel: u8 },
    /// A note: it exists nowhere else, so it is kept.
    Note(D::Note),
}

/// How far a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Acknowledged; goes when it comes to the front.
    Done,
    /// Was sent on an earlier connection, not yet on this one.
    Owed,
    /// Sent on this connection.
    OnWire,
}

pub(crate) struct Slot<D: Domain> {
    pub(crate) stage: Stage,
    pub(crate) what: What<D>,
}

/// The window.
pub(crate) struct Inflight<D: Domain> {
    slots: VecDeque<Slot<D>>,
    /// Position of the front slot. Position p has packet id `p % 65535 + 1`.
    first: u64,
    on_wire: u16,
}

impl<D: Domain> Inflight<D> {
    /// An empty window whose next packet id is `next`.
    pub(crate) fn starting_at(next: PacketId) -> Self {
        Self { slots: VecDeque::new(), first: u64::from(next.get()) - 1, on_wire: 0 }
    }

    /// The packet id of a position.
    pub(crate) fn packet_id(position: u64) -> PacketId {
        PacketId::MIN.saturating_add((position % PACKET_IDS) as u16)
    }

    /// The packet id that is given next.
    pub(crate) fn next_packet_id(&self) -> PacketId {
        Self::packet_id(self.first + self.slots.len() as u64)
    }

    /// Whether one more packet may be sent anew. Besides the window, the run of ids is bounded: a client that
    /// leaves the oldest packet unacknowledged and acknowledges later ones is not served without end.
    pub(crate) fn has_room(&self, window: u16) -> bool {
        let run_max = (usize::from(window) * 2).min(PACKET_IDS as usize - 1);
        self.on_wire < window && self.slots.len() < run_max
    }

    /// Whether one more owed packet may be sent again.
    pub(crate) fn may_resend(&self, window: u16) -> bool {
        self.on_wire < window
    }

    /// Puts a packet in flight and names it.
    pub(crate) fn send(&mut self, what: What<D>) -> PacketId {
        let packet_id = self.next_packet_id();
        self.slots.push_back(Slot { stage: Stage::OnWire, what });
        self.on_wire += 1;
        packet_id
    }

    /// Puts a packet of an earlier connection in flight as owed, leaving the ids before it settled.
    /// Packets come in the order they were sent.
    pub(crate) fn owe(&mut self, packet_id: PacketId, what: What<D>) {
        let id_position = u64::from(packet_id.get()) - 1;
        if self.slots.is_empty() {
            self.first = id_position;
        }
        self.skip_to(packet_id);
        self.slots.push_back(Slot { stage: Stage::Owed, what });
    }

    /// Leaves the ids before `next` settled.
    pub(crate) fn skip_to(&mut self, next: PacketId) {
        if self.slots.is_empty() {
            self.first = u64::from(next.get()) - 1;
        }
        while self.next_packet_id() != next {
            self.slots.push_back(Slot { stage: Stage::Done, what: What::Nothing });
        }
    }

    /// The client acknowledged `packet_id` (or it is given up). `None`: no such packet is in flight.
    pub(crate) fn settle(&mut self, packet_id: PacketId) -> Option<What<D>> {
        let index = self.index_of(packet_id)?;
        let slot = self.slots.get_mut(index).filter(|slot| slot.stage != Stage::Done)?;
        if slot.stage == Stage::OnWire {
            self.on_wire -= 1;
        }
        slot.stage = Stage::Done;
        let what = std::mem::replace(&mut slot.what, What::Nothing);
        while self.slots.front().is_some_and(|slot| slot.stage == Stage::Done) {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(what)
    }

    /// Marks an owed packet as sent again and returns what it carries; `None` if it is not owed any more.
    pub(crate) fn resend(&mut self, position: u64) -> Option<&What<D>> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        let slot = self.slots.get_mut(index).filter(|slot| slot.stage == Stage::Owed)?;
        slot.stage = Stage::OnWire;
        self.on_wire += 1;
        Some(&slot.what)
    }

    /// What an owed packet carries; `None` if it is not owed any more.
    pub(crate) fn owed(&self, position: u64) -> Option<&What<D>> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.slots.get(index).filter(|slot| slot.stage == Stage::Owed).map(|slot| &slot.what)
    }

    /// Forgets what the packets of a conversation carry. Their ids stay taken until the client settles them.
    pub(crate) fn forget(&mut self, conversation: D::Conversation) {
        for slot in &mut self.slots {
            if matches!(&slot.what, What::Message { conversation: of, .. } if *of == conversation) {
                slot.what = What::Nothing;
            }
        }
    }

    /// Everything unsettled with its position, in the order it was sent.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (u64, &What<D>)> {
        let first = self.first;
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.stage != Stage::Done)
            .map(move |(index, slot)| (first + index as u64, &slot.what))
    }

    /// The window taken apart: the next packet id, and what was unsettled.
    pub(crate) fn into_parts(self) -> (PacketId, impl Iterator<Item = (PacketId, What<D>)>) {
        let next = self.next_packet_id();
        let first = self.first;
        let unsettled = self
            .slots
            .into_iter()
            .enumerate()
            .filter(|(_, slot)| slot.stage != Stage::Done)
            .map(move |(index, slot)| (Self::packet_id(first + index as u64), slot.what));
        (next, unsettled)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn on_wire(&self) -> u16 {
        self.on_wire
    }

    pub(crate) fn shrink(&mut self) {
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
    }

    fn index_of(&self, packet_id: PacketId) -> Option<usize> {
        let offset = (u64::from(packet_id.get()) - 1 + PACKET_IDS - self.first % PACKET_IDS) % PACKET_IDS;
        let index = offset as usize;
        (index < self.slots.len()).then_some(index)
    }
}
