//! The filters that pass opaque connections on, and which way each takes.

use envoy_api::envoy::{
    config::{
        core::v3::{Metadata, SubstitutionFormatString, TransportSocket, substitution_format_string::Format},
        listener::v3::Filter,
    },
    extensions::filters::{
        common::set_filter_state::v3::{
            FilterStateValue,
            filter_state_value::{Key, Value},
        },
        network::{
            set_filter_state::v3::Config as SetFilterState,
            tcp_proxy::v3::{
                TcpProxy,
                tcp_proxy::{ClusterSpecifier, TunnelingConfig, WeightedCluster, weighted_cluster::ClusterWeight},
            },
        },
    },
};

use super::access_log::access_logs;
use crate::compile::{
    destination::{Target, looked_up, target, weighted},
    hashing,
    message::{duration, inline, made_by, network_filter},
    name_lookup,
    naming::{self, BLACK_HOLE_CLUSTER},
    scope::Scope,
    tls::alpn,
    virtual_services::Caller,
};
use crate::model::{Protocol, Service, ServicePort, TcpMatch, TrafficPolicy, Tunnel, VirtualService, WeightedDestination};

/// What Envoy offers as protocol names in TLS to the upstream, in place of what the cluster says.
const OFFERED_PROTOCOLS: &str = "envoy.network.application_protocols";

/// One way that connections take.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// For destination addresses in these ranges; empty for all.
    pub(super) ranges: Vec<ipnet::IpNet>,
    /// For these server names; empty for all, and for connections without TLS.
    pub(super) server_names: Vec<String>,
    /// For clients that offer one of these protocol names in TLS; empty for all.
    pub(super) protocols: &'static [&'static str],
    /// How TLS is ended before the filters, if it is.
    pub(super) socket: Option<TransportSocket>,
    /// Its filters.
    pub(super) filters: Vec<Filter>,
    /// The object and field that it came from, where that is more than the service itself.
    pub(super) origin: Option<Metadata>,
}

impl Way {
    fn unconditional(&self) -> bool {
        self.ranges.is_empty() && self.server_names.is_empty()
    }
}

/// Passes connections on to a cluster.
pub(super) fn proxy(scope: &Scope<'_>, cluster: &str) -> Filter {
    proxy_to(scope, cluster, ClusterSpecifier::Cluster(cluster.to_owned()), &[])
}

/// What becomes of connections to where nobody declared a service.
pub(super) fn undeclared(scope: &Scope<'_>) -> Filter {
    proxy(scope, scope.undeclared_cluster().as_deref().unwrap_or(BLACK_HOLE_CLUSTER))
}

/// The ways of connections to a service's port, the first that fits counts: those of its VirtualService, then the service's own cluster.
pub(super) fn ways(scope: &Scope<'_>, service: &Service, port: &ServicePort) -> Vec<Way> {
    let mut ways = match scope.virtual_service(&service.key.host, port.number) {
        Some(routed) => routed_ways(scope, routed, Caller::sidecar(port.number), port.protocol.is_tls()),
        None => Vec::new(),
    };
    scope.shaped_by(&service.origin);
    if !ways.iter().any(Way::unconditional) {
        let cluster = naming::outbound_cluster(port.number, None, &service.key.host);
        let mut filters = opaque(port.protocol == Protocol::Auto);
        filters.extend(looked_up(service, port).map(|port| name_lookup::of_connections(scope, port)));
        let policy = scope.routing_policy(service, port.number, None);
        filters.push(proxy_to(scope, &cluster, ClusterSpecifier::Cluster(cluster.clone()), &[&policy]));
        ways.push(Way { filters, ..Way::default() });
    }
    ways
}

/// The ways that a VirtualService gives to a caller's connections: by server name if they are TLS, then the others.
fn routed_ways(scope: &Scope<'_>, routed: &VirtualService, caller: Caller<'_>, tls: bool) -> Vec<Way> {
    let mut ways = if tls { tls_ways(scope, routed, caller) } else { Vec::new() };
    ways.extend(tcp_ways(scope, routed, caller));
    ways
}

/// The ways that a VirtualService gives to a caller's TLS, by server name.
pub(super) fn tls_ways(scope: &Scope<'_>, routed: &VirtualService, caller: Caller<'_>) -> Vec<Way> {
    let mut ways = Vec::new();
    for (place, route) in routed.tls.iter().enumerate() {
        for (alternative, condition) in route.matches.iter().enumerate() {
            let names = condition.sni_hosts.iter().map(|host| host.as_str().to_owned()).filter(|name| name != "*").collect();
            let field = format!("tls[{place}].match[{alternative}]");
            let way = way(scope, routed, caller, &condition.connection, &route.destinations, field);
            ways.extend(way.map(|way| Way { server_names: names, ..way }));
        }
    }
    ways
}

