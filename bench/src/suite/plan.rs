//! What is run: which cases, on which brokers, in how many rounds.

use super::Options;
use crate::{
    Case, Settings,
    peers::Peer,
    report::{CONVERSATIONS, MEMBERS, MESSAGES, STORED, results::Place},
};

/// Devices of the reconnect storm for brokers that need minutes to make ten thousand durable sessions.
const STORM_OF_THE_SLOW: usize = 1_000;

/// Why there is nothing to do.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No case has this name or begins with it.
    #[error("no case is called {0:?}; there are {names}", names = names())]
    NoSuchCase(String),
    /// What was chosen excludes each other.
    #[error("none of these brokers can do any of these cases")]
    Nothing,
}

fn names() -> String {
    all_cases().iter().map(Case::name).collect::<Vec<_>>().join(", ")
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) peers: Vec<Peer>,
    cases: Vec<Case>,
    /// Instead of each case's own.
    rounds: Option<u32>,
    /// Nothing was left out: the figures can be judged.
    pub(super) is_whole: bool,
}

impl Plan {
    pub(super) fn new(options: &Options) -> Result<Self, PlanError> {
        let chosen = |peer: &Peer| options.only.is_empty() || options.only.contains(peer);
        let peers: Vec<Peer> = Peer::ALL.into_iter().filter(chosen).collect();
        let cases = chosen_cases(&options.cases)?;
        let cases = if options.quick { cases.into_iter().filter(is_quick).collect() } else { cases };
        let rounds = options.rounds.or(options.quick.then_some(1));
        let is_whole = options.only.is_empty() && options.cases.is_empty() && !options.quick;
        let plan = Self { peers, cases, rounds, is_whole };
        if plan.steps(&plan.peers).is_empty() { Err(PlanError::Nothing) } else { Ok(plan) }
    }

    /// All of it in order, on those brokers that are there.
    pub(super) fn steps(&self, there: &[Peer]) -> Vec<Place> {
        let peers: Vec<Peer> = self.peers.iter().copied().filter(|peer| there.contains(peer)).collect();
        let pairs = || peers.iter().flat_map(|&peer| self.cases.iter().map(move |&case| (case, peer)));
        let last = pairs().map(|(case, peer)| self.rounds(case, peer)).max().unwrap_or(0);
        let mut steps = Vec::new();
        for round in 1..=last {
            let first = (round - 1) as usize % peers.len().max(1);
            let order = peers[first..].iter().chain(&peers[..first]);
            for &peer in order {
                let cases = self.cases.iter().filter(|&&case| self.rounds(case, peer) >= round);
                steps.extend(cases.map(|&case| Place { case, peer, round }));
            }
        }
        steps
    }

    fn rounds(&self, case: Case, peer: Peer) -> u32 {
        match (rounds(case, peer), self.rounds) {
            (0, _) => 0,
            (own, all) => all.unwrap_or(own),
        }
    }
}

/// Filling a store with more than this takes longer than the rest.
const QUICK_MAX: u64 = 10_000;

fn is_quick(case: &Case) -> bool {
    match *case {
        Case::ReconnectCost { stored: size }
        | Case::ConversationCost { messages: size }
        | Case::ConversationCount { conversations: size } => size <= QUICK_MAX,
        _ => true,
    }
}

/// An exact name is that case; another is the beginning of some.
fn chosen_cases(wanted: &[String]) -> Result<Vec<Case>, PlanError> {
    let all = all_cases();
    if wanted.is_empty() {
        return Ok(all);
    }
    let mut names = Vec::new();
    for word in wanted {
        let exact = all.iter().any(|case| case.name() == *word);
        let fits =
            |case: &&Case| if exact { case.name() == *word } else { case.name().starts_with(word.as_str()) };
        let fitting: Vec<String> = all.iter().filter(fits).map(Case::name).collect();
        if fitting.is_empty() {
            return Err(PlanError::NoSuchCase(word.clone()));
        }
        names.extend(fitting);
    }
    Ok(all.into_iter().filter(|case| names.contains(&case.name())).collect())
}

/// In the order of the report.
fn all_cases() -> Vec<Case> {
    let mut cases = vec![
        Case::Chat { window: 16 },
        Case::Chat { window: 1 },
        Case::Rate { per_second: 1_000 },
        Case::FanOut { window: 8 },
        Case::FanOut { window: 1 },
        Case::FanOutFree { window: 8, durable: false },
        Case::FanOutFree { window: 8, durable: true },
        Case::Idle { tls: false },
        Case::Idle { tls: true },
        Case::Connects { tls: false },
        Case::Connects { tls: true },
        Case::Offline,
        Case::ReconnectStorm,
        Case::History,
    ];
    cases.extend(STORED.map(|stored| Case::ReconnectCost { stored }));
    cases.extend(MEMBERS.map(|members| Case::ReconnectGroup { members }));
    cases.extend(MESSAGES.map(|messages| Case::ConversationCost { messages }));
    cases.extend(CONVERSATIONS.map(|conversations| Case::ConversationCount { conversations }));
    cases.push(Case::Crash);
    cases
}

/// How often a case is run on a broker; 0 if it cannot do it, or if it would show nothing.
fn rounds(case: Case, peer: Peer) -> u32 {
    let parlance = peer == Peer::Parlance;
    let slow = matches!(peer, Peer::Nats | Peer::NatsSynced | Peer::Rabbitmq);
    // Only what syncing changes is measured twice.
    if peer == Peer::NatsSynced {
        return match case {
            Case::Chat { .. } | Case::Rate { .. } | Case::Crash => 1,
            _ => 0,
        };
    }
    match case {
        _ if case.is_parlance_only() && !parlance => 0,
        Case::Idle { tls: true } | Case::Connects { tls: true } if !peer.has_tls() => 0,
        Case::FanOutFree { .. } if !parlance => 0,
        // What is judged, and what it is judged by, has five.
        Case::Chat { .. } | Case::Rate { .. } | Case::FanOut { window: 8 } => match peer {
            Peer::Parlance | Peer::Mosquitto | Peer::Rumqttd => 5,
            Peer::Rabbitmq if case == (Case::Chat { window: 16 }) => 5,
            Peer::Rmqtt => 3,
            _ => 2,
        },
        Case::FanOut { .. } => {
            if slow {
                1
            } else {
                3
            }
        }
        Case::Offline => match peer {
            Peer::Parlance | Peer::Mosquitto => 5,
            _ if slow => 1,
            _ => 3,
        },
        Case::Connects { .. } | Case::Idle { .. } => match peer {
            Peer::Parlance => 5,
            Peer::Mosquitto => 3,
            _ => 1,
        },
        Case::FanOutFree { .. } | Case::History | Case::ReconnectStorm | Case::Crash if parlance => 3,
        _ => 1,
    }
}

/// What a broker cannot do in a sensible time is made smaller for it.
pub(super) fn settings_for(case: Case, peer: Peer, settings: &Settings) -> Settings {
    let mut settings = Settings { version: peer.version(), ..settings.clone() };
    if case == Case::ReconnectStorm && matches!(peer, Peer::Nats | Peer::Rabbitmq) {
        settings.storm_devices = settings.storm_devices.min(STORM_OF_THE_SLOW);
    }
    settings
}
