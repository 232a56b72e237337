//! One X.509 certificate, with the facts that decide about it.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::error::Defect;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A parsed certificate that keeps the PEM that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    pem: String,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    pub(crate) dns_names: BTreeSet<String>,
    pub(crate) is_authority: bool,
    /// SubjectPublicKeyInfo, DER.
    pub(crate) public_key: Vec<u8>,
}

// === impl Certificate ===

impl Certificate {
    /// The first certificate of a PEM text. `key` names the text in the error.
    pub(crate) fn first(pem: &str, key: &'static str) -> Result<Self, Defect> {
        let block = blocks(pem).next().ok_or(Defect::NoCertificate { key })?;
        Self::parse(block).map_err(|reason| Defect::BadCertificate { key, reason })
    }

    /// Every readable certificate of a PEM text, without repetitions; what can't be read is left out.
    pub(crate) fn all(pem: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for certificate in blocks(pem).filter_map(|block| Self::parse(block).ok()) {
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
        found
    }

    /// One PEM block, ending in a newline.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether `root` is an authority and its key made this certificate's signature.
    pub(crate) fn is_signed_by(&self, root: &Self) -> bool {
        let (Ok((_, own)), Ok((_, issuer))) = (X509Certificate::from_der(&self.der), X509Certificate::from_der(&root.der)) else {
            return false;
        };
        root.is_authority && own.issuer().as_raw() == issuer.subject().as_raw() && own.verify_signature(Some(issuer.public_key())).is_ok()
    }

    fn parse(block: &str) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(block.as_bytes()).map_err(|error| error.to_string())?;
        let (_, x509) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let alternatives = x509.subject_alternative_name().map_err(|error| error.to_string())?;
        let dns_names = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        let (not_before, not_after) = (x509.validity().not_before.to_datetime(), x509.validity().not_after.to_datetime());
        let (is_authority, public_key) = (x509.is_ca(), x509.public_key().raw.to_vec());
        Ok(Self { pem: format!("{}\n", block.trim()), not_before, not_after, dns_names, is_authority, public_key, der })
    }
}

fn blocks(pem: &str) -> impl Iterator<Item = &str> {
    let mut rest = pem;
    std::iter::from_fn(move || {
        let start = rest.find(BEGIN)?;
        let length = rest[start..].find(END)? + END.len();
        let (block, after) = rest[start..].split_at(length);
        rest = after;
        Some(block)
    })
}
