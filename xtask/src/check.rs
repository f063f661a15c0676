//! `cargo xtask check`: everything the CI asks for before the tests.

use crate::{
    command::{self, CommandError},
    deny, layers,
    step::Step,
    workspace::Workspace,
};

/// The steps, quickest first.
pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("rustfmt and clippy are there", "install Rust with rustup", components),
        Step::new("format", "run `cargo fmt --all`", |workspace| {
            command::run(command::cargo(&workspace.root).args(["fmt", "--all", "--check"]))
        }),
        layers::step(),
        deny::step(),
        Step::new("lints", "mend what clippy names; nothing is allowed without a reason beside it", clippy),
        Step::new("documentation", "mend the links and code blocks that rustdoc names", |workspace| {
            let mut cargo = command::cargo(&workspace.root);
            command::run(cargo.args(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))
        }),
    ]
}

/// A minimal toolchain comes without them.
fn components(workspace: &Workspace) -> Result<(), CommandError> {
    let there = |tool| command::succeeds(command::cargo(&workspace.root).args([tool, "--version"]));
    if there("fmt") && there("clippy") {
        return Ok(());
    }
    command::run(std::process::Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
}

fn clippy(workspace: &Workspace) -> Result<(), CommandError> {
    let mut cargo = command::cargo(&workspace.root);
    command::run(cargo.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}
