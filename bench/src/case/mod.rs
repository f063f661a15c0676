//! The cases: each a file that says what is done and how each figure comes about.

mod chat;
mod connections;
mod cost;
mod crash;
mod fan_out;
mod gauge;
mod history;
mod http;
mod offline;
mod world;

use crate::{Case, Outcome, Restart, Settings, Target, load::LoadError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Why a case has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A socket, a file, /proc.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The case is not for this target or these settings.
    #[error("not on this target: {0}")]
    NotHere(&'static str),
    /// Parlance's API refused.
    #[error("{path} was answered with {status}: {said}")]
    Api {
        /// What was called.
        path: String,
        /// HTTP status.
        status: u16,
        /// The body.
        said: String,
    },
    /// The clients could not do their work.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl CaseError {
    fn io(what: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let what = what.to_owned();
        move |source| Self::Io { what, source }
    }
}

/// Runs a case; returns when it is over.
///
/// # Errors
/// If it could not be run to its end. What the broker did wrong with messages is no error: it stands in the outcome.
pub fn run(case: &Case, target: &Target, settings: &Settings) -> Result<Outcome, CaseError> {
    raise_descriptors();
    match *case {
        Case::Chat { window } => chat::chat(target, settings, window),
        Case::Rate { per_second } => chat::rate(target, settings, per_second),
        Case::FanOut { window } => fan_out::group(target, settings, window),
        Case::FanOutFree { window, durable } => fan_out::free(target, settings, window, durable),
        Case::Idle { tls } => connections::idle(target, settings, tls),
        Case::Connects { tls } => connections::connects(target, settings, tls),
        Case::Offline => offline::offline(target, settings),
        Case::ReconnectStorm => offline::storm(target, settings),
        Case::History => history::history(target, settings),
        Case::ReconnectCost { stored } => cost::reconnect(target, settings, stored),
        Case::ReconnectGroup { members } => cost::reconnect_group(target, settings, members),
        Case::ConversationCost { messages } => cost::conversation(target, settings, messages),
        Case::ConversationCount { conversations } => cost::conversations(target, settings, conversations),
        Case::Crash => Err(CaseError::NotHere("a crash needs somebody who kills and starts")),
    }
}

/// [`Case::Crash`]: kills the broker in the middle of a chat, starts it again, and looks for what it had acknowledged.
///
/// # Errors
/// As [`run`].
pub fn crash(broker: &mut dyn Restart, settings: &Settings) -> Result<Outcome, CaseError> {
    raise_descriptors();
    crash::crash(broker, settings)
}

/// Ten thousand connections need more descriptors than is usual. Where the machine allows no more, connecting fails and
/// says so.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
