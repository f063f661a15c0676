//! The command line of the `parlance` program.
//!
//! Everything but `serve` and `config` talks to a running server: over HTTP with the operator's token, or over MQTT as
//! a user. One file for each command; what they share is `place` (which server, which data folder), `admin` (calls
//! over HTTP), `print` and `error`.

mod access;
mod admin;
mod config;
mod error;
mod files;
mod group;
mod import;
mod key;
mod mqtt;
mod place;
mod print;
mod secret;
mod send;
mod serve;
mod status;
mod store;
mod tail;
mod time;
mod token;
mod user;

use crate::serve::Plugins;
use clap::{Parser, Subcommand};
use error::CliError;
use place::Place;
use std::process::ExitCode;

const ABOUT_EXAMPLES: &str = "\
Examples:
  parlance                                     start the server, with everything at its default
  parlance user add alice --password-stdin     make an account (the password is read from standard input)
  parlance send @bob 'hello' --as alice        send a message as alice
  parlance tail --as bob                       watch what bob receives
  parlance status                              is it there, and does it take messages?

Every command explains itself: parlance user import --help";

/// Parlance, a messenger on MQTT. Without a command it starts the server.
#[derive(Debug, Parser)]
#[command(name = "parlance", version, after_help = ABOUT_EXAMPLES, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (what `parlance` alone does)
    Serve,
    /// Make, list, disable and enable accounts
    #[command(subcommand)]
    User(user::Command),
    /// Make access tokens for a fleet of devices
    #[command(subcommand)]
    Token(token::Command),
    /// API keys of service accounts
    #[command(subcommand)]
    Key(key::Command),
    /// Who may publish and subscribe to which free topics
    #[command(subcommand)]
    Access(access::Command),
    /// Make groups and change their members
    #[command(subcommand)]
    Group(group::Command),
    /// Send a message
    Send(send::Send),
    /// Watch messages arrive
    Tail(tail::Tail),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Examine what is stored
    #[command(subcommand)]
    Store(store::Command),
    /// Is the server there, and does it take messages?
    Status(status::Status),
}

/// Runs the program as its arguments say. `plugins` is what the server is made of.
pub fn main(plugins: &dyn Plugins) -> ExitCode {
    let cli = Cli::parse();
    match run(cli, plugins) {
        Ok(code) => code,
        // Whoever reads our output has seen enough (`parlance user list | head`).
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error::told(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli, plugins: &dyn Plugins) -> Result<ExitCode, CliError> {
    let place = cli.place;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&place, plugins),
        Command::Config(command) => config::run(&place, &command),
        Command::Store(store::Command::RotateKey) => store::rotate_key(&place, plugins),
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(CliError::Runtime)?.block_on(Box::pin(call(&place, command)))
        }
    }
}

async fn call(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Serve | Command::Config(_) => Ok(ExitCode::SUCCESS),
        Command::User(command) => user::run(place, command).await,
        Command::Token(command) => token::run(place, command).await,
        Command::Key(command) => key::run(place, command).await,
        Command::Access(command) => access::run(place, command).await,
        Command::Group(command) => group::run(place, command).await,
        Command::Send(send) => send.run(place).await,
        Command::Tail(tail) => tail.run(place).await,
        Command::Store(command) => store::run(place, command).await,
        Command::Status(status) => status.run(place).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves_and_global_options_go_anywhere() {
        assert!(Cli::parse_from(["parlance"]).command.is_none());
        let cli = Cli::parse_from(["parlance", "user", "list", "--data-dir", "/srv/parlance"]);
        assert_eq!(cli.place.data_dir.as_deref(), Some(std::path::Path::new("/srv/parlance")));
    }

    /// Requirement: `--help` teaches. Each command that does something has an example.
    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().filter(|c| c.get_name() != "help").for_each(|c| check(c, &path));
            } else if command.get_name() != "serve" {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("parlance "), "{path} has no example");
            }
        }
        check(&Cli::command(), "");
    }
}
