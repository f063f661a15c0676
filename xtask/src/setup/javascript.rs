//! MQTT.js, in `tests/clients/js/node_modules` (not committed), exactly as the lock file says.

use std::{fs, process::Command};

use super::{SetupError, is_current};
use crate::{command, workspace::Workspace};

const PART: &str = "MQTT.js";

/// Installs anew when the lock file changed since the last time.
pub(super) fn install(workspace: &Workspace) -> Result<(), SetupError> {
    let folder = workspace.javascript();
    let lock = folder.join("package-lock.json");
    let stamp = folder.join("node_modules").join(".installed-lock.json");
    if is_current(&stamp, &lock) {
        println!("      {PART}: there");
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    command::run(&mut npm).map_err(|source| SetupError::Command { part: PART, source })?;
    fs::copy(&lock, &stamp).map_err(|source| SetupError::File { part: PART, source })?;
    Ok(())
}
