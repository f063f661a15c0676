//! The parts of the report: which cases belong together, what is said about them, and what is drawn.

use super::{
    metric::{self, Metric},
    results::{Results, Size},
    svg::Scale,
    verdict::{CONVERSATIONS, MEMBERS, MESSAGES, STORED},
};
use crate::Case;

/// A heading with tables and charts below it.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// What is done, with the numbers of this run.
    pub(crate) text: fn(&Size) -> String,
    pub(crate) tables: Vec<Table>,
}

/// A table and its charts.
pub(crate) struct Table {
    /// Above it; empty if the section says it all.
    pub(crate) title: String,
    pub(crate) kind: Kind,
    pub(crate) columns: Vec<Metric>,
    pub(crate) charts: Vec<Chart>,
}

pub(crate) enum Kind {
    /// Brokers beside each other.
    Peers(Case),
    /// One broker at several sizes.
    Sizes {
        /// What is counted.
        size: &'static str,
        cases: Vec<(u64, Case)>,
    },
}

/// What is drawn of a table.
pub(crate) struct Chart {
    /// The file, without its ending.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// One bar for each; the first gives the unit.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) scale: Scale,
}

impl Table {
    pub(crate) fn cases(&self) -> Vec<Case> {
        match &self.kind {
            Kind::Peers(case) => vec![*case],
            Kind::Sizes { cases, .. } => cases.iter().map(|(_, case)| *case).collect(),
        }
    }

    pub(crate) fn is_in(&self, results: &Results) -> bool {
        self.cases().into_iter().any(|case| results.has(case))
    }

    fn of(case: Case, title: &str, columns: &[Metric]) -> Self {
        Self { title: title.to_owned(), kind: Kind::Peers(case), columns: columns.into(), charts: Vec::new() }
    }

    fn sizes(size: &'static str, title: &str, cases: Vec<(u64, Case)>, columns: &[Metric]) -> Self {
        let kind = Kind::Sizes { size, cases };
        Self { title: title.to_owned(), kind, columns: columns.into(), charts: Vec::new() }
    }

    fn chart(mut self, file: &'static str, title: &'static str, scale: Scale, metrics: &[Metric]) -> Self {
        self.charts.push(Chart { file, title, metrics: metrics.into(), scale });
        self
    }
}

const CHAT: [Metric; 5] =
    [metric::MESSAGES, metric::END_TO_END_P50, metric::END_TO_END_P99, metric::ACK_P50, metric::ACK_P99];

const COST: [Metric; 6] = [
    metric::CPU,
    metric::GENERATOR_CPU,
    metric::SWITCHES,
    metric::MEMORY,
    metric::DISK,
    metric::DISK_SETTLED,
];

const LATENCY: [Metric; 6] = [
    metric::ACK_P50,
    metric::ACK_P99,
    metric::END_TO_END_P50,
    metric::END_TO_END_P99,
    metric::CPU,
    metric::MESSAGES,
];

const FAN_OUT: [Metric; 6] = [
    metric::DELIVERIES,
    metric::CPU,
    metric::END_TO_END_P50,
    metric::END_TO_END_P99,
    metric::MEMORY,
    metric::DISK_SETTLED,
];

/// All of them, in the order of the report.
pub(crate) fn all() -> Vec<Section> {
    vec![
        chat(),
        rate(),
        fan_out(),
        connections(),
        offline(),
        storm(),
        history(),
        reconnect(),
        conversation(),
        crash(),
    ]
}

