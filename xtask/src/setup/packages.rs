//! Debian packages.
//!
//! Only `mosquitto-clients` is taken of mosquitto: the broker's package starts a service on port 1883, the port that
//! `cargo run --release` is about to use.

use std::process::Command;

use super::SetupError;
use crate::{command, workspace::Workspace};

const PART: &str = "Debian packages";

/// A program that tests start, and the package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const PROGRAMS: [Program; 11] = [
    Program { name: "curl", package: "curl" },
    Program { name: "mosquitto_pub", package: "mosquitto-clients" },
    Program { name: "mosquitto_sub", package: "mosquitto-clients" },
    Program { name: "python3", package: "python3" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    // The simulated power cuts: a file system in a file, mounted through a loop device.
    Program { name: "mkfs.ext4", package: "e2fsprogs" },
    Program { name: "fsck.ext4", package: "e2fsprogs" },
    Program { name: "losetup", package: "mount" },
    Program { name: "mount", package: "mount" },
    Program { name: "umount", package: "mount" },
];

/// Installs the packages of the programs that are missing.
pub(super) fn install(_: &Workspace) -> Result<(), SetupError> {
    let missing: Vec<&Program> = PROGRAMS.iter().filter(|program| !is_there(program)).collect();
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    if !python_makes_environments() {
        packages.push("python3-venv");
    }
    packages.dedup();
    if packages.is_empty() {
        println!("      {PART}: all there");
        return Ok(());
    }
    if command::find("apt-get").is_none() {
        return Err(SetupError::NoPackageManager { programs: names(&missing) });
    }
    apt(&["update"], &[])?;
    println!("      {PART}: installing (Node.js with npm takes some minutes)");
    apt(&["install", "--yes", "--no-install-recommends"], &packages)?;
    let missing: Vec<&Program> = missing.into_iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() { Ok(()) } else { Err(SetupError::StillMissing { programs: names(&missing) }) }
}

fn is_there(program: &Program) -> bool {
    command::find(program.name).is_some()
}

fn names(programs: &[&Program]) -> String {
    programs.iter().map(|program| program.name).collect::<Vec<_>>().join(", ")
}

/// Debian keeps this part of Python in a package of its own.
fn python_makes_environments() -> bool {
    command::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

/// Runs apt-get as root, waiting for another apt that holds the lock.
fn apt(action: &[&str], packages: &[&str]) -> Result<(), SetupError> {
    let failed = |source| SetupError::Command { part: PART, source };
    let user = command::output(Command::new("id").arg("--user")).map_err(failed)?;
    let mut apt = if user.trim_ascii() == b"0" {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    };
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
    apt.args(["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"])
        .args(action)
        .args(packages);
    command::run_quietly(&mut apt).map_err(failed)
}
