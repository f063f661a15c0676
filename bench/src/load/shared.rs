//! What the clients of one thread have in common.

use super::{check::Faults, histogram::Histogram, wire::Version};
use std::time::Instant;

/// What happened since the last [`clear`](Stats::clear).
#[derive(Debug, Default)]
pub struct Stats {
    /// Publishes that were acknowledged.
    pub acked: u64,
    /// Messages that arrived, duplicates not among them.
    pub delivered: u64,
    /// Messages that arrived and were not sent by this generator.
    pub others: u64,
    /// Connections that failed while clients connected, and were tried again.
    pub retries: u64,
    /// From the publish to its PUBACK.
    pub ack: Histogram,
    /// From the publish to its arrival.
    pub end_to_end: Histogram,
    /// From the beginning of a connection to its CONNACK.
    pub connect: Histogram,
    /// From the beginning of a connection to the last message that its client was owed.
    pub caught_up: Histogram,
    /// The same, from [`Crew::count_from_now`](super::Crew::count_from_now) on.
    pub returned: Histogram,
    /// How late the messages of a fixed rate were sent.
    pub late: Histogram,
}

impl Stats {
    /// Begins again.
    pub fn clear(&mut self) {
        (self.acked, self.delivered, self.others, self.retries) = (0, 0, 0, 0);
        let Self { ack, end_to_end, connect, caught_up, returned, late, .. } = self;
        for histogram in [ack, end_to_end, connect, caught_up, returned, late] {
            histogram.clear();
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.acked += other.acked;
        self.delivered += other.delivered;
        self.others += other.others;
        self.retries += other.retries;
        self.ack.merge(&other.ack);
        self.end_to_end.merge(&other.end_to_end);
        self.connect.merge(&other.connect);
        self.caught_up.merge(&other.caught_up);
        self.returned.merge(&other.returned);
        self.late.merge(&other.late);
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) version: Version,
    /// What every message consists of, behind its stamp.
    pub(super) payload: Vec<u8>,
    /// Time zero of all threads.
    origin: Instant,
    pub(super) now_ns: u64,
    /// When [`Stats::returned`] begins.
    pub(super) counted_from_ns: u64,
    /// Windows are filled.
    pub(super) publishing: bool,
    /// Sent and acknowledged since the beginning.
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Connections that are open, or being made.
    pub(super) open: u64,
    /// Those that are let in and subscribed.
    pub(super) ready: u64,
    /// Clients that are owed messages.
    pub(super) behind: u64,
    pub(super) stats: Stats,
    pub(super) faults: Faults,
}

impl Shared {
    pub(super) fn new(version: Version, payload_bytes: usize, origin: Instant) -> Self {
        Self {
            version,
            payload: vec![b'.'; payload_bytes],
            origin,
            now_ns: 0,
            counted_from_ns: 0,
            publishing: false,
            sent: 0,
            acknowledged: 0,
            open: 0,
            ready: 0,
            behind: 0,
            stats: Stats::default(),
            faults: Faults::default(),
        }
    }

    pub(super) fn tell_time(&mut self) {
        self.now_ns = self.origin.elapsed().as_nanos() as u64;
    }

    /// Something that grows as long as the broker does anything.
    pub(super) fn progress(&self) -> u64 {
        self.acknowledged + self.stats.delivered + self.stats.others + self.ready + self.stats.connect.total()
    }
}
