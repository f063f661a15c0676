//! `parlance user import`.

use super::{
    admin::Api,
    error::CliError,
    files::{Row, RowError, Rows, cell},
    place::Place,
    print,
};
use clap::Args;
use csv::StringRecord;
use indicatif::ProgressBar;
use parlance_schema::api::{AddUsersRequest, NewUser, Outcomes, Secret};
use std::{path::PathBuf, process::ExitCode};

/// Accounts in one call: their passwords are hashed, some tens of milliseconds each, within the time of a request.
const ACCOUNTS_PER_CALL: usize = 100;

const COLUMNS: &str = "handle,password,service";

pub(super) const EXAMPLES: &str = "\
The first line of the file names its columns: handle, and if wanted password and service.
  handle,password,service
  alice,correct horse battery,
  build-server,,yes

Examples:
  parlance user import users.csv
  parlance user import users.csv 2> failed.txt     each failed line with its reason

It can be run again: who is there already is reported and left as he is. Delete the file afterwards.";

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The CSV file
    file: PathBuf,
}

#[derive(Debug, Default)]
struct Tally {
    made: u64,
    failed: u64,
}

impl Import {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode, CliError> {
        let mut rows = Rows::open(&self.file, "handle", COLUMNS)?;
        let api = Api::as_operator(place)?;
        let columns = Columns::of(&rows);
        let bar = print::bar(rows.bytes(), "accounts");
        let mut tally = Tally::default();
        loop {
            let batch = rows.next(ACCOUNTS_PER_CALL)?;
            if batch.is_empty() {
                break;
            }
            add(&api, &columns, batch, &mut tally, &bar)
                .await
                .map_err(|source| interrupted(&tally, source))?;
            bar.set_position(rows.position());
            bar.set_message(format!("{} accounts", tally.made));
        }
        bar.finish_and_clear();
        print::line(&format!("{} accounts made, {} lines failed", tally.made, tally.failed))?;
        Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn interrupted(tally: &Tally, source: CliError) -> CliError {
    let done = format!(
        "{} accounts were made before; run it again for the rest (who is there already is left as he is)",
        tally.made
    );
    CliError::Partial { done, source: Box::new(source) }
}

async fn add(
    api: &Api,
    columns: &Columns,
    batch: Vec<Row>,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let mut lines = Vec::with_capacity(batch.len());
    let mut users = Vec::with_capacity(batch.len());
    for row in batch {
        match columns.user(row.cells) {
            Ok(user) => {
                lines.push(row.line);
                users.push(user);
            }
            Err(problem) => report(tally, bar, row.line, &problem),
        }
    }
    if users.is_empty() {
        return Ok(());
    }
    let answered: Outcomes = api.call("admin.addUsers", &AddUsersRequest { users }).await?;
    for (line, outcome) in lines.into_iter().zip(answered.outcomes) {
        match outcome.user {
            Some(_) => tally.made += 1,
            None => report(
                tally,
                bar,
                line,
                &format!("{}: {}", outcome.handle, outcome.error.unwrap_or_default()),
            ),
        }
    }
    Ok(())
}

fn report(tally: &mut Tally, bar: &ProgressBar, line: u64, problem: &str) {
    tally.failed += 1;
    bar.suspend(|| eprintln!("line {line}: {}", print::printable(problem)));
}

/// Where the columns stand.
struct Columns {
    handle: Option<usize>,
    password: Option<usize>,
    service: Option<usize>,
}

impl Columns {
    fn of(rows: &Rows) -> Self {
        Self {
            handle: rows.column("handle"),
            password: rows.column("password"),
            service: rows.column("service"),
        }
    }

    fn user(&self, record: Result<StringRecord, RowError>) -> Result<NewUser, String> {
        let record = record.map_err(|error| error.to_string())?;
        let handle = cell(&record, self.handle).ok_or("no handle")?;
        let service = match cell(&record, self.service).map(str::to_ascii_lowercase).as_deref() {
            None | Some("no" | "false" | "0") => false,
            Some("yes" | "true" | "1") => true,
            Some(other) => return Err(format!("{handle}: service is yes or no, not {other}")),
        };
        // A password keeps the spaces around it.
        let password =
            self.password.and_then(|column| record.get(column)).filter(|password| !password.is_empty());
        if service && password.is_some() {
            return Err(format!("{handle}: a service account has no password, but API keys"));
        }
        let handle = handle.trim_start_matches('@').to_owned();
        Ok(NewUser { handle, password: password.map(|password| Secret(password.to_owned())), service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(cells: [&str; 3]) -> Result<NewUser, String> {
        let columns = Columns { handle: Some(0), password: Some(1), service: Some(2) };
        columns.user(Ok(StringRecord::from(cells.to_vec())))
    }

    #[test]
    fn lines_become_accounts() {
        let alice = user(["@alice", " correct horse ", ""]).unwrap();
        assert_eq!(alice.handle, "alice");
        assert_eq!(alice.password, Some(Secret(" correct horse ".into())));
        let bot = user(["bot", "", "Yes"]).unwrap();
        assert_eq!((bot.password, bot.service), (None, true));
    }

    #[test]
    fn lines_that_are_no_account_say_why() {
        for (cells, word) in [
            (["", "secret", ""], "no handle"),
            (["bob", "", "maybe"], "maybe"),
            (["bot", "secret", "yes"], "API keys"),
        ] {
            let problem = user(cells).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
