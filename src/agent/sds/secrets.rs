//! From a certificate to Envoy's secrets.

use envoy_api::envoy::{
    config::core::v3::{DataSource, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{CertificateValidationContext, Secret, TlsCertificate, secret::Type},
};
use sha2::{Digest, Sha256};
use std::fmt::Write;

use crate::agent::{IDENTITY_SECRET, ROOTS_SECRET};
use crate::runtime::WorkloadCert;

/// The secret of this name; none if there is no such secret.
pub(super) fn secret(name: &str, certificate: &WorkloadCert) -> Option<Secret> {
    let content = match name {
        IDENTITY_SECRET => Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(inline(&certificate.chain_pem)),
            private_key: Some(inline(&certificate.key_pem)),
            ..TlsCertificate::default()
        }),
        ROOTS_SECRET => Type::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(inline(&certificate.roots_pem)),
            ..CertificateValidationContext::default()
        }),
        _ => return None,
    };
    Some(Secret { name: name.to_owned(), r#type: Some(content) })
}

/// Tells one state of the secrets from another. It is made of what every peer gets to see, not of the key.
pub(super) fn version(certificate: &WorkloadCert) -> String {
    let digest = Sha256::new().chain_update(&certificate.chain_pem).chain_update(&certificate.roots_pem).finalize();
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn inline(pem: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(pem.as_bytes().to_vec())), ..DataSource::default() }
}
