//! Where things are.

use std::path::PathBuf;

use crate::{
    command,
    metadata::{Metadata, MetadataError},
};

/// The folders of this checkout.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever configuration put it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo for the folders of the workspace that this task belongs to.
    pub(crate) fn find() -> Result<Self, MetadataError> {
        let folder = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let metadata = Metadata::read(command::cargo(&folder).args(["metadata", "--no-deps"]))?;
        Ok(Self { root: metadata.workspace_root, target: metadata.target_directory })
    }

    /// What `setup` and `check` install; `cargo clean` removes it.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The release build of the program.
    pub(crate) fn program(&self) -> PathBuf {
        self.target.join("release").join("parlance")
    }

    /// The Python that has paho-mqtt.
    pub(crate) fn python(&self) -> PathBuf {
        self.tools().join("venv").join("bin").join("python")
    }

    /// The folder whose `node_modules` has MQTT.js.
    pub(crate) fn javascript(&self) -> PathBuf {
        self.root.join("tests").join("clients").join("js")
    }
}
