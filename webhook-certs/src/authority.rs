//! The authority that signs the webhooks' serving certificates.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::certificate::Certificate;
use crate::error::{Defect, IssueError};
use crate::material::{KeyPem, TLS_CRT};
use crate::policy::Policy;

/// A P-256 root with its key.
pub struct WebhookCa {
    pub(crate) certificate: Certificate,
    key: KeyPair,
}

// === impl WebhookCa ===

impl WebhookCa {
    /// Makes a new root whose life starts at `now`.
    ///
    /// # Errors
    /// [`IssueError`] if the cryptographic library fails.
    pub fn generate(now: OffsetDateTime, policy: &Policy) -> Result<Self, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueError::Sign)?;
        let mut params = CertificateParams::default();
        // Roots that overlap in a bundle differ in name as well as in key, so that people can tell them apart.
        let made = now.format(&Rfc3339).unwrap_or_default();
        params.distinguished_name = common_name(&format!("ferromesh-webhook-ca {made}"));
        params.not_before = now - policy.backdate;
        params.not_after = now + policy.ca_lifetime;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(IssueError::Sign)?.pem();
        let certificate = Certificate::first(&pem, TLS_CRT).map_err(IssueError::Unreadable)?;
        Ok(Self { certificate, key })
    }

    /// Reads a stored root. Its age isn't looked at.
    ///
    /// # Errors
    /// The [`Defect`] that makes it unusable.
    pub fn load(cert: &str, key: &KeyPem) -> Result<Self, Defect> {
        let certificate = Certificate::first(cert, TLS_CRT)?;
        let key = KeyPair::from_pem(key.expose()).map_err(|_| Defect::BadKey)?;
        if !certificate.is_authority {
            return Err(Defect::NotAnAuthority);
        }
        if certificate.public_key != key.subject_public_key_info() {
            return Err(Defect::KeyMismatch);
        }
        Ok(Self { certificate, key })
    }

    /// Issues a serving certificate with a new key for `names`; it never outlives the root.
    ///
    /// # Errors
    /// [`IssueError::Name`] if a name can't be a DNS name, else what the cryptographic library says.
    pub fn issue(&self, now: OffsetDateTime, names: &[String], policy: &Policy) -> Result<(String, KeyPem), IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueError::Sign)?;
        let mut params = CertificateParams::default();
        for name in names {
            let wrap = |source| IssueError::Name { name: name.clone(), source };
            params.subject_alt_names.push(rcgen::SanType::DnsName(name.as_str().try_into().map_err(wrap)?));
        }
        params.distinguished_name = common_name("ferromesh-webhook");
        params.not_before = now - policy.backdate;
        params.not_after = (now + policy.leaf_lifetime).min(self.certificate.not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(self.certificate.pem(), &self.key).map_err(IssueError::Sign)?;
        let certificate = params.signed_by(&key, &issuer).map_err(IssueError::Sign)?;
        Ok((certificate.pem(), KeyPem::new(key.serialize_pem())))
    }

    /// The root's certificate, as PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        self.certificate.pem()
    }

    /// The root's key, for its Secret.
    #[must_use]
    pub fn key_pem(&self) -> KeyPem {
        KeyPem::new(self.key.serialize_pem())
    }
}

impl fmt::Debug for WebhookCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookCa").field("not_after", &self.certificate.not_after).finish_non_exhaustive()
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}
