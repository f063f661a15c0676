//! A certificate for brokers that make none themselves: of the kind that Parlance makes, ECDSA on P-256.

use super::launch::{Ground, LaunchError};
use rcgen::{CertificateParams, KeyPair};
use std::path::PathBuf;

/// Where its files are.
pub(super) struct Certificate {
    /// The certificate, its own authority.
    pub(super) certificate: PathBuf,
    /// Its private key.
    pub(super) key: PathBuf,
}

/// Makes one for this machine.
pub(super) fn make(ground: &Ground<'_>) -> Result<Certificate, LaunchError> {
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    Ok(Certificate {
        certificate: ground.write("certificate.pem", &certificate.pem())?,
        key: ground.write("key.pem", &key.serialize_pem())?,
    })
}
