//! Where a route leads: the cluster of a destination.

use super::{naming, scope::Scope};
use crate::model::{Destination, Protocol, Resolution, Service, ServicePort, TargetPort, TrafficPolicy, WeightedDestination};

/// The cluster that a destination stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// The cluster's name.
    pub(super) cluster: String,
    /// `host:port`, which people read in traces and statistics.
    pub(super) authority: String,
    /// What is spoken there; `None` if nobody declares the service.
    pub(super) protocol: Option<Protocol>,
    /// The policy for it, as far as routes are concerned.
    pub(super) policy: TrafficPolicy,
    /// The port to which connections go once the name that they ask for is looked up; `None` if that is not how endpoints are found.
    pub(super) looked_up: Option<u16>,
}

/// The cluster of a destination for clients that called `port`. A destination that does not exist has a cluster that does not exist:
/// its requests get 503, all others are served.
pub(super) fn target(scope: &Scope<'_>, destination: &Destination, called: u16) -> Target {
    let service = scope.visible_service(&destination.host);
    let port = destination.port.unwrap_or(match service.map(|service| &*service.ports) {
        Some([only]) => only.number,
        _ => called,
    });
    Target {
        cluster: naming::outbound_cluster(port, destination.subset.as_deref(), &destination.host),
        authority: format!("{}:{port}", destination.host),
        protocol: service.and_then(|service| service.port(port)).map(|port| port.protocol),
        looked_up: service.and_then(|service| looked_up(service, service.port(port)?)),
        policy: service.map(|service| scope.routing_policy(service, port, destination.subset.as_deref())).unwrap_or_default(),
    }
}

/// The port of the hosts that are looked up as connections ask for them; `None` where endpoints are found otherwise.
pub(super) fn looked_up(service: &Service, port: &ServicePort) -> Option<u16> {
    match port.target {
        TargetPort::Number(number) if service.resolution == Resolution::DynamicDns => Some(number),
        _ => None,
    }
}

/// The destinations that get anything: all with a weight, or the sole one.
pub(super) fn weighted(destinations: &[WeightedDestination]) -> Vec<&WeightedDestination> {
    let weighted: Vec<_> = destinations.iter().filter(|destination| destination.weight > 0).collect();
    if weighted.is_empty() { destinations.iter().take(1).collect() } else { weighted }
}
