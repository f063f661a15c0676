//! Programs of crates.io that tasks need, built once into the tools folder.

use std::{fs, io, path::PathBuf};

use crate::{
    command::{self, CommandError},
    workspace::Workspace,
};

/// A program and the version that the tasks were written for.
pub(crate) struct Tool {
    /// Its package and its program.
    pub(crate) name: &'static str,
    /// Exactly this one.
    pub(crate) version: &'static str,
    /// What `cargo install` is told besides.
    pub(crate) with: &'static [&'static str],
}

/// Why a tool is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// Its build failed.
    #[error("cannot install {name} {version}")]
    Install {
        /// The package.
        name: &'static str,
        /// Its version.
        version: &'static str,
        /// What cargo said.
        source: CommandError,
    },
    /// What is left of the build cannot be removed.
    #[error("cannot clean up after the build of {name}")]
    CleanUp {
        /// The package.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Tool {
    /// The program, built if it is not there. Unoptimised, which builds in a minute and is fast enough.
    ///
    /// The version is part of the folder's name: a new version is a new folder.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<PathBuf, ToolError> {
        let &Self { name, version, with } = self;
        let root = workspace.tools().join(format!("{name}-{version}"));
        let program = root.join("bin").join(name);
        if program.is_file() {
            return Ok(program);
        }
        let build = workspace.tools().join(format!("build-{name}"));
        let mut cargo = command::cargo(&workspace.root);
        cargo.args(["install", name, "--quiet", "--debug"]).args(with).arg("--version");
        cargo.arg(format!("={version}")).arg("--root").arg(&root).arg("--target-dir").arg(&build);
        command::run(&mut cargo).map_err(|source| ToolError::Install { name, version, source })?;
        fs::remove_dir_all(&build).map_err(|source| ToolError::CleanUp { name, source })?;
        Ok(program)
    }
}
