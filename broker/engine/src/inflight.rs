//! The outgoing window: packet ids, what each stands for, how far each is, and the order of redelivery.
//!
//! Packet ids come out of two ranges. QoS 2 *messages* have the id 32768 + seq % 32768: after the server lost its
//! memory the same message has the same id again, without a write. Everything else takes 1 to 32767 in turn.
//! No id is given twice at once (MQTT-2.2.1-4): one that is still taken is waited for.
//!
//! Over both ranges the order of sending is kept for redelivery (MQTT-4.4.0-1, MQTT-4.6.0-1), and so is the order
//! of the PUBRECs: PUBRELs leave in it (MQTT-4.6.0-4).

mod maybe_sent;
mod ring;

use std::collections::VecDeque;

use parlance_mqtt::{PacketId, QoS};

pub(crate) use self::maybe_sent::MaybeSent;
use self::ring::{FIXED_FIRST, Fixed, InTurn};
pub(crate) use self::ring::{Slot, Stage};
use crate::lazy::Lazy;
use crate::{Domain, POSITIONS_PER_ID};

/// What a packet in flight carries.
pub(crate) enum What<D: Domain> {
    /// Nothing that is still wanted: its acknowledgement is awaited and then ignored.
    Nothing,
    /// A message, without its content: it can be read again.
    Message { conversation: D::Conversation, seq: u64, channel: u8 },
    /// A note: it exists nowhere else, so it is kept.
    Note(D::Note),
}

/// A packet of an earlier connection.
pub(crate) struct Earlier<D: Domain> {
    pub(crate) packet_id: PacketId,
    pub(crate) number: u32,
    pub(crate) stage: Stage,
    pub(crate) qos: QoS,
    pub(crate) what: What<D>,
}

/// What a PUBREC means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Receipt<C> {
    /// The storage must know that the client has the message at this position of the conversation.
    Ask(C, u64),
    /// PUBREL may leave when it is its turn.
    Release,
    /// It came before, and PUBREL was sent: it is sent again.
    Again,
    /// It came before, and PUBREL waits.
    Waiting,
}

/// What only QoS 2 needs.
struct Exact<D: Domain> {
    ring: Fixed<D>,
    /// Packets whose PUBREL was not sent on this connection, in the order of their PUBRECs.
    releasing: VecDeque<PacketId>,
    /// Messages that are not in flight here, while the client may hold their ids.
    maybe_sent: MaybeSent<D::Conversation>,
}

impl<D: Domain> Default for Exact<D> {
    fn default() -> Self {
        Self { ring: Fixed::default(), releasing: VecDeque::new(), maybe_sent: MaybeSent::default() }
    }
}

/// The window.
pub(crate) struct Inflight<D: Domain> {
    in_turn: InTurn<D>,
    exact: Lazy<Exact<D>>,
    /// Acknowledged packets sent in the life of the session. Wraps.
    sent: u32,
    /// Gives [`Slot::order`]. Wraps: what is in flight is far younger than a round.
    clock: u32,
    on_wire: u16,
}

impl<D: Domain> Inflight<D> {
    /// An empty window.
    pub(crate) fn new() -> Self {
        Self { in_turn: InTurn::default(), exact: Lazy::new(), sent: 0, clock: 0, on_wire: 0 }
    }

    /// The window of a session that had one: `packets` stand in the order in which they are owed; `next` is the next
    /// id that is given in turn; `sent` packets were sent before.
    pub(crate) fn resume(
        packets: Vec<Earlier<D>>,
        next: PacketId,
        sent: u32,
        maybe_sent: MaybeSent<D::Conversation>,
    ) -> Self {
        let mut window = Self { sent, clock: packets.len() as u32, ..Self::new() };
        let mut packets: Vec<_> = packets.into_iter().zip(0..).collect();
        // Each range takes its packets in the order of sending.
        packets.sort_by_key(|(packet, _)| std::cmp::Reverse(sent.wrapping_sub(packet.number)));
        for (packet, order) in packets {
            let mut slot = Slot::new(packet.number, order, packet.qos, packet.what);
            slot.stage = packet.stage;
            slot.earlier = true;
            if packet.packet_id.get() < FIXED_FIRST {
                window.in_turn.owe(packet.packet_id, slot);
            } else {
                window.exact.made().ring.owe(packet.packet_id, slot);
            }
        }
        window.in_turn.skip_to(next);
        if !maybe_sent.is_empty() {
            window.exact.made().maybe_sent = maybe_sent;
        }
        window
    }

    /// How many packet ids are given in turn.
    pub(crate) const IN_TURN: u64 = InTurn::<D>::COUNT;
    /// How many packet ids follow from positions: QoS 2 messages in flight lie within so many.
    pub(crate) const FIXED: u64 = POSITIONS_PER_ID;

    /// The first position in the window from `next` on that has the packet id of `seq`.
    pub(crate) fn fixed_position(next: u64, seq: u64) -> u64 {
        Fixed::<D>::position_from(next, seq)
    }

