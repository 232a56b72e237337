//! The ports of the proxy's own workload to which services lead.

use std::{collections::BTreeMap, sync::Arc};

use super::scope::Scope;
use crate::model::{Protocol, Service, TargetPort};

/// One port on which the application listens.
#[derive(Debug)]
pub(super) struct WorkloadPort<'a> {
    /// What the senior of the services says is spoken.
    pub(super) protocol: Protocol,
    /// The number that clients of that service call.
    pub(super) called: u16,
    /// The services that lead here, the senior first; never empty.
    pub(super) services: Vec<&'a Arc<Service>>,
}

/// The ports by number. Where services disagree about one, the oldest holds.
pub(super) fn workload_ports<'a>(scope: &Scope<'a>) -> BTreeMap<u16, WorkloadPort<'a>> {
    let mut services = scope.own_services();
    services.sort_by_key(|service| (service.created, &service.key));
    let mut ports: BTreeMap<u16, WorkloadPort<'a>> = BTreeMap::new();
    for service in services {
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            let Some(number) = target(scope, &port.target) else { continue };
            let new = || WorkloadPort { protocol: port.protocol, called: port.number, services: Vec::new() };
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
