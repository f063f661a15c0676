//! Authorities and certificates, made for a test.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{fs, path::Path, sync::Arc};

/// Who vouches for others.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate of a server, for names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A certificate of a client.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(client(name))
    }

    /// One whose time is over.
    pub(crate) fn expired_client(&self, name: &str) -> Identity {
        let mut params = client(name);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// Writes the authority's certificate.
    pub(crate) fn write(&self, file: &Path) {
        fs::write(file, &self.pem).expect("a folder");
    }

    /// TLS that trusts this authority and nothing else.
    pub(crate) fn trusting(&self) -> ClientConfig {
        self.configured(None, rustls::ALL_VERSIONS)
    }

    /// The same in one version.
    pub(crate) fn trusting_in(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        self.configured(None, &[version])
    }

    /// The same, showing a certificate.
    pub(crate) fn trusting_as(&self, identity: &Identity) -> ClientConfig {
        self.configured(Some(identity), rustls::ALL_VERSIONS)
    }

    fn configured(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key, .. }) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
                builder.with_client_auth_cert(vec![certificate.clone()], key).expect("a pair")
            }
        }
    }
}

impl Identity {
    /// Writes certificate and key, each file whole or not at all.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        for (end, text) in [("pem", self.pem.clone()), ("key", self.key.serialize_pem())] {
            let (new, file) =
                (folder.join(format!("{name}.{end}.new")), folder.join(format!("{name}.{end}")));
            fs::write(&new, text).expect("a folder");
            fs::rename(&new, &file).expect("a folder");
        }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