    /// The packet id of a QoS 2 message.
    pub(crate) fn fixed_id(seq: u64) -> PacketId {
        PacketId::MIN.saturating_add(FIXED_FIRST - 1 + (seq % Fixed::<D>::COUNT) as u16)
    }

    /// The packet id that is given in turn after this one.
    pub(crate) fn id_after(packet_id: PacketId) -> PacketId {
        if packet_id.get() < FIXED_FIRST - 1 { packet_id.saturating_add(1) } else { PacketId::MIN }
    }

    /// Whether one more packet may be sent anew. Besides the window, the run of packets since the oldest that is
    /// not settled is bounded: a client that leaves it unacknowledged and acknowledges later ones is not served
    /// without end. So after a crash what may have been sent lies within twice the window from the cursor, as far as the
    /// stored one is not behind.
    pub(crate) fn has_room(&self, window: u16) -> bool {
        let run_max = (u32::from(window) * 2).min(InTurn::<D>::COUNT as u32 - 1);
        self.on_wire < window && self.run() < run_max
    }

    fn run(&self) -> u32 {
        let fixed = self.exact.get().and_then(|exact| exact.ring.front());
        let fronts = self.in_turn.front().into_iter().chain(fixed);
        fronts.map(|slot| self.sent.wrapping_sub(slot.number)).max().unwrap_or(0)
    }

    /// Whether the id of a QoS 2 message can be given.
    pub(crate) fn is_free(&self, seq: u64) -> bool {
        self.exact.get().is_none_or(|exact| exact.ring.is_free(seq))
    }

    /// Whether one more owed PUBLISH may be sent again.
    pub(crate) fn may_resend(&self, window: u16) -> bool {
        self.on_wire < window
    }

    /// Puts a packet in flight and names it.
    pub(crate) fn send(&mut self, qos: QoS, what: What<D>) -> PacketId {
        let fixed = match what {
            What::Message { seq, .. } if qos == QoS::ExactlyOnce => Some(seq),
            _ => None,
        };
        let mut slot = Slot::new(self.sent, self.tick(), qos, what);
        self.sent = self.sent.wrapping_add(1);
        self.on_wire += 1;
        let Some(seq) = fixed else { return self.in_turn.push(None, slot) };
        let exact = self.exact.made();
        if let What::Message { conversation, .. } = slot.what {
            slot.earlier = exact.maybe_sent.includes(conversation, seq);
        }
        exact.ring.push(Some(seq), slot)
    }

    /// Forgets what may have been sent of conversations that were served so far by now, as `sent` says.
    pub(crate) fn settle_doubt(&mut self, sent: impl Fn(D::Conversation) -> u64) {
        if let Some(exact) = self.exact.get_mut() {
            exact.maybe_sent.settle(sent);
        }
    }

    fn tick(&mut self) -> u32 {
        let now = self.clock;
        self.clock = now.wrapping_add(1);
        now
    }

    /// A packet in flight.
    pub(crate) fn get(&self, packet_id: PacketId) -> Option<&Slot<D>> {
        if packet_id.get() < FIXED_FIRST {
            self.in_turn.get(packet_id)
        } else {
            self.exact.get()?.ring.get(packet_id)
        }
    }

    fn get_mut(&mut self, packet_id: PacketId) -> Option<&mut Slot<D>> {
        if packet_id.get() < FIXED_FIRST {
            self.in_turn.get_mut(packet_id)
        } else {
            self.exact.get_mut()?.ring.get_mut(packet_id)
        }
    }

    /// The client has a packet for good (or it is given up). `None`: no such packet is in flight.
    pub(crate) fn settle(&mut self, packet_id: PacketId) -> Option<What<D>> {
        let slot = self.get_mut(packet_id)?;
        let (live, releasing) = (slot.live, matches!(slot.stage, Stage::Received | Stage::Releasable));
        slot.stage = Stage::Done;
        let what = std::mem::replace(&mut slot.what, What::Nothing);
        if live {
            self.on_wire -= 1;
        }
        self.in_turn.trim();
        if let Some(exact) = self.exact.get_mut() {
            exact.ring.trim();
            if releasing {
                exact.releasing.retain(|it| *it != packet_id);
            }
        }
        Some(what)
    }

    /// Takes in a PUBREC for a QoS 2 packet in flight. `durable`: the storage must know of messages.
    pub(crate) fn receive(&mut self, packet_id: PacketId, durable: bool) -> Option<Receipt<D::Conversation>> {
        let now = self.tick();
        let slot = self.get_mut(packet_id)?;
        match slot.stage {
            Stage::Done => return None,
            Stage::Received | Stage::Releasable => return Some(Receipt::Waiting),
            Stage::Released if slot.live => return Some(Receipt::Again),
            Stage::Released => {}
            Stage::Published => slot.order = now,
        }
        Some(self.begin_release(packet_id, durable))
    }

