//! The configuration: one typed TOML file, overridden by the environment.
//!
//! Every key has a default, so an empty file works and no file at all does too. A key is described once, where its
//! field stands (`sections.rs`, `limits.rs`): its meaning, type, default and range make the struct, the checks, the
//! suggestions and the [`Config::example`].
//!
//! `PARLANCE__SECTION__KEY=value` overrides a key of a section, `PARLANCE__KEY=value` one that stands in none. What
//! is not a key, has the wrong type or is out of range is refused, in the file with its line, in the environment with
//! the variable's name. Tables that may stand more than once (`[[listener]]`) are for the file alone. Sizes are in bytes, times in the unit that the name ends with.
//!
//! No key holds a secret: keys and tokens live in files that the configuration at most names.

mod address;
mod choice;
mod environment;
mod error;
mod example;
mod file;
mod key;
mod limits;
mod listener;
mod network;
mod rules;
mod sections;
mod sources;
mod summary;
#[cfg(test)]
mod tests;
mod topics;

pub use address::Address;
pub use choice::{
    ClientCertificates, LogFormat, Profile, QueueFull, Registration, ShareStrategy, StoreEngine, Transport,
};
pub use error::{ConfigError, Line, Place, Problem};
pub use limits::Limits;
pub use listener::{CertificateFor, Listener};
pub use network::{Network, NetworkError};
pub use rules::{At, ListenerRule, Rule};
pub use sections::{Access, Auth, Listen, Log, Runtime, Store, Tls};
pub use summary::check;
pub use topics::Topics;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use key::{Key, Section, Setting as _};
use sources::Sources;

/// The file that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "parlance.toml";

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of everything that is kept: store, journal, keys, certificates. It is created at the first start.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub listen: Listen,
    /// Further listeners.
    pub listener: Vec<Listener>,
    /// What proves the server to its clients.
    pub tls: Tls,
    /// How data is kept.
    pub store: Store,
    /// Who may come in.
    pub auth: Auth,
    /// What is bounded, and where.
    pub limits: Limits,
    /// Free MQTT topics.
    pub topics: Topics,
    /// Who may use which of them.
    pub access: Access,
    /// How the machine is used.
    pub runtime: Runtime,
    /// What is told, and how.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("parlance-data"),
            listen: Listen::default(),
            listener: Vec::new(),
            tls: Tls::default(),
            store: Store::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            topics: Topics::default(),
            access: Access::default(),
            runtime: Runtime::default(),
            log: Log::default(),
        }
    }
}

/// What stands before the first section.
const ROOT: Section = Section {
    name: "",
    about: &[" The configuration of Parlance, with every key at its default."],
    keys: &[Key {
        name: "data_dir",
        docs: &[
            " Folder of all that is kept: store, journal, keys, certificates. Created at the first start.",
        ],
        kind: PathBuf::KIND,
        range: None,
    }],
};

/// All sections, in the order of the example.
const SECTIONS: &[Section] = &[
    ROOT,
    Listen::INFO,
    Tls::INFO,
    Store::INFO,
    Auth::INFO,
    Topics::INFO,
    Access::INFO,
    Limits::INFO,
    Runtime::INFO,
    Log::INFO,
];

/// Tables that may stand any number of times: behind the section of `SECTIONS` that is named first.
const TABLES: &[(&str, Section)] = &[("listen", Listener::INFO), ("tls", CertificateFor::INFO)];

/// The table of a name.
fn table(name: &str) -> Option<&'static Section> {
    TABLES.iter().map(|(_, section)| section).find(|section| section.name == name)
}

impl Config {
    /// Reads the file, or [`DEFAULT_FILE`] of the working folder if none is named and it is there; then the
    /// environment; then checks all of it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars_os()).map(|(config, _)| config)
    }

    fn load_with(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Sources), ConfigError> {
        let mut sources = Sources::default();
        let config = match read(path)? {
            Some((path, text)) => file::parse(path, text, &mut sources)?,
            None => Self::default(),
        };
        let config = environment::apply(config, variables, &mut sources)?;
        match rules::broken(&config) {
            Some(rule) => {
                let place = match rule.key() {
                    At::Key(section, key) => sources.place(section, key),
                    At::Row(table, row, key) => sources.row(table, row, key),
                };
                Err(ConfigError::Rule { place, rule })
            }
            None => Ok((config, sources)),
        }
    }

    /// The keys that have another value in `other`, as in `limits.packet_bytes_max`; a table that may stand more than once
    /// is one key.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) =
            (Table::try_from(self).unwrap_or_default(), Table::try_from(other).unwrap_or_default());
        let mut keys = Vec::new();
        for (name, value) in &ours {
            match (value.as_table(), theirs.get(name).and_then(Value::as_table)) {
                (Some(ours), Some(theirs)) => {
                    let differ = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value));
                    keys.extend(differ.map(|(key, _)| format!("{name}.{key}")));
                }
                _ if theirs.get(name) != Some(value) => keys.push(name.clone()),
                _ => {}
            }
        }
        keys
    }

    /// A file with every key at its default and what each means.
    pub fn example() -> String {
        example::render(&Self::default())
    }
}

fn read(path: Option<&Path>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let found = path.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(found) {
        Ok(text) => Ok(Some((found.to_owned(), text))),
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: found.to_owned(), source }),
    }
}
