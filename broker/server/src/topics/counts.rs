//! How much there is of everything: counted as it changes, read by metrics and `$SYS`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicCounts {
    /// Subscriptions to free topics, shared ones too.
    pub subscriptions: u64,
    /// Subscriptions that are shared.
    pub shared: u64,
    /// Retained messages.
    pub retained_messages: u64,
    /// Their size in memory, bytes.
    pub retained_bytes: u64,
    /// Queues with something in them.
    pub queues: u64,
    /// Entries of all queues.
    pub queue_messages: u64,
    /// What they count for, bytes.
    pub queue_bytes: u64,
    /// Entries that were dropped for want of room since the start.
    pub queue_dropped: u64,
    /// Live deliveries that were dropped for want of room since the start.
    pub live_dropped: u64,
    /// Messages that were published through the ledger since the start.
    pub published: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    shared: AtomicI64,
    live_dropped: AtomicU64,
    published: AtomicU64,
    queue_dropped: AtomicU64,
    queues: AtomicU64,
    queue_messages: AtomicU64,
    queue_bytes: AtomicU64,
    retained_messages: AtomicU64,
    retained_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn shared(&self, change: i64) {
        self.shared.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn live_dropped(&self) {
        self.live_dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("parlance_live_dropped_total").increment(1);
    }

    pub(crate) fn published(&self, messages: u64) {
        if messages > 0 {
            self.published.fetch_add(messages, Ordering::Relaxed);
            metrics::counter!("parlance_free_published_total").increment(messages);
        }
    }

    pub(crate) fn queue_dropped(&self, entries: u64) {
        if entries > 0 {
            self.queue_dropped.fetch_add(entries, Ordering::Relaxed);
            metrics::counter!("parlance_queue_dropped_total").increment(entries);
        }
    }

    pub(crate) fn set_queues(&self, queues: u64, messages: u64, bytes: u64) {
        self.queues.store(queues, Ordering::Relaxed);
        self.queue_messages.store(messages, Ordering::Relaxed);
        self.queue_bytes.store(bytes, Ordering::Relaxed);
        metrics::gauge!("parlance_queue_messages").set(messages as f64);
        metrics::gauge!("parlance_queue_bytes").set(bytes as f64);
    }

    pub(crate) fn set_subscriptions(subscriptions: usize) {
        metrics::gauge!("parlance_subscriptions").set(subscriptions as f64);
    }

    pub(crate) fn set_retained(&self, messages: u64, bytes: u64) {
        self.retained_messages.store(messages, Ordering::Relaxed);
        self.retained_bytes.store(bytes, Ordering::Relaxed);
        metrics::gauge!("parlance_retained_messages").set(messages as f64);
        metrics::gauge!("parlance_retained_bytes").set(bytes as f64);
    }

    pub(super) fn read(&self, subscriptions: usize) -> TopicCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TopicCounts {
            subscriptions: subscriptions as u64,
            shared: u64::try_from(self.shared.load(Ordering::Relaxed)).unwrap_or_default(),
            retained_messages: of(&self.retained_messages),
            retained_bytes: of(&self.retained_bytes),
            queues: of(&self.queues),
            queue_messages: of(&self.queue_messages),
            queue_bytes: of(&self.queue_bytes),
            queue_dropped: of(&self.queue_dropped),
            live_dropped: of(&self.live_dropped),
            published: of(&self.published),
        }
    }
}
