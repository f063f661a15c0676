//! Redelivery after a resume: packets in flight go first, in the original order, with their ids and DUP
//! (MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1).

use std::collections::VecDeque;

use crate::Domain;
use crate::inflight::{Inflight, What};

/// How far the redelivery is.
enum Stage<D: Domain> {
    /// The messages are to be asked for.
    Ask,
    /// They were asked for, for the packets at these positions.
    Asked(Vec<u64>),
    /// Known: position of the packet, and the message if it is one and still exists.
    Ready(VecDeque<(u64, Option<D::Message>)>),
}

/// See the module.
pub(crate) struct Restore<D: Domain> {
    stage: Stage<D>,
}

/// A packet to be sent again.
pub(crate) enum Owed<M> {
    /// A message that was read again; `None`: it is gone.
    Message(Option<M>),
    /// A note.
    Note,
}

impl<D: Domain> Restore<D> {
    /// `None`: nothing is owed.
    pub(crate) fn of(inflight: &Inflight<D>) -> Option<Self> {
        let mut notes = VecDeque::new();
        for (position, what) in inflight.unsettled() {
            if matches!(what, What::Message { .. }) {
                return Some(Self { stage: Stage::Ask });
            }
            notes.push_back((position, None));
        }
        (!notes.is_empty()).then_some(Self { stage: Stage::Ready(notes) })
    }

    /// The messages to ask for, once.
    pub(crate) fn ask(&mut self, inflight: &Inflight<D>) -> Option<Vec<(D::Conversation, u64)>> {
        if !matches!(self.stage, Stage::Ask) {
            return None;
        }
        let (positions, wanted): (Vec<_>, Vec<_>) = inflight
            .unsettled()
            .filter_map(|(position, what)| match what {
                What::Message { conversation, seq, .. } => Some((position, (*conversation, *seq))),
                What::Note(_) | What::Nothing => None,
            })
            .unzip();
        self.stage = Stage::Asked(positions);
        Some(wanted)
    }

    /// The answer. Messages that it lacks count as gone.
    pub(crate) fn answer(&mut self, messages: Vec<Option<D::Message>>, inflight: &Inflight<D>) {
        let Stage::Asked(positions) = &mut self.stage else { return };
        let mut messages = std::mem::take(positions)
            .into_iter()
            .zip(messages.into_iter().chain(std::iter::repeat_with(|| None)))
            .peekable();
        let owed = inflight.unsettled().map(|(position, _)| {
            // Some of those asked for may be settled by now; their answers are passed over.
            while messages.next_if(|(of, _)| *of < position).is_some() {}
            (position, messages.next_if(|(of, _)| *of == position).and_then(|(_, message)| message))
        });
        self.stage = Stage::Ready(owed.collect());
    }

    /// The next packet that is still owed; stays until [`pop`](Self::pop). `None`: an answer is awaited, or
    /// everything was sent ([`is_finished`](Self::is_finished)).
    pub(crate) fn next(&mut self, inflight: &Inflight<D>) -> Option<(u64, Owed<D::Message>)> {
        let Stage::Ready(queue) = &mut self.stage else { return None };
        while let Some((position, message)) = queue.front_mut() {
            match inflight.owed(*position) {
                None => _ = queue.pop_front(),
                Some(What::Note(_)) => return Some((*position, Owed::Note)),
                Some(_) => return Some((*position, Owed::Message(message.take()))),
            }
        }
        None
    }

    /// What `next` returned was sent or given up.
    pub(crate) fn pop(&mut self) {
        if let Stage::Ready(queue) = &mut self.stage {
            queue.pop_front();
        }
    }

    /// Whether nothing is owed any more.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(&self.stage, Stage::Ready(queue) if queue.is_empty())
    }
}
