//! The sections, but for the limits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{Address, CertificateFor, LogFormat, Registration, StoreEngine, key::section};

const MIB: u64 = 1 << 20;
const DAY_S: u64 = 86_400;

fn local(port: u16) -> Address {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()
}

section! {
    /// Where clients connect: an IP address and a port ("0.0.0.0:1883" for all of the machine); "" for not at all.
    Listen = "listen" {
        /// MQTT over TCP. Not encrypted: passwords and messages can be read on the way.
        mqtt: Address = local(1883);
        /// MQTT over TLS.
        mqtts: Address = local(8883);
        /// HTTP API, and MQTT over WebSocket at /mqtt. Not encrypted.
        http: Address = local(8080);
        /// The same over TLS.
        https: Address = local(8443);
        /// MQTT over QUIC (UDP), ALPN "mqtt". A phone that changes its network keeps its connection.
        quic: Address = Address::OFF;
        /// Another server ("broker-2.example.org:8883"): told to MQTT 5 clients when this one stops. "" for none.
        server_reference: String = String::new();
    }
}

section! {
    /// What proves the server to its clients. Without files a development certificate is made at the first start.
    /// Files that change are read again while the server runs.
    Tls = "tls" {
        /// PEM file with the certificate and what leads to its root.
        certificate: PathBuf = PathBuf::new();
        /// PEM file with its private key.
        key: PathBuf = PathBuf::new();
        /// How often these files, and those of `[[listener]]`, are looked at for changes, seconds; 0: on SIGHUP alone.
        files_checked_every_s: u64 = 30, in 0..=86_400;
    }
    tables {
        /// Further certificates, chosen by name.
        certificate_for: CertificateFor;
    }
}

impl Tls {
    /// The certificate and its key; `None` for the development certificate.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        (!self.certificate.as_os_str().is_empty()).then_some((self.certificate.as_path(), self.key.as_path()))
    }
}

section! {
    /// How data is kept.
    Store = "store" {
        /// "fjall" or "sled". What one wrote, the other does not read.
        engine: StoreEngine = StoreEngine::Fjall;
        /// Size of one file of the journal, bytes; a multiple of 4096.
        journal_segment_bytes: u64 = 32 * MIB, in 65_536..=1_073_741_824;
        /// Memory for reading the store, bytes.
        cache_bytes: u64 = 64 * MIB, in 1_048_576..=1_099_511_627_776;
        /// Free space of the disk below which new messages are refused, bytes.
        min_free_bytes: u64 = 64 * MIB, in 0..=1_099_511_627_776;
        /// Decided data that is collected in memory before it goes to the store, bytes.
        run_bytes_max: usize = 32 << 20, in 65_536..=1_073_741_824;
    }
}

section! {
    /// Who may come in.
    Auth = "auth" {
        /// Life of an access token, seconds.
        access_ttl_s: u64 = 900, in 1..=86_400;
        /// Life of a refresh token that is not used, seconds.
        refresh_ttl_s: u64 = 60 * DAY_S, in 60..=63_244_800;
        /// "open": anybody may register. "closed": an operator makes the accounts.
        registration: Registration = Registration::Open;
        /// Registrations from one address in a minute; 0 for no limit.
        registrations_per_minute: u32 = 600, in 0..=1_000_000;
        /// Logins of one user that are kept at once; one more ends the one that was used longest ago.
        logins_per_user_max: usize = 100, in 1..=1_000;
    }
}

section! {
    /// Who may publish and subscribe to which free topics. What no rule allows is denied. Rules are set with
    /// `parlance access`, or stand in a file, which is read at the start and on SIGHUP, each a table `[[rule]]`:
    /// `who = "service"`, `action = "publish"`, `topic = "app/sensors/%u/#"`.
    Access = "access" {
        /// The file of rules; "" for access.toml in the data folder, if it is there.
        file: PathBuf = PathBuf::new();
    }
}

impl Access {
    /// The file, if one is named.
    pub fn named_file(&self) -> Option<&Path> {
        (!self.file.as_os_str().is_empty()).then_some(&*self.file)
    }
}

section! {
    /// How the machine is used.
    Runtime = "runtime" {
        /// Threads that serve connections; 0 for one on each core.
        workers: usize = 0, in 0..=1_024;
    }
}

section! {
    /// What is told on standard error.
    Log = "log" {
        /// "error", "warn", "info", "debug" or "trace", also by part: "info,parlance_server=debug".
        level: String = "info,fjall=warn,lsm_tree=warn,sled=warn".to_owned();
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text;
    }
}
