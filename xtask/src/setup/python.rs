//! paho-mqtt and aiomqtt, in a virtual environment under the tools folder.

use std::{fs, process::Command};

use super::{SetupError, is_current};
use crate::{command, workspace::Workspace};

const PART: &str = "paho-mqtt and aiomqtt";

/// Makes the environment anew when the requirements changed since it was made.
pub(super) fn install(workspace: &Workspace) -> Result<(), SetupError> {
    let requirements = workspace.root.join("tests/clients/py/requirements.txt");
    let environment = workspace.tools().join("venv");
    let stamp = environment.join("installed-requirements.txt");
    if is_current(&stamp, &requirements) {
        println!("      {PART}: there");
        return Ok(());
    }
    let failed = |source| SetupError::Command { part: PART, source };
    let mut venv = Command::new("python3");
    command::run(venv.args(["-m", "venv", "--clear"]).arg(&environment)).map_err(failed)?;
    let mut pip = Command::new(workspace.python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    command::run(pip.args(["--require-hashes", "--requirement"]).arg(&requirements)).map_err(failed)?;
    fs::copy(&requirements, &stamp).map_err(|source| SetupError::File { part: PART, source })?;
    Ok(())
}
