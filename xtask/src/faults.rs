//! `cargo xtask faults`: the fault tests at process level, in their short form, or in the long one that
//! `docs/RELIABILITY.md` records.

use clap::Args;

use crate::{
    command::{self, CommandError},
    setup,
    step::Step,
    workspace::Workspace,
};

/// What the task is told.
#[derive(Args)]
pub(crate) struct FaultOptions {
    /// The long form: ten minutes of a flaky network, SIGSTOP for 30 s, and more rounds of the others
    #[arg(long)]
    long: bool,
    /// The seed of every test that has one; printed by each of them otherwise
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Rounds of the tests that kill the server [default: 50, long: 200]
    #[arg(long, value_name = "COUNT")]
    rounds: Option<u64>,
    /// Only the tests whose name contains this, as in `flaky` or `clock`
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Skip the setup; for when its result is there, or there is no network
    #[arg(long)]
    no_setup: bool,
}

/// Rounds of kill -9 in the long form.
const LONG_ROUNDS: u64 = 200;

/// The steps, in order.
pub(crate) fn steps(options: FaultOptions) -> Vec<Step> {
    let mut steps = Vec::new();
    if !options.no_setup {
        steps.push(setup::step());
    }
    steps.push(release_program());
    let advice = "run one test again with `cargo xtask faults --no-setup --filter NAME --seed NUMBER`; its seed is above";
    steps.push(Step::new("faults", advice, move |workspace| run(workspace, &options)));
    steps
}

/// The program that is tested.
pub(crate) fn release_program() -> Step {
    let advice = "mend the compile error above; a C compiler (Debian: gcc) is needed as well";
    Step::new("release program", advice, |workspace| {
        let mut cargo = command::cargo(&workspace.root);
        command::run(cargo.args(["build", "--release", "--package", "parlance-server"]))
    })
}

/// One after the other, so that their figures are their own, and all of them even when one fails.
fn run(workspace: &Workspace, options: &FaultOptions) -> Result<(), CommandError> {
    let mut cargo = command::cargo(&workspace.root);
    cargo.args(["test", "--package", "parlance-tests", "--test", "faults", "--no-fail-fast", "--"]);
    cargo.args(["--nocapture", "--test-threads=1"]).args(&options.filter);
    cargo.env("PARLANCE_BIN", workspace.program()).env("PARLANCE_PYTHON", workspace.python());
    if options.long {
        cargo.env("PARLANCE_FAULTS", "long");
    }
    if let Some(rounds) = options.rounds.or(options.long.then_some(LONG_ROUNDS)) {
        cargo.env("PARLANCE_FAULT_ROUNDS", rounds.to_string());
    }
    if let Some(seed) = options.seed {
        cargo.env("PARLANCE_SEED", seed.to_string());
    }
    command::run(&mut cargo)
}
