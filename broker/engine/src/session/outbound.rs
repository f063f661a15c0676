//! What comes out, and in which order.

use parlance_mqtt::{PacketId, QoS};

use super::Session;
use crate::catch_up::{Delivery, Wanted};
use crate::fit::fit_disconnect;
use crate::inflight::{Receipt, Stage, What};
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
        if let Some(wanted) = self.restore.as_mut()?.ask(&self.inflight) {
            return Some(Output::Restore(wanted));
        }
        while let Some(packet_id) = self.restore.as_ref()?.front() {
            let owed = self.inflight.get(packet_id).filter(|slot| !slot.live).map(|slot| slot.stage);
            if owed == Some(Stage::Published) && !self.inflight.may_resend(self.config.send_window) {
                break;
            }
            let (packet_id, message) = self.restore.as_mut()?.pop()?;
            let output = match owed {
                // Settled, or answered by the client, before it was sent again.
                None | Some(Stage::Done) => None,
                Some(Stage::Published) => self.resend(packet_id, message),
                Some(Stage::Received | Stage::Releasable | Stage::Released) => self.resume_release(packet_id),
            };
            // PUBRELs keep their place among the PUBLISH packets.
            if let Some(output) = output.or_else(|| self.control.pop_front()) {
                return Some(output);
            }
        }
        if self.restore.as_ref()?.is_finished() {
            self.restore = None;
            self.catch_up.drop_settled();
        }
        None
    }

    /// Sends an owed PUBLISH again, or gives it up if it is not wanted any more.
    fn resend(&mut self, packet_id: PacketId, message: Option<D::Message>) -> Option<Output<D>> {
        let slot = self.inflight.get(packet_id)?;
        let (qos, dup) = (slot.qos, true);
        let output = match (&slot.what, message) {
            (What::Note(note), _) => {
                Output::Note { note: note.clone(), qos, packet_id: Some(packet_id), dup }
            }
            (&What::Message { conversation, seq, channel }, Some(message))
                if self.catch_up.awaits(conversation, seq, channel) =>
            {
                Output::Deliver { message, conversation, seq, channel, qos, packet_id: Some(packet_id), dup }
            }
            _ => {
                if qos == QoS::ExactlyOnce {
                    self.abandon(packet_id);
                } else {
                    self.settle(packet_id);
                }
                return None;
            }
        };
        self.inflight.make_live(packet_id);
        Some(output)
    }

    /// The client has the packet: PUBREL is owed. What was asked may not have been answered: it is asked again.
    fn resume_release(&mut self, packet_id: PacketId) -> Option<Output<D>> {
        if let Receipt::Ask(conversation, seq) = self.inflight.begin_release(packet_id, self.config.durable) {
            return Some(Output::Release { conversation, seq, packet_id });
        }
        self.send_pubrels();
        None
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
        let packet_id = (qos != QoS::AtMostOnce).then(|| self.inflight.send(qos, What::Note(note.clone())));
        Some(Output::Note { note, qos, packet_id, dup: false })
    }

    fn poll_message(&mut self, window_open: bool) -> Option<Output<D>> {
        let Self { catch_up, inflight, acknowledged, exactly_once, .. } = self;
        let delivery = catch_up.next_delivery(|seq, channel| {
            if exactly_once.contains(channel) {
                (window_open && inflight.is_free(seq)).then_some(QoS::ExactlyOnce)
            } else if acknowledged.contains(channel) {
                window_open.then_some(QoS::AtLeastOnce)
            } else {
                Some(QoS::AtMostOnce)
            }
        })?;
        let Delivery { conversation, seq, channel, message, qos } = delivery;
        let carried = What::Message { conversation, seq, channel };
        let packet_id = (qos != QoS::AtMostOnce).then(|| inflight.send(qos, carried));
        let slot = packet_id.and_then(|packet_id| inflight.get(packet_id));
        let dup = slot.is_some_and(|slot| slot.earlier);
        Some(Output::Deliver { message, conversation, seq, channel, qos, packet_id, dup })
    }

    fn poll_close(&mut self) -> Option<Output<D>> {
        let session_expiry_s = self.config.session_expiry_s;
        let ending = self.ending.as_mut().filter(|ending| !ending.told)?;
        ending.told = true;
        Some(Output::Close {
            reason: ending.disconnect.then_some(ending.cause),
            reason_string: fit_disconnect(&self.config, ending.reason_string.take()),
            will: ending.will,
            session_expiry_s,
        })
    }
}
