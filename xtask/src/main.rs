//! The tasks of the project, run as `cargo xtask <task>`.
//!
//! A task is a list of steps (`step.rs`); each module below gives the steps of one task. `ci` is nothing of its
//! own: it is the steps of `check`, of `test`, and of a short `fuzz`.

mod bench;
mod check;
mod command;
mod conformance;
mod deny;
mod faults;
mod fuzz;
mod layers;
mod metadata;
mod setup;
mod soak;
mod step;
mod test;
mod tool;
mod workspace;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{
    bench::BenchOptions, faults::FaultOptions, fuzz::FuzzOptions, soak::SoakOptions, step::Step,
    workspace::Workspace,
};

/// Tasks of the project.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need: Debian packages, paho-mqtt, MQTT.js. Quick when all is there
    Setup,
    /// Set up, build the release program, run every test
    Test(TestOptions),
    /// The checks without the tests: format, lints, layers, licences and sources, documentation
    Check,
    /// What the CI runs: `check`, then `test`, then each fuzz target for a short time
    Ci,
    /// Run the MQTT conformance suite against Parlance and mosquitto, and write docs/conformance.md
    Conformance,
    /// Compare Parlance with other brokers, and write docs/BENCHMARKS.md
    Bench(BenchOptions),
    /// Run the fault tests: kill -9, power cuts, full and dead disks, a flaky network, jumping clocks
    Faults(FaultOptions),
    /// Load the server for a long time, and see whether it settles; writes docs/reliability/soak.{json,svg}
    Soak(SoakOptions),
    /// Run the fuzz targets, and say how far they came
    Fuzz(FuzzOptions),
    /// Check the import rules between the packages
    Layers,
    /// Check licences, sources and forbidden crates against deny.toml
    Deny,
}

#[derive(Args)]
pub(crate) struct TestOptions {
    /// Skip the setup; for when its result is there, or there is no network
    #[arg(long)]
    no_setup: bool,
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

impl Task {
    fn steps(self) -> Vec<Step> {
        match self {
            Self::Setup => vec![setup::step()],
            Self::Test(options) => test::steps(options),
            Self::Check => check::steps(),
            Self::Ci => {
                let mut steps = check::steps();
                steps.extend(test::steps(TestOptions { no_setup: false, filter: None }));
                steps.extend(fuzz::steps(FuzzOptions::short()));
                steps
            }
            Self::Conformance => conformance::steps(),
            Self::Bench(options) => bench::steps(options),
            Self::Faults(options) => faults::steps(options),
            Self::Soak(options) => soak::steps(options),
            Self::Fuzz(options) => fuzz::steps(options),
            Self::Layers => vec![layers::step()],
            Self::Deny => vec![deny::step()],
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let workspace = match Workspace::find() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("error: {}", step::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    match step::run_all(&workspace, cli.task.steps()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
