//! Publishes of the client that wait for their outcome.
//!
//! PUBACKs leave in the order in which the PUBLISH packets came (MQTT-4.6.0-2), whatever order the outcomes
//! come in: an outcome waits here until those before it are known.

use std::collections::VecDeque;

use parlance_mqtt::{Ack, PacketId};

use crate::Ticket;
use crate::lazy::Lazy;

/// The publishes under way, oldest first.
#[derive(Default)]
struct Pending {
    /// Apart from the outcomes, so that the search for a duplicate walks over two bytes each.
    ids: VecDeque<PacketId>,
    outcomes: VecDeque<Option<Ack>>,
}

/// See the module.
pub(crate) struct Received {
    pending: Lazy<Pending>,
    /// How many left the front since the session began; ticket = 1 + first + index.
    first: u64,
}

impl Received {
    pub(crate) const fn new() -> Self {
        Self { pending: Lazy::new(), first: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.get().map_or(0, |pending| pending.ids.len())
    }

    pub(crate) fn contains(&self, packet_id: PacketId) -> bool {
        self.pending.get().is_some_and(|pending| pending.ids.contains(&packet_id))
    }

    /// Takes in a publish and names it.
    pub(crate) fn begin(&mut self, packet_id: PacketId) -> Ticket {
        let pending = self.pending.made();
        pending.ids.push_back(packet_id);
        pending.outcomes.push_back(None);
        Ticket(self.first + pending.ids.len() as u64)
    }

    /// Packet id of an open ticket; `None` if it was answered, or needs no answer.
    pub(crate) fn waiting(&self, ticket: Ticket) -> Option<PacketId> {
        let index = self.index(ticket)?;
        let pending = self.pending.get()?;
        pending.outcomes.get(index)?.is_none().then(|| pending.ids[index])
    }

    /// Files an outcome. The PUBACKs that may leave now are taken with [`next_ack`](Self::next_ack).
    pub(crate) fn done(&mut self, ticket: Ticket, ack: Ack) {
        let index = self.index(ticket);
        let Some(pending) = self.pending.get_mut() else { return };
        if let Some(slot) = index.and_then(|index| pending.outcomes.get_mut(index)) {
            *slot = Some(ack);
        }
    }

    /// The oldest publish's PUBACK, if its outcome is known.
    pub(crate) fn next_ack(&mut self) -> Option<Ack> {
        let pending = self.pending.get_mut()?;
        let ack = pending.outcomes.front_mut()?.take()?;
        pending.outcomes.pop_front();
        pending.ids.pop_front();
        self.first += 1;
        Some(ack)
    }

    pub(crate) fn shrink(&mut self) {
        self.pending.release_if(|pending| pending.ids.is_empty());
    }

    fn index(&self, ticket: Ticket) -> Option<usize> {
        let index = ticket.0.checked_sub(self.first + 1)?;
        usize::try_from(index).ok()
    }
}
