//! The part of `cargo metadata` that the tasks read.

use std::{path::PathBuf, process::Command};

use serde::Deserialize;

use crate::command::{self, CommandError};

/// Why the metadata could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    /// Cargo failed.
    #[error("cannot read the workspace")]
    Cargo(#[from] CommandError),
    /// Cargo's answer is not what was expected.
    #[error("cannot understand the answer of cargo metadata")]
    Format(#[from] serde_json::Error),
}

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) packages: Vec<Package>,
    /// Absent with `--no-deps`.
    pub(crate) resolve: Option<Resolve>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
pub(crate) struct NodeDependency {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
pub(crate) struct DependencyKind {
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Runs a `cargo metadata` command.
    pub(crate) fn read(command: &mut Command) -> Result<Self, MetadataError> {
        let json = command::output(command.args(["--format-version", "1"]))?;
        Ok(serde_json::from_slice(&json)?)
    }
}
