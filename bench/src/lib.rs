//! How fast Parlance is, beside other brokers, and whether what arrived is what was sent.
//!
//! A [`Case`] is a piece of work. [`run`] does it on a [`Target`], which is a running broker, with a load generator
//! of its own ([`load`]) and answers an [`Outcome`]: figures, and faults. What was lost, came twice or out of order is
//! found by the generator itself, in every case: a figure of an outcome with faults is the figure of a broken run.
//!
//! [`suite`] runs the cases on all the brokers of [`peers`] in turn and [`report`] writes what came out.

pub mod case;
pub mod load;
pub mod measure;
pub mod peers;
pub mod report;
pub mod suite;

pub use case::{CaseError, crash, run};
pub use load::wire::Version;

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

/// How a broker is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Topics of its own choice, without a login.
    Plain,
    /// The messenger's topics, users, and access tokens as passwords.
    Parlance,
}

/// One running broker.
#[derive(Debug, Clone)]
pub struct Target {
    /// How it is spoken to.
    pub dialect: Dialect,
    /// MQTT over TCP.
    pub mqtt: SocketAddr,
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// The HTTP API of Parlance.
    pub http: Option<SocketAddr>,
    /// PEM file with the authority of its certificate.
    pub ca: Option<PathBuf>,
    /// The main process; its children count with it. 0 if unknown: nothing of the process is measured then.
    pub pid: u32,
    /// Where it keeps its data: the block device beneath is measured.
    pub data: Option<PathBuf>,
    /// The operator's token of Parlance.
    pub admin_token: Option<String>,
}

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Case {
    /// Each of a hundred clients writes to the next, as fast as acknowledgements come.
    Chat {
        /// Unacknowledged publishes of a client.
        window: u16,
    },
    /// As chat, at a fixed rate, whatever comes back.
    Rate {
        /// Messages of all clients in a second.
        per_second: u32,
    },
    /// One writes, a thousand read. On Parlance: a group.
    FanOut {
        /// Unacknowledged publishes of the writer.
        window: u16,
    },
    /// The same on a free topic of Parlance; on others it is [`FanOut`](Self::FanOut).
    FanOutFree {
        /// Unacknowledged publishes of the writer.
        window: u16,
        /// The readers' sessions outlive their connections.
        durable: bool,
    },
    /// Ten thousand connections that have one subscription each and do nothing.
    Idle {
        /// Over TLS.
        tls: bool,
    },
    /// How fast they are let in. On Parlance with a token each.
    Connects {
        /// Over TLS.
        tls: bool,
    },
    /// Sessions that come back to what was sent while they were away.
    Offline,
    /// Ten thousand devices come back at once, with some missed messages each.
    ReconnectStorm,
    /// Pages of history are read over HTTP while a chat runs. Parlance only.
    History,
    /// A device comes back to a conversation of so many stored messages, having missed twenty. Parlance only.
    ReconnectCost {
        /// Messages stored before.
        stored: u64,
    },
    /// The same, in a group of so many members. Parlance only.
    ReconnectGroup {
        /// Members of the group.
        members: u64,
    },
    /// What a message costs in a conversation that has so many. Parlance only.
    ConversationCost {
        /// Messages stored before.
        messages: u64,
    },
    /// What a message costs where there are so many conversations. Parlance only.
    ConversationCount {
        /// Conversations, all of them written to in turn.
        conversations: u64,
    },
    /// The broker is killed in the middle of a chat and started again: run by [`crash`].
    Crash,
}

