//! What comes out, and in which order.

use parlance_mqtt::QoS;

use super::Session;
use crate::catch_up::Wanted;
use crate::inflight::{Inflight, What};
use crate::restore::Owed;
use crate::{Domain, Output};

impl<D: Domain> Session<D> {
    /// The next effect; `None` ends the poll round.
    ///
    /// Order: answers and what the client asked for, never held back by the send window; then packets of an
    /// earlier connection; then notes and messages in turn; then log reads; then cursors that moved.
    pub fn poll_output(&mut self) -> Option<Output<D>> {
        if let Some(output) = self.control.pop_front() {
            return Some(output);
        }
        if self.is_closed() {
            let moved = self.catch_up.next_moved();
            let delivered = moved.map(|(conversation, seq)| Output::Delivered { conversation, seq });
            return delivered.or_else(|| self.poll_close());
        }
        // Early returns rather than a chain of options: an output is large, and this is the hottest path.
        if self.restore.is_some()
            && let Some(output) = self.poll_restore()
        {
            return Some(output);
        }
        // Not `else`: the last packet owed makes way for new ones in the same round.
        if self.restore.is_none()
            && let Some(output) = self.poll_new()
        {
            return Some(output);
        }
        if let Some(Wanted { conversation, after, limit }) = self.catch_up.next_read() {
            return Some(Output::ReadLog { conversation, after, limit: limit as usize });
        }
        if let Some((conversation, seq)) = self.catch_up.next_moved() {
            return Some(Output::Delivered { conversation, seq });
        }
        if std::mem::take(&mut self.resync) {
            return Some(Output::Resync);
        }
        if self.resting && self.inflight.is_empty() {
            self.resting = false;
            self.shrink();
        }
        None
    }

    /// Packets of an earlier connection: nothing new is sent before them (MQTT-4.6.0-1).
    fn poll_restore(&mut self) -> Option<Output<D>> {
        let restore = self.restore.as_mut()?;
        if let Some(wanted) = restore.ask(&self.inflight) {
            return Some(Output::Restore(wanted));
        }
        while self.inflight.may_resend(self.config.send_window) {
            let restore = self.restore.as_mut()?;
            let Some((position, owed)) = restore.next(&self.inflight) else { break };
            restore.pop();
            if let Some(output) = self.resend(position, owed) {
                return Some(output);
            }
        }
        if self.restore.as_ref()?.is_finished() {
            self.restore = None;
            self.catch_up.drop_settled();
        }
        None
    }

    /// Sends an owed packet again, or gives it up if it is not wanted any more.
    fn resend(&mut self, position: u64, owed: Owed<D::Message>) -> Option<Output<D>> {
        let packet_id = Inflight::<D>::packet_id(position);
        let wanted = match (self.inflight.owed(position)?, &owed) {
            (What::Note(_), Owed::Note) => true,
            (What::Message { conversation, seq, channel }, Owed::Message(Some(_))) => {
                self.catch_up.awaits(*conversation, *seq, *channel)
            }
            _ => false,
        };
        if !wanted {
            self.settle(packet_id);
            return None;
        }
        let (qos, dup, packet_id) = (QoS::AtLeastOnce, true, Some(packet_id));
        match (self.inflight.resend(position)?, owed) {
            (What::Message { conversation, seq, channel }, Owed::Message(Some(message))) => {
                let (conversation, seq, channel) = (*conversation, *seq, *channel);
                Some(Output::Deliver { message, conversation, seq, channel, qos, packet_id, dup })
            }
            (What::Note(note), _) => Some(Output::Note { note: note.clone(), qos, packet_id, dup }),
            _ => None,
        }
    }

    /// Notes and messages share the window: a note goes first, then they take turns.
    fn poll_new(&mut self) -> Option<Output<D>> {
        let window_open = self.inflight.has_room(self.config.send_window);
        let message_turn = self.note_was_last && self.catch_up.has_ready();
        if !message_turn && let Some(output) = self.poll_note(window_open) {
            self.note_was_last = true;
            return Some(output);
        }
        if let Some(output) = self.poll_message(window_open) {
            self.note_was_last = false;
            return Some(output);
        }
        // A message waits for the window: a QoS 0 note need not.
        if message_turn { self.poll_note(window_open) } else { None }
    }

    fn poll_note(&mut self, window_open: bool) -> Option<Output<D>> {
        let &(_, qos) = self.notes.front()?;
        if qos != QoS::AtMostOnce && !window_open {
            return None;
        }
        let (note, qos) = self.notes.pop_front()?;
        let packet_id = (qos != QoS::AtMostOnce).then(|| self.inflight.send(What::Note(note.clone())));
        Some(Output::Note { note, qos, packet_id, dup: false })
    }

    fn poll_message(&mut self, window_open: bool) -> Option<Output<D>> {
        let delivery = self.catch_up.next_delivery(window_open, self.acknowledged)?;
        let (conversation, seq, channel) = (delivery.conversation, delivery.seq, delivery.channel);
        let (qos, packet_id) = if delivery.acknowledged {
            (QoS::AtLeastOnce, Some(self.inflight.send(What::Message { conversation, seq, channel })))
        } else {
            (QoS::AtMostOnce, None)
        };
        let message = delivery.message;
        Some(Output::Deliver { message, conversation, seq, channel, qos, packet_id, dup: false })
    }

    fn poll_close(&mut self) -> Option<Output<D>> {
        let session_expiry_s = self.config.session_expiry_s;
        let ending = self.ending.as_mut().filter(|ending| !ending.told)?;
        ending.told = true;
        Some(Output::Close {
            reason: ending.disconnect.then_some(ending.cause),
            reason_string: ending.reason_string.take(),
            will: ending.will,
            session_expiry_s,
        })
    }
}