fn chat() -> Section {
    let of = |window| Case::Chat { window };
    Section {
        title: "Chat",
        text: |size| {
            format!(
                "{} clients with durable sessions; each writes messages of {} bytes with QoS 1 to the next one, as fast \
                 as acknowledgements come, with one unacknowledged message or with sixteen. {} s of warm-up, {} s \
                 measured. A delivery is a message that arrived at its recipient's socket.",
                size.clients, size.payload_bytes, size.warm_up_s, size.measure_s
            )
        },
        tables: vec![
            Table::of(of(16), "Window 16", &CHAT).chart(
                "chat-16",
                "Chat, window 16",
                Scale::Linear,
                &[metric::MESSAGES],
            ),
            Table::of(of(16), "Window 16: what it uses", &COST)
                .chart(
                    "chat-16-cpu",
                    "Chat, window 16: CPU of the broker",
                    Scale::Logarithmic,
                    &[metric::CPU],
                )
                .chart(
                    "chat-16-disk",
                    "Chat, window 16: bytes at the block device",
                    Scale::Logarithmic,
                    &[metric::DISK_SETTLED],
                ),
            Table::of(of(1), "Window 1", &CHAT)
                .chart("chat-1", "Chat, window 1", Scale::Linear, &[metric::MESSAGES])
                .chart(
                    "chat-1-latency",
                    "Chat, window 1: from sender to recipient",
                    Scale::Logarithmic,
                    &[metric::END_TO_END_P50, metric::END_TO_END_P99],
                ),
            Table::of(of(1), "Window 1: what it uses", &COST),
        ],
    }
}

fn rate() -> Section {
    Section {
        title: "A fixed rate",
        text: |size| {
            format!(
                "1,000 messages a second in all, from {} clients, sent when they are due whatever comes back. How long \
                 a sender waits for its PUBACK when nobody is in a hurry: of those that sync first, it has a sync in it.",
                size.clients
            )
        },
        tables: vec![Table::of(Case::Rate { per_second: 1_000 }, "", &LATENCY).chart(
            "rate-1000",
            "1,000 messages a second: until PUBACK",
            Scale::Logarithmic,
            &[metric::ACK_P50, metric::ACK_P99],
        )],
    }
}

fn fan_out() -> Section {
    let free = |durable| Case::FanOutFree { window: 8, durable };
    Section {
        title: "Fan-out",
        text: |size| {
            format!(
                "One client writes, {} read. On Parlance this is a group: one append for each message, membership \
                 checked at each delivery.",
                super::number::thousands(size.fan_out as f64)
            )
        },
        tables: vec![
            Table::of(Case::FanOut { window: 8 }, "Publish window 8", &FAN_OUT).chart(
                "fan-out-8",
                "Fan-out 1 → 1,000, publish window 8",
                Scale::Linear,
                &[metric::DELIVERIES],
            ),
            Table::of(Case::FanOut { window: 1 }, "Publish window 1", &FAN_OUT),
            Table::of(
                free(false),
                "Publish window 8, on a free topic of Parlance, sessions that end",
                &FAN_OUT,
            ),
            Table::of(
                free(true),
                "Publish window 8, on a free topic of Parlance, durable sessions",
                &FAN_OUT,
            ),
        ],
    }
}

fn connections() -> Section {
    let (rate, cost) = (
        [metric::CONNECTS, metric::CONNECT_P50, metric::CONNECT_P99, metric::CPU_PER_CONNECT],
        [metric::PER_CONNECTION, metric::MEMORY_IDLE],
    );
    Section {
        title: "Connections",
        text: |size| {
            format!(
                "{} clients connect and subscribe to one topic each. Memory is the growth of RSS from the empty broker, \
                 divided by the connections. On Parlance each of them logs in with an access token of its own; \
                 elsewhere nobody is asked who he is.",
                super::number::thousands(size.connections as f64)
            )
        },
        tables: vec![
            Table::of(Case::Idle { tls: false }, "Idle", &cost).chart(
                "idle",
                "An idle connection",
                Scale::Logarithmic,
                &[metric::PER_CONNECTION],
            ),
            Table::of(Case::Idle { tls: true }, "Idle, over TLS", &cost),
            Table::of(Case::Connects { tls: false }, "Connecting", &rate).chart(
                "connects",
                "Connecting",
                Scale::Linear,
                &[metric::CONNECTS],
            ),
            Table::of(Case::Connects { tls: true }, "Connecting, over TLS", &rate),
        ],
    }
}

fn offline() -> Section {
    Section {
        title: "Offline",
        text: |size| {
            format!(
                "{} durable sessions are away while {} messages are sent to each; then they come back at once. \
                 Drained: until the last message has arrived.",
                size.offline_sessions, size.offline_messages
            )
        },
        tables: vec![
            Table::of(
                Case::Offline,
                "",
                &[
                    metric::DRAINED,
                    metric::DELIVERIES,
                    metric::CPU,
                    metric::STORED,
                    metric::MEMORY,
                    metric::DISK_SETTLED,
                ],
            )
            .chart(
                "offline",
                "Offline: until everything is drained",
                Scale::Logarithmic,
                &[metric::DRAINED],
            ),
        ],
    }
}

