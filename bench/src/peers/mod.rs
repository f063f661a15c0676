//! The brokers: found, started on ports of their own with their data in a temporary folder, stopped, killed, started
//! again.
//!
//! Each broker has a file that says how it is configured and why. All of them run as children of a [`guard`], a process
//! that ends what it started when the suite is gone, however that ended. Nothing is ever stopped by its name.

pub mod guard;

mod certificate;
mod launch;
mod mosquitto;
mod nats;
mod parlance;
mod place;
mod ports;
mod rabbitmq;
mod ready;
mod rmqtt;
mod rumqttd;
mod running;
mod tree;

#[cfg(test)]
mod tests;

use crate::Version;
use serde::{Deserialize, Serialize};
use std::{fmt, io, str::FromStr};

pub use launch::LaunchError;
pub use place::{Found, Places};
pub use running::{Running, StartError};

/// A broker, in the configuration in which it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// The broker of this workspace.
    Parlance,
    /// Debian's mosquitto.
    Mosquitto,
    /// rumqttd of crates.io.
    Rumqttd,
    /// rmqttd of crates.io.
    Rmqtt,
    /// nats-server of PyPI, as shipped.
    Nats,
    /// The same, told to sync each message.
    NatsSynced,
    /// Debian's rabbitmq-server with its MQTT plugin.
    Rabbitmq,
}

/// What a reader has to know about a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// The newest version of MQTT that it speaks with durable sessions.
    pub(crate) version: Version,
    /// How it is configured here, and what that is for.
    pub(crate) configuration: &'static str,
    /// What it has done with a message when it acknowledges it, in this configuration.
    pub(crate) acknowledges: &'static str,
    /// The same in a few words, for tables.
    pub(crate) durability: &'static str,
}

impl Peer {
    /// In the order of the report.
    pub const ALL: [Self; 7] = [
        Self::Parlance,
        Self::Mosquitto,
        Self::Rumqttd,
        Self::Rmqtt,
        Self::Nats,
        Self::NatsSynced,
        Self::Rabbitmq,
    ];

    pub(crate) fn about(self) -> &'static About {
        match self {
            Self::Parlance => &parlance::ABOUT,
            Self::Mosquitto => &mosquitto::ABOUT,
            Self::Rumqttd => &rumqttd::ABOUT,
            Self::Rmqtt => &rmqtt::ABOUT,
            Self::Nats => &nats::AS_SHIPPED,
            Self::NatsSynced => &nats::SYNCED,
            Self::Rabbitmq => &rabbitmq::ABOUT,
        }
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// The newest version of MQTT that it speaks with durable sessions.
    pub fn version(self) -> Version {
        self.about().version
    }

    /// Whether it listens with TLS here.
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Parlance | Self::Mosquitto)
    }

    /// What has to be installed for it, as `cargo xtask bench` calls it.
    pub fn program(self) -> &'static str {
        match self {
            Self::NatsSynced => Self::Nats.name(),
            other => other.name(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No broker has this name.
#[derive(Debug, thiserror::Error)]
#[error("no broker is called {0:?}; there are {names}", names = Peer::ALL.map(Peer::name).join(", "))]
pub struct NoSuchPeer(String);

impl FromStr for Peer {
    type Err = NoSuchPeer;

    fn from_str(text: &str) -> Result<Self, NoSuchPeer> {
        Self::ALL.into_iter().find(|peer| peer.name() == text).ok_or_else(|| NoSuchPeer(text.to_owned()))
    }
}

/// Why a broker is not among those that are measured.
#[derive(Debug, thiserror::Error)]
pub enum AbsentError {
    /// Its program is not there.
    #[error("{0} is not installed: cargo xtask bench")]
    NotFound(&'static str),
    /// The program is there and does not tell its version.
    #[error("{program} does not run")]
    Mute {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
