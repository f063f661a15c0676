//! `parlance token`.

use super::{
    admin::{Api, at},
    error::CliError,
    files::{Row, Rows, cell, create_private},
    place::Place,
    print, time,
};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use parlance_schema::api::{MintItem, MintTokensRequest, Minted, MintedTokens};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Tokens in one call; the API takes up to 2,000.
const TOKENS_PER_CALL: usize = 500;

const COLUMNS: &str = "handle,client_id";

const EXAMPLES: &str = "\
The first line of the file names its columns: handle, and if wanted client_id, the device that the token
is bound to.
  handle,client_id
  fleet,sensor-0001
  fleet,sensor-0002

Examples:
  parlance token mint devices.csv                  writes devices.tokens.csv
  parlance token mint devices.csv --ttl 12h --out today.csv
  parlance token mint devices.csv --out - | provision

A device logs in with the handle as user name and the token as password.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make access tokens for the devices of a CSV file
    #[command(after_help = EXAMPLES)]
    Mint(Mint),
}

#[derive(Debug, Args)]
pub(super) struct Mint {
    /// The CSV file
    file: PathBuf,
    /// How long the tokens serve: 45s, 15m, 12h, 30d, 2w
    #[arg(long, default_value = "30d", value_parser = time::span, value_name = "TIME")]
    ttl: Duration,
    /// Where to write; only its owner can read it. "-" is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(place: &Place, command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Mint(mint) => mint.run(place).await,
    }
}

/// Where tokens are written.
struct Sink {
    path: PathBuf,
    writer: csv::Writer<Box<dyn Write>>,
}

impl Sink {
    fn create(path: PathBuf) -> Result<Self, CliError> {
        let target: Box<dyn Write> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => Box::new(create_private(&path)?),
        };
        let mut sink = Self { path, writer: csv::Writer::from_writer(target) };
        sink.row(["handle", "client_id", "token", "expires", "error"])?;
        Ok(sink)
    }

    fn row(&mut self, cells: [&str; 5]) -> Result<(), CliError> {
        self.writer.write_record(cells).map_err(|error| self.failed(error.into()))
    }

    fn flush(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> CliError {
        match self.path.as_os_str() == "-" {
            true => CliError::Output(source),
            false => CliError::Write { path: self.path.clone(), source },
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    made: u64,
    failed: u64,
}

impl Mint {
    async fn run(self, place: &Place) -> Result<ExitCode, CliError> {
        let mut rows = Rows::open(&self.file, "handle", COLUMNS)?;
        let api = Api::as_operator(place)?;
        let out = self.out.clone().unwrap_or_else(|| beside(&self.file));
        let mut sink = Sink::create(out)?;
        let columns = (rows.column("handle"), rows.column("client_id"));
        let bar = print::bar(rows.bytes(), "tokens");
        let mut tally = Tally::default();
        loop {
            let batch = rows.next(TOKENS_PER_CALL)?;
            if batch.is_empty() {
                break;
            }
            let minting = self.mint(&api, columns, batch, &mut sink, &mut tally, &bar);
            minting.await.map_err(|source| interrupted(&sink.path, &tally, source))?;
            bar.set_position(rows.position());
            bar.set_message(format!("{} tokens", tally.made));
        }
        bar.finish_and_clear();
        // On standard error: standard output may be the file.
        eprintln!("{} tokens in {}, {} lines failed", tally.made, sink.path.display(), tally.failed);
        Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn mint(
        &self,
        api: &Api,
        (handle, client_id): (Option<usize>, Option<usize>),
        batch: Vec<Row>,
        sink: &mut Sink,
        tally: &mut Tally,
        bar: &ProgressBar,
    ) -> Result<(), CliError> {
        let mut items = Vec::with_capacity(batch.len());
        for Row { line, cells } in batch {
            let problem = match &cells {
                Err(error) => error.to_string(),
                Ok(cells) => match cell(cells, handle) {
                    Some(user) => {
                        let client_id = cell(cells, client_id).map(str::to_owned);
                        items.push(MintItem { user: at(user), client_id });
                        continue;
                    }
                    None => "no handle".to_owned(),
                },
            };
            tally.failed += 1;
            bar.suspend(|| eprintln!("line {line}: {}", print::printable(&problem)));
        }
        if items.is_empty() {
            return Ok(());
        }
        let request = MintTokensRequest { items, ttl_s: self.ttl.as_secs() };
        let minted: MintedTokens = api.call("admin.mintTokens", &request).await?;
        let expires = format!("{}Z", time::utc(minted.expires_ms).replace(' ', "T"));
        for token in minted.tokens {
            write(sink, token, &expires, tally)?;
        }
        // What the server made is in the file before more is asked for.
        sink.flush()
    }
}

fn write(sink: &mut Sink, minted: Minted, expires: &str, tally: &mut Tally) -> Result<(), CliError> {
    let handle = minted.user.trim_start_matches('@');
    let client_id = minted.client_id.as_deref().unwrap_or_default();
    match (&minted.token, &minted.error) {
        (Some(token), _) => {
            tally.made += 1;
            sink.row([handle, client_id, &token.0, expires, ""])
        }
        (None, error) => {
            tally.failed += 1;
            sink.row([handle, client_id, "", "", error.as_deref().unwrap_or("no token")])
        }
    }
}

/// `devices.csv` → `devices.tokens.csv`.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("tokens.csv")
}

fn interrupted(path: &Path, tally: &Tally, source: CliError) -> CliError {
    let done = format!("{} tokens are in {}", tally.made, path.display());
    CliError::Partial { done, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_schema::api::Secret;
    use std::fs;

    #[test]
    fn tokens_and_errors_stand_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.csv");
        let mut sink = Sink::create(path.clone()).unwrap();
        let mut tally = Tally::default();
        let minted = |user: &str, token: Option<&str>, error: Option<&str>| Minted {
            user: user.into(),
            client_id: Some("sensor, 1".into()),
            token: token.map(|token| Secret(token.into())),
            error: error.map(str::to_owned),
        };
        write(&mut sink, minted("@fleet", Some("ey.x.y"), None), "2026-01-01T00:00:00Z", &mut tally).unwrap();
        write(&mut sink, minted("@nobody", None, Some("no such account")), "…", &mut tally).unwrap();
        sink.flush().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let expected = "handle,client_id,token,expires,error\n\
            fleet,\"sensor, 1\",ey.x.y,2026-01-01T00:00:00Z,\nnobody,\"sensor, 1\",,,no such account\n";
        assert_eq!(text, expected);
        assert_eq!((tally.made, tally.failed), (1, 1));
    }

    #[test]
    fn the_file_stands_beside_the_list() {
        assert_eq!(beside(Path::new("fleet/devices.csv")), Path::new("fleet/devices.tokens.csv"));
    }
}
