//! Endpoints: the addresses behind a service, joined with the workloads that have them.

use std::{net::IpAddr, sync::Arc};

use super::{
    declarations::{Backing, Declaration, ports_of, selects},
    slices::Slices,
    update::WORKLOAD_ENTRY,
    workloads::Workloads,
};
use crate::config::kubernetes::SliceEndpoint;
use crate::model::{
    Endpoint, Health, Labels, NETWORK, ObjectRef, Resolution, Service, ServiceEntryEndpoint, ServicePort, Snapshot, SpiffeId, TargetPort,
    UNIX_SOCKET, Workload, WorkloadEntry, WorkloadKey,
};

/// What endpoints are made from.
pub(super) struct Join<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) workloads: &'a Workloads,
    pub(super) slices: &'a Slices,
}

// === impl Join ===

impl Join<'_> {
    /// The endpoints of a service from all its declarations: sorted by address and port, each once; none if there are none.
    pub(super) fn endpoints(&self, service: &Service, declarations: &[Declaration]) -> Option<Arc<[Endpoint]>> {
        let mut endpoints = Vec::new();
        for declaration in declarations {
            let ports = ports_of(declaration, service);
            if let Some(selector) = declaration.selector() {
                self.outside(&declaration.service, &ports, selector, &mut endpoints);
            }
            match &declaration.backing {
                Backing::Slices => self.sliced(&declaration.service, &ports, &mut endpoints),
                Backing::Named(named) => self.named(&declaration.service, &ports, named, &mut endpoints),
                Backing::Selected(selector) => self.selected(&declaration.service, &ports, selector, &mut endpoints),
            }
        }
        // Slices may overlap while one takes over from another; the healthier form is the newer one.
        endpoints.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| health_order(a).cmp(&health_order(b))));
        endpoints.dedup_by(|a, b| order(a) == order(b));
        (!endpoints.is_empty()).then(|| endpoints.into())
    }

    fn sliced(&self, service: &Service, ports: &[&ServicePort], endpoints: &mut Vec<Endpoint>) {
        for slice in self.slices.of_service(&service.origin) {
            let slice_ports: Vec<_> = slice.ports.iter().filter(|port| ports.iter().any(|known| known.name == port.name)).collect();
            for found in &slice.endpoints {
                // An address of a pod comes with its pod: without, nobody would know whom to expect there.
                let Ok(workload) = self.workload_of(found, service) else { continue };
                for port in &slice_ports {
                    let endpoint = self.at_workload(workload, &found.text, port.number, &port.name, found.health);
                    endpoints.push(Endpoint { hostname: found.hostname.clone(), ..endpoint });
                }
            }
        }
    }

    /// The workload at an address of a slice, if there is one; an error if there should be one.
    fn workload_of(&self, endpoint: &SliceEndpoint, service: &Service) -> Result<Option<&Arc<Workload>>, UnknownPod> {
        match &endpoint.pod {
            Some(pod) => self.snapshot.workloads.get(pod).map(Some).ok_or(UnknownPod),
            // A slice that people made. It does not speak for another namespace's pods.
            None => Ok(self.snapshot.workload_at(&endpoint.address).filter(|found| found.key.namespace == service.key.namespace)),
        }
    }

    fn at_workload(
        &self,
        workload: Option<&Arc<Workload>>,
        address: &Arc<str>,
        port: u16,
        service_port: &Arc<str>,
        health: Health,
    ) -> Endpoint {
        let labels = |key: &WorkloadKey| self.workloads.labels(key).cloned().unwrap_or_default();
        Endpoint {
            address: address.clone(),
            hostname: None,
            port,
            service_port: service_port.clone(),
            health,
            labels: workload.map(|workload| labels(&workload.key)).unwrap_or_default(),
            workload: workload.map(|workload| workload.key.clone()),
            identity: workload.map(|workload| workload.identity.clone()),
            mtls: workload.is_some_and(|workload| workload.speaks_mtls()),
            locality: workload.map(|workload| workload.locality.clone()).unwrap_or_default(),
            weight: 1,
        }
    }

    fn named(&self, service: &Service, ports: &[&ServicePort], named: &[ServiceEntryEndpoint], endpoints: &mut Vec<Endpoint>) {
        for given in named {
            self.given(service, ports, given, None, endpoints);
        }
    }

    /// WorkloadEntries of the service's namespace with these labels.
    fn outside(&self, service: &Service, ports: &[&ServicePort], selector: &Labels, endpoints: &mut Vec<Endpoint>) {
        for entry in entries_in(self.snapshot, &service.key.namespace) {
            if let Some(given) = entry.endpoint.as_ref().filter(|given| selects(selector, &given.labels)) {
                let key = WorkloadKey { namespace: entry.origin.namespace.clone(), name: entry.origin.name.clone() };
                self.given(service, ports, given, Some(key), endpoints);
            }
        }
    }

    /// An endpoint as its author described it.
    fn given(
        &self,
        service: &Service,
        ports: &[&ServicePort],
        given: &ServiceEntryEndpoint,
        workload: Option<WorkloadKey>,
        endpoints: &mut Vec<Endpoint>,
    ) {
        let by_name = matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
        let socket = given.address.starts_with(UNIX_SOCKET);
        // Envoy takes addresses alone where it is told the endpoints, and nothing but addresses and names where it looks them up.
        let named = !socket && given.address.parse::<IpAddr>().is_err();
        if if by_name { socket || given.address.is_empty() } else { named && !given.address.is_empty() } {
            return;
        }
        let labels = Arc::new(given.labels.clone());
        for port in ports {
            let Some(number) = (if socket { Some(0) } else { given.port_of(port) }) else { continue };
            endpoints.push(Endpoint {
                address: given.address.clone(),
                hostname: None,
                port: number,
                service_port: port.name.clone(),
                health: Health::Healthy,
                labels: labels.clone(),
                workload: workload.clone(),
                identity: given.service_account.as_ref().map(|account| self.identity(service, account)),
                mtls: !service.external && given.speaks_mtls(),
                locality: given.locality.clone(),
                weight: given.weight,
            });
        }
    }

    fn identity(&self, service: &Service, account: &Arc<str>) -> SpiffeId {
        SpiffeId {
            trust_domain: self.snapshot.mesh.trust_domain.as_str().into(),
            namespace: service.key.namespace.clone(),
            service_account: account.clone(),
        }
    }

    fn selected(&self, service: &Service, ports: &[&ServicePort], selector: &Labels, endpoints: &mut Vec<Endpoint>) {
        let ready = self.workloads.in_namespace(&service.key.namespace).filter(|key| self.workloads.is_ready(key));
        let workloads = ready.filter_map(|key| self.snapshot.workloads.get(key));
        for workload in workloads.filter(|workload| selects(selector, &workload.labels)) {
            let Some(address) = workload.addresses.first() else { continue };
            let address: Arc<str> = address.to_string().into();
            for port in ports {
                let named = |name: &Arc<str>| workload.named_ports.iter().find(|(own, _)| own == name).map(|(_, number)| *number);
                let number = match &port.target {
                    TargetPort::Number(number) => Some(*number),
                    TargetPort::Name(name) => named(name),
                };
                if let Some(number) = number {
                    endpoints.push(self.at_workload(Some(workload), &address, number, &port.name, Health::Healthy));
                }
            }
        }
    }
}