    /// A PUBREL is owed on this connection.
    pub(crate) fn begin_release(&mut self, packet_id: PacketId, durable: bool) -> Receipt<D::Conversation> {
        self.make_live(packet_id);
        let Some(slot) = self.get_mut(packet_id) else { return Receipt::Waiting };
        let receipt = match (&slot.what, slot.stage) {
            (What::Message { conversation, seq, .. }, Stage::Published | Stage::Received) if durable => {
                slot.stage = Stage::Received;
                Receipt::Ask(*conversation, *seq)
            }
            _ => {
                slot.stage = Stage::Releasable;
                Receipt::Release
            }
        };
        self.exact.made().releasing.push_back(packet_id);
        receipt
    }

    /// It is durable that the client has a message.
    pub(crate) fn released(&mut self, packet_id: PacketId) {
        if let Some(slot) = self.get_mut(packet_id).filter(|slot| slot.stage == Stage::Received) {
            slot.stage = Stage::Releasable;
        }
    }

    /// The next PUBREL to send: never before that of an earlier PUBREC (MQTT-4.6.0-4).
    pub(crate) fn next_release(&mut self) -> Option<PacketId> {
        let packet_id = *self.exact.get()?.releasing.front()?;
        let slot = self.get_mut(packet_id).filter(|slot| slot.stage == Stage::Releasable)?;
        slot.stage = Stage::Released;
        self.exact.get_mut()?.releasing.pop_front()
    }

    /// A QoS 2 packet that an earlier connection sent is given up, and PUBREL is sent for it: the id stays taken until
    /// PUBCOMP. Returns what it carried.
    pub(crate) fn abandon(&mut self, packet_id: PacketId) -> Option<What<D>> {
        self.make_live(packet_id);
        let slot = self.get_mut(packet_id)?;
        slot.stage = Stage::Released;
        Some(std::mem::replace(&mut slot.what, What::Nothing))
    }

    /// A packet of an earlier connection takes its place in the window of this one.
    pub(crate) fn make_live(&mut self, packet_id: PacketId) {
        if let Some(slot) = self.get_mut(packet_id).filter(|slot| !slot.live) {
            slot.live = true;
            self.on_wire += 1;
        }
    }

    /// Forgets what the packets of a conversation carry. Their ids stay taken until the client settles them.
    pub(crate) fn forget(&mut self, conversation: D::Conversation) {
        let fixed = self.exact.get_mut().into_iter().flat_map(|exact| exact.ring.slots_mut());
        for slot in self.in_turn.slots_mut().chain(fixed) {
            if matches!(&slot.what, What::Message { conversation: of, .. } if *of == conversation) {
                slot.what = What::Nothing;
            }
        }
    }

    /// Packets of an earlier connection, in the order in which they are owed.
    pub(crate) fn owed(&self) -> Vec<PacketId> {
        let fixed = self.exact.get().into_iter().flat_map(|exact| exact.ring.unsettled());
        let owed = self.in_turn.unsettled().chain(fixed).filter(|(_, slot)| !slot.live);
        let mut owed: Vec<_> = owed.map(|(packet_id, slot)| (self.age(slot), packet_id)).collect();
        owed.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
        owed.into_iter().map(|(_, packet_id)| packet_id).collect()
    }

    fn age(&self, slot: &Slot<D>) -> u32 {
        self.clock.wrapping_sub(slot.order)
    }

    /// The window taken apart: the next id that is given in turn, how many packets were sent, and what is not
    /// settled, in the order in which it will be owed; and what else may have been sent.
    pub(crate) fn into_parts(mut self) -> (PacketId, u32, Vec<Earlier<D>>, MaybeSent<D::Conversation>) {
        let (next, sent, clock) = (self.in_turn.next_id(), self.sent, self.clock);
        let Exact { ring, maybe_sent, .. } = self.exact.get_mut().map(std::mem::take).unwrap_or_default();
        let mut open: Vec<_> = self.in_turn.into_unsettled().chain(ring.into_unsettled()).collect();
        open.sort_by_key(|(_, slot)| std::cmp::Reverse(clock.wrapping_sub(slot.order)));
        let packets = open.into_iter().map(|(packet_id, slot)| {
            let Slot { number, stage, qos, what, .. } = slot;
            Earlier { packet_id, number, stage, qos, what }
        });
        (next, sent, packets.collect(), maybe_sent)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_turn.is_empty() && self.exact.get().is_none_or(|exact| exact.ring.is_empty())
    }

    pub(crate) fn on_wire(&self) -> u16 {
        self.on_wire
    }

    pub(crate) fn shrink(&mut self) {
        self.in_turn.shrink();
        self.exact.release_if(|Exact { ring, releasing, maybe_sent }| {
            ring.is_empty() && releasing.is_empty() && maybe_sent.is_empty()
        });
    }
}
