//! From a cluster to the endpoints that may be chosen.

use std::net::IpAddr;

use envoy_api::envoy::config::{
    cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType},
    },
    core::v3::{HealthStatus, address::Address as Specifier, socket_address::PortSpecifier},
    endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
};

use super::{Configuration, Origin, Outcome, Possibility, Step, configuration::Known, decision::Trace, origin};

/// The way to clusters.
pub(super) struct Reach<'c> {
    pub(super) configuration: &'c Configuration,
    /// Where the connection was opened to.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    /// Whether it is bytes that travel, so that no status tells what went wrong.
    pub(super) opaque: bool,
}

/// Clusters with weights as clusters with shares.
pub(super) fn shares(weighted: impl Iterator<Item = (String, u32)> + Clone) -> Vec<(String, f64)> {
    let total: u64 = weighted.clone().map(|(_, weight)| u64::from(weight)).sum();
    weighted.filter(|(_, weight)| *weight > 0).map(|(name, weight)| (name, f64::from(weight) / total.max(1) as f64)).collect()
}

impl Reach<'_> {
    /// What becomes of what goes to a cluster. `by` are the objects that sent it there.
    pub(super) fn to(&self, name: &str, by: Vec<Origin>, trace: &mut Trace) -> Possibility {
        let Some(known) = self.configuration.clusters.get(name) else {
            return self.failed(format!("there is no cluster {name}: is its host declared, and its subset in a DestinationRule?"), by);
        };
        let (endpoints, because) = self.endpoints(&known.message);
        trace.decided(Step::Cluster, name, because, made_by(known));
        let Some(endpoints) = endpoints else {
            return self.failed(format!("cluster {name} has no endpoint that may be used"), by);
        };
        let by = if by.is_empty() { made_by(known) } else { by };
        Possibility::certain(Outcome::Sent { cluster: name.to_owned(), endpoints }, "an endpoint is chosen", by)
    }

    fn failed(&self, because: String, by: Vec<Origin>) -> Possibility {
        if self.opaque { Possibility::closed(because, by) } else { Possibility::answer(503, because, by) }
    }

    /// The endpoints of a cluster, and how they are found; none at all if there is none to use.
    fn endpoints(&self, cluster: &Cluster) -> (Option<Vec<String>>, String) {
        if is(cluster, DiscoveryType::OriginalDst) {
            let told = self.address.map(|address| vec![shown(&address.to_string(), self.port)]);
            return (Some(told.unwrap_or_default()), "it leads to where the connection was opened to".to_owned());
        }
        if is(cluster, DiscoveryType::Eds) {
            let known = self.configuration.endpoints.get(&*cluster.name);
            let found = known.map(|known| first_priority(&known.message)).unwrap_or_default();
            let told = counted(found.len());
            return ((!found.is_empty()).then_some(found), told);
        }
        let found = cluster.load_assignment.as_ref().map(first_priority).unwrap_or_default();
        let by_dns = matches!(cluster.cluster_discovery_type, Some(ClusterDiscoveryType::ClusterType(_)));
        let told = if by_dns && !found.is_empty() { "its endpoints are found by DNS".to_owned() } else { counted(found.len()) };
        ((!found.is_empty()).then_some(found), told)
    }
}

fn counted(endpoints: usize) -> String {
    match endpoints {
        0 => "it has no endpoints".to_owned(),
        1 => "it has 1 endpoint".to_owned(),
        several => format!("it has {several} endpoints"),
    }
}

fn is(cluster: &Cluster, discovery: DiscoveryType) -> bool {
    match cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(own)) => own == i32::from(discovery),
        // Static is what is meant where nothing is said.
        _ => discovery == DiscoveryType::Static && cluster.cluster_discovery_type.is_none(),
    }
}

/// The endpoints that are tried first.
fn first_priority(assignment: &ClusterLoadAssignment) -> Vec<String> {
    let usable = |endpoint: &&LbEndpoint| {
        ![HealthStatus::Unhealthy, HealthStatus::Draining, HealthStatus::Timeout]
            .iter()
            .any(|bad| endpoint.health_status == i32::from(*bad))
    };
    let groups = assignment.endpoints.iter().map(|group| {
        let found: Vec<String> = group.lb_endpoints.iter().filter(usable).filter_map(address_of).collect();
        (group.priority, found)
    });
    let groups: Vec<_> = groups.filter(|(_, found)| !found.is_empty()).collect();
    let first = groups.iter().map(|(priority, _)| *priority).min();
    groups.into_iter().filter(|(priority, _)| Some(*priority) == first).flat_map(|(_, found)| found).collect()
}

/// `address:port` of an endpoint.
pub(super) fn address_of(endpoint: &LbEndpoint) -> Option<String> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else { return None };
    match host.address.as_ref()?.address.as_ref()? {
        Specifier::SocketAddress(socket) => match socket.port_specifier {
            Some(PortSpecifier::PortValue(port)) => Some(shown(&socket.address, u16::try_from(port).ok()?)),
            _ => None,
        },
        Specifier::Pipe(pipe) => Some(pipe.path.clone()),
        Specifier::EnvoyInternalAddress(_) => None,
    }
}

fn shown(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// The objects that made a cluster: its service, and the DestinationRule, with the subset if it is one's.
fn made_by(known: &Known<Cluster>) -> Vec<Origin> {
    let metadata = known.message.metadata.as_ref();
    let field = origin::subset(metadata).map(|name| format!("spec.subsets[name={name}]"));
    let rules = origin::of_kinds(&known.sources, &["DestinationRule"]).into_iter().map(|it| Origin { field: field.clone(), ..it });
    origin::of_kinds(&known.sources, &["Service", "ServiceEntry"]).into_iter().chain(rules).collect()
}
