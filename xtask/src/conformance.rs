//! `cargo xtask conformance`: the MQTT conformance suite against Parlance over each transport and against mosquitto,
//! and the tables of it in `docs/conformance.md`.

use std::{fs, io};

use crate::{
    command::{self, CommandError},
    setup,
    step::Step,
    workspace::Workspace,
};

/// The package of the suite.
const PACKAGE: &str = "parlance-conformance";

/// The columns of the tables and the reports behind each. What one report has not tried, the next one completes.
const COLUMNS: [&str; 6] = [
    "Parlance TCP=parlance-tcp.json",
    "TLS=parlance-tls.json",
    "WebSocket=parlance-ws.json",
    "secure WebSocket=parlance-wss.json",
    "QUIC=parlance-quic.json",
    "mosquitto=mosquitto-tcp.json,mosquitto-ws.json",
];

/// Why the tables were not written.
#[derive(Debug, thiserror::Error)]
enum ConformanceError {
    #[error("no folder for the reports")]
    Reports(#[source] io::Error),
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// The steps, in order.
pub(crate) fn steps() -> Vec<Step> {
    let advice = "mend the compile error above";
    vec![
        setup::step(),
        Step::new("program", advice, |workspace| {
            command::run(command::cargo(&workspace.root).args(["build", "--package", "parlance-server"]))
        }),
        Step::new("conformance", "read which test failed above, and which statement it proves", run),
    ]
}

/// The tables are written even if a test fails: they show which.
fn run(workspace: &Workspace) -> Result<(), ConformanceError> {
    let reports = workspace.target.join("conformance");
    fs::create_dir_all(&reports).map_err(ConformanceError::Reports)?;
    let mut cargo = command::cargo(&workspace.root);
    cargo.args(["test", "--package", PACKAGE, "--no-fail-fast"]).env("CONFORMANCE_REPORTS", &reports);
    let tested = command::run(&mut cargo);
    let suite = workspace.root.join("tests/conformance");
    let mut cargo = command::cargo(&workspace.root);
    cargo.args(["run", "--quiet", "--package", PACKAGE, "--", "table"]);
    for column in COLUMNS {
        let (name, files) = column.split_once('=').unwrap_or((column, ""));
        let files: Vec<String> =
            files.split(',').map(|file| reports.join(file).display().to_string()).collect();
        cargo.args(["--column", &format!("{name}={}", files.join(","))]);
    }
    cargo.arg("--explain").arg(suite.join("deviations/mosquitto.toml"));
    cargo.arg("--into").arg(workspace.root.join("docs/conformance.md"));
    command::run(&mut cargo)?;
    Ok(tested?)
}
