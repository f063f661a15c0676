//! Listeners beyond the five of `[listen]`, and all of them as one list.

use std::path::{Path, PathBuf};

use super::{Address, ClientCertificates, Config, Network, Profile, Transport, key::section};

section! {
    /// Listeners beyond those of `[listen]`, as many as are wanted, each with its own rules.
    Listener = "listener" {
        /// What it is called in the log and in errors. Not one of the words of `[listen]`.
        name: String = String::new();
        /// An IP address and a port.
        address: Address = Address::OFF;
        /// "tcp", "tls": MQTT. "ws", "wss": MQTT over WebSocket at /mqtt. "http", "https": the same and the HTTP API.
        /// "quic": MQTT over QUIC, ALPN "mqtt", on the first stream that the client opens.
        transport: Transport = Transport::Tcp;
        /// "messenger": with a login. "open": for a laboratory; anybody may publish and subscribe on free topics
        /// without a login, and reaches nothing of the messenger. Only on this machine, unless the next key allows more.
        profile: Profile = Profile::Messenger;
        /// An "open" listener may have an address that others can reach.
        open_to_the_network: bool = false;
        /// A load balancer stands before it: every connection begins with a PROXY protocol header of version 2, which
        /// tells where the client is. Not for "quic".
        proxy_protocol: bool = false;
        /// The addresses of the load balancers, as in ["10.0.0.5", "192.168.0.0/24"]; others are not let in.
        proxy_from: Vec<Network> = Vec::new();
        /// Certificates of clients (mutual TLS): "none" are asked for; "optional": who has one may log in with it;
        /// "required": who has none is not let in. The common name, or else the first DNS name or URI, is the handle
        /// of a service account.
        client_certificates: ClientCertificates = ClientCertificates::None;
        /// PEM file with the authorities that may vouch for clients.
        client_ca: PathBuf = PathBuf::new();
        /// PEM file with the server's certificate here; "" for that of `[tls]`.
        certificate: PathBuf = PathBuf::new();
        /// PEM file with its private key.
        key: PathBuf = PathBuf::new();
    }
}

section! {
    /// Further certificates, chosen by the name that a client asks for (SNI).
    CertificateFor = "tls.certificate_for" {
        /// Names, as in ["chat.example.com", "*.chat.example.com"].
        names: Vec<String> = Vec::new();
        /// PEM file with the certificate and what leads to its root.
        certificate: PathBuf = PathBuf::new();
        /// PEM file with its private key.
        key: PathBuf = PathBuf::new();
    }
}

impl Listener {
    /// A certificate and key of its own.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        (!self.certificate.as_os_str().is_empty()).then_some((self.certificate.as_path(), self.key.as_path()))
    }
}

impl Config {
    /// Every listener that is on: those of `[listen]`, called by their key, then the tables.
    pub fn listeners(&self) -> Vec<Listener> {
        let listen = &self.listen;
        let simple = [
            ("mqtt", listen.mqtt, Transport::Tcp),
            ("mqtts", listen.mqtts, Transport::Tls),
            ("http", listen.http, Transport::Http),
            ("https", listen.https, Transport::Https),
            ("quic", listen.quic, Transport::Quic),
        ];
        let simple = simple.into_iter().map(|(name, address, transport)| Listener {
            name: name.to_owned(),
            address,
            transport,
            ..Listener::default()
        });
        simple.chain(self.listener.iter().cloned()).filter(|it| it.address != Address::OFF).collect()
    }
}
