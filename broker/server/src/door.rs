//! What a connection came through: known before its first packet, true until its last.

use crate::{
    admission::Permit,
    config::{self, Profile},
};
use std::{net::SocketAddr, sync::Arc};

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
    /// The first stream of a QUIC connection.
    Quic,
}

impl Transport {
    /// What MQTT travels over on a listener.
    pub(crate) fn of(listener: config::Transport) -> Self {
        match listener {
            config::Transport::Tcp => Self::Tcp,
            config::Transport::Tls => Self::Tls,
            config::Transport::Ws | config::Transport::Http => Self::WebSocket,
            config::Transport::Wss | config::Transport::Https => Self::SecureWebSocket,
            config::Transport::Quic => Self::Quic,
        }
    }

    /// The word in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Quic => "quic",
        }
    }
}

/// A client's certificate that an authority of the listener vouches for, and that was valid at the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The subject's common name.
    pub(crate) common_name: Option<String>,
    /// The DNS names and URIs among its alternative names, in their order.
    pub(crate) names: Vec<String>,
    /// When it ends, Unix milliseconds.
    pub(crate) expires_ms: u64,
    /// SHA-256 of the certificate.
    pub(crate) fingerprint: [u8; 32],
}

impl ClientCertificate {
    /// What the owner is called: the common name, or else the first DNS name or URI.
    pub(crate) fn name(&self) -> Option<&str> {
        self.common_name.as_deref().or_else(|| self.names.first().map(String::as_str))
    }
}

/// What a connection came through.
#[derive(Debug)]
pub(crate) struct Door {
    /// Where the client is: behind a load balancer, where that says it is.
    pub(crate) from: SocketAddr,
    /// For whom the listener is.
    pub(crate) profile: Profile,
    /// What carries the bytes.
    pub(crate) transport: Transport,
    /// What the client proved of itself before its first packet.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// Its place among the connections, given back when this goes.
    pub(crate) permit: Permit,
}
