//! TLS certificates: the operator's own, or development ones made at first start.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or not what it should be.
    #[error("{path} holds no usable PEM {what}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// A certificate could not be made.
    #[error("a development certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not fit.
    #[error("certificate and key do not fit: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Where a certificate and its key lie.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Development certificates: made in the data folder if they are not there. `true`: made just now.
pub(crate) fn development(data_dir: &Path) -> Result<(Files, bool), CertificateError> {
    let dir = data_dir.join("certs");
    let files = Files { certificate: dir.join("server.pem"), key: dir.join("server.key") };
    if files.certificate.exists() && files.key.exists() {
        return Ok((files, false));
    }
    fs::create_dir_all(&dir).map_err(|source| CertificateError::File { path: dir.clone(), source })?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Parlance development CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // The authority's key is not kept: nobody can make a second certificate that this CA file would vouch for.
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(names())?;
    server.distinguished_name.push(DnType::CommonName, "Parlance development server");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    write(&dir.join("ca.pem"), authority_certificate.pem().as_bytes(), 0o644)?;
    write(&files.key, server_key.serialize_pem().as_bytes(), 0o600)?;
    let chain = format!("{}{}", certificate.pem(), authority_certificate.pem());
    write(&files.certificate, chain.as_bytes(), 0o644)?;
    Ok((files, true))
}

fn names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if !host.is_empty()
        && host != "localhost"
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    {
        names.push(host);
    }
    names
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertificateError> {
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|source| CertificateError::File { path: path.to_owned(), source })
}

/// An acceptor that speaks `protocols` (ALPN), or anything where there are none.
pub(crate) fn acceptor(files: &Files, protocols: &[&[u8]]) -> Result<TlsAcceptor, CertificateError> {
    let pem = |path: &Path, what| CertificateError::Pem { path: path.to_owned(), what };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|_| pem(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|_| pem(&files.key, "private key"))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
