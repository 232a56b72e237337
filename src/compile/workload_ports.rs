//! The ports of the proxy's own workload: those to which services lead, or those that its Sidecar lists.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::scope::Scope;
use crate::model::{IngressListener, Protocol, Service, TargetPort};

/// One port on which the workload is called.
#[derive(Debug)]
pub(super) struct WorkloadPort<'a> {
    /// What the senior of the services says is spoken, or the Sidecar.
    pub(super) protocol: Protocol,
    /// The number that clients of that service call.
    pub(super) called: u16,
    /// The services that lead here, the senior first. Never empty but where the Sidecar lists the port.
    pub(super) services: Vec<&'a Arc<Service>>,
    /// What the Sidecar says of it.
    pub(super) listed: Option<&'a IngressListener>,
}

// === impl WorkloadPort ===

impl WorkloadPort<'_> {
    /// Whether clients connect to the proxy itself, rather than being redirected.
    pub(super) fn is_opened(&self, scope: &Scope<'_>) -> bool {
        self.listed.is_some_and(|listed| scope.opens(listed))
    }

    /// The address that the proxy listens on for such a port. All addresses would be those of a listener for what the application calls,
    /// too: the pod's own is meant.
    pub(super) fn opened_at(&self, scope: &Scope<'_>) -> IpAddr {
        let bind = self.listed.and_then(|listed| listed.bind).filter(|bind| !bind.is_unspecified());
        bind.or_else(|| scope.address()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// The ports by number. Where services disagree about one, the oldest holds. Where a Sidecar lists ports, there are no others.
pub(super) fn workload_ports<'a>(scope: &Scope<'a>) -> BTreeMap<u16, WorkloadPort<'a>> {
    let mut ports = ports_of_services(scope);
    let Some(sidecar) = scope.sidecar().filter(|sidecar| !sidecar.ingress.is_empty()) else { return ports };
    scope.shaped_by(&sidecar.origin);
    let listed = |listed: &'a IngressListener| {
        let services = ports.remove(&listed.port).map(|port| port.services).unwrap_or_default();
        let protocol = listed.protocol.unwrap_or(Protocol::Auto);
        (listed.port, WorkloadPort { protocol, called: listed.port, services, listed: Some(listed) })
    };
    sidecar.ingress.iter().filter(|listed| listed.protocol != Some(Protocol::Udp)).map(listed).collect()
}

fn ports_of_services<'a>(scope: &Scope<'a>) -> BTreeMap<u16, WorkloadPort<'a>> {
    let mut services = scope.own_services();
    services.sort_by_key(|service| (service.created, &service.key));
    let mut ports: BTreeMap<u16, WorkloadPort<'a>> = BTreeMap::new();
    for service in services {
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            let Some(number) = target(scope, &port.target) else { continue };
            let new = || WorkloadPort { protocol: port.protocol, called: port.number, services: Vec::new(), listed: None };
            ports.entry(number).or_insert_with(new).services.push(service);
        }
    }
    ports
}

/// The ports of the proxy's own workload on which calls of a service's port `called` arrive, sorted; `called` itself if no service
/// selects the workload and has that port.
pub(super) fn ports_called(scope: &Scope<'_>, called: u16) -> Vec<u16> {
    let services = scope.own_services();
    let matching =
        services.iter().flat_map(|service| &service.ports).filter(|port| port.number == called && port.protocol != Protocol::Udp);
    let mut found: Vec<u16> = matching.filter_map(|port| target(scope, &port.target)).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { vec![called] } else { found }
}

fn target(scope: &Scope<'_>, target: &TargetPort) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => scope.named_port(name),
    }
}
