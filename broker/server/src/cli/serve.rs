//! `parlance serve`.

use super::{error::CliError, place::Place};
use crate::{
    config::{Log, LogFormat},
    serve::{self, Plugins},
};
use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Runs the server until it is told to stop.
pub(super) fn run(place: &Place, plugins: &dyn Plugins) -> Result<ExitCode, CliError> {
    let config = place.config()?;
    start_log(&config.log);
    serve::run(config, &|| place.read(), plugins)?;
    Ok(ExitCode::SUCCESS)
}

fn start_log(log: &Log) {
    // The configuration checked the level, so the filter only ever is the one that it names.
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    // Fails only where a program that embeds the server has set up its own.
    let _ = match log.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}
