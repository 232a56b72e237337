//! Addresses behind a cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use envoy_api::envoy::config::{
    core::v3::{HealthStatus, Locality},
    endpoint::v3::{ClusterLoadAssignment, Endpoint as Host, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
};
use prost_types::Struct;

use super::{
    cluster::{self, Discovery, Finder},
    locality::{self, Preference},
    message::{metadata, object, socket_address, text, unix_socket},
    naming::ClusterKey,
    networks::{Networks, may_be_crossed},
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{Endpoint, Health, LOCAL_CLUSTER, Labels, MtlsMode, Protocol, Service, TrafficPolicy, UNIX_SOCKET};

/// What an endpoint's metadata for the choice of a transport socket says if it answers the mesh's mTLS.
pub(super) fn speaks_mtls() -> Struct {
    object([("tlsMode", text("istio"))])
}

/// The endpoints of a cluster, as pilot tells them; `None` if the cluster finds them otherwise.
pub(super) fn assignment(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let reached = |endpoint: &Endpoint| endpoint.address.is_empty() || endpoint.address.starts_with(UNIX_SOCKET) || has_address(endpoint);
    told(scope, key, &key.to_string(), cluster::discovery, |_, endpoint| reached(endpoint))
}

/// The same for who chooses an endpoint always, and knows no sockets and no gateways of other networks.
pub(super) fn listed(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let networks = Networks::of(scope);
    let is_near = |endpoint: &Endpoint| networks.as_ref().is_none_or(|networks| networks.gateways_to(endpoint).is_none());
    told(scope, key, &key.to_string(), cluster::listed, |_, endpoint| has_address(endpoint) && is_near(endpoint))
}

/// The endpoints to which a gateway passes the mesh's own mTLS on unopened: those that speak it.
pub(super) fn passed_on(scope: &Scope<'_>, key: &ClusterKey) -> Option<Draft> {
    let reached = |endpoint: &Endpoint| endpoint.address.is_empty() || has_address(endpoint);
    told(scope, key, &key.server_name(), cluster::discovery, |service, endpoint| {
        reached(endpoint) && answers_mtls(scope, service, endpoint)
    })
}

/// The endpoints of a service's port, and subset of its workloads, under the name of their cluster. Envoy refuses names of hosts here: it
/// resolves none, so that `reached` must leave them out.
fn told(
    scope: &Scope<'_>,
    key: &ClusterKey,
    name: &str,
    discovery: Finder,
    reached: impl Fn(&Service, &Endpoint) -> bool,
) -> Option<Draft> {
    let service = scope.service(&key.service)?;
    service.port(key.port)?;
    let policy = scope.traffic_policy(service, key.port, key.subset.as_deref());
    if discovery(scope, service, &policy) != Discovery::Eds {
        return None;
    }
    scope.shaped_by(&service.origin);
    let usable = usable(scope, service, key).into_iter().filter(|endpoint| reached(service, endpoint));
    let to = Called { service, policy: &policy };
    let assignment = grouped(scope, name, &to, locality::preference(&policy, scope.settings()), usable);
    Some(Draft::new(ResourceType::Endpoints, name, &assignment))
}

fn has_address(endpoint: &Endpoint) -> bool {
    endpoint.address.parse::<IpAddr>().is_ok()
}

/// The endpoints that a cluster resolves by DNS; `one` for clusters that take no more than one.
pub(super) fn resolved_by_dns(
    scope: &Scope<'_>,
    service: &Service,
    key: &ClusterKey,
    policy: &TrafficPolicy,
    one: bool,
) -> ClusterLoadAssignment {
    let most = if one { 1 } else { usize::MAX };
    let preference = locality::preference(policy, scope.settings());
    grouped(scope, &key.to_string(), &Called { service, policy }, preference, usable(scope, service, key).into_iter().take(most))
}

/// The workloads of the proxy's own service, the oldest where it has several: each once, whatever its ports.
pub(super) fn local(scope: &Scope<'_>) -> Draft {
    let own = scope.own_services().into_iter().min_by_key(|service| (service.created, &service.key));
    let port = own.and_then(|service| Some((service, service.ports.iter().find(|port| port.protocol != Protocol::Udp)?)));
    let assignment = match port {
        Some((service, port)) => {
            scope.shaped_by(&service.origin);
            let key = ClusterKey { service: service.key.clone(), port: port.number, subset: None };
            let to = Called { service, policy: &TrafficPolicy::default() };
            grouped(scope, LOCAL_CLUSTER, &to, None, usable(scope, service, &key).into_iter())
        }
        // Envoy waits for an answer before it starts.
        None => ClusterLoadAssignment { cluster_name: LOCAL_CLUSTER.to_owned(), ..ClusterLoadAssignment::default() },
    };
    Draft::new(ResourceType::Endpoints, LOCAL_CLUSTER, &assignment)
}

/// Whether every endpoint of a service's port answers the mesh's mTLS, and there is one.
pub(super) fn all_speak_mtls(scope: &Scope<'_>, service: &Service, key: &ClusterKey) -> bool {
    let usable = usable(scope, service, key);
    !usable.is_empty() && usable.into_iter().all(|endpoint| answers_mtls(scope, service, endpoint))
}

/// The endpoints of a cluster that may get traffic.
fn usable<'a>(scope: &Scope<'a>, service: &Service, key: &ClusterKey) -> Vec<&'a Endpoint> {
    let Some(port) = service.port(key.port) else { return Vec::new() };
    let labels = match &key.subset {
        None => None,
        Some(name) => match scope.subset(service, name) {
            Some(subset) => Some(&subset.labels),
            None => return Vec::new(),
        },
    };
    let chosen = |endpoint: &&Endpoint| {
        endpoint.service_port == port.name
            && (endpoint.health != Health::Unhealthy || service.publish_not_ready)
            && labels.is_none_or(|labels| labels.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value)))
    };
    scope.endpoints(&service.key).iter().filter(chosen).collect()
}

