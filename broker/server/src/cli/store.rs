//! `parlance store`.

use super::{admin::Api, error::CliError, place::Place, print};
use crate::serve::{Plugins, ServeError};
use clap::Subcommand;
use parlance_schema::api::{Verified, VerifyStoreRequest};
use std::process::ExitCode;

const VERIFY_EXAMPLES: &str = "\
Examples:
  parlance store verify
  parlance store verify --json > damage.jsonl

The server goes on serving meanwhile. Exit code 1 when a record is damaged, which is then named with its key.";

const ROTATE_EXAMPLES: &str = "\
Examples:
  parlance store rotate-key && systemctl restart parlance

Old keys stay in the key file, since old records are not rewritten. Restart the server to use the new one.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read every record of the running server's store and report what is damaged
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        /// Damaged records as JSON, one object on each line
        #[arg(long)]
        json: bool,
    },
    /// Make a new master key: what is written from the next start on is sealed with it, what is there stays readable
    #[command(after_help = ROTATE_EXAMPLES)]
    RotateKey,
}

/// `parlance store rotate-key`: works on the key file, whether the server runs or not.
pub(super) fn rotate_key(place: &Place, plugins: &dyn Plugins) -> Result<ExitCode, CliError> {
    let id = plugins
        .rotate_master_key(&place.config()?)
        .map_err(|error| CliError::Serve(ServeError::Plugin(error)))?;
    print::line(&format!(
        "master key {id} is the current one from the next start on; keep a new copy of the key file"
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn run(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Verify { json } => verify(place, json).await,
        // Handled before there is a runtime: it needs no server.
        Command::RotateKey => Ok(ExitCode::SUCCESS),
    }
}

async fn verify(place: &Place, json: bool) -> Result<ExitCode, CliError> {
    let api = Api::as_operator(place)?;
    let progress = print::counter("records");
    let (mut records, mut damaged) = (0, 0);
    let mut request = VerifyStoreRequest::default();
    loop {
        let stretch: Verified = api.call("admin.verifyStore", &request).await?;
        records += stretch.records;
        damaged += stretch.damage.len();
        for damage in &stretch.damage {
            progress.suspend(|| match json {
                true => print::json(damage),
                false => print::line(&format!(
                    "{} {}: {}",
                    damage.table,
                    damage.key,
                    print::printable(&damage.problem)
                )),
            })?;
        }
        progress.set_position(records);
        match stretch.next {
            Some(next) => request.cursor = Some(next),
            None => break,
        }
    }
    progress.finish_and_clear();
    if damaged == 0 {
        eprintln!("{records} records read, all whole");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{records} records read, {damaged} damaged; the others are served as before");
    Ok(ExitCode::FAILURE)
}
