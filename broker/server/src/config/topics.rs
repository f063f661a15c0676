//! The keys of free topics.

use super::{QueueFull, ShareStrategy, key::section};

section! {
    /// Free MQTT topics: everything beside the messenger's user/, group/, me/ and rpc/.
    Topics = "topics" {
        /// Who of a shared subscription gets a message: "fair" (in turn) or "sticky" (one publisher's always the same).
        shared_strategy: ShareStrategy = ShareStrategy::Fair;
        /// When the queue of a durable session is full: "drop-oldest" (counted and told), or "refuse" the publisher.
        queue_full: QueueFull = QueueFull::DropOldest;
        /// Messages that one durable session may be owed.
        queue_messages_max: u64 = 10_000, in 1..=100_000_000;
        /// Their size, bytes.
        queue_bytes_max: u64 = 67_108_864, in 1_024..=1_099_511_627_776;
        /// Messages of one session that is not durable, or with QoS 0, in memory; more are dropped and counted.
        live_messages_max: usize = 1_024, in 1..=1_048_576;
        /// Retained messages of the broker.
        retained_messages_max: usize = 1_000_000, in 0..=100_000_000;
        /// Their size in memory, bytes.
        retained_bytes_max: usize = 268_435_456, in 0..=1_099_511_627_776;
        /// Levels of a topic or filter.
        levels_max: usize = 32, in 1..=128;
        /// Topic aliases that a client may use.
        topic_alias_maximum: u16 = 64, in 0..=65_535;
        /// Subscriptions to free topics of all sessions.
        subscriptions_max: usize = 10_000_000, in 1..=1_000_000_000;
        /// Wills that wait for their delay.
        wills_waiting_max: usize = 100_000, in 1..=10_000_000;
        /// Wills that are published in a second when many clients are lost at once; more wait their turn.
        wills_per_second_max: u32 = 10_000, in 1..=10_000_000;
        /// How often the $SYS topics are published, seconds; 0 for not at all.
        sys_interval_s: u64 = 10, in 0..=86_400;
    }
}
