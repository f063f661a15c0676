//! Who a client's certificate says that it is.

use crate::door::ClientCertificate;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use thiserror::Error;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// Why a certificate that its authority vouches for is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum IdentityError {
    /// It is no certificate.
    #[error("the client's certificate cannot be read")]
    Unreadable,
    /// Its time is over. A full handshake refuses it already; one that resumes a session does not look.
    #[error("the client's certificate is not valid at this time")]
    Expired,
}

/// The owner of the first certificate of a chain that was verified.
pub(super) fn of(
    chain: Option<&[CertificateDer<'_>]>,
) -> Result<Option<Arc<ClientCertificate>>, IdentityError> {
    let Some(certificate) = chain.and_then(<[_]>::first) else { return Ok(None) };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    if !parsed.validity().is_valid() {
        return Err(IdentityError::Expired);
    }
    let common_name =
        parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned);
    let alternative = parsed.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let names = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    let expires_ms =
        u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default().saturating_mul(1_000);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    Ok(Some(Arc::new(ClientCertificate { common_name, names, expires_ms, fingerprint })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_common_name_or_else_the_first_name() {
        let both = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "sensor-1");
            params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())];
        });
        let found = of(Some(&[both])).unwrap().unwrap();
        assert_eq!(found.name(), Some("sensor-1"));
        assert_eq!(found.names, ["a.example"]);
        assert_eq!(found.expires_ms, 67_090_118_400_000, "what rcgen writes: 4096-01-01");
        let uri = certificate(|params| {
            params.subject_alt_names = vec![SanType::URI("urn:dev:1".try_into().unwrap())];
        });
        let found = of(Some(&[uri])).unwrap().unwrap();
        assert_eq!((found.name(), found.common_name.as_deref()), (Some("urn:dev:1"), None));
        assert_eq!(of(Some(&[certificate(|_| {})])).unwrap().unwrap().name(), None);
        assert_eq!(of(None), Ok(None));
    }

    #[test]
    fn what_is_over_or_unreadable_is_nobody() {
        let over = certificate(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
        assert_eq!(of(Some(&[over])), Err(IdentityError::Expired));
        assert_eq!(of(Some(&[CertificateDer::from(vec![1, 2, 3])])), Err(IdentityError::Unreadable));
    }
}
