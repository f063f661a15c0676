//! The server that the fleet connects to: Parlance, or mosquitto as the reference (`PARLANCE_FLEET_BROKER=mosquitto`).

mod mosquitto;
mod parlance;

use self::{mosquitto::Mosquitto, parlance::Parlance};
use std::{env, net::SocketAddr};

/// Names the server; Parlance without it.
const CHOICE: &str = "PARLANCE_FLEET_BROKER";

/// What a client logs in with.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A server with its data folder. It stops with this.
pub(crate) enum Broker {
    Parlance(Box<Parlance>),
    Mosquitto(Mosquitto),
}

impl Broker {
    /// Starts the server that the environment names, with everything under `app/` open to its users.
    pub(crate) async fn start() -> Self {
        match env::var(CHOICE).as_deref() {
            Err(_) | Ok("parlance") => Self::Parlance(Box::new(Parlance::start().await)),
            Ok("mosquitto") => Self::Mosquitto(Mosquitto::start().await),
            Ok(other) => panic!("{CHOICE} is `parlance` or `mosquitto`, not `{other}`"),
        }
    }

    /// As it is called in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Parlance(_) => "Parlance",
            Self::Mosquitto(_) => "mosquitto",
        }
    }

    /// It is not Parlance.
    pub(crate) fn is_reference(&self) -> bool {
        matches!(self, Self::Mosquitto(_))
    }

    /// Where it listens, over all its restarts.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Parlance(server) => server.address(),
            Self::Mosquitto(server) => server.address(),
        }
    }

    /// The login of the client under test.
    pub(crate) fn client_login(&self) -> Login {
        match self {
            Self::Parlance(server) => server.client_login(),
            Self::Mosquitto(_) => mosquitto::login("fleet"),
        }
    }

    /// The login of the other side.
    pub(crate) fn peer_login(&self) -> Login {
        match self {
            Self::Parlance(server) => server.peer_login(),
            Self::Mosquitto(_) => mosquitto::login("peer"),
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        match self {
            Self::Parlance(server) => server.kill(),
            Self::Mosquitto(server) => server.kill().await,
        }
    }

    /// Starts it again on the same data folder, if it is not running.
    pub(crate) async fn ensure_running(&mut self) {
        match self {
            Self::Parlance(server) => server.ensure_running().await,
            Self::Mosquitto(server) => server.ensure_running().await,
        }
    }
}
