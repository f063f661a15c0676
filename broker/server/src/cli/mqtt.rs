//! Being a user over MQTT, for `send` and `tail`.

use super::{
    admin::{Api, at},
    error::CliError,
    place::{Place, development_ca},
    secret,
};
use clap::Args;
use parlance_client::Options;
use parlance_schema::api::Secret;
use std::{
    fs,
    io::{IsTerminal, stderr},
    path::PathBuf,
    time::Duration,
};
use tracing_subscriber::EnvFilter;

/// Who connects, and where.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The user
    #[arg(long = "as", value_name = "HANDLE", env = "PARLANCE_HANDLE")]
    handle: String,
    /// Read the password, or a service account's API key, from standard input. Without it PARLANCE_PASSWORD is
    /// used, or, on the server's machine, a token that is made for the occasion
    #[arg(long)]
    password_stdin: bool,
    /// MQTT address of the server: mqtt://, mqtts://, ws://…/mqtt or wss://…/mqtt
    #[arg(long, value_name = "URL", env = "PARLANCE_URL")]
    url: Option<String>,
    /// Root certificate (PEM) for mqtts:// and wss://
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Login {
    /// Options for a device `client_id`, or for a visitor. A token that has to be made serves for `ttl`.
    pub(super) async fn options(
        &self,
        place: &Place,
        client_id: Option<&str>,
        ttl: Duration,
    ) -> Result<Options, CliError> {
        start_warnings();
        let config = place.config()?;
        let url = self.url.clone().map_or_else(|| place.broker(&config), Ok)?;
        let handle = self.handle.trim_start_matches('@');
        let secret = self.secret(place, ttl).await?;
        let options = match client_id {
            Some(client_id) => Options::new(url, handle, secret.0, client_id),
            None => Options::ephemeral(url, handle, secret.0),
        };
        let ca = match &self.ca {
            Some(path) => {
                Some(fs::read(path).map_err(|source| CliError::Read { path: path.clone(), source })?)
            }
            // The development certificate is this machine's: elsewhere the system's roots count.
            None if self.url.is_none() => development_ca(&config),
            None => None,
        };
        Ok(match ca {
            Some(pem) => options.ca_pem(pem),
            None => options,
        })
    }

    async fn secret(&self, place: &Place, ttl: Duration) -> Result<Secret, CliError> {
        if self.password_stdin {
            return secret::from_stdin();
        }
        match secret::from_environment() {
            Some(secret) => Ok(secret),
            None => Api::as_operator(place)?.mint(&at(&self.handle), ttl).await,
        }
    }
}

/// Warnings of the client, such as a refused subscription, go to standard error. What rumqttc warns of, the client
/// handles.
fn start_warnings() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("parlance_client=warn"))
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .without_time()
        .with_target(false)
        .try_init();
}
