//! What it takes to start a broker.

use crate::{Dialect, Target};
use std::{
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::ports::Ports;

/// Why a broker cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A file of its configuration cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// No certificate for its TLS listener.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
}

/// A program with its arguments and its environment.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(String, OsString)>,
    /// The file for what it says, in its folder.
    pub(super) log: &'static str,
}

impl Launch {
    pub(super) fn new(program: &Path) -> Self {
        let (program, log) = (program.to_owned(), "broker.log");
        Self { program, arguments: Vec::new(), environment: Vec::new(), log }
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Variables of this process that would change a broker's configuration behind our back.
    pub(super) fn not_inherited(&self) -> impl Iterator<Item = OsString> {
        let own: Vec<OsString> = self.environment.iter().map(|(name, _)| OsString::from(name)).collect();
        let configures = |name: &OsString| {
            let name = name.to_string_lossy();
            ["PARLANCE__", "RABBITMQ_", "RMQTT_", "rmqtt_", "ERL_"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        env::vars_os().map(|(name, _)| name).filter(move |name| configures(name) && !own.contains(name))
    }
}

/// What a broker's file decides: what is started, and how it is reached then.
#[derive(Debug)]
pub(super) struct Plan {
    /// Started first and never killed with the broker: Erlang's port mapper.
    pub(super) beside: Option<Launch>,
    pub(super) broker: Launch,
    /// As it will be; the process id comes with the start.
    pub(super) target: Target,
    /// How long it may take to start, and to stop.
    pub(super) patience: Duration,
}

impl Plan {
    /// A broker with a plain MQTT listener, quick to start.
    pub(super) fn new(broker: Launch, mqtt: SocketAddr, data: PathBuf) -> Self {
        let target = Target {
            dialect: Dialect::Plain,
            mqtt,
            mqtts: None,
            http: None,
            ca: None,
            pid: 0,
            data: Some(data),
            admin_token: None,
        };
        Self { beside: None, broker, target, patience: Duration::from_secs(30) }
    }
}

/// What a broker's file decides with.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) program: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) ports: &'a Ports,
}

impl Ground<'_> {
    /// Writes a file of the configuration.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, LaunchError> {
        let file = self.folder.join(name);
        fs::write(&file, text).map_err(|source| LaunchError::Write(file.clone(), source))?;
        Ok(file)
    }

    /// Makes a folder for its data: brokers differ in whether they do.
    pub(super) fn data(&self) -> Result<PathBuf, LaunchError> {
        let folder = self.folder.join("data");
        fs::create_dir_all(&folder).map_err(|source| LaunchError::Write(folder.clone(), source))?;
        Ok(folder)
    }
}
