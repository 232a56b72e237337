//! What checks look up, kept up to date from one snapshot to the next at the cost of the change. All of it is persistent, so that a
//! world with one object replaced costs that object.

use std::sync::Arc;

use rpds::HashTrieMapSync;

use super::{host_table::HostTable, multimap::Multimap, selector};
use crate::model::{
    Change, Changes, DestinationRule, Gateway, GatewayServer, HostPattern, HttpAction, MESH_GATEWAY, ObjectRef, ServerCertificate, Service,
    ServiceEntry, ServiceKey, Snapshot, VirtualService, Workload, WorkloadKey,
};

/// The workloads and port that a gateway's server is for: the text of the selector, and the port's number.
pub(super) type Door = (Arc<str>, u16);

/// The indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Services by host.
    pub(super) services: HostTable<ServiceKey>,
    /// Services that select workloads, by namespace.
    pub(super) selecting: Multimap<Arc<str>, ServiceKey>,
    /// Workloads by label, as `name=value`.
    pub(super) labelled: Multimap<Arc<str>, WorkloadKey>,
    /// DestinationRules by host.
    pub(super) rules: HostTable<ObjectRef>,
    /// ServiceEntries by host.
    pub(super) entries: Multimap<HostPattern, ObjectRef>,
    /// VirtualServices for sidecars by host.
    pub(super) mesh_routes: Multimap<HostPattern, ObjectRef>,
    /// VirtualServices by gateway and host.
    pub(super) gateway_routes: Multimap<(Arc<str>, HostPattern), ObjectRef>,
    /// VirtualServices that send requests for a host of theirs to a subset of it.
    pub(super) subset_routes: Multimap<HostPattern, ObjectRef>,
    /// Gateways by what they serve.
    pub(super) doors: HashTrieMapSync<Door, HostTable<ObjectRef>>,
    /// Gateways by the Secret of their certificates.
    pub(super) certificates: Multimap<Arc<str>, ObjectRef>,
}

/// Whether something is taken in or out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    In,
    Out,
}

// === impl Tables ===

impl Tables {
    /// Takes the step from one snapshot to the next.
    pub(super) fn update(&mut self, old: &Snapshot, new: &Snapshot, changes: &Changes) {
        for change in changes {
            for (snapshot, turn) in [(old, Turn::Out), (new, Turn::In)] {
                match change {
                    Change::Service(key) => snapshot.services.get(key).into_iter().for_each(|it| self.service(it, turn)),
                    Change::Workload(key) => snapshot.workloads.get(key).into_iter().for_each(|it| self.workload(it, turn)),
                    Change::Config(object) => self.object(snapshot, object, turn),
                    // Endpoints and settings are read where they are.
                    Change::Endpoints(_) | Change::Secret(_) | Change::Mesh => {}
                }
            }
        }
    }

    fn object(&mut self, snapshot: &Snapshot, object: &ObjectRef, turn: Turn) {
        let config = &snapshot.config;
        match object.kind {
            "VirtualService" => config.virtual_services.get(object).into_iter().for_each(|it| self.virtual_service(it, turn)),
            "DestinationRule" => config.destination_rules.get(object).into_iter().for_each(|it| self.rule(it, turn)),
            "Gateway" => config.gateways.get(object).into_iter().for_each(|it| self.gateway(it, turn)),
            "ServiceEntry" => config.service_entries.get(object).into_iter().for_each(|it| self.entry(it, turn)),
            // Other kinds are looked up by their namespace.
            _ => {}
        }
    }

    fn service(&mut self, service: &Service, turn: Turn) {
        let key = &service.key;
        table(&mut self.services, &key.host, key, turn);
        if !service.selector.is_empty() {
            group(&mut self.selecting, &key.namespace, key, turn);
        }
    }

    fn workload(&mut self, workload: &Workload, turn: Turn) {
        for (name, value) in &workload.labels {
            group(&mut self.labelled, &selector::label(name, value), &workload.key, turn);
        }
    }

    fn rule(&mut self, rule: &DestinationRule, turn: Turn) {
        table(&mut self.rules, &rule.host, &rule.origin, turn);
    }

    fn entry(&mut self, entry: &ServiceEntry, turn: Turn) {
        for host in &entry.hosts {
            group(&mut self.entries, host, &entry.origin, turn);
        }
    }

    fn virtual_service(&mut self, routes: &VirtualService, turn: Turn) {
        if is_excessive(routes) {
            return;
        }
        for host in &routes.hosts {
            for gateway in &routes.gateways {
                match &**gateway {
                    MESH_GATEWAY => group(&mut self.mesh_routes, host, &routes.origin, turn),
                    _ => group(&mut self.gateway_routes, &(gateway.clone(), host.clone()), &routes.origin, turn),
                }
            }
            if routes_to_subset_of(routes, host) {
                group(&mut self.subset_routes, host, &routes.origin, turn);
            }
        }
    }

    fn gateway(&mut self, gateway: &Gateway, turn: Turn) {
        let selector: Arc<str> = selector::text(&gateway.selector).into();
        for server in &gateway.servers {
            let door = (selector.clone(), server.port);
            let mut hosts = self.doors.get(&door).cloned().unwrap_or_default();
            server.hosts.iter().for_each(|(_, host)| table(&mut hosts, host, &gateway.origin, turn));
            match hosts.is_empty() {
                true => _ = self.doors.remove_mut(&door),
                false => self.doors.insert_mut(door, hosts),
            }
            for (name, _) in secrets(server) {
                group(&mut self.certificates, name, &gateway.origin, turn);
            }
        }
    }
}

/// Whether a VirtualService has so many hosts for so many gateways or rules that looking at each pair would cost more than it is worth:
/// whoever may write one object must not be able to occupy the whole mesh. No object that people write comes near.
pub(super) fn is_excessive(routes: &VirtualService) -> bool {
    const PAIRS: usize = 1_000_000;
    routes.hosts.len().saturating_mul(routes.gateways.len() + routes.http.len()) > PAIRS
}

/// Whether a VirtualService sends HTTP requests to a subset of that host of its own.
fn routes_to_subset_of(routes: &VirtualService, host: &HostPattern) -> bool {
    let forwards = routes.http.iter().filter_map(|route| match &route.action {
        HttpAction::Forward(destinations) => Some(destinations),
        _ => None,
    });
    forwards.flatten().any(|to| to.destination.subset.is_some() && to.destination.host == *host)
}

/// The Secrets of a server's certificates, each with its path below the server.
pub(super) fn secrets(server: &GatewayServer) -> impl Iterator<Item = (&Arc<str>, String)> {
    let certificates = server.tls.as_ref().map_or(&[][..], |tls| &tls.certificates);
    certificates.iter().enumerate().filter_map(|(index, certificate)| match certificate {
        ServerCertificate::Secret(name) if certificates.len() == 1 => Some((name, "tls.credentialName".to_owned())),
        ServerCertificate::Secret(name) => Some((name, format!("tls.credentialNames[{index}]"))),
        ServerCertificate::Files { .. } => None,
    })
}

fn table<V: Ord + Clone>(table: &mut HostTable<V>, host: &HostPattern, value: &V, turn: Turn) {
    match turn {
        Turn::In => table.insert(host, value.clone()),
        Turn::Out => table.remove(host, value),
    }
}

fn group<K: Eq + std::hash::Hash + Clone, V: Ord + Clone>(map: &mut Multimap<K, V>, key: &K, value: &V, turn: Turn) {
    match turn {
        Turn::In => map.insert(key, value.clone()),
        Turn::Out => map.remove(key, value),
    }
}