/// A slice names a pod that has not been seen yet, or has gone.
struct UnknownPod;

/// The WorkloadEntries of a namespace, by name.
fn entries_in<'a>(snapshot: &'a Snapshot, namespace: &Arc<str>) -> impl Iterator<Item = &'a Arc<WorkloadEntry>> + use<'a> {
    let first = ObjectRef::new(WORKLOAD_ENTRY, namespace, "");
    let namespace = namespace.clone();
    let entries = snapshot.config.workload_entries.range(first..).map(|(_, entry)| entry);
    entries.take_while(move |entry| entry.origin.namespace == namespace)
}

/// What makes an endpoint the same as another.
fn order(endpoint: &Endpoint) -> (&str, u16, &str, Option<&str>, Option<&WorkloadKey>) {
    // Two networks may have the same address. Of who has none the name tells.
    let network = endpoint.labels.get(NETWORK).map(String::as_str);
    let workload = endpoint.workload.as_ref().filter(|_| endpoint.address.is_empty());
    (&endpoint.address, endpoint.port, &endpoint.service_port, network, workload)
}

fn health_order(endpoint: &Endpoint) -> u8 {
    match endpoint.health {
        Health::Healthy => 0,
        Health::Draining => 1,
        Health::Unhealthy => 2,
    }
}
