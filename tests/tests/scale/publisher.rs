//! A publisher that keeps its window full.

use crate::wire::{Wire, publish, seq_of};
use bytes::Bytes;
use parlance_tests::mqtt::{Packet, PacketId};
use std::collections::VecDeque;

/// A text of so many bytes that begins with `head`, which a blank ends.
pub(crate) fn text(head: &str, bytes: usize) -> Bytes {
    let mut text = format!("{head} ");
    text.extend(std::iter::repeat_n('.', bytes.saturating_sub(text.len())));
    text.into()
}

/// What `text` was made of.
pub(crate) fn head_of(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// What is published, and what came of it.
pub(crate) struct Publisher {
    /// The next packet id.
    next: PacketId,
    /// Packet ids that wait for their PUBACK.
    waiting: VecDeque<PacketId>,
    /// The seq of each message that was acknowledged, in the order of the publishes.
    pub(crate) acknowledged: Vec<u64>,
    /// The packet that was no PUBACK, or the end of the connection (`None`).
    pub(crate) ended: Option<Option<Packet>>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self { next: PacketId::MIN, waiting: VecDeque::new(), acknowledged: Vec::new(), ended: None }
    }

    /// Publishes with at most Receive Maximum unacknowledged, until everything is acknowledged or the connection ends.
    pub(crate) async fn publish(
        &mut self,
        wire: &mut Wire,
        messages: impl IntoIterator<Item = (String, Bytes)>,
    ) {
        let mut messages = messages.into_iter().fuse();
        let mut open = true;
        while self.ended.is_none() {
            while open && self.waiting.len() < usize::from(wire.receive_maximum) {
                let Some((topic, payload)) = messages.next() else {
                    open = false;
                    break;
                };
                wire.writer.push(&publish(self.next, &topic, payload));
                self.waiting.push_back(self.next);
                self.next = self.next.checked_add(1).unwrap_or(PacketId::MIN);
            }
            if self.waiting.is_empty() {
                return;
            }
            // A server that closes while this is written says so in what is read.
            wire.writer.flush().await;
            let first = wire.reader.next().await;
            self.read(first);
            while self.ended.is_none()
                && let Some(packet) = wire.reader.there()
            {
                self.read(Some(packet));
            }
        }
    }

    fn read(&mut self, packet: Option<Packet>) {
        match packet {
            Some(Packet::PubAck(ack)) => {
                // MQTT-4.6.0-2: in the order of the publishes.
                assert_eq!(Some(ack.packet_id), self.waiting.pop_front());
                self.acknowledged.push(seq_of(ack));
            }
            other => self.ended = Some(other),
        }
    }

    /// Publishes what must be accepted.
    pub(crate) async fn publish_all(
        &mut self,
        wire: &mut Wire,
        messages: impl IntoIterator<Item = (String, Bytes)>,
    ) {
        self.publish(wire, messages).await;
        assert!(self.ended.is_none(), "no PUBACK but {:?}", self.ended);
    }
}
