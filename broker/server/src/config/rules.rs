//! What must hold between keys, beyond the range of each.

use std::{collections::HashMap, path::Path};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use super::{Address, CertificateFor, ClientCertificates, Config, Listen, Listener, Profile, Transport};

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
    #[error("{first} and {second} have the same address")]
    SameAddress {
        /// The listener that comes first.
        first: String,
        /// The other.
        second: String,
        /// Where the other stands.
        at: At,
    },
    /// A listener of a table breaks a rule.
    #[error("the listener \"{name}\" {rule}")]
    Listener {
        /// Which one.
        name: String,
        /// Its row, from 0.
        row: usize,
        /// What it breaks.
        rule: ListenerRule,
    },
    /// A certificate for a name is not whole.
    #[error("a certificate for a name needs names, certificate and key")]
    CertificateFor {
        /// Its row, from 0.
        row: usize,
    },
    /// The level is no filter.
    #[error("`{0}` is no log level; examples: \"info\", \"warn\", \"info,parlance_server=debug\"")]
    LogLevel(String),
}

/// A rule for one listener.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListenerRule {
    /// It must be called something.
    #[error("needs a name")]
    Name,
    /// A name stands for one listener.
    #[error("has a name that another listener has")]
    NameTaken,
    /// It must be somewhere.
    #[error("needs an address")]
    Address,
    /// A laboratory is not for strangers by accident.
    #[error(
        "is open: anybody could publish and subscribe there. Give it an address of this machine, or set \
         open_to_the_network = true if that is meant"
    )]
    OpenToTheNetwork,
    /// An open listener has nobody who could call.
    #[error("is open: it carries MQTT alone, not the HTTP API; use transport \"ws\" or \"wss\"")]
    OpenApi,
    /// An open listener knows nobody.
    #[error("is open: nobody logs in there, so client_certificates must be \"none\"")]
    OpenCertificates,
    /// QUIC has its own way to change addresses.
    #[error("speaks QUIC, which has no PROXY protocol")]
    ProxyOverQuic,
    /// Anybody could write the header.
    #[error("believes PROXY protocol headers: name the load balancers in proxy_from")]
    ProxyFrom,
    /// Headers would not be read.
    #[error("names load balancers in proxy_from: set proxy_protocol = true")]
    ProxyOff,
    /// There is no TLS in which certificates could be shown.
    #[error("has no TLS: certificates need transport \"tls\", \"wss\", \"https\" or \"quic\"")]
    NoTls,
    /// Clients' certificates need somebody who vouches for them.
    #[error("checks certificates of clients: name the authorities in client_ca")]
    ClientCa,
    /// Certificates would not be checked.
    #[error("names a client_ca: set client_certificates to \"optional\" or \"required\"")]
    ClientCertificatesOff,
    /// Certificate and key belong together.
    #[error("needs certificate and key, or neither")]
    CertificateAndKey,
}

impl ListenerRule {
    /// The key at which it is reported.
    fn key(&self) -> &'static str {
        match self {
            Self::Name | Self::NameTaken => "name",
            Self::Address | Self::OpenToTheNetwork => "address",
            Self::OpenApi | Self::NoTls => "transport",
            Self::OpenCertificates | Self::ClientCertificatesOff => "client_certificates",
            Self::ProxyOverQuic | Self::ProxyFrom | Self::ProxyOff => "proxy_protocol",
            Self::ClientCa => "client_ca",
            Self::CertificateAndKey => "certificate",
        }
    }
}

/// Where a rule is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Section and key.
    Key(&'static str, &'static str),
    /// Table, row from 0, and key.
    Row(&'static str, usize, &'static str),
}

