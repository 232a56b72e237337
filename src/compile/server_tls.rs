//! TLS contexts of servers whose certificates the user keeps in files.

use envoy_api::envoy::{
    config::core::v3::TransportSocket,
    extensions::transport_sockets::tls::v3::{
        CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, TlsCertificate, TlsParameters,
        common_tls_context::ValidationContextType, tls_parameters::TlsProtocol,
    },
};

use super::{
    message::{file, transport_socket},
    tls::{Peers, sans},
};
use crate::model::{ClientAuthorities, ServerCertificate, ServerTls, ServerTlsMode, TlsVersion};

/// A server of TLS with files that the user names. `alpn` is what it agrees on with clients that offer protocols.
pub(super) fn server(tls: &ServerTls, alpn: &[&str]) -> TransportSocket {
    let common = CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: version(tls.min_protocol.unwrap_or(TlsVersion::V1_2)).into(),
            tls_maximum_protocol_version: version(tls.max_protocol.unwrap_or(TlsVersion::V1_3)).into(),
            cipher_suites: tls.cipher_suites.iter().map(ToString::to_string).collect(),
            ..TlsParameters::default()
        }),
        tls_certificates: tls.certificates.iter().filter_map(certificate).collect(),
        alpn_protocols: alpn.iter().map(|name| (*name).to_owned()).collect(),
        validation_context_type: validation(tls).map(ValidationContextType::ValidationContext),
        ..CommonTlsContext::default()
    };
    let context = DownstreamTlsContext {
        require_client_certificate: Some(tls.mode == ServerTlsMode::Mutual),
        common_tls_context: Some(common),
        ..DownstreamTlsContext::default()
    };
    transport_socket("envoy.transport_sockets.tls", &context)
}

fn certificate(certificate: &ServerCertificate) -> Option<TlsCertificate> {
    match certificate {
        ServerCertificate::Files { certificate, key } => {
            let (certificate_chain, private_key) = (Some(file(certificate)), Some(file(key)));
            Some(TlsCertificate { certificate_chain, private_key, ..TlsCertificate::default() })
        }
        ServerCertificate::Secret(_) => None,
    }
}

/// What clients' certificates must be; `None` where nobody looks at them.
fn validation(tls: &ServerTls) -> Option<CertificateValidationContext> {
    let asks = matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    let authorities = match &tls.client_authorities {
        Some(ClientAuthorities::File(path)) => Some(file(path)),
        _ => None,
    };
    asks.then(|| CertificateValidationContext {
        trusted_ca: authorities,
        crl: tls.ca_crl.as_deref().map(file),
        match_typed_subject_alt_names: sans(&Peers::Names(&tls.subject_alt_names)),
        verify_certificate_spki: tls.verify_certificate_spki.iter().map(ToString::to_string).collect(),
        verify_certificate_hash: tls.verify_certificate_hash.iter().map(ToString::to_string).collect(),
        ..CertificateValidationContext::default()
    })
}

fn version(version: TlsVersion) -> TlsProtocol {
    match version {
        TlsVersion::V1_0 => TlsProtocol::TlSv10,
        TlsVersion::V1_1 => TlsProtocol::TlSv11,
        TlsVersion::V1_2 => TlsProtocol::TlSv12,
        TlsVersion::V1_3 => TlsProtocol::TlSv13,
    }
}
