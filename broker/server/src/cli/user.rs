//! `parlance user`.

use super::{
    admin::{Api, at},
    error::CliError,
    import::{self, Import},
    place::Place,
    print, secret, time,
};
use clap::{Args, Subcommand};
use parlance_schema::api::{
    AddUsersRequest, Done, NewUser, Outcome, Outcomes, SetDisabledRequest, Users, UsersRequest,
};
use std::process::ExitCode;

/// Accounts on a page of the list.
const PAGE: u32 = 500;

const ADD_EXAMPLES: &str = "\
Examples:
  printf %s 'correct horse' | parlance user add alice --password-stdin
  parlance user add build-server --service     a bot; then: parlance key create build-server --name ci
  parlance user add sensor-17                  no password: logs in with a token (parlance token mint)";

const LIST_EXAMPLES: &str = "\
Examples:
  parlance user list
  parlance user list --json | jq -r 'select(.disabled) | .handle'";

const DISABLE_EXAMPLES: &str = "\
Example:
  parlance user disable mallory     disconnects mallory at once and lets nobody log in as mallory";

const ENABLE_EXAMPLES: &str = "\
Example:
  parlance user enable mallory";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account
    #[command(after_help = ADD_EXAMPLES)]
    Add(Add),
    /// Make many accounts from a CSV file
    #[command(after_help = import::EXAMPLES)]
    Import(Import),
    /// List all accounts
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// One JSON object on each line
        #[arg(long)]
        json: bool,
    },
    /// Lock an account
    #[command(after_help = DISABLE_EXAMPLES)]
    Disable {
        /// Handle or user id
        user: String,
    },
    /// Unlock an account
    #[command(after_help = ENABLE_EXAMPLES)]
    Enable {
        /// Handle or user id
        user: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// 2 to 32 of a-z 0-9 _ . -, beginning with a letter
    handle: String,
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "service")]
    password_stdin: bool,
    /// A service account, for a bot: it logs in with an API key or a certificate
    #[arg(long)]
    service: bool,
}

pub(super) async fn run(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Add(add) => add.run(place).await,
        Command::Import(import) => import.run(place).await,
        Command::List { json } => list(place, json).await,
        Command::Disable { user } => set_disabled(place, &user, true).await,
        Command::Enable { user } => set_disabled(place, &user, false).await,
    }
}

impl Add {
    async fn run(self, place: &Place) -> Result<ExitCode, CliError> {
        let password = self.password_stdin.then(secret::from_stdin).transpose()?;
        let handle = self.handle.trim_start_matches('@').to_owned();
        let logs_in = match (&password, self.service) {
            (Some(_), _) => "",
            (None, true) => ". It logs in with an API key: parlance key create",
            (None, false) => ". It has no password and logs in with a token: parlance token mint",
        };
        let user = NewUser { handle: handle.clone(), password, service: self.service };
        let api = Api::as_operator(place)?;
        let outcomes: Outcomes = api.call("admin.addUsers", &AddUsersRequest { users: vec![user] }).await?;
        match outcomes.outcomes.into_iter().next() {
            Some(Outcome { user: Some(user), .. }) => print::line(&format!("@{handle} is {user}{logs_in}"))?,
            Some(Outcome { error, .. }) => {
                return Err(CliError::Refused { handle, error: error.unwrap_or_default() });
            }
            None => {
                return Err(CliError::Refused { handle, error: "the server answered nothing".to_owned() });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(place: &Place, json: bool) -> Result<ExitCode, CliError> {
    let api = Api::as_operator(place)?;
    let mut request = UsersRequest { after: None, limit: Some(PAGE) };
    let mut titled = false;
    loop {
        // A page at a time, so that a list of millions needs no memory; columns line up within each.
        let page: Users = api.call("admin.users", &request).await?;
        let mut table =
            print::Table::new(if titled { &[] } else { &["HANDLE", "KIND", "STATE", "SINCE (UTC)", "ID"] });
        for user in &page.users {
            if json {
                print::json(user)?;
                continue;
            }
            let state = if user.disabled { "disabled" } else { "active" };
            let cells = [
                user.handle.as_str(),
                &user.kind,
                state,
                &time::utc(user.created_ms),
                &user.user.to_string(),
            ];
            table.row(cells.map(str::to_owned).into());
        }
        if !json {
            table.print()?;
        }
        titled = true;
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn set_disabled(place: &Place, user: &str, disabled: bool) -> Result<ExitCode, CliError> {
    let request = SetDisabledRequest { user: at(user), disabled };
    let Done {} = Api::as_operator(place)?.call("admin.setDisabled", &request).await?;
    let state = if disabled { "disabled" } else { "enabled" };
    print::line(&format!("{} is {state}", request.user))?;
    Ok(ExitCode::SUCCESS)
}