impl Rule {
    pub(super) fn key(&self) -> At {
        match self {
            Self::PacketHoldsMessage { .. } => At::Key("limits", "packet_bytes_max"),
            Self::BodyHoldsMessage { .. } => At::Key("limits", "http_body_bytes_max"),
            Self::SegmentOfPages(_) => At::Key("store", "journal_segment_bytes"),
            Self::CertificateWithoutKey => At::Key("tls", "certificate"),
            Self::KeyWithoutCertificate => At::Key("tls", "key"),
            Self::RefreshOutlivesAccess { .. } => At::Key("auth", "refresh_ttl_s"),
            Self::NothingListens => At::Key("listen", "mqtt"),
            Self::SameAddress { at, .. } => *at,
            Self::Listener { row, rule, .. } => At::Row("listener", *row, rule.key()),
            Self::CertificateFor { row } => At::Row("tls.certificate_for", *row, "names"),
            Self::LogLevel(_) => At::Key("log", "level"),
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
    let rows = config.listener.iter().enumerate();
    let broken = rows.clone().find_map(|(row, listener)| {
        let taken = SIMPLE.contains(&listener.name.as_str())
            || config.listener[..row].iter().any(|earlier| earlier.name == listener.name);
        let rule = if taken { Some(ListenerRule::NameTaken) } else { listener_rule(listener) };
        rule.map(|rule| Rule::Listener { name: listener.name.clone(), row, rule })
    });
    if broken.is_some() {
        return broken;
    }
    let Listen { mqtt, mqtts, http, https, quic, .. } = config.listen;
    let simple = SIMPLE
        .into_iter()
        .zip([mqtt, mqtts, http, https, quic])
        .map(|(key, address)| (format!("listen.{key}"), address, key == "quic", At::Key("listen", key)));
    let tables = rows.map(|(row, listener)| {
        let (name, quic) =
            (format!("the listener \"{}\"", listener.name), listener.transport == Transport::Quic);
        (name, listener.address, quic, At::Row("listener", row, "address"))
    });
    let all: Vec<_> =
        simple.chain(tables).filter_map(|(name, at, quic, key)| Some((name, at.get()?, quic, key))).collect();
    if all.is_empty() {
        return Some(Rule::NothingListens);
    }
    let mut taken = HashMap::new();
    // Port 0 lets the system choose, another one for each.
    all.into_iter().filter(|(_, address, ..)| address.port() != 0).find_map(|(second, address, quic, at)| {
        let first = taken.insert((address, quic), second.clone());
        first.map(|first| Rule::SameAddress { first, second, at })
    })
}

/// The names of the listeners of `[listen]`.
const SIMPLE: [&str; 5] = ["mqtt", "mqtts", "http", "https", "quic"];

fn listener_rule(listener: &Listener) -> Option<ListenerRule> {
    let set = |path: &Path| !path.as_os_str().is_empty();
    let Listener { transport, .. } = listener;
    let open = listener.profile == Profile::Open;
    let checks = listener.client_certificates != ClientCertificates::None;
    let secure = transport.is_secure();
    let local = listener.address.get().is_some_and(|address| address.ip().to_canonical().is_loopback());
    let (certificate, key, ca) = (set(&listener.certificate), set(&listener.key), set(&listener.client_ca));
    let proxy = listener.proxy_protocol;
    let rules = [
        (listener.name.is_empty(), ListenerRule::Name),
        (listener.address == Address::OFF, ListenerRule::Address),
        (open && !local && !listener.open_to_the_network, ListenerRule::OpenToTheNetwork),
        (open && transport.has_api(), ListenerRule::OpenApi),
        (open && checks, ListenerRule::OpenCertificates),
        (proxy && *transport == Transport::Quic, ListenerRule::ProxyOverQuic),
        (proxy && listener.proxy_from.is_empty(), ListenerRule::ProxyFrom),
        (!proxy && !listener.proxy_from.is_empty(), ListenerRule::ProxyOff),
        (!secure && (checks || certificate || key || ca), ListenerRule::NoTls),
        (checks && !ca, ListenerRule::ClientCa),
        (!checks && ca, ListenerRule::ClientCertificatesOff),
        (certificate != key, ListenerRule::CertificateAndKey),
    ];
    rules.into_iter().find(|(broken, _)| *broken).map(|(_, rule)| rule)
}

fn certificate(config: &Config) -> Option<Rule> {
    let set = |path: &Path| !path.as_os_str().is_empty();
    let whole = |row: &CertificateFor| !row.names.is_empty() && set(&row.certificate) && set(&row.key);
    if let Some(row) = config.tls.certificate_for.iter().position(|row| !whole(row)) {
        return Some(Rule::CertificateFor { row });
    }
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
