//! Licences, sources and forbidden crates, checked by cargo-deny against `deny.toml`.
//!
//! cargo-deny is built once into the tools folder (about a minute on two cores: unoptimised, which is fast enough
//! for a graph of some hundred crates). The advisories check is left out here: its database changes without our
//! doing, and a commit that was right yesterday must not fail today.

use std::{fs, io, path::PathBuf, process::Command};

use crate::{
    command::{self, CommandError},
    step::Step,
    workspace::Workspace,
};

const VERSION: &str = "0.20.2";

/// Why the check did not pass.
#[derive(Debug, thiserror::Error)]
enum DenyError {
    #[error("cannot install cargo-deny {VERSION}")]
    Install(#[source] CommandError),
    #[error("cannot clean up after the build of cargo-deny")]
    CleanUp(#[source] io::Error),
    #[error("the dependencies break a rule of deny.toml")]
    Check(#[source] CommandError),
}

/// The step for `check`.
pub(crate) fn step() -> Step {
    let advice = "read what cargo-deny says above; the rules and their reasons are in deny.toml";
    Step::new("licences, sources, forbidden crates", advice, |workspace| {
        let program = install(workspace)?;
        let mut command = Command::new(program);
        command.current_dir(&workspace.root).args(["--log-level", "error", "--workspace", "--locked"]);
        command.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
        command::run(&mut command).map_err(DenyError::Check)
    })
}

/// The version is part of the folder's name: a new version is a new folder.
fn install(workspace: &Workspace) -> Result<PathBuf, DenyError> {
    let root = workspace.tools().join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin").join("cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    let build = workspace.tools().join("build");
    let mut cargo = command::cargo(&workspace.root);
    cargo
        .args(["install", "cargo-deny", "--quiet", "--locked", "--debug", "--version"])
        .arg(format!("={VERSION}"));
    cargo.arg("--root").arg(&root).arg("--target-dir").arg(&build);
    command::run(&mut cargo).map_err(DenyError::Install)?;
    fs::remove_dir_all(&build).map_err(DenyError::CleanUp)?;
    Ok(program)
}
