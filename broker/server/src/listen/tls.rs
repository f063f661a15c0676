//! TLS as a listener speaks it: which certificate for which name, whose clients, which sessions can be resumed.

use super::certificates::{CertificateError, Files};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{
        ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Sessions of TLS that the server remembers for clients without tickets (TLS 1.2), for each listener.
const SESSIONS_MAX: usize = 10_000;

/// A certificate for some names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedFiles {
    pub(super) names: Vec<String>,
    pub(super) files: Files,
}

/// Who vouches for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientAuthority {
    pub(super) file: PathBuf,
    pub(super) required: bool,
}

/// The files of a listener's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(super) own: Files,
    pub(super) named: Vec<NamedFiles>,
    pub(super) clients: Option<ClientAuthority>,
}

impl TlsFiles {
    /// Every file that is read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let all = std::iter::once(&self.own).chain(self.named.iter().map(|named| &named.files));
        let clients = self.clients.iter().map(|clients| clients.file.as_path());
        all.flat_map(|files| [files.certificate.as_path(), files.key.as_path()]).chain(clients)
    }

    /// Who vouches for clients, with the certificates themselves: sessions that began under another authority are not
    /// resumed under this one.
    pub(crate) fn authority(&self) -> Option<(bool, Vec<u8>)> {
        let clients = self.clients.as_ref()?;
        // What cannot be read is told when it is used.
        Some((clients.required, std::fs::read(&clients.file).unwrap_or_default()))
    }
}

/// What lets a client take up a session of TLS again: kept over changes of certificates, not over changes of those who
/// vouch for clients.
#[derive(Clone)]
pub(crate) struct Resumption {
    sessions: Arc<dyn StoresServerSessions>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Resumption {
    /// A new memory, with keys for tickets that change by themselves.
    pub(crate) fn new() -> Self {
        let tickets = aws_lc_rs::Ticketer::new();
        let tickets =
            tickets.inspect_err(|error| tracing::warn!(%error, "TLS sessions have no tickets")).ok();
        Self { sessions: ServerSessionMemoryCache::new(SESSIONS_MAX), tickets }
    }
}

/// TLS with the certificates in these files, as they are now.
///
/// # Errors
/// One of them cannot be used.
pub(super) fn server_config(
    files: &TlsFiles,
    protocols: &[&[u8]],
    resumption: &Resumption,
) -> Result<ServerConfig, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let keys = Keys::load(files, &provider)?;
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(verifier(authority, provider)?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(keys));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = resumption.sessions.clone();
    if let Some(tickets) = &resumption.tickets {
        config.ticketer = tickets.clone();
    }
    // 0-RTT data can be replayed by whoever saw it: MQTT has no packet for which that is harmless.
    config.max_early_data_size = 0;
    Ok(config)
}

fn verifier(
    authority: &ClientAuthority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let unusable = |why: String| CertificateError::ClientAuthority { path: authority.file.clone(), why };
    let mut roots = RootCertStore::empty();
    for certificate in chain(&authority.file)? {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let builder = if authority.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| unusable(error.to_string()))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unusable = || CertificateError::Pem { path: path.to_owned(), what: "certificate" };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(unusable)
}

fn load(files: &Files, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|_| CertificateError::Pem { path: files.key.clone(), what: "private key" })?;
    let certified = CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| CertificateError::Pair { path: files.certificate.clone(), source })?;
    Ok(Arc::new(certified))
}

/// Which certificate is shown.
#[derive(Debug)]
struct Keys {
    own: Arc<CertifiedKey>,
    /// By name in lower case; `*.example.com` under `example.com`.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Keys {
    fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let own = load(&files.own, provider)?;
        let mut keys = Self { own, exact: HashMap::new(), wildcard: HashMap::new() };
        for named in &files.named {
            let key = load(&named.files, provider)?;
            for name in &named.names {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(parent) => keys.wildcard.insert(parent.to_owned(), key.clone()),
                    None => keys.exact.insert(name, key.clone()),
                };
            }
        }
        Ok(keys)
    }

    /// For a name; without one that is known, the listener's own.
    fn named(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let named = name.map(str::to_ascii_lowercase).and_then(|name| {
            let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(&name).or_else(parent)
        });
        named.unwrap_or(&self.own)
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.named(hello.server_name()).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, name: &str) -> Files {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let at = |end: &str| folder.join(format!("{name}.{end}"));
        std::fs::write(at("pem"), made.cert.pem()).unwrap();
        std::fs::write(at("key"), made.signing_key.serialize_pem()).unwrap();
        Files { certificate: at("pem"), key: at("key") }
    }

    fn named(names: &[&str], files: Files) -> NamedFiles {
        NamedFiles { names: names.iter().map(|name| (*name).to_owned()).collect(), files }
    }

    #[test]
    fn a_certificate_is_chosen_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let all = ["own", "a", "b"].map(|name| files(folder.path(), name));
        let [own, a, b] = all.clone();
        let tls = TlsFiles {
            own,
            named: vec![named(&["a.example", "*.A.example"], a), named(&["x.a.example"], b)],
            clients: None,
        };
        let provider = aws_lc_rs::default_provider();
        let keys = Keys::load(&tls, &provider).unwrap();
        let der = |index: usize| chain(&all[index].certificate).unwrap();
        for (name, expected) in [
            (None, 0),
            (Some("a.example"), 1),
            (Some("A.Example"), 1),
            (Some("y.a.example"), 1),
            (Some("x.a.example"), 2),
            (Some("y.x.a.example"), 0),
            (Some("example"), 0),
        ] {
            assert_eq!(keys.named(name).cert, der(expected), "{name:?}");
        }
        assert_eq!(tls.paths().count(), 6);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (files(folder.path(), "one"), files(folder.path(), "other"));
        let config = |own: Files, clients| {
            let tls = TlsFiles { own, named: Vec::new(), clients };
            server_config(&tls, &[], &Resumption::new()).map(|_| ())
        };
        config(one.clone(), None).unwrap();
        let mixed = Files { certificate: one.certificate.clone(), key: other.key };
        assert!(matches!(config(mixed, None), Err(CertificateError::Pair { .. })));
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let none = Files { certificate: empty.clone(), key: one.key.clone() };
        assert!(matches!(config(none, None), Err(CertificateError::Pem { what: "certificate", .. })));
        let clients = Some(ClientAuthority { file: empty, required: true });
        assert!(matches!(config(one, clients), Err(CertificateError::Pem { .. })));
    }
}
