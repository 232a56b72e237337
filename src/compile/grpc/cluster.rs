//! Clusters and endpoints as gRPC takes them.

use std::collections::BTreeSet;

use envoy_api::envoy::{
    config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy},
        },
        core::v3::{SocketAddress, TransportSocket, address, transport_socket::ConfigType},
        endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
    },
    extensions::transport_sockets::tls::v3::{
        CertificateProviderPluginInstance, CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
        common_tls_context::ValidationContextType,
    },
    r#type::matcher::v3::StringMatcher,
};
use prost::{Message, Name};

use crate::compile::{
    cluster,
    endpoints::{self, all_speak_mtls},
    message::transport_socket,
    naming::ClusterKey,
    resource::{Draft, ResourceType},
    scope::Scope,
    tls::{TLS_SOCKET, WORKLOAD_SECRET},
};
use crate::model::Service;

/// What the bootstrap calls the files of the workload's certificate, and what is meant of them: names that gRPC hands on to whoever reads
/// the files, and that reader does not look at.
const PROVIDER: &str = "default";
const OWN_CERTIFICATE: &str = "default";
const ROOTS: &str = "ROOTCA";

/// The cluster of a service's port; `None` if gRPC could not call it as it is to be called.
pub(super) fn cluster(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let made = cluster::outbound_by(scope, key, cluster::listed)?;
    let service = scope.service(&key.service)?;
    let transport_socket = secured(scope, service, key, &made)?;
    let by_hash = [LbPolicy::RingHash, LbPolicy::Maglev].map(i32::from).contains(&made.lb_policy);
    let mut known = Cluster {
        name: made.name,
        metadata: made.metadata,
        circuit_breakers: made.circuit_breakers,
        // Two ways are all that every library knows.
        lb_policy: if by_hash { LbPolicy::RingHash } else { LbPolicy::RoundRobin }.into(),
        lb_config: made.lb_config.filter(|config| matches!(config, LbConfig::RingHashLbConfig(_))),
        transport_socket,
        ..Cluster::default()
    };
    let found = match (made.eds_cluster_config, made.load_assignment) {
        (Some(config), _) => {
            known.eds_cluster_config = Some(config);
            DiscoveryType::Eds
        }
        (None, Some(assignment)) if hosts(&assignment) == 1 => {
            known.load_assignment = Some(assignment);
            DiscoveryType::LogicalDns
        }
        // gRPC looks up one name for a cluster.
        _ => return None,
    };
    known.cluster_discovery_type = Some(ClusterDiscoveryType::Type(found.into()));
    Some(Draft::new(ResourceType::Cluster, &known.name, &known))
}

fn hosts(assignment: &ClusterLoadAssignment) -> usize {
    assignment.endpoints.iter().map(|group| group.lb_endpoints.len()).sum()
}

/// The mesh's mTLS, where Envoy would speak it; the outer `None` if the connection would have to be secured as gRPC can't: in plain text it
/// must not be then. Where Envoy looks at each endpoint, gRPC has one answer for all of them.
fn secured(scope: &Scope<'_>, service: &Service, key: &ClusterKey, made: &Cluster) -> Option<Option<TransportSocket>> {
    if let [by_mesh, ..] = &made.transport_socket_matches[..] {
        // Sidecars that take plain text too know mTLS from it where HTTP is declared, whatever the client offers.
        let declared = service.port(key.port).is_some_and(|port| port.protocol.is_http());
        let socket = by_mesh.transport_socket.as_ref().and_then(by_provider);
        return Some(socket.filter(|_| declared && all_speak_mtls(scope, service, key)));
    }
    match &made.transport_socket {
        None => Some(None),
        Some(socket) => by_provider(socket).map(Some),
    }
}

/// What the mesh's mTLS is for Envoy, for gRPC; `None` for any other socket.
fn by_provider(socket: &TransportSocket) -> Option<TransportSocket> {
    let ConfigType::TypedConfig(config) = socket.config_type.as_ref()?;
    let context = UpstreamTlsContext::decode(&*config.value).ok().filter(|_| config.type_url == UpstreamTlsContext::type_url())?;
    let common = context.common_tls_context?;
    common.tls_certificate_sds_secret_configs.iter().find(|secret| secret.name == WORKLOAD_SECRET)?;
    let Some(ValidationContextType::CombinedValidationContext(combined)) = common.validation_context_type else { return None };
    let sans = combined.default_validation_context?.match_typed_subject_alt_names;
    let peers = sans.into_iter().filter_map(|san| san.matcher).collect();
    let context = UpstreamTlsContext { common_tls_context: Some(common_context(peers)), ..UpstreamTlsContext::default() };
    Some(transport_socket(TLS_SOCKET, &context))
}

/// A server of the mesh's mTLS. Who calls is whoever the mesh's authority vouches for: gRPC can't look at names there.
pub(super) fn server_socket() -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(common_context(Vec::new())),
        require_client_certificate: Some(true),
        ..DownstreamTlsContext::default()
    };
    transport_socket(TLS_SOCKET, &context)
}

/// The workload's certificate, and the mesh's roots for peers with one of these names, from the files that the bootstrap names.
#[expect(deprecated, reason = "gRPC libraries look for names where Envoy no longer does")]
fn common_context(peers: Vec<StringMatcher>) -> CommonTlsContext {
    let instance = |name: &str| CertificateProviderPluginInstance { instance_name: PROVIDER.to_owned(), certificate_name: name.to_owned() };
    let validation = CertificateValidationContext {
        ca_certificate_provider_instance: Some(instance(ROOTS)),
        match_subject_alt_names: peers,
        ..CertificateValidationContext::default()
    };
    CommonTlsContext {
        tls_certificate_provider_instance: Some(instance(OWN_CERTIFICATE)),
        validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
        ..CommonTlsContext::default()
    }
}

/// The endpoints of a service's port, each address once: gRPC refuses all of them otherwise.
pub(super) fn endpoints(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let mut assignment: ClusterLoadAssignment = endpoints::listed(scope, key)?.message()?;
    let mut known = BTreeSet::new();
    for endpoint in assignment.endpoints.iter_mut().flat_map(|group| &mut group.lb_endpoints) {
        // What is in it, Envoy alone chooses by.
        endpoint.metadata = None;
    }
    for group in &mut assignment.endpoints {
        group.lb_endpoints.retain(|endpoint| address_of(endpoint).is_some_and(|address| known.insert(address)));
    }
    Some(Draft::new(ResourceType::Endpoints, &assignment.cluster_name, &assignment))
}

fn address_of(endpoint: &LbEndpoint) -> Option<String> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else { return None };
    match host.address.as_ref()?.address.as_ref()? {
        address::Address::SocketAddress(SocketAddress { address, port_specifier, .. }) => Some(format!("{address} {port_specifier:?}")),
        _ => None,
    }
}
