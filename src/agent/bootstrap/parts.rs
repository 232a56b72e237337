//! The small parts of which clusters and listeners are made.

use envoy_api::envoy::config::{
    core::v3::{
        Address, AggregatedConfigSource, ApiConfigSource, ApiVersion, BackoffStrategy, ConfigSource, GrpcService, RetryPolicy,
        SocketAddress,
        address::Address as AddressKind,
        api_config_source::ApiType,
        config_source::ConfigSourceSpecifier,
        grpc_service::{EnvoyGrpc, TargetSpecifier},
        socket_address::PortSpecifier,
    },
    endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
};
use prost_types::Duration;

/// Envoy's own administration.
pub(super) const STATS_CLUSTER: &str = "prometheus_stats";
/// The agent's port.
pub(super) const AGENT_CLUSTER: &str = "agent";
/// The agent's socket, from which certificates come.
pub(super) const SDS_CLUSTER: &str = "sds-grpc";
/// Pilot.
pub(super) const XDS_CLUSTER: &str = "xds-grpc";

pub(super) fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

pub(super) fn millis(millis: i32) -> Duration {
    Duration { seconds: 0, nanos: millis * 1_000_000 }
}

pub(super) fn socket(address: &str, port: u16) -> Address {
    let socket = SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        // A wildcard of IPv6 then takes IPv4 too.
        ipv4_compat: address == "::",
        ..SocketAddress::default()
    };
    Address { address: Some(AddressKind::SocketAddress(socket)) }
}

pub(super) fn localhost(port: u16) -> Address {
    socket("127.0.0.1", port)
}

/// A cluster's one endpoint.
pub(super) fn one_endpoint(cluster: &str, address: Address) -> ClusterLoadAssignment {
    let endpoint = Endpoint { address: Some(address), ..Endpoint::default() };
    let endpoint = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..LocalityLbEndpoints::default() }],
        ..ClusterLoadAssignment::default()
    }
}

/// Pilot's stream. A proxy of many is back within seconds when pilot is, and a lone one does not hammer it.
pub(super) fn xds_source() -> ApiConfigSource {
    api_source(ApiType::DeltaGrpc, XDS_CLUSTER, millis(500), seconds(3))
}

/// Where certificates come from. The agent is in the same pod and restarts in no time.
pub(super) fn secrets_source() -> ConfigSource {
    ConfigSource {
        // Envoy has its certificate before it starts anything that needs it; it waits as long as that takes.
        initial_fetch_timeout: Some(seconds(0)),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(api_source(
            ApiType::Grpc,
            SDS_CLUSTER,
            millis(100),
            seconds(1),
        ))),
        ..ConfigSource::default()
    }
}

/// Listeners and clusters come over pilot's stream, and Envoy is not ready before: a proxy without configuration would let every
/// connection fail.
pub(super) fn aggregated() -> ConfigSource {
    ConfigSource {
        initial_fetch_timeout: Some(seconds(0)),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
        ..ConfigSource::default()
    }
}

fn api_source(kind: ApiType, cluster: &str, base: Duration, longest: Duration) -> ApiConfigSource {
    let backoff = BackoffStrategy { base_interval: Some(base), max_interval: Some(longest) };
    let grpc = EnvoyGrpc {
        cluster_name: cluster.to_owned(),
        retry_policy: Some(RetryPolicy { retry_back_off: Some(backoff), ..RetryPolicy::default() }),
        ..EnvoyGrpc::default()
    };
    ApiConfigSource {
        api_type: kind.into(),
        transport_api_version: ApiVersion::V3.into(),
        grpc_services: vec![GrpcService { target_specifier: Some(TargetSpecifier::EnvoyGrpc(grpc)), ..GrpcService::default() }],
        set_node_on_first_message_only: true,
        ..ApiConfigSource::default()
    }
}