impl Case {
    /// A short name that tells cases apart, as in `chat-16`.
    pub fn name(&self) -> String {
        match self {
            Self::Chat { window } => format!("chat-{window}"),
            Self::Rate { per_second } => format!("rate-{per_second}"),
            Self::FanOut { window } => format!("fan-out-{window}"),
            Self::FanOutFree { window, durable: true } => format!("fan-out-free-durable-{window}"),
            Self::FanOutFree { window, durable: false } => format!("fan-out-free-{window}"),
            Self::Idle { tls: false } => "idle".to_owned(),
            Self::Idle { tls: true } => "idle-tls".to_owned(),
            Self::Connects { tls: false } => "connects".to_owned(),
            Self::Connects { tls: true } => "connects-tls".to_owned(),
            Self::Offline => "offline".to_owned(),
            Self::ReconnectStorm => "reconnect-storm".to_owned(),
            Self::History => "history".to_owned(),
            Self::ReconnectCost { stored } => format!("reconnect-cost-{stored}"),
            Self::ReconnectGroup { members } => format!("reconnect-group-{members}"),
            Self::ConversationCost { messages } => format!("conversation-cost-{messages}"),
            Self::ConversationCount { conversations } => format!("conversation-count-{conversations}"),
            Self::Crash => "crash".to_owned(),
        }
    }

    /// Whether only Parlance can do it.
    pub fn is_parlance_only(&self) -> bool {
        matches!(
            self,
            Self::History
                | Self::ReconnectCost { .. }
                | Self::ReconnectGroup { .. }
                | Self::ConversationCost { .. }
                | Self::ConversationCount { .. }
        )
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// How much work, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The version of MQTT that is spoken.
    pub version: Version,
    /// Threads of the load generator.
    pub threads: usize,
    /// Clients of chat, rate and crash.
    pub clients: usize,
    /// Bytes of one payload; at least [`load::stamp::STAMP_BYTES`].
    pub payload_bytes: usize,
    /// Load before the measurement begins.
    pub warm_up: Duration,
    /// The measurement.
    pub measure: Duration,
    /// Readers of fan-out.
    pub fan_out: usize,
    /// Connections of idle and connects.
    pub connections: usize,
    /// Connections that are being made at once.
    pub connecting: usize,
    /// Sessions of offline.
    pub offline_sessions: usize,
    /// What each of them missed.
    pub offline_messages: u32,
    /// Devices of the reconnect storm.
    pub storm_devices: usize,
    /// What a device of the storm and of the reconnect costs missed.
    pub missed_messages: u32,
    /// Returns that are measured for the cost of one.
    pub reconnects: usize,
    /// Without any progress for so long, a case gives up.
    pub patience: Duration,
    /// The longest wait for the store to settle after the load, when bytes at the disk are counted.
    pub settle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::V5,
            threads: 1,
            clients: 100,
            payload_bytes: 256,
            warm_up: Duration::from_secs(1),
            measure: Duration::from_secs(4),
            fan_out: 1_000,
            connections: 10_000,
            connecting: 64,
            offline_sessions: 200,
            offline_messages: 500,
            storm_devices: 10_000,
            missed_messages: 20,
            reconnects: 200,
            patience: Duration::from_secs(20),
            settle: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Small and short: to see that everything works.
    pub fn quick() -> Self {
        Self {
            clients: 20,
            warm_up: Duration::from_millis(300),
            measure: Duration::from_secs(1),
            fan_out: 100,
            connections: 1_000,
            offline_sessions: 50,
            offline_messages: 100,
            storm_devices: 500,
            reconnects: 20,
            settle: Duration::from_secs(3),
            ..Self::default()
        }
    }
}

/// What a case found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Figures by name, with the unit as suffix: `messages_per_s`, `end_to_end_p50_ms`, `cpu_s_per_million`,
    /// `bytes_per_connection`.
    pub values: BTreeMap<String, f64>,
    /// What was lost, came twice or out of order, or was refused. Empty is good.
    pub faults: Vec<String>,
    /// What a reader should know about this run, as how a conversation was filled.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Sets a figure.
    pub fn set(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    /// A figure, if this case has it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }
}

/// Who can kill a broker and start it again on the same data and the same ports.
pub trait Restart {
    /// SIGKILL to the whole process tree; returns when it is gone.
    ///
    /// # Errors
    /// If it cannot be killed.
    fn kill(&mut self) -> io::Result<()>;

    /// Starts it, and returns when it takes connections.
    ///
    /// # Errors
    /// If it does not start.
    fn start(&mut self) -> io::Result<Target>;
}
