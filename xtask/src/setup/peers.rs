//! The brokers that the benchmarks compare Parlance with.
//!
//! One that cannot be installed does not stop the others: the report names it, with the reason.

use super::{
    SetupError,
    packages::{self, MOSQUITTO, RABBITMQ},
    python,
};
use crate::{
    command, step,
    tool::{Build, Tool},
    workspace::Workspace,
};

/// As its authors release it. The build of the differential tests is another one, unoptimised.
const RUMQTTD: Tool =
    Tool { name: "rumqttd", version: "0.20.0", with: &["--no-default-features"], build: Build::Released };

/// A broker that is not there.
pub(crate) struct Absent {
    /// As the suite calls it.
    pub(crate) name: &'static str,
    /// Why.
    pub(crate) reason: String,
}

type Install = fn(&Workspace) -> Result<(), SetupError>;

const PEERS: [(&str, Install); 5] = [
    ("mosquitto", |_| packages::install_programs(&[MOSQUITTO], "mosquitto")),
    ("rabbitmq", |_| packages::install_programs(&[RABBITMQ], "rabbitmq")),
    ("nats", nats),
    ("rumqttd", rumqttd),
    ("rmqtt", rmqtt),
];

/// Installs what is missing; answers what could not be.
pub(crate) fn install(workspace: &Workspace) -> Vec<Absent> {
    let mut absent = Vec::new();
    for (name, install) in PEERS {
        if let Err(error) = install(workspace) {
            let reason = step::chain(&error);
            println!("      {name}: ABSENT, the report will say so: {reason}");
            absent.push(Absent { name, reason });
        }
    }
    absent
}

fn nats(workspace: &Workspace) -> Result<(), SetupError> {
    let requirements = workspace.root.join("bench/peers/requirements.txt");
    python::install_into("nats", &workspace.tools().join("nats"), &requirements)
}

/// A program of ours around its library: cargo itself knows whether it is current.
fn rmqtt(workspace: &Workspace) -> Result<(), SetupError> {
    println!("      rmqtt: building, which takes some minutes the first time");
    let mut cargo = command::cargo(&workspace.root);
    cargo.args([
        "build",
        "--release",
        "--quiet",
        "--locked",
        "--manifest-path",
        "bench/peers/rmqtt/Cargo.toml",
    ]);
    cargo.arg("--target-dir").arg(workspace.tools().join("rmqtt"));
    command::run(&mut cargo).map_err(|source| SetupError::Command { part: "rmqtt", source })
}

fn rumqttd(workspace: &Workspace) -> Result<(), SetupError> {
    if RUMQTTD.is_there(workspace) {
        println!("      rumqttd: there");
        return Ok(());
    }
    println!("      rumqttd: building, which takes some minutes");
    RUMQTTD.install(workspace)?;
    Ok(())
}
