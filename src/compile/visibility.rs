//! Which services a proxy may call: `exportTo`, the Sidecar's egress hosts, and which of several services of one host counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{destination, naming::PASSTHROUGH_CLUSTER, route, scope::Scope};
use crate::model::{
    Bind, Destination, EgressListener, HostPattern, IngressListener, OutboundTrafficMode, Protocol, Service, ServiceKey, ServicePort,
};

/// The least port that a process without privileges may open everywhere.
const UNPRIVILEGED: u16 = 1024;
/// Ports of the sidecar itself.
const OWN_PORTS: std::ops::RangeInclusive<u16> = 15000..=15099;

/// Where the Sidecar opens a port that the application calls, in place of the services' own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// The address.
    pub(super) address: IpAddr,
    /// Whether applications connect to the proxy itself there, rather than being redirected.
    pub(super) bound: bool,
}

/// The egress listener for a port: the one that names it, else the one for all others.
fn listener_for(egress: &[EgressListener], port: u16) -> Option<&EgressListener> {
    let own = egress.iter().find(|listener| listener.port == Some(port));
    own.or_else(|| egress.iter().find(|listener| listener.port.is_none() && listener.socket().is_none()))
}

/// Whether egress listeners let the proxy know what an object of that namespace says about a host; `port` narrows that to one port.
fn admits(egress: &[EgressListener], namespace: &Arc<str>, host: &HostPattern, port: Option<u16>) -> bool {
    match port.map(|port| listener_for(egress, port)) {
        Some(Some(listener)) => listener.admits(namespace, host),
        Some(None) => false,
        None => egress.iter().any(|listener| listener.admits(namespace, host)),
    }
}

