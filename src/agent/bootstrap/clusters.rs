//! The static clusters.

use envoy_api::{
    any,
    envoy::{
        config::{
            cluster::v3::{
                CircuitBreakers, Cluster, UpstreamConnectionOptions,
                circuit_breakers::Thresholds,
                cluster::{ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig},
            },
            core::v3::{
                Address, Http2ProtocolOptions, KeepaliveSettings, Pipe, TcpKeepalive, TransportSocket, address::Address as AddressKind,
                transport_socket::ConfigType,
            },
        },
        extensions::{
            clusters::{
                common::dns::v3::DnsLookupFamily,
                dns::v3::{DnsCluster, dns_cluster::RefreshRate},
            },
            transport_sockets::tls::v3::{
                CertificateValidationContext, CommonTlsContext, SdsSecretConfig, SubjectAltNameMatcher, TlsParameters, UpstreamTlsContext,
                common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
                subject_alt_name_matcher::SanType,
                tls_parameters::TlsProtocol,
            },
            upstreams::http::v3::{
                HttpProtocolOptions,
                http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig},
            },
        },
        r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern},
    },
};
use prost_types::Any;
use std::{collections::BTreeMap, net::IpAddr};

use super::parts::{
    AGENT_CLUSTER, SDS_CLUSTER, STATS_CLUSTER, XDS_CLUSTER, aggregated, localhost, millis, one_endpoint, seconds, secrets_source, socket,
};
use crate::agent::{IDENTITY_SECRET, Ports, ProxyFacts, ROOTS_SECRET, SDS_SOCKET};
use crate::model::LOCAL_CLUSTER;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// A pilot that hangs is noticed after both of these.
const PING_SECONDS: i64 = 20;
const PONG_SECONDS: i64 = 10;

/// Envoy's admin port, for metrics.
pub(super) fn prometheus_stats(ports: &Ports) -> Cluster {
    fixed(STATS_CLUSTER, localhost(ports.admin))
}

/// The agent's port, for health.
pub(super) fn agent(ports: &Ports) -> Cluster {
    fixed(AGENT_CLUSTER, localhost(ports.status))
}

/// The agent's socket. It has to stand before the cluster that uses it.
pub(super) fn sds() -> Cluster {
    let path = format!("./{SDS_SOCKET}");
    Cluster {
        typed_extension_protocol_options: http2(Http2ProtocolOptions::default()),
        ..fixed(SDS_CLUSTER, Address { address: Some(AddressKind::Pipe(Pipe { path, mode: 0 })) })
    }
}

/// Pilot, by mutual TLS.
pub(super) fn xds(facts: &ProxyFacts) -> Cluster {
    let address = facts.discovery_address();
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = host.trim_matches(['[', ']']);
    let port = port.parse().unwrap_or(15012);
    let is_address = host.parse::<IpAddr>().is_ok();
    let keepalive =
        KeepaliveSettings { interval: Some(seconds(PING_SECONDS)), timeout: Some(seconds(PONG_SECONDS)), ..KeepaliveSettings::default() };
    let discovery = if is_address { ClusterDiscoveryType::Type(DiscoveryType::Static.into()) } else { by_name() };
    Cluster {
        cluster_discovery_type: Some(discovery),
        circuit_breakers: Some(unlimited()),
        transport_socket: Some(mutual_tls(facts, if is_address { "" } else { host })),
        typed_extension_protocol_options: http2(Http2ProtocolOptions { connection_keepalive: Some(keepalive), ..Default::default() }),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive { keepalive_time: Some(300), ..TcpKeepalive::default() }),
            ..UpstreamConnectionOptions::default()
        }),
        ..fixed(XDS_CLUSTER, socket(host, port))
    }
}

/// The workloads of the proxy's own service, which pilot tells like the endpoints of others. Nothing is ever sent there.
pub(super) fn local() -> Cluster {
    Cluster {
        name: LOCAL_CLUSTER.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(aggregated()), service_name: LOCAL_CLUSTER.to_owned() }),
        connect_timeout: Some(seconds(1)),
        ..Cluster::default()
    }
}

/// Every address of the name is an endpoint. A Service's address seldom changes; one that can't be found yet is looked for often.
fn by_name() -> ClusterDiscoveryType {
    let dns = DnsCluster {
        dns_refresh_rate: Some(seconds(60)),
        dns_failure_refresh_rate: Some(RefreshRate { base_interval: Some(millis(500)), max_interval: Some(seconds(2)) }),
        respect_dns_ttl: true,
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        ..DnsCluster::default()
    };
    ClusterDiscoveryType::ClusterType(CustomClusterType { name: "envoy.clusters.dns".to_owned(), typed_config: Some(any(&dns)) })
}

fn fixed(name: &str, address: Address) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        connect_timeout: Some(seconds(1)),
        load_assignment: Some(one_endpoint(name, address)),
        ..Cluster::default()
    }
}

fn http2(options: Http2ProtocolOptions) -> BTreeMap<String, Any> {
    let config = ExplicitHttpConfig { protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(options)) };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(config)),
        ..HttpProtocolOptions::default()
    };
    [(HTTP_OPTIONS.to_owned(), any(&options))].into()
}

/// Every resource type may have a stream of its own; none is to wait for another.
fn unlimited() -> CircuitBreakers {
    let most = Some(100_000);
    CircuitBreakers {
        thresholds: vec![Thresholds { max_connections: most, max_pending_requests: most, max_requests: most, ..Thresholds::default() }],
        ..CircuitBreakers::default()
    }
}

fn mutual_tls(facts: &ProxyFacts, sni: &str) -> TransportSocket {
    let secret = |name: &str| SdsSecretConfig { name: name.to_owned(), sds_config: Some(secrets_source()) };
    let pilot = StringMatcher { match_pattern: Some(MatchPattern::Exact(facts.pilot_identity().to_string())), ..StringMatcher::default() };
    let validation = CertificateValidationContext {
        match_typed_subject_alt_names: vec![SubjectAltNameMatcher {
            san_type: SanType::Uri.into(),
            matcher: Some(pilot),
            ..SubjectAltNameMatcher::default()
        }],
        ..CertificateValidationContext::default()
    };
    let context = UpstreamTlsContext {
        sni: sni.to_owned(),
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(TlsParameters {
                tls_minimum_protocol_version: TlsProtocol::TlSv13.into(),
                tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
                ..TlsParameters::default()
            }),
            alpn_protocols: vec!["h2".to_owned()],
            tls_certificate_sds_secret_configs: vec![secret(IDENTITY_SECRET)],
            validation_context_type: Some(ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(validation),
                validation_context_sds_secret_config: Some(secret(ROOTS_SECRET)),
                ..CombinedCertificateValidationContext::default()
            })),
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    };
    TransportSocket { name: "envoy.transport_sockets.tls".to_owned(), config_type: Some(ConfigType::TypedConfig(any(&context))) }
}
