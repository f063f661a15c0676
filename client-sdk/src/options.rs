//! How a client connects.

use crate::limits;
use parlance_schema::api::Secret;
use std::time::Duration;

/// How a client connects: where, as whom, as which device, and how patiently.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) url: String,
    pub(crate) handle: String,
    pub(crate) secret: Secret,
    pub(crate) client_id: String,
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: u32,
    pub(crate) keep_alive: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) send_timeout: Duration,
    pub(crate) rpc_timeout: Duration,
    pub(crate) packet_bytes_max: u32,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) patient: bool,
    pub(crate) receive: bool,
    pub(crate) ephemeral: bool,
}

impl Options {
    /// Options for the broker at `url` (`mqtt://host:1883`, `mqtts://`, `ws://host:8080/mqtt`, `wss://`), the
    /// account `handle` with its `secret` (an access token, a password or an API key), and the device `client_id`.
    ///
    /// A device is a client id of its user. Give each installation its own and keep it: what a device has
    /// received is remembered under it, and two programs with the same one push each other out.
    pub fn new(
        url: impl Into<String>,
        handle: impl Into<String>,
        secret: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Self {
        let handle: String = handle.into();
        Self {
            url: url.into(),
            handle: handle.trim_start_matches('@').to_ascii_lowercase(),
            secret: Secret(secret.into()),
            client_id: client_id.into(),
            ca_pem: None,
            clean_start: false,
            session_expiry_s: limits::SESSION_EXPIRY_S,
            keep_alive: limits::KEEP_ALIVE,
            connect_timeout: limits::CONNECT_TIMEOUT,
            send_timeout: limits::SEND_TIMEOUT,
            rpc_timeout: limits::RPC_TIMEOUT,
            packet_bytes_max: limits::PACKET_BYTES_MAX,
            backoff_min: limits::BACKOFF_MIN,
            backoff_max: limits::BACKOFF_MAX,
            patient: false,
            receive: true,
            ephemeral: false,
        }
    }

    /// Options for a visitor: a device without an id of its own, of which nothing is kept. It hears what is said
    /// while it is connected, and misses what is said while it reconnects.
    pub fn ephemeral(url: impl Into<String>, handle: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { ephemeral: true, session_expiry_s: 0, ..Self::new(url, handle, secret, "") }
    }

    /// Trusts these root certificates (PEM) instead of the system's, for `mqtts://` and `wss://`.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Begins the first connection with a new session. Reconnects always resume.
    pub fn clean_start(mut self, clean: bool) -> Self {
        self.clean_start = clean;
        self
    }

    /// How long the broker keeps the session while the device is away, seconds; 0 ends it with the connection, as
    /// it always is for a visitor.
    pub fn session_expiry_s(mut self, seconds: u32) -> Self {
        self.session_expiry_s = if self.ephemeral { 0 } else { seconds };
        self
    }

    /// Time without traffic after which the connection is probed; at least 5 s.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval.max(Duration::from_secs(5));
        self
    }

    /// How long connecting may take, TLS and CONNACK included; whole seconds, at least 1.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit.max(Duration::from_secs(1));
        self
    }

    /// How long a send may take, reconnects included.
    pub fn send_timeout(mut self, limit: Duration) -> Self {
        self.send_timeout = limit;
        self
    }

    /// How long a request may take.
    pub fn rpc_timeout(mut self, limit: Duration) -> Self {
        self.rpc_timeout = limit;
        self
    }

    /// Greatest packet that is accepted, bytes. The broker is told and skips nothing smaller.
    pub fn packet_bytes_max(mut self, bytes: u32) -> Self {
        self.packet_bytes_max = bytes.max(1024);
        self
    }

    /// Shortest and longest pause between attempts to connect.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff_min = min.max(Duration::from_millis(1));
        self.backoff_max = max.max(self.backoff_min);
        self
    }

    /// Waits for a broker that cannot be reached at first, instead of giving up: for what starts with the machine.
    /// What no patience mends (wrong password, bad certificate file) is still an error at once.
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// Receives no messages, receipts, typing notices or account events: for a program that only sends or asks.
    pub fn send_only(mut self) -> Self {
        self.receive = false;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_tell_the_secret() {
        let shown = format!("{:?}", Options::new("mqtt://a", "@Alice", "hunter2", "laptop"));
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}
