//! `parlance-bench`: one case on a running broker, or the whole suite.

mod cli;

use clap::{Parser, Subcommand};
use parlance_bench::{peers::guard, report, suite};
use std::{error::Error, process::ExitCode};

/// How fast Parlance is, beside other brokers.
#[derive(Debug, Parser)]
#[command(name = "parlance-bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One case on a broker that is running
    Case(Box<cli::CaseOptions>),
    /// All cases on all brokers, which are started for it, and the report
    Suite(Box<suite::Options>),
    /// The report of a run anew, without running anything
    Report(report::Options),
    /// Runs a broker and ends it when whoever started this is gone
    #[command(hide = true)]
    Guard(Box<guard::Options>),
}

fn main() -> ExitCode {
    let ended: Result<ExitCode, Box<dyn Error>> = match Cli::parse().command {
        Command::Case(options) => cli::case(&options).map_err(Into::into),
        Command::Guard(options) => guard::run(&options).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Report(options) => report::run(&options).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Suite(options) => suite::run(&options).map_err(Into::into),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("parlance-bench: {error}");
        ExitCode::FAILURE
    })
}
