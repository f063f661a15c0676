//! Debian packages.
//!
//! The packages of brokers would start services, on port 1883 that `cargo run --release` is about to use. They are
//! kept from that while they are installed; tests and benchmarks start the programs themselves.

use std::{path::Path, process::Command};

use super::SetupError;
use crate::command;

const PART: &str = "Debian packages";

/// A program that tests start, or a file that they need, and the package that brings it.
pub(super) struct Program {
    name: &'static str,
    package: &'static str,
}

const PROGRAMS: [Program; 18] = [
    Program { name: "curl", package: "curl" },
    Program { name: "mosquitto_pub", package: "mosquitto-clients" },
    Program { name: "mosquitto_sub", package: "mosquitto-clients" },
    // What the conformance suite compares with.
    MOSQUITTO,
    // The clients in C.
    Program { name: "cc", package: "gcc" },
    // The fuzzer's own engine is C++.
    Program { name: "g++", package: "g++" },
    Program { name: "/usr/include/mosquitto.h", package: "libmosquitto-dev" },
    Program { name: "/usr/include/MQTTClient.h", package: "libpaho-mqtt-dev" },
    Program { name: "/usr/include/cjson/cJSON.h", package: "libcjson-dev" },
    Program { name: "python3", package: "python3" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    // The simulated power cuts: a file system in a file, mounted through a loop device.
    Program { name: "mkfs.ext4", package: "e2fsprogs" },
    Program { name: "fsck.ext4", package: "e2fsprogs" },
    Program { name: "losetup", package: "mount" },
    Program { name: "mount", package: "mount" },
    Program { name: "umount", package: "mount" },
    // The clock that jumps; its library comes with it.
    Program { name: "faketime", package: "faketime" },
];

/// A reference broker.
pub(super) const MOSQUITTO: Program = Program { name: "mosquitto", package: "mosquitto" };

/// Another, for the benchmarks.
pub(super) const RABBITMQ: Program = Program { name: "rabbitmq-server", package: "rabbitmq-server" };

/// Packages that would start a service, which has their name.
const SERVICES: [&str; 2] = [MOSQUITTO.package, RABBITMQ.package];

/// What Debian asks before it starts a service (policy-rc.d).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what the tests need and is missing.
pub(super) fn install() -> Result<(), SetupError> {
    install_programs(&PROGRAMS, PART)
}

/// Installs the packages of those programs that are missing.
pub(super) fn install_programs(programs: &[Program], called: &str) -> Result<(), SetupError> {
    let missing: Vec<&Program> = programs.iter().filter(|program| !is_there(program)).collect();
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    if !python_makes_environments() {
        packages.push("python3-venv");
    }
    packages.dedup();
    if packages.is_empty() {
        println!("      {called}: there");
        return Ok(());
    }
    if command::find("apt-get").is_none() {
        return Err(SetupError::NoPackageManager { programs: names(&missing) });
    }
    apt(&["update"], &[])?;
    println!("      {called}: installing (Node.js with npm, and Erlang, take some minutes)");
    let services: Vec<&str> = SERVICES.into_iter().filter(|service| packages.contains(service)).collect();
    without_services(&services, || apt(&["install", "--yes", "--no-install-recommends"], &packages))?;
    let missing: Vec<&Program> = missing.into_iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() { Ok(()) } else { Err(SetupError::StillMissing { programs: names(&missing) }) }
}

/// A daemon may be where only administrators look.
fn is_there(program: &Program) -> bool {
    command::find(program.name).is_some() || Path::new("/usr/sbin").join(program.name).is_file()
}

/// Installs while no package may start a service, unless this machine has a rule about that already.
fn without_services(
    services: &[&str],
    install: impl FnOnce() -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    if services.is_empty() || Path::new(POLICY).exists() {
        return install();
    }
    let failed = |source| SetupError::Command { part: PART, source };
    let forbid = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
    command::run_quietly(as_root()?.args(["sh", "-c", &forbid])).map_err(failed)?;
    let installed = install();
    command::run_quietly(as_root()?.args(["rm", POLICY])).map_err(failed)?;
    // For the next start of the machine, where it has such a thing.
    let services = services.join(" ");
    let disable =
        format!("! command -v systemctl > /dev/null || systemctl disable --quiet {services} || true");
    command::run_quietly(as_root()?.args(["sh", "-c", &disable])).map_err(failed)?;
    installed
}

fn names(programs: &[&Program]) -> String {
    programs.iter().map(|program| program.name).collect::<Vec<_>>().join(", ")
}

/// Debian keeps this part of Python in a package of its own.
fn python_makes_environments() -> bool {
    command::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

/// `env`, by whoever may install packages.
fn as_root() -> Result<Command, SetupError> {
    let failed = |source| SetupError::Command { part: PART, source };
    let user = command::output(Command::new("id").arg("--user")).map_err(failed)?;
    if user.trim_ascii() == b"0" {
        return Ok(Command::new("env"));
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("env");
    Ok(sudo)
}

/// Runs apt-get as root, waiting for another apt that holds the lock.
fn apt(action: &[&str], packages: &[&str]) -> Result<(), SetupError> {
    let failed = |source| SetupError::Command { part: PART, source };
    let mut apt = as_root()?;
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
    apt.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"])
        .args(action)
        .args(packages);
    command::run_quietly(&mut apt).map_err(failed)
}
