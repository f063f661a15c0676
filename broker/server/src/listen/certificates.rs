//! TLS certificates: the operator's own, or development ones made at first start.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use thiserror::Error;

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
    #[error("{path} and its key do not fit: {source}")]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Nobody can be vouched for with this.
    #[error("{path} names no usable authority for clients: {why}")]
    ClientAuthority {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// QUIC does not take it.
    #[error("QUIC cannot be set up: {0}")]
    Quic(String),
    /// TLS does not take it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where a certificate and its key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where development certificates lie.
pub(super) fn development_files(data_dir: &Path) -> Files {
    let dir = data_dir.join("certs");
    Files { certificate: dir.join("server.pem"), key: dir.join("server.key") }
}

/// Development certificates: made in the data folder if they are not there. `true`: made just now.
pub(super) fn development(data_dir: &Path) -> Result<bool, CertificateError> {
    let dir = data_dir.join("certs");
    let files = development_files(data_dir);
    if files.certificate.exists() && files.key.exists() {
        return Ok(false);
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
    Ok(true)
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
