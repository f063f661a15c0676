//! Programs of crates.io that tasks need, built once into the tools folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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
    /// With which care it is compiled.
    pub(crate) build: Build,
}

/// How a tool is compiled.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// Unoptimised, which takes a minute and is fast enough for what only has to work.
    Quick,
    /// As its authors release it: for what is measured.
    Released,
}

impl Build {
    /// What tells the folders of the two apart.
    fn suffix(self) -> &'static str {
        match self {
            Self::Quick => "",
            Self::Released => "-release",
        }
    }
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
    /// Whether it is installed already.
    pub(crate) fn is_there(&self, workspace: &Workspace) -> bool {
        self.program(&self.root(workspace)).is_file()
    }

    /// Version and build are part of the folder's name: a new version is a new folder.
    fn root(&self, workspace: &Workspace) -> PathBuf {
        workspace.tools().join(format!("{}-{}{}", self.name, self.version, self.build.suffix()))
    }

    fn program(&self, root: &Path) -> PathBuf {
        root.join("bin").join(self.name)
    }

    /// The program, built if it is not there.
    pub(crate) fn install(&self, workspace: &Workspace) -> Result<PathBuf, ToolError> {
        let &Self { name, version, with, build } = self;
        let root = self.root(workspace);
        let program = self.program(&root);
        if program.is_file() {
            return Ok(program);
        }
        let scratch = workspace.tools().join(format!("build-{name}{}", build.suffix()));
        let mut cargo = command::cargo(&workspace.root);
        cargo.args(["install", name, "--quiet"]).args(matches!(build, Build::Quick).then_some("--debug"));
        cargo.args(with).arg("--version").arg(format!("={version}"));
        cargo.arg("--root").arg(&root).arg("--target-dir").arg(&scratch);
        command::run(&mut cargo).map_err(|source| ToolError::Install { name, version, source })?;
        fs::remove_dir_all(&scratch).map_err(|source| ToolError::CleanUp { name, source })?;
        Ok(program)
    }
}
