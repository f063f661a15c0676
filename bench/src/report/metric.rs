//! The figures of the cases, as the report calls them.

use super::number;

/// How a figure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Figure,
    Bytes,
    /// Of things.
    Count,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// One figure of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    /// In [`Outcome::values`](crate::Outcome::values).
    pub(crate) key: &'static str,
    /// At the head of a column, and on an axis: with its unit.
    pub(crate) heading: &'static str,
    pub(crate) kind: Kind,
    pub(crate) better: Better,
}

impl Metric {
    pub(crate) fn write(&self, value: f64) -> String {
        match self.kind {
            Kind::Figure => number::figure(value),
            Kind::Bytes => number::bytes(value),
            Kind::Count => number::thousands(value),
        }
    }

    /// With its name, for a line of text.
    pub(crate) fn tell(&self, value: f64) -> String {
        format!("{} {}", self.write(value), self.heading)
    }
}

const fn more(key: &'static str, heading: &'static str) -> Metric {
    Metric { key, heading, kind: Kind::Figure, better: Better::More }
}

const fn less(key: &'static str, heading: &'static str) -> Metric {
    Metric { key, heading, kind: Kind::Figure, better: Better::Less }
}

const fn bytes(key: &'static str, heading: &'static str) -> Metric {
    Metric { key, heading, kind: Kind::Bytes, better: Better::Less }
}

const fn count(key: &'static str, heading: &'static str, better: Better) -> Metric {
    Metric { key, heading, kind: Kind::Count, better }
}

pub(crate) const MESSAGES: Metric = more("messages_per_s", "messages/s");
pub(crate) const DELIVERIES: Metric = more("messages_per_s", "deliveries/s");
pub(crate) const CPU: Metric = less("cpu_s_per_million", "CPU s per million deliveries");
pub(crate) const GENERATOR_CPU: Metric =
    less("generator_cpu_s_per_million", "the same of the load generator");
pub(crate) const SWITCHES: Metric =
    less("context_switches_per_thousand", "context switches per 1,000 deliveries");
pub(crate) const END_TO_END_P50: Metric = less("end_to_end_p50_ms", "end to end p50, ms");
pub(crate) const END_TO_END_P99: Metric = less("end_to_end_p99_ms", "end to end p99, ms");
pub(crate) const ACK_P50: Metric = less("ack_p50_ms", "PUBACK p50, ms");
pub(crate) const ACK_P99: Metric = less("ack_p99_ms", "PUBACK p99, ms");
pub(crate) const MEMORY: Metric = bytes("rss_bytes", "memory (RSS)");
pub(crate) const DISK: Metric = bytes("written_bytes_per_message", "disk, bytes per message");
pub(crate) const DISK_SETTLED: Metric =
    bytes("written_bytes_per_message_compacted", "disk, bytes per message, compaction included");
pub(crate) const PER_CONNECTION: Metric = bytes("bytes_per_connection", "bytes per connection");
pub(crate) const CONNECTS: Metric = more("connects_per_s", "connects/s");
pub(crate) const DRAINED: Metric = less("drained_s", "drained, s");
pub(crate) const LOST: Metric = count("acknowledged_lost", "acknowledged, then lost", Better::Less);
pub(crate) const MEMORY_IDLE: Metric = bytes("rss_after_bytes", "memory (RSS) with all of them");
pub(crate) const CPU_PER_CONNECT: Metric = less("cpu_ms_per_connect", "CPU ms per connection");
pub(crate) const RECONNECT_P50: Metric = less("reconnect_p50_ms", "until the last missed message p50, ms");
pub(crate) const RECONNECT_P99: Metric = less("reconnect_p99_ms", "until the last missed message p99, ms");
pub(crate) const CPU_PER_RECONNECT: Metric = less("cpu_ms_per_reconnect", "CPU ms per reconnect");
pub(crate) const DEVICES: Metric = more("devices_per_s", "devices/s");
pub(crate) const OWN_P50: Metric = less("own_p50_ms", "of one device, from its SYN, p50, ms");
pub(crate) const OWN_P99: Metric = less("own_p99_ms", "of one device p99, ms");
pub(crate) const STORED: Metric = less("stored_s", "sent to the absent before in, s");
pub(crate) const CONNECT_P50: Metric = less("connect_p50_ms", "CONNACK p50, ms");
pub(crate) const CONNECT_P99: Metric = less("connect_p99_ms", "CONNACK p99, ms");
pub(crate) const PAGES: Metric = more("pages_per_s", "pages/s");
pub(crate) const PAGE_P50: Metric = less("page_p50_ms", "page p50, ms");
pub(crate) const PAGE_P99: Metric = less("page_p99_ms", "page p99, ms");
pub(crate) const ACKNOWLEDGED: Metric = count("acknowledged", "acknowledged before the end", Better::More);
pub(crate) const CHAT_ALONE: Metric = more("chat_alone_messages_per_s", "messages/s before anyone reads");
pub(crate) const LOST_LISTENING: Metric =
    count("lost_to_listening", "of these to readers who listened", Better::Less);
pub(crate) const LOST_AWAY: Metric = count("lost_to_away", "to readers who were away", Better::Less);
pub(crate) const RESTARTED: Metric = less("restart_s", "until it takes clients again, s");
pub(crate) const DOUBLED: Metric = count("doubled", "came twice", Better::Less);
