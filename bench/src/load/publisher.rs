//! What one client sends: flows in turn, within a window.

use super::{
    stamp::Stamp,
    wire::{PublishHead, Version},
};

/// A sender's messages to one topic.
#[derive(Debug)]
pub(super) struct Lane {
    flow: u32,
    head: PublishHead,
    /// Counter of the next message.
    next: u32,
    /// How many are to be sent in all.
    limit: u32,
}

/// A publish that waits for its PUBACK: in the place of its packet id less one.
#[derive(Debug, Clone, Copy)]
struct Slot {
    lane: u32,
    counter: u32,
    sent_ns: u64,
    waits: bool,
}

/// The sending side of a client.
#[derive(Debug)]
pub(super) struct Publisher {
    lanes: Vec<Lane>,
    /// Whose turn it is.
    turn: usize,
    slots: Vec<Slot>,
    /// Packet ids that are free, less one.
    free: Vec<u16>,
    /// What the broker allows at once.
    receive_maximum: u16,
    /// Flow and counter of what the broker would not have.
    refused: Vec<(u32, u32)>,
    version: Version,
}

/// What a PUBACK was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    /// A message that was sent at this time.
    Message { sent_ns: u64 },
    /// Nothing that was waiting.
    Nothing,
}

impl Publisher {
    /// With so many unacknowledged at once.
    pub(super) fn new(version: Version, window: u16) -> Self {
        let window = window.max(1);
        let empty = Slot { lane: 0, counter: 0, sent_ns: 0, waits: false };
        Self {
            lanes: Vec::new(),
            turn: 0,
            slots: vec![empty; window.into()],
            free: (0..window).rev().collect(),
            receive_maximum: u16::MAX,
            refused: Vec::new(),
            version,
        }
    }

    /// One more flow; answers which of this publisher it is.
    pub(super) fn add(&mut self, flow: u32, topic: &str, payload_bytes: usize, limit: u32) -> usize {
        let head = PublishHead::new(self.version, topic, payload_bytes);
        self.lanes.push(Lane { flow, head, next: 0, limit });
        self.lanes.len() - 1
    }

    pub(super) fn allow(&mut self, receive_maximum: u16) {
        self.receive_maximum = receive_maximum.max(1);
    }

    /// Sends no more than so many of a lane, in all.
    pub(super) fn limit(&mut self, lane: usize, limit: u32) {
        self.lanes[lane].limit = limit;
    }

    /// How many of a lane were sent.
    pub(super) fn sent(&self, lane: usize) -> u32 {
        self.lanes[lane].next
    }

    /// How many wait for their PUBACK.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many are to be sent yet.
    pub(super) fn remaining(&self) -> u64 {
        self.lanes.iter().map(|lane| u64::from(lane.limit.saturating_sub(lane.next))).sum()
    }

    /// Writes the next publish, if the window and the limits have room. Answers whether they had.
    pub(super) fn publish(&mut self, out: &mut Vec<u8>, payload: &[u8], now_ns: u64) -> bool {
        if self.in_flight() >= usize::from(self.receive_maximum) || self.free.is_empty() {
            return false;
        }
        let Some(place) = self.next_lane() else { return false };
        let Some(slot) = self.free.pop() else { return false };
        let lane = &mut self.lanes[place];
        let stamp = Stamp { flow: lane.flow, counter: lane.next, sent_ns: now_ns };
        lane.head.write(out, self.version, slot + 1, payload, stamp);
        lane.next += 1;
        self.slots[usize::from(slot)] =
            Slot { lane: place as u32, counter: stamp.counter, sent_ns: now_ns, waits: true };
        true
    }

    /// A PUBACK came, of success or not.
    pub(super) fn acked(&mut self, packet_id: u16, success: bool) -> Acked {
        let place = packet_id.wrapping_sub(1);
        match self.slots.get_mut(usize::from(place)).filter(|slot| slot.waits) {
            None => Acked::Nothing,
            Some(slot) => {
                slot.waits = false;
                self.free.push(place);
                if !success {
                    self.refused.push((self.lanes[slot.lane as usize].flow, slot.counter));
                }
                Acked::Message { sent_ns: slot.sent_ns }
            }
        }
    }

    /// What was sent and never acknowledged, or refused: flow and counter.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = (u32, u32)> {
        let waiting = self.slots.iter().filter(|slot| slot.waits);
        let waiting = waiting.map(|slot| (self.lanes[slot.lane as usize].flow, slot.counter));
        waiting.chain(self.refused.iter().copied())
    }

    /// The next lane in turn that may still send.
    fn next_lane(&mut self) -> Option<usize> {
        for _ in 0..self.lanes.len() {
            let place = self.turn;
            self.turn = if place + 1 == self.lanes.len() { 0 } else { place + 1 };
            if self.lanes[place].next < self.lanes[place].limit {
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(window: u16) -> Publisher {
        let mut publisher = Publisher::new(Version::V5, window);
        publisher.add(0, "a", 32, 3);
        publisher.add(1, "b", 32, 2);
        publisher
    }

    #[test]
    fn flows_take_turns_until_their_limits() {
        let (mut publisher, mut out) = (publisher(10), Vec::new());
        while publisher.publish(&mut out, &[0; 32], 5) {}
        assert_eq!((publisher.sent(0), publisher.sent(1), publisher.remaining()), (3, 2, 0));
        let waiting: Vec<_> = publisher.unacknowledged().collect();
        assert_eq!(waiting, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
    }

    #[test]
    fn the_window_holds_and_opens_with_each_acknowledgement() {
        let (mut publisher, mut out) = (publisher(2), Vec::new());
        assert!(publisher.publish(&mut out, &[0; 32], 5));
        assert!(publisher.publish(&mut out, &[0; 32], 6));
        assert!(!publisher.publish(&mut out, &[0; 32], 7));
        assert_eq!(publisher.acked(2, true), Acked::Message { sent_ns: 6 });
        assert!(publisher.publish(&mut out, &[0; 32], 8));
        assert_eq!(publisher.in_flight(), 2);
    }

    #[test]
    fn the_brokers_receive_maximum_holds() {
        let (mut publisher, mut out) = (publisher(10), Vec::new());
        publisher.allow(1);
        assert!(publisher.publish(&mut out, &[0; 32], 5));
        assert!(!publisher.publish(&mut out, &[0; 32], 5));
    }

    #[test]
    fn what_was_refused_is_not_acknowledged() {
        let (mut publisher, mut out) = (publisher(2), Vec::new());
        publisher.publish(&mut out, &[0; 32], 5);
        publisher.publish(&mut out, &[0; 32], 6);
        publisher.acked(1, false);
        publisher.acked(2, true);
        assert_eq!(publisher.in_flight(), 0);
        assert_eq!(publisher.unacknowledged().collect::<Vec<_>>(), [(0, 0)]);
    }

    #[test]
    fn an_acknowledgement_of_nothing_is_noticed() {
        let (mut publisher, mut out) = (publisher(2), Vec::new());
        publisher.publish(&mut out, &[0; 32], 5);
        assert_eq!(publisher.acked(1, true), Acked::Message { sent_ns: 5 });
        for packet_id in [0, 1, 2, 3, u16::MAX] {
            assert_eq!(publisher.acked(packet_id, true), Acked::Nothing, "{packet_id}");
        }
    }
}
