//! Which services a proxy may call: `exportTo`, the Sidecar's egress hosts, and which of several services of one host counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::scope::Scope;
use crate::model::{HostPattern, HostSelector, OutboundTrafficMode, Service, Sidecar};

fn selects(selector: &HostSelector, namespace: &Arc<str>, host: &HostPattern) -> bool {
    selector.namespace.as_ref().is_none_or(|wanted| wanted == namespace) && selector.host.overlaps(host)
}

/// Whether the Sidecar that holds for the proxy, if any, lets it know a host; `port` narrows that to one port's egress listener.
fn sidecar_admits(sidecar: Option<&Arc<Sidecar>>, namespace: &Arc<str>, host: &HostPattern, port: Option<u16>) -> bool {
    let Some(egress) = sidecar.and_then(|sidecar| sidecar.egress.as_ref()) else { return true };
    let own = egress.iter().any(|listener| listener.port.is_some() && listener.port == port);
    let listeners = egress.iter().filter(|listener| match (port, listener.port) {
        (None, _) | (Some(_), None) => !own,
        (Some(wanted), Some(number)) => wanted == number,
    });
    listeners.flat_map(|listener| &listener.hosts).any(|selector| selects(selector, namespace, host))
}

impl<'a> Scope<'a> {
    /// The services that the proxy may call, one for each host, sorted by host.
    pub(super) fn visible_services(&self) -> Vec<&'a Arc<Service>> {
        self.visible_among(self.services(), None)
    }

    /// The services with that port that the proxy may call, one for each host, sorted by host.
    pub(super) fn visible_services_on(&self, port: u16) -> Vec<&'a Arc<Service>> {
        self.visible_among(self.services_on(port), Some(port))
    }

    /// The service of that very host that the proxy may call.
    pub(super) fn visible_service(&self, host: &HostPattern) -> Option<&'a Arc<Service>> {
        self.visible_among(self.services_named(host), None).into_iter().next()
    }

    /// The service of that port for which another one is a mere name.
    pub(super) fn named_by(&self, alias: &Service, port: u16) -> Option<&'a Arc<Service>> {
        let host = alias.alias_of.as_ref().filter(|host| **host != alias.key.host)?;
        self.visible_service(host).filter(|service| service.alias_of.is_none() && service.port(port).is_some())
    }

    /// Whether the Sidecar that holds for the proxy, if any, lets it know what an object of that namespace says about a host.
    pub(super) fn sidecar_admits(&self, namespace: &Arc<str>, host: &HostPattern, port: u16) -> bool {
        sidecar_admits(self.sidecar(), namespace, host, Some(port))
    }

    fn visible_among(&self, services: impl Iterator<Item = &'a Arc<Service>>, port: Option<u16>) -> Vec<&'a Arc<Service>> {
        let sidecar = self.sidecar();
        let default = &self.settings().default_service_export_to;
        let mut by_host: BTreeMap<&HostPattern, Vec<&'a Arc<Service>>> = BTreeMap::new();
        for service in services {
            let admitted = sidecar_admits(sidecar, &service.key.namespace, &service.key.host, port);
            if admitted && self.sees(service.export_to.or(default), &service.key.namespace) {
                by_host.entry(&service.key.host).or_default().push(service);
            }
        }
        by_host.into_values().filter_map(|candidates| self.preferred(&candidates)).collect()
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

    /// What the proxy does with traffic to where nobody declared a service.
    pub(super) fn outbound_mode(&self) -> OutboundTrafficMode {
        let sidecar = self.sidecar();
        if let Some((sidecar, mode)) = sidecar.and_then(|sidecar| Some((sidecar, sidecar.outbound_traffic?))) {
            self.shaped_by(&sidecar.origin);
            return mode;
        }
        self.settings().outbound_traffic_policy.mode
    }
}
