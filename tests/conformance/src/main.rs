//! `parlance-conformance`: the suite against any server, and the tables of its reports.

use clap::{Args, Parser, Subcommand};
use parlance_conformance::{
    Column, Deviations, Endpoint, Manifest, ManifestError, Options, ReportError, Results, Target, Transport,
    Trust, Verdict, insert, markdown, run, write,
};
use parlance_mqtt::Version;
use std::{io, net::ToSocketAddrs, path::PathBuf, process::ExitCode};

/// The MQTT conformance suite.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the suite against a server. Ends with an error if a test fails
    Run(Box<Run>),
    /// Make a table of the JSON reports of several runs
    Table(Table),
    /// List all normative statements with their tests, or the reason why there is none
    List,
}

#[derive(Args)]
struct Run {
    /// Where the server is
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// tcp, tls, ws, wss or quic
    #[arg(long, default_value = "tcp")]
    transport: Transport,
    /// Path of the WebSocket
    #[arg(long, default_value = "/mqtt")]
    path: String,
    /// PEM file with the certificate that the server's leads to; without it any certificate is taken
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name in the server's certificate
    #[arg(long, default_value = "localhost")]
    name: String,
    /// User name of every connection
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Password of every connection
    #[arg(long, requires = "user", env = "CONFORMANCE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// An Authentication Method that the server accepts
    #[arg(long, requires = "auth_data")]
    auth_method: Option<String>,
    /// Authentication Data of that method
    #[arg(long, requires = "auth_method", env = "CONFORMANCE_AUTH_DATA", hide_env_values = true)]
    auth_data: Option<String>,
    /// Want a DISCONNECT that names the exact reason before the server closes (5)
    #[arg(long)]
    strict: bool,
    /// Only tests whose name or id contains this, such as v5/MQTT-3.3.1-4 or will
    #[arg(long)]
    filter: Option<String>,
    /// Tests at once
    #[arg(long, default_value_t = Options::default().jobs)]
    jobs: usize,
    /// Write a report: JSON, or a table if the name ends in .md
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct Table {
    /// A column: its name and the reports of one or several runs that complete each other
    #[arg(long, value_name = "NAME=FILE[,FILE]", required = true)]
    column: Vec<String>,
    /// A list of known deviations, which is put below the tables
    #[arg(long, value_name = "FILE")]
    explain: Vec<PathBuf>,
    /// Put the table into this document instead of printing it
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{address} is no address of a server")]
    Address { address: String, source: io::Error },
    #[error("{address} has no address")]
    NoAddress { address: String },
    #[error("the transport cannot be used")]
    Transport(#[source] io::Error),
    #[error("{column} is not of the form NAME=FILE")]
    Column { column: String },
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Run(options) => run_suite(options).await,
        Task::Table(options) => table(options),
        Task::List => list(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn run_suite(options: Box<Run>) -> Result<ExitCode, CliError> {
    let target = target(&options)?;
    let results = run(&target, &Options { jobs: options.jobs, filter: options.filter.clone() }).await;
    for version in [Version::V3, Version::V5] {
        print_statements(&Manifest::load(version)?, &results);
    }
    for (test, why) in results.failures() {
        println!("FAILED {test}\n       {why}");
    }
    let [passed, failed, unsupported] = results.counts();
    let seconds = results.took.as_secs_f32();
    println!("{passed} tests passed, {failed} failed, {unsupported} unsupported, in {seconds:.1} s");
    if let Some(file) = &options.report {
        if file.extension().is_some_and(|extension| extension == "md") {
            let name = format!("{} {}", options.address, options.transport);
            write(file, &markdown(&[Column { name, results: results.clone() }])?)?;
        } else {
            results.write_json(file)?;
        }
    }
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_statements(manifest: &Manifest, results: &Results) {
    let version = if manifest.version == Version::V3 { "v3" } else { "v5" };
    for (id, statement) in &manifest.statements {
        if let Some(verdict) = results.statement(manifest, *id) {
            let word = match verdict {
                Verdict::Pass => "pass",
                Verdict::Fail(_) => "FAIL",
                Verdict::Unsupported(_) => "unsupported",
            };
            println!("{word:<11} {version}/{id}  {}", statement.summary);
        }
    }
}

fn target(options: &Run) -> Result<Target, CliError> {
    let address = options.address.clone();
    let mut found = match options.address.to_socket_addrs() {
        Ok(found) => found,
        Err(source) => return Err(CliError::Address { address, source }),
    };
    let Some(address) = found.next() else { return Err(CliError::NoAddress { address }) };
    let trust = options.ca.as_deref().map_or(Trust::Anything, Trust::Roots);
    let endpoint = Endpoint::new(address, options.transport, trust).map_err(CliError::Transport)?;
    let mut target = Target::new(endpoint.path(&options.path).name(&options.name));
    target.credentials = options.user.clone().zip(options.password.clone());
    let data = options.auth_data.clone().map(String::into_bytes);
    target.authentication = options.auth_method.clone().zip(data);
    target.strict = options.strict;
    Ok(target)
}

fn table(options: Table) -> Result<ExitCode, CliError> {
    let mut columns = Vec::new();
    for column in options.column {
        let Some((name, files)) = column.split_once('=') else { return Err(CliError::Column { column }) };
        let mut results: Option<Results> = None;
        for file in files.split(',') {
            let more = Results::read_json(file.as_ref())?;
            match &mut results {
                Some(results) => results.complete(more),
                None => results = Some(more),
            }
        }
        let name = name.to_owned();
        columns.extend(results.map(|results| Column { name, results }));
    }
    let mut tables = markdown(&columns)?;
    for file in &options.explain {
        tables.push_str(&Deviations::read(file)?.markdown());
    }
    match options.into {
        Some(document) => insert(&document, &tables)?,
        None => println!("{tables}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn list() -> Result<ExitCode, CliError> {
    for version in [Version::V3, Version::V5] {
        let manifest = Manifest::load(version)?;
        let version = if version == Version::V3 { "v3" } else { "v5" };
        for (id, statement) in manifest.statements {
            println!("{version}/{id}  {}\n    {:?}", statement.summary, statement.coverage);
        }
    }
    Ok(ExitCode::SUCCESS)
}
