//! What the broker says of itself on `$SYS/broker/…`, and what it counts for that.

use crate::{
    context::Context,
    ledger::now_ms,
    topics::{FreeMessage, TopicCounts},
};
use parlance_mqtt::QoS;
use parlance_plugin_api::record::FreeRecord;
use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What a connection has counted since it last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// PUBLISH packets that came.
    pub(crate) messages_received: u64,
    /// PUBLISH packets that were written.
    pub(crate) messages_sent: u64,
    /// Those of them that were messages of conversations.
    pub(crate) delivered: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

/// The broker's own topics.
#[derive(Default)]
pub(crate) struct Sys {
    messages_received: AtomicU64,
    messages_sent: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    delivered: OnceLock<metrics::Counter>,
    present: Mutex<Vec<Arc<FreeMessage>>>,
}

impl Sys {
    /// Adds what a connection has counted.
    pub(crate) fn add(&self, tally: Tally) {
        if tally == Tally::default() {
            return;
        }
        self.messages_received.fetch_add(tally.messages_received, Relaxed);
        self.messages_sent.fetch_add(tally.messages_sent, Relaxed);
        if tally.delivered > 0 {
            // Looked up by its name once, and not before the recorder is there.
            let counter = || metrics::counter!("parlance_messages_delivered_total");
            self.delivered.get_or_init(counter).increment(tally.delivered);
        }
        self.bytes_received.fetch_add(tally.bytes_received, Relaxed);
        self.bytes_sent.fetch_add(tally.bytes_sent, Relaxed);
    }

    /// What was said last: what is retained, as it were. It is stored nowhere.
    pub(crate) fn present(&self) -> Vec<Arc<FreeMessage>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Speaks at every interval until the server stops.
    pub(crate) async fn run(context: Arc<Context>) {
        let interval_s = context.config.topics.sys_interval_s;
        if interval_s == 0 {
            return;
        }
        let mut every = tokio::time::interval(Duration::from_secs(interval_s));
        loop {
            every.tick().await;
            let said: Vec<Arc<FreeMessage>> = values(&context).into_iter().filter_map(message).collect();
            for message in &said {
                context.topics.route_live(message, None);
            }
            *context.sys.present.lock().unwrap_or_else(PoisonError::into_inner) = said;
        }
    }
}

fn values(context: &Context) -> Vec<(&'static str, String)> {
    let (sys, topics) = (&context.sys, context.topics.counts());
    let TopicCounts { subscriptions, shared, .. } = topics;
    let sessions = context.topics.known();
    let connected = context.hub.connections();
    let uptime_s = now_ms().saturating_sub(context.started_ms) / 1000;
    let number = |number: u64| number.to_string();
    vec![
        ("version", format!("Parlance {}", env!("CARGO_PKG_VERSION"))),
        ("uptime", format!("{uptime_s} seconds")),
        ("clients/connected", connected.to_string()),
        ("clients/total", sessions.max(connected).to_string()),
        ("messages/received", number(sys.messages_received.load(Relaxed))),
        ("messages/sent", number(sys.messages_sent.load(Relaxed))),
        ("messages/stored", number(topics.queue_messages + topics.retained_messages)),
        ("messages/dropped", number(topics.queue_dropped + topics.live_dropped)),
        ("bytes/received", number(sys.bytes_received.load(Relaxed))),
        ("bytes/sent", number(sys.bytes_sent.load(Relaxed))),
        ("retained messages/count", number(topics.retained_messages)),
        ("retained messages/bytes", number(topics.retained_bytes)),
        ("subscriptions/count", subscriptions.to_string()),
        ("subscriptions/shared", shared.to_string()),
        ("queues/messages", number(topics.queue_messages)),
        ("queues/bytes", number(topics.queue_bytes)),
    ]
}

fn message((what, value): (&'static str, String)) -> Option<Arc<FreeMessage>> {
    FreeMessage::new(FreeRecord {
        topic: format!("$SYS/broker/{what}").into(),
        payload: value.into(),
        qos: QoS::AtMostOnce as u32,
        retain: true,
        time_ms: now_ms(),
        payload_is_utf8: Some(true),
        ..FreeRecord::default()
    })
    .map(Arc::new)
}
