//! TLS for `mqtts://` and `wss://`: rustls with aws-lc-rs, and either the given root certificates or the system's.
//!
//! rumqttc's own default panics where the system has no certificates and needs a process-wide crypto provider;
//! so the configuration is made here.

use crate::error::TlsError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

/// A configuration that trusts the certificates of `ca_pem`, or the system's when there is none.
pub(crate) fn config(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca_pem {
        Some(pem) => given(pem)?,
        None => system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Protocol)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn given(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| TlsError::Pem)?).map_err(TlsError::Certificate)?;
    }
    if roots.is_empty() { Err(TlsError::Pem) } else { Ok(roots) }
}

fn system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system has a hundred of them, and now and then one that rustls does not take: the others serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(config(Some(pem.as_bytes())), Err(TlsError::Pem)), "{pem}");
        }
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(config(Some(pem.as_bytes())), Err(TlsError::Certificate(_))));
    }
}
