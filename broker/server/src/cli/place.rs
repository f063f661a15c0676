//! Which server and which data folder a command is about.

use super::error::CliError;
use crate::config::{Address, Config, ConfigError};
use clap::Args;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// Options of every command.
#[derive(Debug, Default, Args)]
pub(super) struct Place {
    /// Configuration file; without it parlance.toml in this folder, if there is one
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Data folder; overrides the configuration
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// HTTP address of the running server; without it the one that the configuration names
    #[arg(long, global = true, value_name = "URL", env = "PARLANCE_SERVER")]
    pub(super) server: Option<String>,
}

impl Place {
    /// The configuration, as the server reads it.
    pub(super) fn config(&self) -> Result<Config, CliError> {
        Ok(self.read()?)
    }

    /// The same, where only the configuration can be wrong.
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }

    /// The server's HTTP address, without a slash at its end.
    pub(super) fn server(&self, config: &Config) -> Result<String, CliError> {
        if let Some(server) = &self.server {
            let is_url = server.starts_with("http://") || server.starts_with("https://");
            return match is_url {
                true => Ok(server.trim_end_matches('/').to_owned()),
                false => Err(CliError::ServerUrl(server.clone())),
            };
        }
        let listen = &config.listen;
        url("http", listen.http).or_else(|| url("https", listen.https)).ok_or(CliError::NoListener("HTTP"))
    }

    /// The server's MQTT address.
    pub(super) fn broker(&self, config: &Config) -> Result<String, CliError> {
        let listen = &config.listen;
        url("mqtt", listen.mqtt).or_else(|| url("mqtts", listen.mqtts)).ok_or(CliError::NoListener("MQTT"))
    }
}

/// The URL under which this machine reaches a listener.
fn url(scheme: &str, address: Address) -> Option<String> {
    let address = address.get()?;
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    // Certificates and URLs of TLS name hosts better than addresses.
    let tls = scheme.ends_with('s');
    let address = SocketAddr::new(ip, address.port());
    Some(if tls && ip.is_loopback() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    })
}

/// The operator's token: `PARLANCE_ADMIN_TOKEN`, or what the server wrote into its data folder.
pub(super) fn admin_token(config: &Config) -> Result<String, CliError> {
    let token = match std::env::var("PARLANCE_ADMIN_TOKEN") {
        Ok(token) if !token.is_empty() => token,
        _ => {
            let path = config.data_dir.join("admin.token");
            fs::read_to_string(&path).map_err(|source| CliError::AdminToken { path, source })?
        }
    };
    let token = token.trim();
    match !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(CliError::AdminTokenForm),
    }
}

/// The root of the server's development certificate, if this machine has it.
pub(super) fn development_ca(config: &Config) -> Option<Vec<u8>> {
    fs::read(config.data_dir.join("certs").join("ca.pem")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(text: &str) -> Address {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("0.0.0.0:80", Some("http://127.0.0.1:80")),
            ("[::]:80", Some("http://[::1]:80")),
            ("10.1.2.3:80", Some("http://10.1.2.3:80")),
            ("", None),
        ] {
            assert_eq!(url("http", listening(address)).as_deref(), expected, "{address}");
        }
        assert_eq!(url("https", listening("0.0.0.0:443")).as_deref(), Some("https://localhost:443"));
    }

    #[test]
    fn the_server_is_named_or_follows_from_the_configuration() {
        let mut config = Config::default();
        let named = |server: &str| Place { server: Some(server.to_owned()), ..Place::default() };
        assert_eq!(Place::default().server(&config).unwrap(), "http://127.0.0.1:8080");
        assert_eq!(named("https://chat.example.org/").server(&config).unwrap(), "https://chat.example.org");
        assert!(matches!(named("chat.example.org").server(&config), Err(CliError::ServerUrl(_))));
        config.listen.http = Address::OFF;
        assert_eq!(Place::default().server(&config).unwrap(), "https://localhost:8443");
        config.listen.https = Address::OFF;
        assert!(matches!(Place::default().server(&config), Err(CliError::NoListener("HTTP"))));
    }
}
