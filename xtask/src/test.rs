//! `cargo xtask test`: the one command that runs every test, here and in the CI.
//!
//! The tests find what is outside the workspace by three variables: `PARLANCE_BIN` (the release program, for the
//! fault tests), `PARLANCE_PYTHON` (a Python with paho-mqtt) and `PARLANCE_JS` (a folder whose `node_modules` has MQTT.js).

use crate::{
    TestOptions,
    command::{self, CommandError},
    setup,
    step::Step,
    workspace::Workspace,
};

/// The steps, in order.
pub(crate) fn steps(options: TestOptions) -> Vec<Step> {
    let mut steps = Vec::new();
    if !options.no_setup {
        steps.push(setup::step());
    }
    let advice = "mend the compile error above; a C compiler (Debian: gcc) is needed as well";
    steps.push(Step::new("release program", advice, |workspace| {
        let mut cargo = command::cargo(&workspace.root);
        command::run(cargo.args(["build", "--release", "--package", "parlance-server"]))
    }));
    let advice = "mend the compile error above";
    steps.push(Step::new("embedded client", advice, |workspace| {
        let mut cargo = command::cargo(&workspace.root);
        command::run(cargo.args(["build", "--package", "parlance-embedded-client"]))
    }));
    let advice = "run one test again with `cargo xtask test --no-setup --filter NAME`";
    steps.push(Step::new("tests", advice, move |workspace| test(workspace, options.filter.as_deref())));
    steps
}

/// Unit, integration, end-to-end and documentation tests. All of them run even when one fails: a run is long, and
/// the second failure is worth knowing.
fn test(workspace: &Workspace, filter: Option<&str>) -> Result<(), CommandError> {
    let mut cargo = command::cargo(&workspace.root);
    cargo.args(["test", "--workspace", "--no-fail-fast"]).args(filter);
    cargo.env("PARLANCE_BIN", workspace.program());
    cargo.env("PARLANCE_PYTHON", workspace.python());
    cargo.env("PARLANCE_JS", workspace.javascript());
    command::run(&mut cargo)
}
