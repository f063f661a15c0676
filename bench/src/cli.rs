//! `parlance-bench case …`: the command line of one case.

use clap::{Args, Subcommand, ValueEnum};
use parlance_bench::{Case, CaseError, Dialect, Outcome, Settings, Target, Version, crash, run};
use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

mod process;

const EXAMPLES: &str = "\
Examples:
  parlance-bench case chat --window 16 --address 127.0.0.1:1883
  parlance-bench case chat --window 16 --address 127.0.0.1:1883 --parlance --data parlance-data
  parlance-bench case crash --address 127.0.0.1:1883 --start 'mosquitto -c /tmp/mosquitto.conf'

The exit code is 1 if anything was lost, came twice or came out of order.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CaseOptions {
    #[command(subcommand)]
    work: Work,
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    amount: AmountOptions,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

/// Which broker.
#[derive(Debug, Args)]
pub(crate) struct BrokerOptions {
    /// MQTT over TCP
    #[arg(long, global = true, default_value = "127.0.0.1:1883", value_name = "ADDRESS")]
    address: SocketAddr,
    /// MQTT over TLS
    #[arg(long, global = true, value_name = "ADDRESS")]
    tls_address: Option<SocketAddr>,
    /// The authority of its certificate; for Parlance that in the data folder
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// It is Parlance: log in, write to users and groups
    #[arg(long, global = true)]
    parlance: bool,
    /// Parlance's HTTP API
    #[arg(long, global = true, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    http: SocketAddr,
    /// The broker's data folder: bytes at its block device are counted, and Parlance's admin token is there
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The broker's process; without it, whoever listens at the address
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// The version of MQTT
    #[arg(long, global = true, value_enum, default_value_t = Mqtt::V5)]
    mqtt: Mqtt,
    /// crash: the command that starts the broker, which must not be running yet
    #[arg(long, global = true, value_name = "COMMAND")]
    start: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mqtt {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

/// How much.
#[derive(Debug, Args)]
pub(crate) struct AmountOptions {
    /// Small and short
    #[arg(long, global = true)]
    quick: bool,
    /// Threads of the load generator
    #[arg(long, global = true)]
    threads: Option<usize>,
    /// Seconds of the measurement
    #[arg(long, global = true, value_name = "S")]
    seconds: Option<f64>,
    /// Clients of chat, rate and crash
    #[arg(long, global = true)]
    clients: Option<usize>,
    /// Bytes of a payload
    #[arg(long, global = true, value_name = "BYTES")]
    payload: Option<usize>,
    /// Connections of idle and connects, devices of the reconnect storm, readers of fan-out
    #[arg(long, global = true)]
    many: Option<usize>,
    /// The longest wait for the store to settle at the end, seconds
    #[arg(long, global = true, value_name = "S")]
    settle: Option<f64>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Work {
    /// Each client writes to the next, as fast as acknowledgements come
    Chat {
        /// Unacknowledged publishes of a client
        #[arg(long, default_value_t = 16)]
        window: u16,
    },
    /// As chat, at a fixed rate
    Rate {
        /// Messages of all clients in a second
        #[arg(long, default_value_t = 1_000)]
        per_second: u32,
    },
    /// One writes, a thousand read: on Parlance in a group
    FanOut {
        /// Unacknowledged publishes of the writer
        #[arg(long, default_value_t = 8)]
        window: u16,
    },
    /// The same on a free topic
    FanOutFree {
        /// Unacknowledged publishes of the writer
        #[arg(long, default_value_t = 8)]
        window: u16,
        /// With durable sessions
        #[arg(long)]
        durable: bool,
    },
    /// Memory of ten thousand connections that do nothing
    Idle {
        /// Over TLS
        #[arg(long)]
        tls: bool,
    },
    /// How fast connections are let in
    Connects {
        /// Over TLS
        #[arg(long)]
        tls: bool,
    },
    /// Two hundred sessions come back to five hundred messages each
    Offline,
    /// Ten thousand devices come back at once to twenty messages each
    ReconnectStorm,
    /// Pages of history while a chat runs (Parlance)
    History,
    /// One device comes back to a conversation of many stored messages (Parlance)
    ReconnectCost {
        /// Messages stored before
        #[arg(long, default_value_t = 1_000)]
        stored: u64,
    },
    /// One device comes back to a group of many members (Parlance)
    ReconnectGroup {
        /// Members
        #[arg(long, default_value_t = 10)]
        members: u64,
    },
    /// What a message costs in a conversation of many (Parlance)
    ConversationCost {
        /// Messages stored before
        #[arg(long, default_value_t = 100)]
        messages: u64,
    },
    /// What a message costs where there are many conversations (Parlance)
    ConversationCount {
        /// Conversations
        #[arg(long, default_value_t = 1_000)]
        conversations: u64,
    },
    /// The broker is killed in the middle of a chat
    Crash,
}

impl From<Work> for Case {
    fn from(work: Work) -> Self {
        match work {
            Work::Chat { window } => Self::Chat { window },
            Work::Rate { per_second } => Self::Rate { per_second },
            Work::FanOut { window } => Self::FanOut { window },
            Work::FanOutFree { window, durable } => Self::FanOutFree { window, durable },
            Work::Idle { tls } => Self::Idle { tls },
            Work::Connects { tls } => Self::Connects { tls },
            Work::Offline => Self::Offline,
            Work::ReconnectStorm => Self::ReconnectStorm,
            Work::History => Self::History,
            Work::ReconnectCost { stored } => Self::ReconnectCost { stored },
            Work::ReconnectGroup { members } => Self::ReconnectGroup { members },
            Work::ConversationCost { messages } => Self::ConversationCost { messages },
            Work::ConversationCount { conversations } => Self::ConversationCount { conversations },
            Work::Crash => Self::Crash,
        }
    }
}

impl BrokerOptions {
    fn target(&self, pid: u32) -> io::Result<Target> {
        let in_data = |path: &str| self.data.as_ref().map(|data| data.join(path));
        let admin_token = match in_data("admin.token").filter(|_| self.parlance) {
            Some(file) => Some(fs::read_to_string(file)?.trim().to_owned()),
            None => None,
        };
        let ca = self.ca.clone().or_else(|| in_data("certs/ca.pem").filter(|_| self.parlance));
        Ok(Target {
            dialect: if self.parlance { Dialect::Parlance } else { Dialect::Plain },
            mqtt: self.address,
            mqtts: self.tls_address,
            http: self.parlance.then_some(self.http),
            ca,
            pid,
            data: self.data.clone(),
            admin_token,
        })
    }
}

impl AmountOptions {
    fn settings(&self, version: Version) -> Settings {
        let mut settings = if self.quick { Settings::quick() } else { Settings::default() };
        settings.version = version;
        settings.threads = self.threads.unwrap_or(settings.threads);
        settings.clients = self.clients.unwrap_or(settings.clients);
        settings.payload_bytes = self.payload.unwrap_or(settings.payload_bytes);
        if let Some(seconds) = self.seconds {
            settings.measure = Duration::from_secs_f64(seconds);
        }
        if let Some(seconds) = self.settle {
            settings.settle = Duration::from_secs_f64(seconds);
        }
        if let Some(many) = self.many {
            (settings.connections, settings.storm_devices, settings.fan_out) = (many, many, many);
        }
        settings
    }
}

/// Runs the case and prints what came out.
pub(crate) fn case(options: &CaseOptions) -> Result<ExitCode, CaseError> {
    let failed = |what: &str, source| CaseError::Io { what: what.to_owned(), source };
    let version = match options.broker.mqtt {
        Mqtt::V311 => Version::V311,
        Mqtt::V5 => Version::V5,
    };
    let settings = options.amount.settings(version);
    let case = Case::from(options.work);
    let outcome = if case == Case::Crash {
        let command = options.broker.start.as_deref().ok_or(CaseError::NotHere("crash needs --start"))?;
        crash(&mut process::Restarted::new(command, &options.broker), &settings)?
    } else {
        let address = options.broker.address;
        let pid = options.broker.pid.or_else(|| process::listening_at(address)).unwrap_or(0);
        let target = options.broker.target(pid).map_err(|error| failed("the admin token", error))?;
        run(&case, &target, &settings)?
    };
    print(&case, &outcome, options.json).map_err(|error| failed("printing", error))?;
    Ok(if outcome.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(case: &Case, outcome: &Outcome, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string(outcome)?);
    }
    writeln!(out, "{case}")?;
    for (name, value) in &outcome.values {
        let decimals = if value.abs() >= 1_000.0 || value.fract() == 0.0 { 0 } else { 3 };
        writeln!(out, "  {name:<40} {value:>14.decimals$}")?;
    }
    for note in &outcome.notes {
        writeln!(out, "  note: {note}")?;
    }
    for fault in &outcome.faults {
        writeln!(out, "  FAULT: {fault}")?;
    }
    Ok(())
}
