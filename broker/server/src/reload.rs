//! Following the configuration and the certificates while the server runs.
//!
//! SIGHUP reads the configuration and the file of access rules again. Listeners, certificates and the limits of admission follow it; what else changed
//! waits for the next start, and the log says so. A file that is wrong changes nothing. Between signals the certificates
//! alone are looked at: who renews them need not tell the server.

use crate::{
    config::{Config, ConfigError},
    context::Context,
    listen::{
        CertificateError, Changes, ListenError, Listeners, Routes, Workers, make_development_certificates,
    },
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use thiserror::Error;

/// Reads the configuration as it is now.
pub(crate) type Read<'a> = dyn Fn() -> Result<Config, ConfigError> + 'a;

/// Sections that are followed as a whole, and keys.
const FOLLOWED_SECTIONS: [&str; 3] = ["listen", "listener", "tls"];
const FOLLOWED_KEYS: [&str; 13] = [
    "limits.connections_max",
    "limits.handshakes_max",
    "limits.handshakes_per_address_max",
    "limits.connections_per_address_max",
    "limits.connects_per_second_per_address",
    "limits.connects_burst_per_address",
    "limits.connections_per_user_max",
    "limits.packets_per_second_max",
    "limits.bytes_per_second_max",
    "limits.over_rate_s_max",
    "limits.inflight_bytes_max",
    "limits.trusted_addresses",
    "limits.connect_timeout_ms",
];

/// Why the server stays as it is.
#[derive(Debug, Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// How a file looked when it was read: a change shows in one of these.
type Stamp = Option<(i64, i64, u64, u64)>;

/// What follows the configuration.
pub(crate) struct Reload<'a> {
    context: Arc<Context>,
    routes: Routes,
    read: &'a Read<'a>,
    /// What is followed.
    config: Config,
    listeners: Listeners,
    workers: &'a mut Workers,
    seen: Vec<(PathBuf, Stamp)>,
}

impl<'a> Reload<'a> {
    /// Begins with what the server was started with.
    pub(crate) fn new(
        context: Arc<Context>,
        routes: Routes,
        read: &'a Read<'a>,
        listeners: Listeners,
        workers: &'a mut Workers,
    ) -> Self {
        let config = Config::clone(&context.config);
        let seen = stamps(&listeners, &config);
        Self { context, routes, read, config, listeners, workers, seen }
    }

    /// How long to wait until certificates are looked at; never, where that is off.
    pub(crate) fn certificates_due(&self) -> Option<Duration> {
        let every_s = self.config.tls.files_checked_every_s;
        (every_s > 0).then(|| Duration::from_secs(every_s))
    }

    /// SIGHUP: everything that can change.
    pub(crate) async fn configuration(&mut self) {
        if let Err(error) = self.context.access.reload() {
            metrics::counter!("parlance_reloads_failed_total").increment(1);
            tracing::error!(%error, "SIGHUP: the access rules of the file were not taken; those from before stay");
        }
        match self.follow().await {
            Ok(changes) => self.tell(&changes),
            Err(error) => {
                metrics::counter!("parlance_reloads_failed_total").increment(1);
                tracing::error!(%error, "SIGHUP: the configuration was not taken; everything stays as it was");
            }
        }
    }

    async fn follow(&mut self) -> Result<Changes, ReloadError> {
        let mut config = (self.read)()?;
        // Everything that is kept lies there: it moves at a start only.
        config.data_dir.clone_from(&self.context.config.data_dir);
        make_development_certificates(&config)?;
        // What changes from here on is seen at the next look.
        let changes = self.listeners.follow(&self.routes, &config, self.workers).await?;
        self.context.admission.set_limits(&config.limits);
        self.config = config;
        self.seen = stamps(&self.listeners, &self.config);
        Ok(changes)
    }

    fn tell(&self, changes: &Changes) {
        let Changes { opened, closed, changed } = changes;
        tracing::info!(
            ?opened,
            ?closed,
            ?changed,
            "SIGHUP: the configuration and the certificates were read again"
        );
        let waiting: Vec<_> = self
            .context
            .config
            .differences(&self.config)
            .into_iter()
            .filter(|key| !is_followed(key))
            .collect();
        if !waiting.is_empty() {
            tracing::warn!("these keys changed and take effect at the next start: {}", waiting.join(", "));
        }
    }

    /// Reads certificates again, if some changed.
    pub(crate) async fn certificates(&mut self) {
        let seen = stamps(&self.listeners, &self.config);
        if seen == self.seen {
            return;
        }
        // Told once, not every time: the next change is looked at again.
        self.seen = seen;
        match self.listeners.follow(&self.routes, &self.config, self.workers).await {
            Ok(_) => tracing::info!("certificates changed and were read again"),
            Err(error) => {
                metrics::counter!("parlance_reloads_failed_total").increment(1);
                tracing::error!(%error, "certificates changed and cannot be used; those from before stay");
            }
        }
    }
}

fn is_followed(key: &str) -> bool {
    let section = key.split_once('.').map_or(key, |(section, _)| section);
    FOLLOWED_SECTIONS.contains(&section) || FOLLOWED_KEYS.contains(&key)
}

fn stamps(listeners: &Listeners, config: &Config) -> Vec<(PathBuf, Stamp)> {
    listeners.files(config).into_iter().map(|path| (path.clone(), stamp(&path))).collect()
}

fn stamp(path: &Path) -> Stamp {
    // What is not there has no stamp, which is a change, too.
    let file = fs::metadata(path).ok()?;
    Some((file.mtime(), file.mtime_nsec(), file.ino(), file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_followed_is_a_key() {
        let example = Config::example();
        for key in FOLLOWED_KEYS {
            let name = key.strip_prefix("limits.").unwrap();
            assert!(example.contains(&format!("\n{name} = ")), "{key}");
        }
        assert!(is_followed("listen.mqtt") && is_followed("listener") && is_followed("tls.key"));
        assert!(!is_followed("limits.packet_bytes_max") && !is_followed("data_dir"));
    }

    #[test]
    fn differences_name_their_keys() {
        let mut other = Config::default();
        assert!(other.differences(&Config::default()).is_empty());
        other.limits.packet_bytes_max += 1;
        other.data_dir = "elsewhere".into();
        other.listener.push(crate::config::Listener::default());
        let expected = ["data_dir", "limits.packet_bytes_max", "listener"];
        assert_eq!(other.differences(&Config::default()), expected);
    }

    #[test]
    fn a_file_that_is_replaced_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(stamp(&path), None);
        fs::write(&path, "a").unwrap();
        let first = stamp(&path);
        fs::write(folder.path().join("y"), "b").unwrap();
        fs::rename(folder.path().join("y"), &path).unwrap();
        assert_ne!(stamp(&path), first);
        assert_eq!(stamp(&path), stamp(&path));
    }
}