impl<'a> Scope<'a> {
    /// The egress listeners of the Sidecar that holds for the proxy; `None` if it may know everything.
    fn egress(&self) -> Option<&'a [EgressListener]> {
        self.sidecar()?.egress.as_deref()
    }

    /// The services that the proxy may call on some port, one for each host, sorted by host.
    pub(super) fn visible_services(&self) -> Vec<&'a Arc<Service>> {
        self.visible_among(self.services())
    }

    /// The services with that port that the proxy may call there, one for each host, sorted by host.
    ///
    /// Which of several services of a host counts is decided for the host, whatever the port: the one that counts has the clusters.
    pub(super) fn visible_services_on(&self, port: u16) -> Vec<&'a Arc<Service>> {
        let hosts: BTreeSet<&HostPattern> = self.services_on(port).map(|service| &service.key.host).collect();
        let of_host = |host| self.visible_among(self.rivals_for(host)).into_iter().next();
        let speaks = |service: &&'a Arc<Service>| self.visible_ports(service).any(|own| own.number == port);
        hosts.into_iter().filter_map(of_host).filter(speaks).collect()
    }

    /// The ports of a visible service on which the proxy may call it.
    pub(super) fn visible_ports(&self, service: &'a Service) -> impl Iterator<Item = &'a ServicePort> + use<'a> {
        let egress = self.egress();
        service
            .ports
            .iter()
            .filter(move |port| egress.is_none_or(|egress| admits(egress, &service.key.namespace, &service.key.host, Some(port.number))))
    }

    /// The service of that port for which another one is a mere name.
    pub(super) fn named_by(&self, alias: &Service, port: u16) -> Option<&'a Arc<Service>> {
        let host = alias.alias_of.as_ref().filter(|host| **host != alias.key.host)?;
        self.visible_service(host).filter(|service| service.alias_of.is_none() && service.port(port).is_some())
    }

    /// The service of that very host to which a route leads. One that is named by a route is known to the proxy, whatever the Sidecar
    /// says.
    pub(super) fn visible_service(&self, host: &HostPattern) -> Option<&'a Arc<Service>> {
        let visible = self.visible_among(self.services_named(host)).into_iter().next();
        visible.or_else(|| self.preferred(&self.exported(self.services_named(host))))
    }

    /// Whether the Sidecar that holds for the proxy, if any, lets it know what an object of that namespace says about a host that is
    /// called on that port.
    pub(super) fn sidecar_admits(&self, namespace: &Arc<str>, host: &HostPattern, port: u16) -> bool {
        let Some(egress) = self.egress() else { return true };
        // Where no listener is for the port, only who calls a Unix socket can mean it.
        admits(egress, namespace, host, listener_for(egress, port).map(|_| port))
    }

    /// Whether the Sidecar lets the proxy know what an object of that namespace says about a host, on whatever port.
    pub(super) fn sidecar_admits_anywhere(&self, namespace: &Arc<str>, host: &HostPattern) -> bool {
        self.egress().is_none_or(|egress| admits(egress, namespace, host, None))
    }

    /// The services that the proxy has clusters for, with their ports: those that it may call, and where routes lead from there.
    pub(super) fn callable_services(&self) -> Vec<(&'a Arc<Service>, Vec<&'a ServicePort>)> {
        let visible = self.visible_services();
        let Some(egress) = self.egress() else {
            return visible.into_iter().map(|service| (service, service.ports.iter().collect())).collect();
        };
        let mut callable: BTreeMap<&'a ServiceKey, (&'a Arc<Service>, BTreeSet<u16>)> = BTreeMap::new();
        let sockets: Vec<_> = egress.iter().filter(|listener| listener.socket().is_some()).collect();
        for service in visible {
            let by_socket = sockets.iter().any(|listener| listener.admits(&service.key.namespace, &service.key.host));
            let ports = service.ports.iter().map(|port| port.number).filter(|_| by_socket);
            let ports = ports.chain(self.visible_ports(service).map(|port| port.number)).collect();
            callable.insert(&service.key, (service, ports));
        }
        for (host, port) in self.led_to() {
            let Some(service) = self.visible_service(&host) else { continue };
            let ports = service.ports.iter().map(|port| port.number).filter(|number| port.is_none_or(|port| port == *number));
            callable.entry(&service.key).or_insert_with(|| (service, BTreeSet::new())).1.extend(ports);
        }
        let declared = |service: &'a Service, ports: BTreeSet<u16>| service.ports.iter().filter(|it| ports.contains(&it.number)).collect();
        callable.into_values().map(|(service, ports)| (service, declared(service, ports))).collect()
    }

    /// Hosts, and ports where they are named, to which routes and the egress proxy lead.
    fn led_to(&self) -> BTreeSet<(HostPattern, Option<u16>)> {
        let seen = self.virtual_services().filter(|it| {
            self.sees(&it.export_to, &it.origin.namespace)
                && it.hosts.iter().any(|host| self.sidecar_admits_anywhere(&it.origin.namespace, host))
        });
        let routed = seen.flat_map(|it| route::destinations(self, it));
        let proxy = self.sidecar().and_then(|sidecar| sidecar.egress_proxy.clone());
        routed.chain(proxy).map(|destination: Destination| (destination.host, destination.port)).collect()
    }

    /// Where a port that the application calls is opened, because the Sidecar or the pod says so; `None` where services are called at their
    /// own addresses.
    pub(super) fn opened(&self, port: u16) -> Option<Opened> {
        let sidecar = self.sidecar();
        let listener = match sidecar.and_then(|sidecar| sidecar.egress.as_deref()) {
            Some(egress) => Some(listener_for(egress, port)?),
            None => None,
        };
        let named = match listener.and_then(|listener| listener.bind.as_ref()) {
            Some(Bind::Address(address)) => Some(*address),
            _ => None,
        };
        let bound = listener.and_then(|listener| listener.opened).unwrap_or_else(|| self.is_called_itself());
        let address = named.or(bound.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))?;
        // What nobody named must not fail for want of privileges.
        let is_named = listener.is_some_and(|listener| listener.port.is_some());
        let allowed = !bound || !OWN_PORTS.contains(&port) && (is_named || port >= UNPRIVILEGED);
        let ingress = sidecar.into_iter().flat_map(|sidecar| &sidecar.ingress);
        let taken = ingress.into_iter().any(|it| self.opens(it) && it.port == port && it.bind == Some(address));
        (allowed && !taken).then_some(Opened { address, bound })
    }

    /// Whether callers of a listed port connect to the proxy itself, rather than being redirected.
    pub(super) fn opens(&self, listed: &IngressListener) -> bool {
        listed.opened.unwrap_or_else(|| self.is_called_itself())
    }

    /// The paths of the Unix sockets that the Sidecar opens for the application.
    pub(super) fn sockets(&self) -> Vec<&'a Arc<str>> {
        self.egress().into_iter().flatten().filter_map(EgressListener::socket).collect()
    }

    /// The services that are called by a Unix socket, one for each host, sorted by host; with their ports.
    pub(super) fn services_by_socket(&self, path: &str) -> Vec<(&'a Arc<Service>, &'a ServicePort)> {
        let listener = self.egress().into_iter().flatten().find(|listener| listener.socket().is_some_and(|own| **own == *path));
        let Some(listener) = listener else { return Vec::new() };
        let speaks = |port: &&ServicePort| {
            port.protocol != Protocol::Udp && listener.protocol.is_none_or(|wanted| wanted.is_http() == port.protocol.is_http())
        };
        let admitted = self.visible_services().into_iter().filter(|it| listener.admits(&it.key.namespace, &it.key.host));
        admitted.flat_map(|service| service.ports.iter().filter(speaks).map(move |port| (service, port))).collect()
    }

    fn visible_among(&self, services: impl Iterator<Item = &'a Arc<Service>>) -> Vec<&'a Arc<Service>> {
        let egress = self.egress();
        let admitted = services.filter(|it| egress.is_none_or(|egress| admits(egress, &it.key.namespace, &it.key.host, None)));
        let mut by_host: BTreeMap<&HostPattern, Vec<&'a Arc<Service>>> = BTreeMap::new();
        for service in self.exported(admitted) {
            by_host.entry(&service.key.host).or_default().push(service);
        }
        by_host.into_values().filter_map(|candidates| self.preferred(&candidates)).collect()
    }

    fn exported(&self, services: impl Iterator<Item = &'a Arc<Service>>) -> Vec<&'a Arc<Service>> {
        let default = &self.settings().default_service_export_to;
        services.filter(|service| self.sees(service.export_to.or(default), &service.key.namespace)).collect()
    }

    /// Of several services of one host: the one in the proxy's own namespace, else a Kubernetes Service, else the oldest.
    fn preferred(&self, candidates: &[&'a Arc<Service>]) -> Option<&'a Arc<Service>> {
        if let [only] = candidates {
            return Some(only);
        }
        let namespaces: BTreeSet<&Arc<str>> = candidates.iter().map(|service| &service.key.namespace).collect();
        if let Some(own) = self.in_one_of(&namespaces) {
            return candidates.iter().find(|service| service.key.namespace == *own).copied();
        }
        let seniority = |service: &&&Arc<Service>| (service.origin.kind != "Service", service.created, service.origin.clone());
        candidates.iter().min_by_key(seniority).copied()
    }

    /// The cluster for traffic to where nobody declared a service; `None` if such traffic is refused.
    pub(super) fn undeclared_cluster(&self) -> Option<String> {
        let sidecar = self.sidecar();
        let own = sidecar.and_then(|sidecar| sidecar.outbound_traffic);
        if let Some(sidecar) = sidecar.filter(|_| own.is_some()) {
            self.shaped_by(&sidecar.origin);
        }
        match own.unwrap_or_else(|| self.settings().outbound_traffic_policy.mode) {
            OutboundTrafficMode::RegistryOnly => None,
            OutboundTrafficMode::AllowAny => Some(match sidecar.and_then(|sidecar| sidecar.egress_proxy.as_ref()) {
                Some(proxy) => destination::target(self, proxy, proxy.port.unwrap_or_default()).cluster,
                None => PASSTHROUGH_CLUSTER.to_owned(),
            }),
        }
    }
}
