//! `cargo xtask bench`: the brokers that Parlance is compared with are installed, and the benchmark suite is run on all
//! of them. It writes `docs/BENCHMARKS.md`.

use std::{
    cell::RefCell,
    convert::Infallible,
    process::Command,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    command::{self, CommandError},
    setup::peers::{self, Absent},
    step::Step,
    workspace::Workspace,
};

/// All of it, with what is installed and built on a fresh machine, is to end within this.
const TOTAL: Duration = Duration::from_mins(39);

/// What the suite is given of it: enough for all rounds, and at least enough for one of each case.
const SUITE_MIN: Duration = Duration::from_mins(15);
const SUITE_MAX: Duration = Duration::from_mins(36);

/// What the task is told.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Install nothing: for when it is there, or there is no network
    #[arg(long)]
    no_setup: bool,
    /// For the suite, as in `--quick --only parlance,mosquitto` (all of it: `parlance-bench suite --help`)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    suite: Vec<String>,
}

/// The steps, in order.
pub(crate) fn steps(options: BenchOptions) -> Vec<Step> {
    let begin = Instant::now();
    let absent = Rc::new(RefCell::new(Vec::new()));
    let mut steps = Vec::new();
    if !options.no_setup {
        let absent = Rc::clone(&absent);
        steps.push(Step::new("other brokers", "", move |workspace| {
            absent.replace(peers::install(workspace));
            Ok::<(), Infallible>(())
        }));
    }
    let advice = "mend the compile error above";
    steps.push(Step::new("release programs", advice, |workspace| {
        let mut cargo = command::cargo(&workspace.root);
        cargo.args(["build", "--release", "--package", "parlance-server", "--package", "parlance-bench"]);
        command::run(&mut cargo)
    }));
    let advice = "docs/BENCHMARKS.md, if it was written, says which case or which \"must\" failed; one case runs again \
                  with the command below its table";
    steps.push(Step::new("benchmark", advice, move |workspace| {
        run(workspace, &options.suite, &absent.borrow(), begin.elapsed())
    }));
    steps
}

fn run(
    workspace: &Workspace,
    args: &[String],
    absent: &[Absent],
    spent: Duration,
) -> Result<(), CommandError> {
    let mut suite = Command::new(workspace.target.join("release/parlance-bench"));
    suite.current_dir(&workspace.root).arg("suite");
    for Absent { name, reason } in absent {
        suite.arg("--absent").arg(format!("{name}={reason}"));
    }
    let left = TOTAL.saturating_sub(spent).clamp(SUITE_MIN, SUITE_MAX);
    suite.arg("--minutes").arg((left.as_secs() / 60).to_string()).args(args);
    command::run(&mut suite)
}
