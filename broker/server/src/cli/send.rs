//! `parlance send`.

use super::{error::CliError, mqtt::Login, place::Place, print};
use clap::Args;
use parlance_client::{Client, Target};
use std::{
    io::{Read, stdin},
    process::ExitCode,
    time::Duration,
};

/// How long the token serves that is made for sending.
const TOKEN_TTL: Duration = Duration::from_secs(120);

/// Longest text that is read from standard input, bytes; the server's own limit is lower.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  parlance send @bob 'hello' --as alice
  parlance send group/@team 'built' --as build-server       a group by its handle; by its id: g…
  uptime | parlance send @ops - --as alice                  the text from standard input
  PARLANCE_PASSWORD=… parlance send @bob hi --as alice --url mqtts://chat.example.org";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Send {
    /// @handle of a user, group/@handle, or the id of a user, group or conversation
    to: Target,
    /// The message; "-" reads it from standard input
    text: String,
    #[command(flatten)]
    login: Login,
    /// The message's id: sent again with the same id, it is stored once
    #[arg(long)]
    id: Option<String>,
    /// Print where it was put as JSON
    #[arg(long)]
    json: bool,
}

impl Send {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode, CliError> {
        let options = self.login.options(place, None, TOKEN_TTL).await?.send_only();
        let text = if self.text == "-" { from_stdin()? } else { self.text };
        let (client, _events) = Client::connect(options).await?;
        let sent = match self.id {
            Some(id) => client.send_as(self.to, id, text).await,
            None => client.send(self.to, text).await,
        };
        // What counts is whether it was stored: with the goodbye lost it still was.
        let _ = client.close().await;
        let sent = sent?;
        if self.json {
            let place = serde_json::json!({
                "id": sent.id, "conversation": sent.conversation, "seq": sent.seq, "timeMs": sent.time_ms,
            });
            print::json(&place)?;
        } else {
            print::line(&format!("{} in {}", sent.seq, sent.conversation))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn from_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    stdin().lock().take(TEXT_BYTES_MAX).read_to_string(&mut text).map_err(CliError::Input)?;
    // The line's end belongs to the command that wrote it.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}
