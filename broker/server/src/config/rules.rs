//! What must hold between keys, beyond the range of each.

use std::collections::HashMap;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use super::{Address, Config};

/// A rule that a configuration breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rule {
    /// A packet must be able to carry a message.
    #[error(
        "packet_bytes_max is {packet}, less than message_bytes_max ({message}): such a message could not be sent"
    )]
    PacketHoldsMessage {
        /// `packet_bytes_max`
        packet: usize,
        /// `message_bytes_max`
        message: usize,
    },
    /// A request must be able to carry a message.
    #[error(
        "http_body_bytes_max is {body}, less than message_bytes_max ({message}): such a message could not be sent"
    )]
    BodyHoldsMessage {
        /// `http_body_bytes_max`
        body: usize,
        /// `message_bytes_max`
        message: usize,
    },
    /// Segments are whole pages.
    #[error("journal_segment_bytes is {0}; it must be a multiple of 4096")]
    SegmentOfPages(u64),
    /// A certificate is of no use without its key.
    #[error("tls.certificate is set and tls.key is not")]
    CertificateWithoutKey,
    /// A key is of no use without its certificate.
    #[error("tls.key is set and tls.certificate is not")]
    KeyWithoutCertificate,
    /// A refresh token must outlive what it refreshes.
    #[error("refresh_ttl_s is {refresh}, less than access_ttl_s ({access})")]
    RefreshOutlivesAccess {
        /// `refresh_ttl_s`
        refresh: u64,
        /// `access_ttl_s`
        access: u64,
    },
    /// Somebody must be able to connect.
    #[error("every listener is off: nobody could connect")]
    NothingListens,
    /// An address takes one listener.
    #[error("listen.{first} and listen.{second} have the same address")]
    SameAddress {
        /// The key that comes first.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// The level is no filter.
    #[error("`{0}` is no log level; examples: \"info\", \"warn\", \"info,parlance_server=debug\"")]
    LogLevel(String),
}

impl Rule {
    /// Section and key at which the rule is reported.
    pub(super) fn key(&self) -> (&'static str, &'static str) {
        match self {
            Self::PacketHoldsMessage { .. } => ("limits", "packet_bytes_max"),
            Self::BodyHoldsMessage { .. } => ("limits", "http_body_bytes_max"),
            Self::SegmentOfPages(_) => ("store", "journal_segment_bytes"),
            Self::CertificateWithoutKey => ("tls", "certificate"),
            Self::KeyWithoutCertificate => ("tls", "key"),
            Self::RefreshOutlivesAccess { .. } => ("auth", "refresh_ttl_s"),
            Self::NothingListens => ("listen", "mqtt"),
            Self::SameAddress { second, .. } => ("listen", second),
            Self::LogLevel(_) => ("log", "level"),
        }
    }
}

/// The first rule that does not hold.
pub(super) fn broken(config: &Config) -> Option<Rule> {
    let Config { limits, store, auth, .. } = config;
    let (message, packet, body) = (
        limits.message_bytes_max,
        usize::try_from(limits.packet_bytes_max).unwrap_or(usize::MAX),
        limits.http_body_bytes_max,
    );
    let (access, refresh) = (auth.access_ttl_s, auth.refresh_ttl_s);
    let segment_bytes = store.journal_segment_bytes;
    listeners(config)
        .or_else(|| certificate(config))
        .or_else(|| (packet < message).then_some(Rule::PacketHoldsMessage { packet, message }))
        .or_else(|| (body < message).then_some(Rule::BodyHoldsMessage { body, message }))
        .or_else(|| (!segment_bytes.is_multiple_of(4096)).then_some(Rule::SegmentOfPages(segment_bytes)))
        .or_else(|| (refresh < access).then_some(Rule::RefreshOutlivesAccess { refresh, access }))
        .or_else(|| level(&config.log.level))
}

fn listeners(config: &Config) -> Option<Rule> {
    let listen = &config.listen;
    let all =
        [("mqtt", listen.mqtt), ("mqtts", listen.mqtts), ("http", listen.http), ("https", listen.https)];
    if all.iter().all(|(_, address)| *address == Address::OFF) {
        return Some(Rule::NothingListens);
    }
    let mut taken = HashMap::new();
    all.into_iter()
        // Port 0 lets the system choose, another one for each.
        .filter_map(|(second, address)| Some((second, address.get().filter(|address| address.port() != 0)?)))
        .find_map(|(second, address)| {
            taken.insert(address, second).map(|first| Rule::SameAddress { first, second })
        })
}

fn certificate(config: &Config) -> Option<Rule> {
    let set = |path: &std::path::Path| !path.as_os_str().is_empty();
    match (set(&config.tls.certificate), set(&config.tls.key)) {
        (true, false) => Some(Rule::CertificateWithoutKey),
        (false, true) => Some(Rule::KeyWithoutCertificate),
        _ => None,
    }
}

fn level(level: &str) -> Option<Rule> {
    let valid = !level.trim().is_empty() && EnvFilter::builder().parse(level).is_ok();
    (!valid).then(|| Rule::LogLevel(level.to_owned()))
}
