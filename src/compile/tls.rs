//! TLS contexts: the mesh's own mTLS, whose certificates the agent hands to Envoy, and TLS with files that the user names.

use std::{net::IpAddr, sync::Arc, time::Duration};

use envoy_api::envoy::{
    config::core::v3::{
        ApiConfigSource, ApiVersion, ConfigSource, GrpcService, ProxyProtocolConfig, TransportSocket,
        api_config_source::ApiType,
        config_source::ConfigSourceSpecifier,
        grpc_service::{EnvoyGrpc, TargetSpecifier},
        proxy_protocol_config::Version,
    },
    extensions::transport_sockets::{
        proxy_protocol::v3::ProxyProtocolUpstreamTransport,
        raw_buffer::v3::RawBuffer,
        tls::v3::{
            CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher, TlsCertificate,
            TlsParameters, UpstreamTlsContext,
            common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
            subject_alt_name_matcher::SanType,
            tls_parameters::TlsProtocol,
        },
    },
    r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern},
};

use super::{
    credentials::{servers_of, shown_by_client},
    message::{ads, file, transport_socket, zero},
    naming,
};
use crate::model::{ClientTls, ClientTlsMode, ProxyProtocol, SpiffeId};

/// The static cluster of Envoy's bootstrap behind which the agent serves secrets.
const SDS_CLUSTER: &str = "sds-grpc";
/// The secret with the workload's certificate and key.
pub(super) const WORKLOAD_SECRET: &str = "default";
/// The transport socket of TLS.
pub(super) const TLS_SOCKET: &str = "envoy.transport_sockets.tls";
/// The secret with the mesh's roots.
const ROOTS_SECRET: &str = "ROOTCA";
/// The public authorities in the proxy's image, as Debian's package lists them: Envoy does not find a system's own.
const PUBLIC_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long a TLS handshake with a caller may take: without a limit, callers that say nothing would hold connections for ever.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Protocol names (ALPN) by which a sidecar tells another, before any byte is decrypted, what it will say. The last of those for HTTP are
/// the usual ones: the server agrees on them, so that both sides know whether HTTP/2 is spoken.
pub(super) mod alpn {
    /// HTTP/1.1.
    pub(in crate::compile) const HTTP1: &[&str] = &["istio-http/1.1", "istio", "http/1.1"];
    /// HTTP/2.
    pub(in crate::compile) const HTTP2: &[&str] = &["istio-h2", "istio", "h2"];
    /// HTTP whose version is the caller's: the server looks at the first bytes.
    pub(in crate::compile) const ANY_HTTP: &[&str] = &["istio-http/1.1", "istio-h2", "istio"];
    /// Anything but HTTP.
    pub(in crate::compile) const TCP: &[&str] = &["istio-peer-exchange", "istio"];
    /// What a caller that will speak HTTP offers.
    pub(in crate::compile) const OFFERED_FOR_HTTP: &[&str] = &["istio-http/1.0", "istio-http/1.1", "istio-h2"];
    /// What any caller of the mesh offers.
    pub(in crate::compile) const OFFERED: &[&str] = &["istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
    /// What a server of HTTP agrees on.
    pub(in crate::compile) const ACCEPTED: &[&str] = &["h2", "http/1.1"];
    /// What a server of other bytes agrees on with callers of the mesh.
    pub(in crate::compile) const ACCEPTED_FOR_BYTES: &[&str] = &["istio-peer-exchange", "h2", "http/1.1"];
}

/// Whom a client accepts as server.
#[derive(Debug)]
pub(super) enum Peers<'a> {
    /// One of these.
    Identities(&'a [SpiffeId]),
    /// Whoever shows one of these names.
    Names(&'a [Arc<str>]),
    /// Anybody of that trust domain.
    TrustDomain(&'a str),
}

/// A secret that comes from pilot. Envoy waits for its first form for a while: if it is not there, it answers the connections that need it
/// with their end, and serves all others.
pub(super) fn from_pilot(name: &str) -> SdsSecretConfig {
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(ConfigSource { initial_fetch_timeout: None, ..ads() }) }
}

/// What a peer's certificate is held against: `own`, and what a secret says.
pub(super) fn combined(own: CertificateValidationContext, secret: SdsSecretConfig) -> ValidationContextType {
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(own),
        validation_context_sds_secret_config: Some(secret),
        ..CombinedCertificateValidationContext::default()
    })
}

fn secret(name: &str) -> SdsSecretConfig {
    let target = TargetSpecifier::EnvoyGrpc(EnvoyGrpc { cluster_name: SDS_CLUSTER.to_owned(), ..EnvoyGrpc::default() });
    let source = ApiConfigSource {
        api_type: ApiType::Grpc.into(),
        transport_api_version: ApiVersion::V3.into(),
        grpc_services: vec![GrpcService { target_specifier: Some(target), ..GrpcService::default() }],
        set_node_on_first_message_only: true,
        ..ApiConfigSource::default()
    };
    let sds_config = ConfigSource {
        initial_fetch_timeout: Some(zero()),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(source)),
        ..ConfigSource::default()
    };
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(sds_config) }
}

fn versions(minimum: TlsProtocol) -> Option<TlsParameters> {
    Some(TlsParameters {
        tls_minimum_protocol_version: minimum.into(),
        tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
        ..TlsParameters::default()
    })
}

fn san(kind: SanType, pattern: MatchPattern) -> SubjectAltNameMatcher {
    let matcher = Some(StringMatcher { match_pattern: Some(pattern), ignore_case: false });
    SubjectAltNameMatcher { san_type: kind.into(), matcher, ..SubjectAltNameMatcher::default() }
}