fn answers_mtls(scope: &Scope<'_>, service: &Service, endpoint: &Endpoint) -> bool {
    let namespace = endpoint.workload.as_ref().map_or(&service.key.namespace, |workload| &workload.namespace);
    let selects = |selector: &Labels| selector.iter().all(|(name, value)| endpoint.labels.get(name) == Some(value));
    endpoint.mtls && scope.accepted(namespace, selects).on(endpoint.port) != MtlsMode::Disable
}

/// Whom a cluster leads to, and how.
struct Called<'a> {
    service: &'a Service,
    policy: &'a TrafficPolicy,
}

/// Endpoints of one rank in one place.
#[derive(Default)]
struct Group {
    endpoints: Vec<LbEndpoint>,
    /// Gateways of other networks, with the weight of what stands behind them.
    gateways: BTreeMap<(IpAddr, u16), u32>,
}

// === impl Group ===

impl Group {
    /// Divides a weight among gateways.
    fn behind(&mut self, gateways: &[(IpAddr, u16)], weight: u32) {
        let share = weight / u32::try_from(gateways.len()).unwrap_or(u32::MAX).max(1);
        for gateway in gateways {
            let sum = self.gateways.entry(*gateway).or_default();
            *sum = sum.saturating_add(share.max(1));
        }
    }

    /// All endpoints. A gateway passes connections on unopened, so it is called as those behind it are.
    fn into_endpoints(self) -> Vec<LbEndpoint> {
        let gateway = |((address, port), weight): ((IpAddr, u16), u32)| {
            let host = Host { address: Some(socket_address(&address.to_string(), port)), ..Host::default() };
            lb_endpoint(host, HealthStatus::Healthy, true, weight)
        };
        self.endpoints.into_iter().chain(self.gateways.into_iter().map(gateway)).collect()
    }
}

fn lb_endpoint(host: Host, health: HealthStatus, mtls: bool, weight: u32) -> LbEndpoint {
    LbEndpoint {
        health_status: health.into(),
        metadata: mtls.then(|| metadata("envoy.transport_socket_match", speaks_mtls())),
        load_balancing_weight: Some(weight),
        host_identifier: Some(HostIdentifier::Endpoint(host)),
    }
}

