//! The key that signs, the certificate that says it may, and the certificates that it makes. Pure: time is an argument.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use std::{fmt, time::Duration};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;

use crate::model::SpiffeId;
use crate::runtime::{TlsError, certificate_blocks, certificates_from_pem, provider, verify_chain};

/// What a root Secret holds, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Material {
    /// The certificate that signs: the root itself, or an intermediate of a plugged-in authority.
    pub(super) certificate: String,
    /// Its key. Secret.
    pub(super) key: String,
    /// Certificates between it and the root; empty for a root.
    pub(super) chain: String,
    /// The roots that workloads trust.
    pub(super) roots: String,
}

/// A checked [`Material`] that signs.
pub(super) struct Authority {
    material: Material,
    issuer: Issuer<'static, KeyPair>,
    /// What follows a leaf in an answer, each in PEM: intermediates, then the roots.
    answer_tail: Vec<String>,
    intermediates: Vec<CertificateDer<'static>>,
    not_after: OffsetDateTime,
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// The one URI name.
    pub(super) identity: &'a SpiffeId,
    /// Names for servers that are found by DNS: citadel itself, and no workload.
    pub(super) dns_names: &'a [String],
}

/// Why a root can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A part of the Secret is missing or empty.
    #[error("{0} is missing or no text")]
    Missing(&'static str),
    /// A certificate can't be read.
    #[error("{part} can't be used")]
    Certificate {
        /// The Secret's key.
        part: &'static str,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The key can't be read.
    #[error("ca-key.pem is no private key that can sign")]
    Key(#[source] rcgen::Error),
    /// The key is another certificate's.
    #[error("ca-key.pem is not the key of ca-cert.pem")]
    Mismatch,
    /// The certificate may not sign.
    #[error("ca-cert.pem is not the certificate of an authority (basicConstraints CA, keyUsage keyCertSign)")]
    NotAnAuthority,
    /// It is over, or not yet valid.
    #[error("ca-cert.pem does not hold now: it ends {0}")]
    NotValidNow(OffsetDateTime),
    /// Workloads would refuse what it signs.
    #[error("what ca-cert.pem signs does not chain to root-cert.pem")]
    Chain(#[source] TlsError),
    /// A certificate could not be made.
    #[error("can't sign")]
    Sign(#[from] rcgen::Error),
    /// The machine gives no random numbers.
    #[error("no random numbers")]
    Random,
}

/// Clocks of pods may be late by this much; it is part of Istio's behaviour, too.
const BACKDATE: Duration = Duration::from_secs(120);

/// How long a root that citadel makes itself holds: Istio's ten years.
const ROOT_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);

// === impl Material ===

impl Material {
    /// A new self-signed root.
    pub(super) fn generate(trust_domain: &str, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, trust_domain);
        // Two roots of one mesh must not look alike where only subjects are compared.
        let serial = serial_number()?;
        params.distinguished_name.push(DnType::CommonName, format!("root {}", hex(&serial.to_bytes()[..4])));
        params.serial_number = Some(serial);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - BACKDATE;
        params.not_after = now + ROOT_LIFETIME;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { roots: certificate.clone(), certificate, key: key.serialize_pem(), chain: String::new() })
    }
}

/// Without the key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("roots", &self.roots).finish_non_exhaustive()
    }
}

// === impl Authority ===

impl Authority {
    /// Checks everything that would otherwise only show when workloads refuse each other.
    pub(super) fn new(material: Material, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let read = |part, pem: &str| certificates_from_pem(pem.as_bytes()).map_err(|source| AuthorityError::Certificate { part, source });
        let own = read("ca-cert.pem", &material.certificate)?.remove(0);
        let roots = read("root-cert.pem", &material.roots)?;
        let key = KeyPair::from_pem(&material.key).map_err(AuthorityError::Key)?;
        let not_after = check_authority(&own, &key, now)?;
        let issuer = Issuer::from_ca_cert_der(&own, key)?;

        let mut intermediates: Vec<CertificateDer<'static>> = Vec::new();
        let mut answer_tail = Vec::new();
        for block in certificate_blocks(&material.certificate).into_iter().take(1).chain(certificate_blocks(&material.chain)) {
            let der = read("cert-chain.pem", &block)?.remove(0);
            if !roots.contains(&der) && !intermediates.contains(&der) {
                intermediates.push(der);
                answer_tail.push(block);
            }
        }
        answer_tail.push(material.roots.clone());
        let authority = Self { material, issuer, answer_tail, intermediates, not_after };
        authority.check_chain(&roots, now)?;
        Ok(authority)
    }

    /// What it was made of.
    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    /// The roots that workloads are to trust, in PEM.
    pub(super) fn roots_pem(&self) -> &str {
        &self.material.roots
    }

    /// The certificates between a leaf and the roots.
    pub(super) fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// When the signing certificate ends.
    pub(super) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// An answer to a certificate request: the leaf, intermediates, roots.
    pub(super) fn answer(&self, leaf: &Certificate) -> Vec<String> {
        std::iter::once(leaf.pem()).chain(self.answer_tail.iter().cloned()).collect()
    }

    /// Signs a leaf for `key`. It never outlives the authority.
    pub(super) fn sign(
        &self,
        subject: Subject<'_>,
        key: &impl PublicKeyData,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<Certificate, AuthorityError> {
        let mut params = CertificateParams::default();
        // An empty subject makes the names critical, as the SPIFFE standard wants it.
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(subject.identity.to_string().try_into()?)];
        for name in subject.dns_names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.serial_number = Some(serial_number()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - BACKDATE;
        // Certificates count whole seconds; one more keeps a short lifetime from losing a part of itself.
        params.not_after = (now + lifetime + Duration::from_secs(1)).min(self.not_after);
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// Signs a leaf and verifies it as a workload would.
    fn check_chain(&self, roots: &[CertificateDer<'static>], now: OffsetDateTime) -> Result<(), AuthorityError> {
        let identity = SpiffeId::new("check", "check", "check");
        let leaf = self.sign(Subject { identity: &identity, dns_names: &[] }, self.issuer.key(), BACKDATE, now)?;
        let chain: Vec<_> = std::iter::once(leaf.der().clone()).chain(self.intermediates.iter().cloned()).collect();
        verify_chain(&chain, roots).map_err(AuthorityError::Chain)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Whether this key and certificate are an authority now; when it ends.
fn check_authority(certificate: &CertificateDer<'_>, key: &KeyPair, now: OffsetDateTime) -> Result<OffsetDateTime, AuthorityError> {
    let unreadable = |text: String| AuthorityError::Certificate { part: "ca-cert.pem", source: TlsError::Certificate(text) };
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| unreadable(error.to_string()))?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(AuthorityError::Mismatch);
    }
    if !may_sign(&parsed) {
        return Err(AuthorityError::NotAnAuthority);
    }
    let validity = parsed.validity();
    let not_after = validity.not_after.to_datetime();
    if now < validity.not_before.to_datetime() || now >= not_after {
        return Err(AuthorityError::NotValidNow(not_after));
    }
    Ok(not_after)
}

fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

/// 127 random bits: unique without a register of what was issued.
fn serial_number() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    provider().secure_random.fill(&mut bytes).map_err(|_| AuthorityError::Random)?;
    // Positive, and with no leading zero byte that an encoder might strip.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
