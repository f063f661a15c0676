//! Licences, sources and forbidden crates, checked by cargo-deny against `deny.toml`.
//!
//! cargo-deny is built once into the tools folder (about a minute on two cores: unoptimised, which is fast enough
//! for a graph of some hundred crates). The advisories check is left out here: its database changes without our
//! doing, and a commit that was right yesterday must not fail today.

use std::process::Command;

use crate::{
    command::{self, CommandError},
    step::Step,
    tool::{Build, Tool, ToolError},
};

const CARGO_DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", with: &["--locked"], build: Build::Quick };

/// Why the check did not pass.
#[derive(Debug, thiserror::Error)]
enum DenyError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("the dependencies break a rule of deny.toml")]
    Check(#[source] CommandError),
}

/// The step for `check`.
pub(crate) fn step() -> Step {
    let advice = "read what cargo-deny says above; the rules and their reasons are in deny.toml";
    Step::new("licences, sources, forbidden crates", advice, |workspace| {
        let program = CARGO_DENY.install(workspace)?;
        let mut command = Command::new(program);
        command.current_dir(&workspace.root).args(["--log-level", "error", "--workspace", "--locked"]);
        command.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
        command::run(&mut command).map_err(DenyError::Check)
    })
}