/// A name as users write it: an identity, an address, or a DNS name.
fn named_san(name: &str) -> SubjectAltNameMatcher {
    let kind = match () {
        () if name.contains("://") => SanType::Uri,
        () if name.parse::<IpAddr>().is_ok() => SanType::IpAddress,
        () => SanType::Dns,
    };
    san(kind, MatchPattern::Exact(name.to_owned()))
}

/// The names that such a peer shows.
pub(super) fn sans(peers: &Peers<'_>) -> Vec<SubjectAltNameMatcher> {
    match peers {
        Peers::Identities(identities) => {
            identities.iter().map(|it| san(SanType::Uri, MatchPattern::Exact(naming::identity_san(it)))).collect()
        }
        Peers::Names(names) => names.iter().map(|name| named_san(name)).collect(),
        Peers::TrustDomain(domain) => vec![san(SanType::Uri, MatchPattern::Prefix(naming::trust_domain_prefix(domain)))],
    }
}

/// The mesh's own certificates on this side, and a peer that shows the mesh's on the other.
fn mesh_context(peers: &Peers<'_>, alpn: &[&str]) -> CommonTlsContext {
    let default = CertificateValidationContext { match_typed_subject_alt_names: sans(peers), ..CertificateValidationContext::default() };
    CommonTlsContext {
        tls_params: versions(TlsProtocol::TlSv13),
        tls_certificate_sds_secret_configs: vec![secret(WORKLOAD_SECRET)],
        alpn_protocols: alpn.iter().map(|name| (*name).to_owned()).collect(),
        validation_context_type: Some(combined(default, secret(ROOTS_SECRET))),
        ..CommonTlsContext::default()
    }
}

/// A client of the mesh's mTLS.
pub(super) fn mesh_client(server_name: &str, peers: &Peers<'_>, alpn: &[&str]) -> TransportSocket {
    let context = UpstreamTlsContext {
        common_tls_context: Some(mesh_context(peers, alpn)),
        sni: server_name.to_owned(),
        ..UpstreamTlsContext::default()
    };
    transport_socket(TLS_SOCKET, &context)
}

/// A server of the mesh's mTLS: callers must prove an identity of the trust domain.
pub(super) fn mesh_server(trust_domain: &str, alpn: &[&str]) -> TransportSocket {
    mesh_server_of(&Peers::TrustDomain(trust_domain), alpn)
}

/// The same for certain callers.
pub(super) fn mesh_server_of(peers: &Peers<'_>, alpn: &[&str]) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(mesh_context(peers, alpn)),
        require_client_certificate: Some(true),
        ..DownstreamTlsContext::default()
    };
    transport_socket(TLS_SOCKET, &context)
}

/// A client of TLS outside of the mesh, as a DestinationRule asks for it; `with_secrets` if it may use the one that the rule names.
pub(super) fn client(tls: &ClientTls, server_name: Option<&str>, alpn: &[&str], with_secrets: bool) -> TransportSocket {
    let (shown, trusted) = if with_secrets { (shown_by_client(tls), servers_of(tls)) } else { (None, None) };
    let mut validation = CertificateValidationContext {
        match_typed_subject_alt_names: sans(&Peers::Names(&tls.subject_alt_names)),
        crl: tls.ca_crl.as_deref().map(file),
        ..CertificateValidationContext::default()
    };
    match &tls.ca_certificates {
        Some(path) => validation.trusted_ca = Some(file(path)),
        None if trusted.is_some() => {}
        None => validation.trusted_ca = Some(file(PUBLIC_AUTHORITIES)),
    }
    // Every public authority's certificate would do otherwise, whoever holds it.
    let by_public = tls.ca_certificates.is_none() && trusted.is_none();
    let checks_name = server_name.is_some() && !tls.unverified() && by_public && tls.subject_alt_names.is_empty();
    let validation = match &trusted {
        // Without a context of validation any certificate will do.
        _ if tls.unverified() => None,
        Some(source) => Some(combined(validation, from_pilot(&source.to_string()))),
        None => Some(ValidationContextType::ValidationContext(validation)),
    };
    let own = match (tls.mode, &tls.client_certificate, &tls.private_key) {
        (ClientTlsMode::Mutual, Some(chain), Some(key)) => {
            vec![TlsCertificate { certificate_chain: Some(file(chain)), private_key: Some(file(key)), ..TlsCertificate::default() }]
        }
        _ => Vec::new(),
    };
    let common = CommonTlsContext {
        tls_params: versions(TlsProtocol::TlSv12),
        tls_certificates: own,
        tls_certificate_sds_secret_configs: shown.iter().map(|source| from_pilot(&source.to_string())).collect(),
        alpn_protocols: alpn.iter().map(|name| (*name).to_owned()).collect(),
        validation_context_type: validation,
        ..CommonTlsContext::default()
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: server_name.unwrap_or_default().to_owned(),
        auto_sni_san_validation: checks_name,
        ..UpstreamTlsContext::default()
    };
    transport_socket(TLS_SOCKET, &context)
}

/// A socket whose connections begin with the client's address, as the PROXY protocol writes it.
pub(super) fn behind_proxy_protocol(socket: TransportSocket, version: ProxyProtocol) -> TransportSocket {
    let version = match version {
        ProxyProtocol::V1 => Version::V1,
        ProxyProtocol::V2 => Version::V2,
    };
    let context = ProxyProtocolUpstreamTransport {
        config: Some(ProxyProtocolConfig { version: version.into(), ..ProxyProtocolConfig::default() }),
        transport_socket: Some(socket),
        ..ProxyProtocolUpstreamTransport::default()
    };
    transport_socket("envoy.transport_sockets.upstream_proxy_protocol", &context)
}

/// Plain text.
pub(super) fn raw() -> TransportSocket {
    transport_socket("envoy.transport_sockets.raw_buffer", &RawBuffer {})
}
