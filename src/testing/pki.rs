//! A certificate authority for tests.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::model::SpiffeId;
use crate::runtime::WorkloadCert;

/// A root that signs whatever a test wants, right or wrong.
pub(crate) struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

// === impl TestCa ===

impl TestCa {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The root's key in PEM.
    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A leaf with these URI and DNS names.
    pub(crate) fn sign(&self, key: &impl PublicKeyData, uris: &[&str], dns_names: &[&str]) -> rcgen::Certificate {
        self.sign_with(CertificateParams::default(), key, uris, dns_names)
    }

    /// The same for the key that a signing request in PEM has.
    pub(crate) fn sign_request(&self, request: &str, uris: &[&str]) -> rcgen::Certificate {
        let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        self.sign(&SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw).unwrap(), uris, &[])
    }

    fn sign_with(&self, mut params: CertificateParams, key: &impl PublicKeyData, uris: &[&str], dns_names: &[&str]) -> rcgen::Certificate {
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.subject_alt_names.extend(dns_names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// The list of what it has revoked: these certificates, in PEM.
    pub(crate) fn revoking(&self, revoked: &[CertificateDer<'_>]) -> String {
        let serial = |der: &CertificateDer<'_>| {
            let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
            SerialNumber::from_slice(certificate.raw_serial())
        };
        let now = SystemTime::now();
        let entry = |der: &CertificateDer<'_>| RevokedCertParams {
            serial_number: serial(der),
            revocation_time: (now - Duration::from_secs(60)).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: (now - Duration::from_secs(60)).into(),
            next_update: (now + Duration::from_secs(3600)).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A workload's certificate, as it comes from citadel.
    pub(crate) fn workload(&self, identity: &SpiffeId, dns_names: &[&str]) -> Arc<WorkloadCert> {
        self.workload_with(CertificateParams::default(), identity, dns_names)
    }

    /// The same that ends soon.
    pub(crate) fn workload_for(&self, identity: &SpiffeId, lifetime: Duration) -> Arc<WorkloadCert> {
        let mut params = CertificateParams::default();
        params.not_after = (SystemTime::now() + lifetime).into();
        self.workload_with(params, identity, &[])
    }

    fn workload_with(&self, params: CertificateParams, identity: &SpiffeId, dns_names: &[&str]) -> Arc<WorkloadCert> {
        let key = KeyPair::generate().unwrap();
        let leaf = self.sign_with(params, &key, &[&identity.to_string()], dns_names);
        let answer = [leaf.pem(), self.pem()];
        Arc::new(WorkloadCert::from_answer(&answer, &key, self.pem().as_bytes(), SystemTime::now()).unwrap())
    }
}
