//! `parlance key`.

use super::{
    admin::{Api, at},
    error::CliError,
    place::Place,
    print, time,
};
use clap::{Args, Subcommand};
use parlance_schema::api::{ApiKey, ApiKeys, ApiKeysRequest, CreateApiKeyRequest, Done, RevokeApiKeyRequest};
use std::process::ExitCode;

const CREATE_EXAMPLES: &str = "\
A scope is messages.send, messages.read or groups.manage, for one conversation with its id behind a colon.

Examples:
  parlance key create build-server --name ci
  parlance key create build-server --name deploy --scope messages.send:g0123456789abcdefghijklmnop

The key is shown once. A bot logs in with the handle as user name and the key as password; over HTTP the key is
the bearer token.";

const LIST_EXAMPLES: &str = "\
Example:
  parlance key list build-server";

const REVOKE_EXAMPLES: &str = "\
Example:
  parlance key revoke ID     connections that use it are closed at once; parlance key list shows the ids";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an API key for a service account
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Create),
    /// List the API keys of a service account
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Handle or id of the service account
        user: String,
        /// One JSON object on each line
        #[arg(long)]
        json: bool,
    },
    /// End an API key
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Handle or id of the service account
    user: String,
    /// What to recognise the key by
    #[arg(long)]
    name: String,
    /// What it may do; may be given several times. Without any: send and read messages everywhere
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    let api = Api::as_operator(place)?;
    match command {
        Command::Create(create) => create.run(&api).await?,
        Command::List { user, json } => list(&api, &user, json).await?,
        Command::Revoke { id } => {
            let Done {} = api.call("admin.revokeApiKey", &RevokeApiKeyRequest { id: id.clone() }).await?;
            print::line(&format!("{id} is revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Create {
    async fn run(self, api: &Api) -> Result<(), CliError> {
        let scopes = match self.scopes.is_empty() {
            true => vec!["messages.send".to_owned(), "messages.read".to_owned()],
            false => self.scopes,
        };
        let request = CreateApiKeyRequest { user: at(&self.user), name: self.name, scopes };
        let made: ApiKey = api.call("admin.createApiKey", &request).await?;
        if self.json {
            return print::json(&made);
        }
        let key = made.key.as_ref().map(|key| key.0.as_str()).unwrap_or_default();
        print::line(key)?;
        // Beside the key, so that `KEY=$(parlance key create …)` holds the key alone.
        eprintln!("id {}, may {}. The key is not shown again.", made.id, made.scopes.join(", "));
        Ok(())
    }
}

async fn list(api: &Api, user: &str, json: bool) -> Result<(), CliError> {
    let listed: ApiKeys = api.call("admin.apiKeys", &ApiKeysRequest { user: at(user) }).await?;
    if json {
        return listed.keys.iter().try_for_each(print::json);
    }
    let mut table = print::Table::new(&["ID", "NAME", "SINCE (UTC)", "MAY"]);
    for key in listed.keys {
        table.row(vec![key.id, key.name, time::utc(key.created_ms), key.scopes.join(" ")]);
    }
    table.print()
}
