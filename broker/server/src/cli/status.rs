//! `parlance status`.

use super::{admin::Api, error::CliError, place::Place, print};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  parlance status
  parlance status --server https://chat.example.org

Exit code 0: it takes messages. 1: it is there and does not. 2: it is not there.";

/// Is the server there, and does it take messages?
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What `/health` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    version: String,
    uptime_s: u64,
}

/// What `/ready` answers.
#[derive(Debug, Deserialize)]
struct Ready {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    server: &'a str,
    version: &'a str,
    uptime_s: u64,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Status {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode, CliError> {
        let api = Api::as_nobody(place, &place.config()?)?;
        let health: Health = api.get("/health").await?;
        let reason = match api.get::<Ready>("/ready").await {
            Ok(Ready {}) => None,
            Err(CliError::Problem(problem)) => Some(problem.detail),
            Err(error) => return Err(error),
        };
        let ready = reason.is_none();
        let server = api.server();
        if self.json {
            let Health { version, uptime_s } = &health;
            print::json(&Report { server, version, uptime_s: *uptime_s, ready, reason })?;
        } else {
            let state =
                reason.map_or("takes messages".to_owned(), |reason| format!("takes no messages: {reason}"));
            print::line(&format!("Parlance {} at {server} {state}", health.version))?;
            print::line(&format!("up for {}", uptime(health.uptime_s)))?;
        }
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_up() {
        for (seconds, text) in [(7, "7 s"), (61, "1 min"), (7_500, "2 h 5 min"), (180_000, "2 d 2 h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
