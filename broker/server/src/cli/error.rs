//! What can go wrong with a command, and what to do next.

use crate::{config::ConfigError, serve::ServeError};
use parlance_client::{CloseError, ConnectError, RpcError, SendError};
use parlance_schema::api::Problem;
use std::{error::Error, fmt::Write, io, path::PathBuf};
use thiserror::Error;

/// Why a command did not do what it should.
#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(Box<ConfigError>),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("the runtime could not be started")]
    Runtime(#[source] io::Error),
    #[error("the operator's token {} cannot be read", path.display())]
    AdminToken { path: PathBuf, source: io::Error },
    #[error("the operator's token holds characters that no token has")]
    AdminTokenForm,
    #[error("{0:?} is no address of a server: write http://host:port or https://host:port")]
    ServerUrl(String),
    #[error("the configuration turns every {0} listener off")]
    NoListener(&'static str),
    #[error("no server answers at {url}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the call to {url} failed")]
    Http { url: String, source: reqwest::Error },
    #[error("what answers at {url} is not Parlance (HTTP status {status})")]
    NotParlance { url: String, status: u16 },
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Box<Problem>),
    #[error("{handle}: {error}")]
    Refused { handle: String, error: String },
    #[error("no token for {handle}: {error}")]
    NoToken { handle: String, error: String },
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("{}: the first line must name the columns {columns}", path.display())]
    Columns { path: PathBuf, columns: &'static str },
    #[error("{} is no CSV", path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("interrupted: {done}")]
    Partial { done: String, source: Box<CliError> },
    #[error("standard input cannot be read")]
    Input(#[source] io::Error),
    #[error("rule {0} stands in the server's file of access rules")]
    RuleOfFile(usize),
    #[error("there is no access rule {0}")]
    NoRule(usize),
    #[error("standard input holds no password")]
    NoPassword,
    #[error("output failed")]
    Output(#[source] io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error(transparent)]
    Close(#[from] CloseError),
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl CliError {
    /// Whoever read our output went away.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 1: it was tried and refused. 2: it could not be tried.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Problem(_) | Self::Refused { .. } | Self::NoToken { .. } | Self::Send(_) | Self::Rpc(_) => {
                1
            }
            Self::Serve(_) | Self::Partial { .. } | Self::Close(_) => 1,
            _ => 2,
        }
    }

    /// What to do next.
    fn next(&self) -> Option<String> {
        Some(match self {
            Self::AdminToken { source, path } => match source.kind() {
                io::ErrorKind::NotFound => format!(
                    "the server writes it at its first start. Start it (parlance serve), or name its data folder: \
                     --data-dir DIR ({} was looked at). For a server elsewhere put its token into \
                     PARLANCE_ADMIN_TOKEN",
                    path.parent().unwrap_or(path).display()
                ),
                _ => "run this as the user that the server runs as".to_owned(),
            },
            Self::Unreachable { .. } => {
                "start it with: parlance serve. If it runs elsewhere, say where: --server http://host:port"
                    .to_owned()
            }
            Self::NotParlance { .. } => "name the server's HTTP address with --server".to_owned(),
            Self::NoListener(_) => "say where the server is, with --server or --url".to_owned(),
            Self::Config(_) => "parlance config example shows every key with its meaning".to_owned(),
            Self::Problem(problem) => problem_next(problem)?,
            Self::NoToken { error, .. } if error.contains("API key") => {
                "put one of its API keys into PARLANCE_PASSWORD (parlance key create)".to_owned()
            }
            Self::Exists { .. } => "name another file with --out, or move this one away".to_owned(),
            Self::RuleOfFile(_) => {
                "take it out of the file and send the server SIGHUP; parlance access list shows the others"
                    .to_owned()
            }
            Self::NoRule(_) => "parlance access list shows them with their numbers".to_owned(),
            Self::NoPassword => {
                "write it there: printf %s 'correct horse' | parlance … --password-stdin".to_owned()
            }
            Self::Connect(ConnectError::BadCredentials) => "check the handle and the password".to_owned(),
            Self::Connect(ConnectError::Network(_)) => {
                "is it running? parlance status tells. Another address: --url mqtt://host:port".to_owned()
            }
            Self::Connect(ConnectError::Tls(_)) => "give the CA certificate: --ca FILE".to_owned(),
            Self::Connect(ConnectError::TakenOver) => "use another --device".to_owned(),
            _ => return None,
        })
    }
}

fn problem_next(problem: &Problem) -> Option<String> {
    let next = match problem.code.as_str() {
        "token_invalid" | "token_expired" | "session_ended" => {
            "the token in use is not this server's: is --data-dir the folder of the server at --server?"
        }
        "disk_full" => "free some space; the server takes messages again by itself",
        _ => return None,
    };
    Some(next.to_owned())
}

/// The error with its causes and what to do next, for a person.
pub(super) fn told(error: &CliError) -> String {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some errors repeat their cause in their own words.
        if !said.contains(&words) {
            let _ = write!(text, "\n  because: {words}");
            said = words;
        }
        cause = error.source();
    }
    let inner = match error {
        CliError::Partial { source, .. } => source,
        other => other,
    };
    if let Some(next) = inner.next() {
        let _ = write!(text, "\n  next: {next}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_why_and_what_next() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let text = told(&CliError::AdminToken { path: "/srv/parlance/admin.token".into(), source });
        assert!(
            text.starts_with("error: the operator's token /srv/parlance/admin.token cannot be read"),
            "{text}"
        );
        assert!(
            text.contains("because: ") && text.contains("next: ") && text.contains("--data-dir"),
            "{text}"
        );
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        assert!(CliError::Output(io::ErrorKind::BrokenPipe.into()).is_closed_pipe());
        assert!(!CliError::Output(io::ErrorKind::StorageFull.into()).is_closed_pipe());
    }
}