fn storm() -> Section {
    Section {
        title: "Reconnect storm",
        text: |size| {
            format!(
                "{} devices come back at once, each with {} missed messages.",
                super::number::thousands(size.storm_devices as f64),
                size.missed_messages
            )
        },
        tables: vec![
            Table::of(
                Case::ReconnectStorm,
                "",
                &[
                    metric::DRAINED,
                    metric::DEVICES,
                    metric::OWN_P50,
                    metric::OWN_P99,
                    metric::CPU,
                    metric::MEMORY,
                ],
            )
            .chart(
                "reconnect-storm",
                "Reconnect storm: until all have what they missed",
                Scale::Logarithmic,
                &[metric::DRAINED],
            ),
        ],
    }
}

fn history() -> Section {
    Section {
        title: "History",
        text: |_| {
            "Pages of history are read over HTTP while a chat runs. Parlance alone has such a thing."
                .to_owned()
        },
        tables: vec![Table::of(
            Case::History,
            "",
            &[
                metric::PAGES,
                metric::PAGE_P50,
                metric::PAGE_P99,
                metric::CHAT_ALONE,
                metric::MESSAGES,
                metric::ACK_P50,
                metric::ACK_P99,
            ],
        )],
    }
}

fn reconnect() -> Section {
    let columns = [metric::RECONNECT_P50, metric::RECONNECT_P99, metric::CPU_PER_RECONNECT];
    let stored = STORED.map(|stored| (stored, Case::ReconnectCost { stored }));
    let members = MEMBERS.map(|members| (members, Case::ReconnectGroup { members }));
    Section {
        title: "What a reconnect costs",
        text: |size| {
            format!(
                "A device comes back, having missed {} messages. That alone should count: neither how much was stored \
                 before, nor how many members a group has.",
                size.missed_messages
            )
        },
        tables: vec![
            Table::sizes("messages stored before", "By what is stored", stored.into(), &columns).chart(
                "reconnect-stored",
                "A reconnect, by what is stored",
                Scale::Logarithmic,
                &columns[..2],
            ),
            Table::sizes("members of the group", "By the size of the group", members.into(), &columns),
        ],
    }
}

fn conversation() -> Section {
    let columns = [metric::CPU, metric::MESSAGES, metric::ACK_P50, metric::MEMORY, metric::DISK_SETTLED];
    let messages = MESSAGES.map(|messages| (messages, Case::ConversationCost { messages }));
    let count = CONVERSATIONS.map(|conversations| (conversations, Case::ConversationCount { conversations }));
    Section {
        title: "What a message costs",
        text: |_| {
            "A message should cost the same in a young conversation and in an old one, among few conversations and among \
             many."
                .to_owned()
        },
        tables: vec![
            Table::sizes(
                "messages in the conversation",
                "By the length of the conversation",
                messages.into(),
                &columns,
            )
            .chart(
                "conversation-messages",
                "A message, by the length of the conversation",
                Scale::Logarithmic,
                &columns[..1],
            ),
            Table::sizes("conversations", "By the number of conversations", count.into(), &columns).chart(
                "conversation-count",
                "A message, by the number of conversations",
                Scale::Logarithmic,
                &columns[..1],
            ),
        ],
    }
}

fn crash() -> Section {
    Section {
        title: "kill -9",
        text: |size| {
            format!(
                "{} clients write; half of their readers listen, the other half are away with durable sessions. The broker \
                 is killed in the middle of it and started again on the same data, and every reader comes back. Lost: \
                 messages whose sender had a PUBACK and whose reader never got them.",
                size.clients
            )
        },
        tables: vec![
            Table::of(
                Case::Crash,
                "",
                &[
                    metric::LOST,
                    metric::LOST_LISTENING,
                    metric::LOST_AWAY,
                    metric::ACKNOWLEDGED,
                    metric::RESTARTED,
                    metric::DOUBLED,
                ],
            )
            .chart("crash", "kill -9: acknowledged, then lost", Scale::Linear, &[metric::LOST]),
        ],
    }
}
