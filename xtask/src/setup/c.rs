//! The clients in C, compiled from `tests/clients/c` into the tools folder.

use std::{fs, path::Path, process::Command};

use super::{SetupError, is_current};
use crate::{command, workspace::Workspace};

const PART: &str = "clients in C";

/// A program, and the libraries that it is linked with.
struct Client {
    name: &'static str,
    libraries: &'static [&'static str],
}

const CLIENTS: [Client; 2] = [
    Client { name: "fleet_mosquitto", libraries: &["-lmosquitto", "-lcjson", "-lpthread"] },
    Client { name: "fleet_paho", libraries: &["-lpaho-mqtt3c", "-lcjson", "-lpthread"] },
];

/// What both are made of beside their own file.
const SHARED: [&str; 2] = ["line.c", "line.h"];

const FLAGS: [&str; 6] = ["-std=c17", "-D_POSIX_C_SOURCE=200809L", "-O1", "-Wall", "-Wextra", "-Werror"];

/// Compiles anew when a source changed since the last time.
pub(super) fn install(workspace: &Workspace) -> Result<(), SetupError> {
    let failed = |source| SetupError::File { part: PART, source };
    let sources = workspace.root.join("tests/clients/c");
    let folder = workspace.tools().join("c");
    fs::create_dir_all(&folder).map_err(failed)?;
    for client in CLIENTS {
        let own = format!("{}.c", client.name);
        let parts = || SHARED.iter().copied().chain([own.as_str()]);
        let stamp = |part: &str| folder.join(format!("{}.{part}.compiled", client.name));
        let current = |part| is_current(&stamp(part), &sources.join(part));
        if folder.join(client.name).is_file() && parts().all(current) {
            println!("      {}: there", client.name);
            continue;
        }
        compile(&sources, &folder, &client).map_err(|source| SetupError::Command { part: PART, source })?;
        for part in parts() {
            fs::copy(sources.join(part), stamp(part)).map_err(failed)?;
        }
    }
    Ok(())
}

fn compile(sources: &Path, folder: &Path, client: &Client) -> Result<(), command::CommandError> {
    let mut cc = Command::new("cc");
    cc.current_dir(sources).args(FLAGS);
    cc.arg("-o").arg(folder.join(client.name)).arg(format!("{}.c", client.name)).arg("line.c");
    command::run(cc.args(client.libraries))
}
