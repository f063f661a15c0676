//! `parlance config`.

use super::{error::CliError, place::Place, print};
use crate::config::{self, Config};
use clap::Subcommand;
use std::process::ExitCode;

const CHECK_EXAMPLES: &str = "\
Examples:
  parlance config check                          parlance.toml in this folder, and the environment
  parlance config check --config /etc/parlance.toml
  PARLANCE__LISTEN__MQTT=0.0.0.0:1883 parlance config check";

const EXAMPLE_EXAMPLES: &str = "\
Example:
  parlance config example > parlance.toml";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the configuration as the server would read it, and tell what it sets and where
    #[command(after_help = CHECK_EXAMPLES)]
    Check,
    /// Print a configuration file with every key, its meaning and its default
    #[command(after_help = EXAMPLE_EXAMPLES)]
    Example,
}

pub(super) fn run(place: &Place, command: &Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Check => print::line(config::check(place.config.as_deref())?.trim_end())?,
        Command::Example => print::line(Config::example().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}
