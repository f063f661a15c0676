//! What the connections of a listener are served with: made from the configuration, exchanged as a whole.

use super::{
    certificates::{self, CertificateError, Files},
    tls::{self, ClientAuthority, NamedFiles, Resumption, TlsFiles},
    websocket,
};
use crate::{
    config::{ClientCertificates, Config, Listener, Network, Profile, Transport},
    context::Context,
    http,
};
use axum::Router;
use std::{path::PathBuf, sync::Arc};

/// ALPN of MQTT over QUIC.
const ALPN_MQTT: &[u8] = b"mqtt";

/// What the connections of a listener are served with.
pub(crate) struct Serving {
    /// The listener's name, for the log.
    pub(super) name: String,
    pub(super) transport: Transport,
    pub(super) profile: Profile,
    /// The load balancers that tell where clients are, where there are some.
    pub(super) proxies: Option<Vec<Network>>,
    /// TLS over TCP.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// TLS within QUIC.
    pub(super) quic: Option<quinn::ServerConfig>,
    /// What answers HTTP requests.
    pub(super) router: Option<Router>,
}

/// What answers requests: made once, so that its limits hold for all listeners together.
#[derive(Clone)]
pub(crate) struct Routes {
    api: Router,
    mqtt: Router,
}

impl Routes {
    /// Of a server.
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        let mqtt = websocket::route(context.clone());
        Self { api: http::router(context.clone()).merge(mqtt.clone()), mqtt }
    }

    fn of(&self, transport: Transport) -> Option<Router> {
        match transport {
            Transport::Http | Transport::Https => Some(self.api.clone()),
            Transport::Ws | Transport::Wss => Some(self.mqtt.clone()),
            Transport::Tcp | Transport::Tls | Transport::Quic => None,
        }
    }
}

/// The certificates that a listener shows and asks for.
pub(crate) fn tls_files(config: &Config, listener: &Listener) -> Option<TlsFiles> {
    let files = |(certificate, key): (&std::path::Path, &std::path::Path)| Files {
        certificate: certificate.into(),
        key: key.into(),
    };
    let own = listener.files().or(config.tls.files());
    let own = own.map_or_else(|| certificates::development_files(&config.data_dir), files);
    // A listener with a certificate of its own shows no other.
    let named = match listener.files() {
        Some(_) => Vec::new(),
        None => config
            .tls
            .certificate_for
            .iter()
            .map(|row| NamedFiles { names: row.names.clone(), files: files((&row.certificate, &row.key)) })
            .collect(),
    };
    let clients = match listener.client_certificates {
        ClientCertificates::None => None,
        wanted => Some(ClientAuthority {
            file: listener.client_ca.clone(),
            required: wanted == ClientCertificates::Required,
        }),
    };
    listener.transport.is_secure().then_some(TlsFiles { own, named, clients })
}

/// Makes development certificates if a listener would show them and they are not there. Answers what was made.
pub(crate) fn make_development_certificates(config: &Config) -> Result<Option<PathBuf>, CertificateError> {
    let needed = |listener: &Listener| listener.transport.is_secure() && listener.files().is_none();
    if config.tls.files().is_some() || !config.listeners().iter().any(needed) {
        return Ok(None);
    }
    let made = certificates::development(&config.data_dir)?;
    Ok(made.then(|| config.data_dir.join("certs")))
}

impl Serving {
    /// Reads the certificates and puts it together. Sessions of TLS that began with `resumption` can be resumed.
    ///
    /// # Errors
    /// A certificate cannot be used.
    pub(crate) fn new(
        routes: &Routes,
        config: &Config,
        listener: &Listener,
        resumption: &Resumption,
    ) -> Result<Self, CertificateError> {
        let protocols: &[&[u8]] = match listener.transport {
            Transport::Https => &[b"h2", b"http/1.1"],
            Transport::Wss => &[b"http/1.1"],
            Transport::Quic => &[ALPN_MQTT],
            // MQTT over TLS has no name that all clients agree on: any is taken.
            _ => &[],
        };
        let files = tls_files(config, listener);
        let built = files.map(|files| tls::server_config(&files, protocols, resumption)).transpose()?;
        let is_quic = listener.transport == Transport::Quic;
        let (tls, quic) = match built {
            Some(built) if is_quic => (None, Some(super::quic::server_config(built)?)),
            built => (built.map(Arc::new), None),
        };
        Ok(Self {
            name: listener.name.clone(),
            transport: listener.transport,
            profile: listener.profile,
            proxies: listener.proxy_protocol.then(|| listener.proxy_from.clone()),
            tls,
            quic,
            router: routes.of(listener.transport),
        })
    }
}
