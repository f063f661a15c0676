//! What a run of the suite found: all of it, as it stands in `results.json`.

use crate::{Case, Outcome, peers::Peer};
use serde::{Deserialize, Serialize};

/// The shape of the file; another number is another shape.
pub(crate) const FORMAT: u32 = 1;

/// One run of the suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The shape of this file.
    pub format: u32,
    /// Seconds since 1970, when it began.
    pub began_unix_s: u64,
    /// How long it took, seconds.
    pub took_s: f64,
    /// Where.
    pub environment: Environment,
    /// How much work the cases are.
    pub size: Size,
    /// Who took part.
    pub peers: Vec<Participant>,
    /// Every case of every round on every broker, in the order in which they ran.
    pub runs: Vec<Run>,
    /// What was planned and left out for want of time.
    pub left_out: Vec<Place>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Processors that this program may use.
    pub cores: usize,
    /// Their name.
    pub processor: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Kernel and its version.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// The block device that holds the brokers' data.
    pub device: String,
    /// The file system there.
    pub file_system: String,
    /// The commit of Parlance, and whether files were changed since.
    pub commit: Option<String>,
    /// How Parlance and the load generator were compiled.
    pub build: String,
    /// The share of all processors that other programs used before it began, from 0 to 1.
    pub busy_before: f64,
    /// Appends of 4 KiB, each synced, to a file that grows.
    pub sync_growing: SyncFigures,
    /// The same into a file whose blocks are there already.
    pub sync_preallocated: SyncFigures,
}

/// What the disk itself takes for `fdatasync`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SyncFigures {
    /// In a second, one after the other.
    pub per_s: f64,
    /// Of one, milliseconds.
    pub p50_ms: f64,
    /// Of one, milliseconds.
    pub p99_ms: f64,
}

/// How much work the cases are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// Small and short: no figures to compare with anything.
    pub quick: bool,
    /// Threads of the load generator.
    pub threads: usize,
    /// Clients of chat, rate and crash.
    pub clients: usize,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// Load before a measurement, seconds.
    pub warm_up_s: f64,
    /// A measurement, seconds.
    pub measure_s: f64,
    /// Readers of fan-out.
    pub fan_out: usize,
    /// Connections of idle and connects.
    pub connections: usize,
    /// Sessions of offline.
    pub offline_sessions: usize,
    /// What each of them missed.
    pub offline_messages: u32,
    /// Devices of the reconnect storm.
    pub storm_devices: usize,
    /// What a device that comes back missed.
    pub missed_messages: u32,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    /// Which.
    pub peer: Peer,
    /// As its program says; none if it is absent.
    pub version: Option<String>,
    /// Why it is absent, if it is.
    pub absent: Option<String>,
}

/// A case on a broker in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The case.
    pub case: Case,
    /// The broker.
    pub peer: Peer,
    /// Counted from 1.
    pub round: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Which case, broker and round.
    #[serde(flatten)]
    pub place: Place,
    /// With start and stop of the broker, seconds.
    pub took_s: f64,
    /// The figures; none if it could not be run.
    pub outcome: Option<Outcome>,
    /// Why it could not be run.
    pub error: Option<String>,
}

impl Run {
    /// Whether it failed, or the broker did something wrong with a message.
    pub(crate) fn is_broken(&self) -> bool {
        self.outcome.as_ref().is_none_or(|outcome| !outcome.faults.is_empty())
    }
}

impl Results {
    /// The outcomes of a case on a broker.
    pub(crate) fn outcomes(&self, case: Case, peer: Peer) -> impl Iterator<Item = &Outcome> {
        let runs = self.runs.iter().filter(move |run| run.place.case == case && run.place.peer == peer);
        runs.filter_map(|run| run.outcome.as_ref())
    }

    /// How often a case was run on a broker, or tried.
    pub(crate) fn ran(&self, case: Case, peer: Peer) -> usize {
        self.runs.iter().filter(|run| run.place.case == case && run.place.peer == peer).count()
    }

    /// How often of that something was wrong.
    pub(crate) fn broken(&self, case: Case, peer: Peer) -> usize {
        let runs = self.runs.iter().filter(|run| run.place.case == case && run.place.peer == peer);
        runs.filter(|run| run.is_broken()).count()
    }

    /// Whether anything of this case was run.
    pub(crate) fn has(&self, case: Case) -> bool {
        self.runs.iter().any(|run| run.place.case == case)
    }
}
