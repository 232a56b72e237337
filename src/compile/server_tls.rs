//! TLS that is ended here with certificates of the user's, as a Gateway asks for it, or a Sidecar for the workload's own port.

use std::sync::Arc;

use envoy_api::envoy::{
    config::core::v3::TransportSocket,
    extensions::transport_sockets::tls::v3::{
        CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, TlsParameters, common_tls_context::ValidationContextType,
        tls_parameters::TlsProtocol,
    },
};

use super::{
    credentials::{clients_of, shown_by},
    message::{file, transport_socket},
    scope::Scope,
    tls::{Peers, alpn, combined, from_pilot, mesh_server_of, sans},
};
use crate::model::{ServerTls, ServerTlsMode, TlsVersion};

/// The socket of a server's connections; `http` if HTTP is in them.
pub(super) fn socket(scope: &Scope<'_>, tls: &ServerTls, http: bool) -> TransportSocket {
    let spoken = if http { alpn::ACCEPTED } else { alpn::ACCEPTED_FOR_BYTES };
    if tls.mode == ServerTlsMode::IstioMutual {
        let peers = match &*tls.subject_alt_names {
            [] => Peers::TrustDomain(&scope.settings().trust_domain),
            names => Peers::Names(names),
        };
        return mesh_server_of(&peers, spoken);
    }
    let common = CommonTlsContext {
        tls_params: Some(parameters(tls)),
        tls_certificate_sds_secret_configs: shown_by(tls).map(|source| from_pilot(&source.to_string())).collect(),
        alpn_protocols: alpn::ACCEPTED.iter().map(|name| (*name).to_owned()).collect(),
        validation_context_type: validation(tls),
        ..CommonTlsContext::default()
    };
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: Some(tls.mode == ServerTlsMode::Mutual),
        ..DownstreamTlsContext::default()
    };
    transport_socket("envoy.transport_sockets.tls", &context)
}

/// What clients' certificates are held against; `None` if they are not asked for any.
fn validation(tls: &ServerTls) -> Option<ValidationContextType> {
    if !matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual) {
        return None;
    }
    let texts = |texts: &[Arc<str>]| texts.iter().map(|text| text.to_string()).collect();
    let own = CertificateValidationContext {
        match_typed_subject_alt_names: sans(&Peers::Names(&tls.subject_alt_names)),
        verify_certificate_spki: texts(&tls.verify_certificate_spki),
        verify_certificate_hash: texts(&tls.verify_certificate_hash),
        crl: tls.ca_crl.as_deref().map(file),
        ..CertificateValidationContext::default()
    };
    Some(match clients_of(tls) {
        Some(source) => combined(own, from_pilot(&source.to_string())),
        None => ValidationContextType::ValidationContext(own),
    })
}

fn parameters(tls: &ServerTls) -> TlsParameters {
    TlsParameters {
        tls_minimum_protocol_version: tls.min_protocol.map_or(TlsProtocol::TlSv12, protocol).into(),
        tls_maximum_protocol_version: tls.max_protocol.map_or(TlsProtocol::TlSv13, protocol).into(),
        cipher_suites: tls.cipher_suites.iter().map(|suite| suite.to_string()).collect(),
        ..TlsParameters::default()
    }
}

fn protocol(version: TlsVersion) -> TlsProtocol {
    match version {
        TlsVersion::V1_0 => TlsProtocol::TlSv10,
        TlsVersion::V1_1 => TlsProtocol::TlSv11,
        TlsVersion::V1_2 => TlsProtocol::TlSv12,
        TlsVersion::V1_3 => TlsProtocol::TlSv13,
    }
}
