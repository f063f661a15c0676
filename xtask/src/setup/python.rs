//! Virtual environments under the tools folder: paho-mqtt and aiomqtt for the tests.

use std::{fs, path::Path, process::Command};

use super::{SetupError, is_current};
use crate::{command, workspace::Workspace};

/// The clients of the tests.
pub(super) fn install(workspace: &Workspace) -> Result<(), SetupError> {
    let requirements = workspace.root.join("tests/clients/py/requirements.txt");
    install_into("paho-mqtt and aiomqtt", &workspace.tools().join("venv"), &requirements)
}

/// Makes the environment anew when the requirements changed since it was made.
pub(super) fn install_into(
    part: &'static str,
    environment: &Path,
    requirements: &Path,
) -> Result<(), SetupError> {
    let stamp = environment.join("installed-requirements.txt");
    if is_current(&stamp, requirements) {
        println!("      {part}: there");
        return Ok(());
    }
    let failed = |source| SetupError::Command { part, source };
    let mut venv = Command::new("python3");
    command::run(venv.args(["-m", "venv", "--clear"]).arg(environment)).map_err(failed)?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    command::run(pip.args(["--require-hashes", "--requirement"]).arg(requirements)).map_err(failed)?;
    fs::copy(requirements, &stamp).map_err(|source| SetupError::File { part, source })?;
    Ok(())
}
