//! `cargo xtask soak`: mixed load for a long time, and whether memory, descriptors, threads and disk settle. It writes
//! `docs/reliability/soak.json` and `soak.svg`.

use clap::Args;

use crate::{
    command::{self, CommandError},
    faults,
    step::Step,
    workspace::Workspace,
};

/// What the task is told.
#[derive(Args)]
pub(crate) struct SoakOptions {
    /// How long
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// The seed of who comes and goes when
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// The test that is the soak.
const TEST: &str = "soak::soak";

/// The steps, in order.
pub(crate) fn steps(options: SoakOptions) -> Vec<Step> {
    let advice = "docs/reliability/soak.json has every sample, and what did not settle";
    vec![faults::release_program(), Step::new("soak", advice, move |workspace| run(workspace, &options))]
}

fn run(workspace: &Workspace, options: &SoakOptions) -> Result<(), CommandError> {
    let mut cargo = command::cargo(&workspace.root);
    cargo.args([
        "test",
        "--package",
        "parlance-tests",
        "--test",
        "faults",
        "--",
        "--nocapture",
        "--exact",
        TEST,
    ]);
    cargo.env("PARLANCE_BIN", workspace.program());
    cargo.env("PARLANCE_SOAK_S", (options.minutes * 60).to_string());
    cargo.env("PARLANCE_SOAK_INTO", workspace.root.join("docs/reliability"));
    if let Some(seed) = options.seed {
        cargo.env("PARLANCE_SEED", seed.to_string());
    }
    command::run(&mut cargo)
}
