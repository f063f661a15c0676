//! Redelivery after a resume: what was in flight goes first, in the original order, with its ids and DUP
//! (MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1).

use std::collections::VecDeque;

use parlance_mqtt::PacketId;

use crate::Domain;
use crate::inflight::{Inflight, Slot, Stage, What};

/// How far the redelivery is.
enum Step {
    /// The messages are to be asked for.
    Ask,
    /// They were asked for, for these packets.
    Asked(Vec<PacketId>),
    /// They are known.
    Ready,
}

/// See the module.
pub(crate) struct Restore<D: Domain> {
    step: Step,
    /// What is owed, in order. `Some`: it is a message that was read again.
    queue: VecDeque<(PacketId, Option<D::Message>)>,
}

/// The message that an owed PUBLISH carries.
fn message<D: Domain>(slot: &Slot<D>) -> Option<(D::Conversation, u64)> {
    match slot.what {
        What::Message { conversation, seq, .. } if slot.stage == Stage::Published && !slot.live => {
            Some((conversation, seq))
        }
        _ => None,
    }
}

impl<D: Domain> Restore<D> {
    /// `None`: nothing is owed.
    pub(crate) fn of(inflight: &Inflight<D>) -> Option<Self> {
        let queue: VecDeque<_> = inflight.owed().into_iter().map(|packet_id| (packet_id, None)).collect();
        (!queue.is_empty()).then_some(Self { step: Step::Ask, queue })
    }

    /// The messages to ask for, once. `None` also if none are needed.
    pub(crate) fn ask(&mut self, inflight: &Inflight<D>) -> Option<Vec<(D::Conversation, u64)>> {
        if !matches!(self.step, Step::Ask) {
            return None;
        }
        let (packets, wanted): (Vec<_>, Vec<_>) = self
            .queue
            .iter()
            .filter_map(|(packet_id, _)| Some((*packet_id, message(inflight.get(*packet_id)?)?)))
            .unzip();
        if wanted.is_empty() {
            self.step = Step::Ready;
            return None;
        }
        self.step = Step::Asked(packets);
        Some(wanted)
    }

    /// The answer. Messages that it lacks count as gone.
    pub(crate) fn answer(&mut self, messages: Vec<Option<D::Message>>) {
        let Step::Asked(packets) = &mut self.step else { return };
        let mut answers = std::mem::take(packets).into_iter().zip(messages).peekable();
        for (packet_id, message) in &mut self.queue {
            // The packets asked for stand in the order of the queue.
            *message = answers.next_if(|(of, _)| of == packet_id).and_then(|(_, answer)| answer);
        }
        self.step = Step::Ready;
    }

    /// The packet that is next. `None`: an answer is awaited, or nothing is owed any more.
    pub(crate) fn front(&self) -> Option<PacketId> {
        let Step::Ready = self.step else { return None };
        self.queue.front().map(|(packet_id, _)| *packet_id)
    }

    /// Takes it out.
    pub(crate) fn pop(&mut self) -> Option<(PacketId, Option<D::Message>)> {
        self.queue.pop_front()
    }

    /// Whether nothing is owed any more.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.step, Step::Ready) && self.queue.is_empty()
    }
}
