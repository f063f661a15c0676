//! The configuration: one typed TOML file, overridden by the environment.
//!
//! Every key has a default, so an empty file works and no file at all does too. A key is described once, where its
//! field stands (`sections.rs`, `limits.rs`): its meaning, type, default and range make the struct, the checks, the
//! suggestions and the [`Config::example`].
//!
//! `PARLANCE__SECTION__KEY=value` overrides a key of a section, `PARLANCE__KEY=value` one that stands in none. What
//! is not a key, has the wrong type or is out of range is refused, in the file with its line, in the environment with
//! the variable's name. Sizes are in bytes, times in the unit that the name ends with.
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
mod rules;
mod sections;
mod sources;
mod summary;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use choice::{LogFormat, Registration, StoreEngine};
pub use error::{ConfigError, Line, Place, Problem};
pub use limits::Limits;
pub use rules::Rule;
pub use sections::{Auth, Listen, Log, Runtime, Store, Tls};
pub use summary::check;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

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
    /// What proves the server to its clients.
    pub tls: Tls,
    /// How data is kept.
    pub store: Store,
    /// Who may come in.
    pub auth: Auth,
    /// What is bounded, and where.
    pub limits: Limits,
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
            tls: Tls::default(),
            store: Store::default(),
            auth: Auth::default(),
            limits: Limits::default(),
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
const SECTIONS: &[Section] =
    &[ROOT, Listen::INFO, Tls::INFO, Store::INFO, Auth::INFO, Limits::INFO, Runtime::INFO, Log::INFO];

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
                let (section, key) = rule.key();
                Err(ConfigError::Rule { place: sources.place(section, key), rule })
            }
            None => Ok((config, sources)),
        }
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