/// The ways that a VirtualService gives to a caller's connections of any kind.
pub(super) fn tcp_ways(scope: &Scope<'_>, routed: &VirtualService, caller: Caller<'_>) -> Vec<Way> {
    let mut ways = Vec::new();
    for (place, route) in routed.tcp.iter().enumerate() {
        if route.matches.is_empty() {
            ways.extend(way(scope, routed, caller, &TcpMatch::default(), &route.destinations, format!("tcp[{place}]")));
        }
        for (alternative, condition) in route.matches.iter().enumerate() {
            let field = format!("tcp[{place}].match[{alternative}]");
            ways.extend(way(scope, routed, caller, condition, &route.destinations, field));
        }
    }
    ways
}

/// The way of a route for one of its conditions, if the caller can fulfil that.
fn way(
    scope: &Scope<'_>,
    routed: &VirtualService,
    caller: Caller<'_>,
    condition: &TcpMatch,
    destinations: &[WeightedDestination],
    field: String,
) -> Option<Way> {
    if !scope.may_match_tcp(condition, caller) {
        return None;
    }
    scope.shaped_by(&routed.origin);
    let filters = to_destinations(scope, destinations, caller.port);
    let origin = Some(made_by(&routed.origin, "virtual-service", field));
    Some(Way { ranges: condition.destination_subnets.clone(), filters, origin, ..Way::default() })
}

fn to_destinations(scope: &Scope<'_>, destinations: &[WeightedDestination], called: u16) -> Vec<Filter> {
    let targets: Vec<_> = weighted(destinations).into_iter().map(|it| (target(scope, &it.destination, called), it.weight.max(1))).collect();
    let mut filters = opaque(targets.iter().any(|(target, _)| target.protocol == Some(Protocol::Auto)));
    filters.extend(targets.iter().find_map(|(target, _)| target.looked_up).map(|port| name_lookup::of_connections(scope, port)));
    let place = targets.first().map(|(target, _)| target.cluster.clone()).unwrap_or_else(|| BLACK_HOLE_CLUSTER.to_owned());
    let policies: Vec<_> = targets.iter().map(|(target, _)| &target.policy).collect();
    filters.push(match &*targets {
        [] | [_] => proxy_to(scope, &place, ClusterSpecifier::Cluster(place.clone()), &policies),
        _ => {
            let weight = |(target, weight): &(Target, u32)| ClusterWeight {
                name: target.cluster.clone(),
                weight: *weight,
                ..ClusterWeight::default()
            };
            let clusters = WeightedCluster { clusters: targets.iter().map(weight).collect() };
            proxy_to(scope, &place, ClusterSpecifier::WeightedClusters(clusters), &policies)
        }
    });
    filters
}

/// Passes connections on to destinations with these policies. What holds for a connection before its destination is chosen is what the
/// first of them says.
fn proxy_to(scope: &Scope<'_>, place: &str, to: ClusterSpecifier, policies: &[&TrafficPolicy]) -> Filter {
    let pool = policies.first().and_then(|policy| policy.connection_pool.as_ref());
    let config = TcpProxy {
        stat_prefix: place.to_owned(),
        access_log: access_logs(scope),
        idle_timeout: pool.and_then(|pool| pool.tcp_idle_timeout).map(duration),
        max_downstream_connection_duration: pool.and_then(|pool| pool.max_connection_duration).map(duration),
        tunneling_config: policies.first().and_then(|policy| policy.tunnel.as_ref()).map(tunneling),
        hash_policy: hashing::of_connections(policies.iter().copied()),
        cluster_specifier: Some(to),
        ..TcpProxy::default()
    };
    network_filter("envoy.filters.network.tcp_proxy", &config)
}

/// Through the destination, which is a proxy of HTTP, to another host.
fn tunneling(tunnel: &Tunnel) -> TunnelingConfig {
    let host = tunnel.target_host.as_str();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let hostname = format!("{host}:{}", tunnel.target_port);
    TunnelingConfig { hostname, use_post: tunnel.by_post, ..TunnelingConfig::default() }
}

/// A cluster of which nobody says what it speaks offers HTTP; connections that are none have to say so, for the other sidecar treats
/// HTTP and other bytes differently before it has decrypted any.
fn opaque(undeclared: bool) -> Vec<Filter> {
    if !undeclared {
        return Vec::new();
    }
    let value = SubstitutionFormatString {
        format: Some(Format::TextFormatSource(inline(&alpn::TCP.join(",")))),
        ..SubstitutionFormatString::default()
    };
    let state = FilterStateValue {
        key: Some(Key::ObjectKey(OFFERED_PROTOCOLS.to_owned())),
        value: Some(Value::FormatString(value)),
        ..FilterStateValue::default()
    };
    let config = SetFilterState { on_new_connection: vec![state], ..SetFilterState::default() };
    vec![network_filter("envoy.filters.network.set_filter_state", &config)]
}