fn grouped<'e>(
    scope: &Scope<'_>,
    cluster: &str,
    to: &Called<'_>,
    preference: Option<Preference<'_>>,
    endpoints: impl Iterator<Item = &'e Endpoint>,
) -> ClusterLoadAssignment {
    let endpoints: Vec<&Endpoint> = endpoints.collect();
    // Where all are going away, they are still better than none.
    let draining =
        if endpoints.iter().any(|endpoint| endpoint.health != Health::Draining) { HealthStatus::Draining } else { HealthStatus::Healthy };
    let ranks = preference.as_ref().map_or_else(|| vec![0; endpoints.len()], |it| it.ranks(scope, &endpoints));
    let networks = Networks::of(scope);
    let scale = networks.as_ref().map_or(1, Networks::scale);
    let crossed = networks.is_some() && may_be_crossed(to.service, to.policy, scope.settings());
    let mut localities: BTreeMap<(u32, &str), Group> = BTreeMap::new();
    for (endpoint, rank) in endpoints.into_iter().zip(ranks) {
        let health = if endpoint.health == Health::Draining { draining } else { HealthStatus::Healthy };
        let mtls = answers_mtls(scope, to.service, endpoint);
        let weight = endpoint.weight.max(1).saturating_mul(scale);
        let group = (rank, &*endpoint.locality);
        if let Some(gateways) = networks.as_ref().and_then(|networks| networks.gateways_to(endpoint)) {
            if crossed && mtls && health != HealthStatus::Draining {
                localities.entry(group).or_default().behind(gateways, weight);
            }
            continue;
        }
        let address = match endpoint.address.strip_prefix(UNIX_SOCKET) {
            Some(path) => unix_socket(path),
            // Nobody knows where it is but a gateway that there is not.
            None if endpoint.address.is_empty() => continue,
            None => socket_address(&endpoint.address, endpoint.port),
        };
        let host = Host { address: Some(address), ..Host::default() };
        localities.entry(group).or_default().endpoints.push(lb_endpoint(host, health, mtls, weight));
    }
    let localities: BTreeMap<(u32, &str), Vec<LbEndpoint>> = localities.into_iter().map(|(key, it)| (key, it.into_endpoints())).collect();
    let localities = without_gaps(localities);
    let own: Vec<(&str, u32)> = localities.iter().map(|((_, locality), endpoints)| (*locality, weight(endpoints))).collect();
    let weights = preference.and_then(|it| it.weights(scope, &own));
    let weights = weights.unwrap_or_else(|| own.iter().map(|(_, weight)| *weight).collect());
    let groups = localities.into_iter().zip(weights).filter(|(_, weight)| *weight > 0);
    let endpoints = groups.map(|(((rank, locality), endpoints), weight)| group(locality, rank, weight, endpoints)).collect();
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints, ..ClusterLoadAssignment::default() }
}

/// The same with ranks that follow one upon the other: Envoy refuses a gap, which endpoints leave that are not reached.
fn without_gaps(localities: BTreeMap<(u32, &str), Vec<LbEndpoint>>) -> BTreeMap<(u32, &str), Vec<LbEndpoint>> {
    let ranks: BTreeSet<u32> = localities.keys().map(|(rank, _)| *rank).collect();
    let ranks: BTreeMap<u32, u32> = ranks.into_iter().zip(0..).collect();
    localities.into_iter().map(|((rank, locality), endpoints)| ((ranks[&rank], locality), endpoints)).collect()
}

/// One host, and nothing known of it.
pub(super) fn alone(cluster: &str, host: &str, port: u16) -> ClusterLoadAssignment {
    let host = Host { address: Some(socket_address(host, port)), ..Host::default() };
    let endpoint = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(host)), ..LbEndpoint::default() };
    let group = LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..LocalityLbEndpoints::default() };
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints: vec![group], ..ClusterLoadAssignment::default() }
}

fn weight(endpoints: &[LbEndpoint]) -> u32 {
    endpoints.iter().filter_map(|endpoint| endpoint.load_balancing_weight).fold(0, u32::saturating_add)
}

fn group(locality: &str, rank: u32, weight: u32, endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    let mut parts = locality.splitn(3, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    LocalityLbEndpoints {
        locality: Some(Locality { region: part(), zone: part(), sub_zone: part() }),
        lb_endpoints: endpoints,
        load_balancing_weight: Some(weight),
        priority: rank,
        ..LocalityLbEndpoints::default()
    }
}
