//! Publishes of the client: those that wait for their outcome, and the QoS 2 ones that it has not released.
//!
//! PUBACKs and PUBRECs leave in the order in which the PUBLISH packets came (MQTT-4.6.0-2, MQTT-4.6.0-3), whatever
//! order the outcomes come in: an outcome waits here until those before it are known.
//!
//! From its PUBREC to its PUBCOMP a QoS 2 packet id stands for one message (MQTT-4.3.3), over all connections.

use std::collections::VecDeque;

use parlance_mqtt::{Ack, PacketId, QoS};

use crate::Ticket;
use crate::lazy::Lazy;

/// A publish that was not answered yet.
struct Waiting {
    qos: QoS,
    /// It came again after its PUBREC: the message is not new, and its id is kept already.
    repeat: bool,
    /// The client released it before the answer.
    released: bool,
    outcome: Option<Ack>,
}

/// A QoS 2 publish that was answered and is not complete.
struct Kept {
    packet_id: PacketId,
    /// PUBREL came, and the storage must forget the id before PUBCOMP leaves.
    completing: bool,
    /// It was published on this connection: it takes a place of Receive Maximum, which counts from the connection's
    /// begin (MQTT-4.9).
    counted: bool,
}

#[derive(Default)]
struct Publishes {
    /// Those that wait, oldest first. Apart from the rest, so that the search for a duplicate walks over two bytes each.
    ids: VecDeque<PacketId>,
    waiting: VecDeque<Waiting>,
    /// Those that wait and are no repeats.
    fresh: usize,
    /// By packet id. At most one for each there is.
    kept: Vec<Kept>,
    /// Those of `kept` that count.
    counted: usize,
    /// Those of `kept` that the storage must forget.
    completing: usize,
}

/// What a packet id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// For nothing.
    New,
    /// For a publish of this QoS that waits for its outcome.
    Waiting(QoS),
    /// For a QoS 2 publish that the client has not released; `here`: it was published on this connection.
    Kept { here: bool },
    /// For a QoS 2 publish that the client has released.
    Completing,
}

/// What a PUBREL means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// It is for a publish that is kept: the id is to be forgotten.
    Now,
    /// It came before the answer to its publish, or again: there is nothing to do yet.
    Later,
    /// There is no such publish.
    Unknown,
}

/// An answer that may leave.
pub(crate) struct Answer {
    pub(crate) qos: QoS,
    pub(crate) ack: Ack,
    /// The client has released it already.
    pub(crate) released: bool,
}

/// See the module.
pub(crate) struct Received {
    publishes: Lazy<Publishes>,
    /// How many left the front since the session began; ticket = 1 + first + index.
    first: u64,
}

impl Received {
    pub(crate) const fn new() -> Self {
        Self { publishes: Lazy::new(), first: 0 }
    }

    /// With QoS 2 publishes of an earlier connection that the client has not released.
    pub(crate) fn resume(mut packet_ids: Vec<PacketId>) -> Self {
        let mut received = Self::new();
        if !packet_ids.is_empty() {
            packet_ids.sort_unstable();
            packet_ids.dedup();
            let kept = packet_ids.into_iter();
            received.publishes.made().kept =
                kept.map(|packet_id| Kept { packet_id, completing: false, counted: false }).collect();
        }
        received
    }

    /// Publishes that take a place of Receive Maximum.
    pub(crate) fn counted(&self) -> usize {
        self.publishes.get().map_or(0, |publishes| publishes.fresh + publishes.counted)
    }

    /// Publishes that wait for the server, not for the client.
    pub(crate) fn waiting(&self) -> usize {
        self.publishes.get().map_or(0, |publishes| publishes.ids.len() + publishes.completing)
    }

    /// What a packet id stands for.
    pub(crate) fn find(&self, packet_id: PacketId) -> Known {
        let Some(publishes) = self.publishes.get() else { return Known::New };
        if let Some(index) = publishes.ids.iter().position(|it| *it == packet_id) {
            return Known::Waiting(publishes.waiting[index].qos);
        }
        match publishes.kept(packet_id).map(|index| &publishes.kept[index]) {
            Ok(kept) if kept.completing => Known::Completing,
            Ok(kept) => Known::Kept { here: kept.counted },
            Err(_) => Known::New,
        }
    }

    /// Takes in a publish and names it.
    pub(crate) fn begin(&mut self, packet_id: PacketId, qos: QoS) -> Ticket {
        self.publishes.made().fresh += 1;
        self.push(packet_id, Waiting { qos, repeat: false, released: false, outcome: None })
    }

