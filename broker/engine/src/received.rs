//! Publishes of the client that wait for their outcome.
//!
//! PUBACKs leave in the order in which the PUBLISH packets came (MQTT-4.6.0-2), whatever order the outcomes
//! come in: an outcome waits here until those before it are known.

use std::collections::VecDeque;

use parlance_mqtt::{Ack, PacketId};

use crate::Ticket;

/// The publishes under way, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Apart from the outcomes, so that the search for a duplicate walks over two bytes each.
    ids: VecDeque<PacketId>,
    outcomes: VecDeque<Option<Ack>>,
    /// How many left the front since the session began; ticket = 1 + first + index.
    first: u64,
}

impl Received {
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn contains(&self, packet_id: PacketId) -> bool {
        self.ids.contains(&packet_id)
    }

    /// Takes in a publish and names it.
    pub(crate) fn begin(&mut self, packet_id: PacketId) -> Ticket {
        self.ids.push_back(packet_id);
        self.outcomes.push_back(None);
        Ticket(self.first + self.ids.len() as u64)
    }

    /// Packet id of an open ticket; `None` if it was answered, or needs no answer.
    pub(crate) fn waiting(&self, ticket: Ticket) -> Option<PacketId> {
        let index = self.index(ticket)?;
        self.outcomes.get(index)?.is_none().then(|| self.ids[index])
    }

    /// Files an outcome. The PUBACKs that may leave now are taken with [`next_ack`](Self::next_ack).
    pub(crate) fn done(&mut self, ticket: Ticket, ack: Ack) {
        if let Some(slot) = self.index(ticket).and_then(|index| self.outcomes.get_mut(index)) {
            *slot = Some(ack);
        }
    }

    /// The oldest publish's PUBACK, if its outcome is known.
    pub(crate) fn next_ack(&mut self) -> Option<Ack> {
        let ack = self.outcomes.front_mut()?.take()?;
        self.outcomes.pop_front();
        self.ids.pop_front();
        self.first += 1;
        Some(ack)
    }

    pub(crate) fn shrink(&mut self) {
        if self.ids.is_empty() {
            self.ids = VecDeque::new();
            self.outcomes = VecDeque::new();
        }
    }

    fn index(&self, ticket: Ticket) -> Option<usize> {
        let index = ticket.0.checked_sub(self.first + 1)?;
        usize::try_from(index).ok()
    }
}
