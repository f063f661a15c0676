//! `cargo xtask setup`: what the tests need on a bare Debian 12, beside Rust itself.
//!
//! Each part looks first and does nothing when its result is there, so it costs nothing to run it every time.

mod c;
mod javascript;
mod packages;
pub(crate) mod peers;
mod python;

use std::{fs, io, path::Path};

use crate::{
    command::CommandError,
    fuzz,
    step::Step,
    tool::{Build, Tool, ToolError},
    workspace::Workspace,
};

/// A broker that ours is compared with (`tests/differential`). Not by its lock file: that names a `metrics` which
/// compilers of today refuse.
const RUMQTTD: Tool =
    Tool { name: "rumqttd", version: "0.20.0", with: &["--no-default-features"], build: Build::Quick };

/// Why the setup could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// Programs are missing and this is no Debian.
    #[error("missing programs ({programs}), and there is no apt-get here to install them with")]
    NoPackageManager {
        /// The names of the programs.
        programs: String,
    },
    /// The packages were installed, but a program is still not there.
    #[error("missing programs ({programs}) although their packages are installed")]
    StillMissing {
        /// The names of the programs.
        programs: String,
    },
    /// A command failed.
    #[error("setup of {part}")]
    Command {
        /// Debian packages, the clients in C or in Python, MQTT.js, or another broker.
        part: &'static str,
        /// The command and how it ended.
        source: CommandError,
    },
    /// A program of crates.io could not be built.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file could not be read or written.
    #[error("setup of {part}")]
    File {
        /// Debian packages, the clients in C or in Python, MQTT.js, or another broker.
        part: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The step for `test`.
pub(crate) fn step() -> Step {
    let advice =
        "mend the cause (network, root rights?) and run `cargo xtask setup`; it goes on where it stopped";
    Step::new("setup", advice, |workspace: &Workspace| {
        packages::install()?;
        c::install(workspace)?;
        python::install(workspace)?;
        javascript::install(workspace)?;
        fuzz::CARGO_FUZZ.install(workspace)?;
        RUMQTTD.install(workspace)?;
        Ok::<(), SetupError>(())
    })
}

/// Whether `stamp` holds the text of `wanted`, the file that says what is to be installed.
fn is_current(stamp: &Path, wanted: &Path) -> bool {
    match (fs::read(stamp), fs::read(wanted)) {
        (Ok(stamp), Ok(wanted)) => stamp == wanted,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_current_only_with_the_same_text() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(is_current(&manifest, &manifest));
        assert!(!is_current(Path::new("/nowhere"), &manifest));
        assert!(!is_current(Path::new("/nowhere"), Path::new("/nowhere")));
        assert!(!is_current(&manifest.with_file_name("src/main.rs"), &manifest));
    }
}
