//! Clusters of gateways that pass the mesh's own mTLS on unopened, by the server name that clients send: AUTO_PASSTHROUGH.

use envoy_api::envoy::config::cluster::v3::Cluster;

use super::{Discovery, balancing, connect_timeout, discovery, find_endpoints, limits, named, outbound_metadata};
use crate::compile::{
    gateways::{Handling, Server, servers},
    message::duration,
    naming::ClusterKey,
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::Protocol;

/// The ports, and subsets, of the services to which a server passes connections on.
pub(in crate::compile) fn passed_on_keys(scope: &Scope<'_>, server: &Server<'_>) -> Vec<ClusterKey> {
    let mut keys = Vec::new();
    for service in scope.visible_services().into_iter().filter(|service| server.leads_to(service)) {
        let subsets = scope.subsets_of(service);
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            let key = |subset| ClusterKey { service: service.key.clone(), port: port.number, subset };
            keys.push(key(None));
            keys.extend(subsets.iter().map(|subset| key(Some(subset.clone()))));
        }
    }
    keys
}

/// The same of all servers of the proxy.
pub(in crate::compile) fn all_passed_on_keys(scope: &Scope<'_>) -> Vec<ClusterKey> {
    let servers = servers(scope).into_values().flatten().filter(|it| it.handling == Handling::AutoPassthrough);
    servers.flat_map(|server| passed_on_keys(scope, &server)).collect()
}

/// The cluster to which connections of that server name go. It adds no TLS to theirs.
pub(in crate::compile) fn passed_on(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let service = scope.service(&key.service)?;
    service.port(key.port)?;
    let policy = scope.traffic_policy(service, key.port, key.subset.as_deref());
    if discovery(scope, service, &policy) != Discovery::Eds {
        return None;
    }
    scope.shaped_by(&service.origin);
    let name = key.server_name();
    let mut cluster = Cluster { metadata: Some(outbound_metadata(scope, service, key)), ..named(&name) };
    find_endpoints(scope, &mut cluster, service, key, &policy, Discovery::Eds);
    balancing::choose(&mut cluster, &policy, Discovery::Eds);
    let pool = policy.connection_pool.clone().unwrap_or_default();
    cluster.connect_timeout = Some(duration(pool.connect_timeout.unwrap_or_else(|| connect_timeout(scope))));
    cluster.circuit_breakers = Some(limits::circuit_breakers(&pool, policy.retry_budget.as_ref()));
    Some(Draft::new(ResourceType::Cluster, &name, &cluster))
}