    /// Takes in a QoS 2 publish that is kept: it gets its PUBREC again, in its turn.
    pub(crate) fn repeat(&mut self, packet_id: PacketId) {
        let publishes = self.publishes.made();
        if let Ok(index) = publishes.kept(packet_id) {
            publishes.counted += usize::from(!publishes.kept[index].counted);
            publishes.kept[index].counted = true;
        }
        let outcome = Some(Ack::success(packet_id));
        self.push(packet_id, Waiting { qos: QoS::ExactlyOnce, repeat: true, released: false, outcome });
    }

    fn push(&mut self, packet_id: PacketId, waiting: Waiting) -> Ticket {
        let publishes = self.publishes.made();
        publishes.ids.push_back(packet_id);
        publishes.waiting.push_back(waiting);
        Ticket(self.first + publishes.ids.len() as u64)
    }

    /// Packet id of an open ticket; `None` if it was answered, or needs no answer.
    pub(crate) fn open(&self, ticket: Ticket) -> Option<PacketId> {
        let index = self.index(ticket)?;
        let publishes = self.publishes.get()?;
        publishes.waiting.get(index)?.outcome.is_none().then(|| publishes.ids[index])
    }

    /// Files an outcome. The answers that may leave now are taken with [`next_answer`](Self::next_answer).
    pub(crate) fn done(&mut self, ticket: Ticket, ack: Ack) {
        let index = self.index(ticket);
        let Some(publishes) = self.publishes.get_mut() else { return };
        if let Some(waiting) = index.and_then(|index| publishes.waiting.get_mut(index)) {
            waiting.outcome = Some(ack);
        }
    }

    /// The answer to the oldest publish, if its outcome is known. From now on the id of a QoS 2 publish that was
    /// accepted is kept.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        let publishes = self.publishes.get_mut()?;
        let waiting = publishes.waiting.front_mut()?;
        let ack = waiting.outcome.take()?;
        let (qos, repeat, released) = (waiting.qos, waiting.repeat, waiting.released);
        publishes.waiting.pop_front();
        publishes.ids.pop_front();
        self.first += 1;
        if !repeat {
            publishes.fresh -= 1;
            if qos == QoS::ExactlyOnce && !ack.reason.is_error() {
                publishes.keep(ack.packet_id);
            }
        }
        Some(Answer { qos, ack, released })
    }

    /// The client released a publish. `durable`: the storage must forget it first; [`complete`](Self::complete) is
    /// called then.
    pub(crate) fn release(&mut self, packet_id: PacketId, durable: bool) -> Released {
        let Some(publishes) = self.publishes.get_mut() else { return Released::Unknown };
        if let Some(index) = publishes.ids.iter().position(|it| *it == packet_id)
            && publishes.waiting[index].qos == QoS::ExactlyOnce
        {
            publishes.waiting[index].released = true;
            return Released::Later;
        }
        match publishes.kept(packet_id) {
            Err(_) => Released::Unknown,
            Ok(index) if publishes.kept[index].completing => Released::Later,
            Ok(index) if durable => {
                publishes.kept[index].completing = true;
                publishes.completing += 1;
                Released::Now
            }
            Ok(index) => {
                publishes.forget(index);
                Released::Now
            }
        }
    }

    /// The storage has forgotten a publish that the client released. False: there is none.
    pub(crate) fn complete(&mut self, packet_id: PacketId) -> bool {
        let Some(publishes) = self.publishes.get_mut() else { return false };
        match publishes.kept(packet_id) {
            Ok(index) if publishes.kept[index].completing => {
                publishes.forget(index);
                true
            }
            _ => false,
        }
    }

    /// The ids that outlive the connection: also those whose PUBREL came, for it may come again.
    pub(crate) fn into_kept(mut self) -> Box<[PacketId]> {
        let kept = self.publishes.get_mut().map(|publishes| std::mem::take(&mut publishes.kept));
        kept.into_iter().flatten().map(|kept| kept.packet_id).collect()
    }

    pub(crate) fn shrink(&mut self) {
        self.publishes.release_if(|publishes| publishes.ids.is_empty() && publishes.kept.is_empty());
    }

    fn index(&self, ticket: Ticket) -> Option<usize> {
        let index = ticket.0.checked_sub(self.first + 1)?;
        usize::try_from(index).ok()
    }
}

impl Publishes {
    fn kept(&self, packet_id: PacketId) -> Result<usize, usize> {
        self.kept.binary_search_by_key(&packet_id, |kept| kept.packet_id)
    }

    fn keep(&mut self, packet_id: PacketId) {
        if let Err(index) = self.kept(packet_id) {
            self.kept.insert(index, Kept { packet_id, completing: false, counted: true });
            self.counted += 1;
        }
    }

    fn forget(&mut self, index: usize) {
        let kept = self.kept.remove(index);
        self.counted -= usize::from(kept.counted);
        self.completing -= usize::from(kept.completing);
    }
}
