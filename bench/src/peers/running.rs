//! A broker that runs, and starts again after it was killed.

use super::{
    Found, LaunchError, Peer, Places,
    guard::Guarded,
    launch::{Ground, Plan},
    mosquitto, nats, parlance,
    ports::Ports,
    rabbitmq,
    ready::{self, Answer},
    rmqtt, rumqttd,
};
use crate::{Dialect, Restart, Target};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Ports that a broker is given: as many as the one that wants most.
const PORTS: usize = 4;

/// How often it is asked whether it is ready.
const ASK: Duration = Duration::from_millis(20);

/// Lines of what a broker said that are shown when it does not start.
const LOG_LINES_SHOWN: usize = 4;

/// Why a broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder or its ports.
    #[error("{0}: no place for it")]
    Place(Peer, #[source] io::Error),
    /// Its configuration.
    #[error("{0}: no configuration")]
    Plan(Peer, #[source] LaunchError),
    /// It was not ready in time, or ended.
    #[error("{peer}: it does not start")]
    Start {
        /// Which broker.
        peer: Peer,
        /// What happened.
        source: io::Error,
    },
}

/// A running broker. When this is dropped, it is killed and its folder is removed.
#[derive(Debug)]
pub struct Running {
    peer: Peer,
    guard: PathBuf,
    plan: Plan,
    // Dropped in this order: first the processes, then their files and ports.
    broker: Option<Guarded>,
    _beside: Option<Guarded>,
    folder: TempDir,
    _ports: Ports,
}

impl Running {
    /// Starts a broker with its data in a new folder under `data`; returns when it takes clients.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(places: &Places, found: &Found, data: &Path) -> Result<Self, StartError> {
        let mut running = Self::prepare(places, found, data)?;
        Restart::start(&mut running).map_err(|source| StartError::Start { peer: found.peer, source })?;
        Ok(running)
    }

    /// The same, for somebody who starts it himself.
    ///
    /// # Errors
    /// If it has no place or no configuration.
    pub fn prepare(places: &Places, found: &Found, data: &Path) -> Result<Self, StartError> {
        let peer = found.peer;
        let place = |source| StartError::Place(peer, source);
        fs::create_dir_all(data).map_err(place)?;
        let prefix = format!("{}-", peer.name());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(data).map_err(place)?;
        let ports = Ports::reserve(PORTS).map_err(place)?;
        let ground = Ground { program: &found.program, folder: folder.path(), ports: &ports };
        let plan = plan(peer, &ground).map_err(|source| StartError::Plan(peer, source))?;
        let failed = |source| StartError::Start { peer, source };
        let start_beside = |launch| Guarded::start(&places.guard, launch, folder.path());
        let beside = plan.beside.as_ref().map(start_beside).transpose().map_err(failed)?;
        let guard = places.guard.clone();
        Ok(Self { peer, guard, plan, broker: None, _beside: beside, folder, _ports: ports })
    }

    /// How it is reached.
    pub fn target(&self) -> &Target {
        &self.plan.target
    }

    /// Stops it in the orderly way and removes its folder. Answers whether it ended in time by itself.
    ///
    /// # Errors
    /// If its processes cannot be ended.
    pub fn stop(mut self) -> io::Result<bool> {
        let patience = self.plan.patience;
        self.broker.take().map_or(Ok(true), |mut broker| broker.stop(patience))
    }

    fn await_ready(&mut self) -> io::Result<()> {
        let end = Instant::now() + self.plan.patience;
        loop {
            let broker = self.broker.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            if !broker.is_running()? {
                return Err(io::Error::other(format!("it has ended; it said: {}", self.said())));
            }
            match ready::ask(self.plan.target.mqtt, self.peer.version()) {
                Ok(Answer::Accepted) => return Ok(()),
                // Nobody may come to the messenger without a login.
                Ok(Answer::Refused) if self.plan.target.dialect == Dialect::Parlance => return Ok(()),
                answer if Instant::now() > end => {
                    let why =
                        answer.map_or_else(|error| error.to_string(), |_| "it refuses clients".to_owned());
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("{why}; it said: {}", self.said()),
                    ));
                }
                _ => thread::sleep(ASK),
            }
        }
    }

    /// The last lines of its log, in one.
    fn said(&self) -> String {
        let log = fs::read(self.folder.path().join(self.plan.broker.log)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join(" / ")
    }
}

impl Restart for Running {
    fn kill(&mut self) -> io::Result<()> {
        self.broker.take().map_or(Ok(()), |mut broker| broker.kill())
    }

    fn start(&mut self) -> io::Result<Target> {
        self.kill()?;
        let broker = Guarded::start(&self.guard, &self.plan.broker, self.folder.path())?;
        self.plan.target.pid = broker.pid;
        self.broker = Some(broker);
        self.await_ready()?;
        if self.plan.target.dialect == Dialect::Parlance {
            self.plan.target.admin_token = Some(parlance::admin_token(self.folder.path())?);
        }
        Ok(self.plan.target.clone())
    }
}

fn plan(peer: Peer, ground: &Ground<'_>) -> Result<Plan, LaunchError> {
    match peer {
        Peer::Parlance => parlance::plan(ground),
        Peer::Mosquitto => mosquitto::plan(ground),
        Peer::Rumqttd => rumqttd::plan(ground),
        Peer::Rmqtt => rmqtt::plan(ground),
        Peer::Nats => nats::plan(ground, nats::Sync::AsShipped),
        Peer::NatsSynced => nats::plan(ground, nats::Sync::Always),
        Peer::Rabbitmq => rabbitmq::plan(ground),
    }
}
