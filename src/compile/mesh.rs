//! The snapshot with what is looked up in it most, kept up to date from one snapshot to the next at the cost of the change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::FixedState;

use super::{
    by_host::ByHost,
    extension::ExtensionTable,
    input::Input,
    patch::PatchTable,
    policy::{concerns_routes, routing_input},
};
use crate::model::{
    Change, Changes, DestinationRule, ExportTo, HostPattern, MESH_GATEWAY, ObjectRef, PeerAuthentication, RequestAuthentication,
    Resolution, Service, ServiceKey, Sidecar, Snapshot, SpiffeId, VirtualService,
};

/// Inputs that changed.
pub(super) type Dirty = HashSet<Input, FixedState>;

/// A snapshot and its derived tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Mesh {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) hosts: HashMap<HostPattern, BTreeSet<ServiceKey>, FixedState>,
    pub(super) ports: BTreeMap<u16, BTreeSet<ServiceKey>>,
    /// Services that select workloads, by namespace.
    pub(super) selectors: HashMap<Arc<str>, BTreeSet<ServiceKey>, FixedState>,
    /// Services whose hosts are looked up as requests ask for them.
    pub(super) dynamic: BTreeSet<ServiceKey>,
    /// Services that are gateways of networks.
    pub(super) network_gateways: BTreeSet<ServiceKey>,
    pub(super) identities: HashMap<ServiceKey, Arc<[SpiffeId]>, FixedState>,
    pub(super) rules: ByHost<DestinationRule>,
    pub(super) rules_with_secrets: BTreeMap<ObjectRef, Arc<DestinationRule>>,
    pub(super) virtual_services: ByHost<VirtualService>,
    /// VirtualServices by the gateways that they name; `mesh` is none.
    pub(super) bound: HashMap<Arc<str>, BTreeSet<ObjectRef>, FixedState>,
    /// By namespace, the senior first.
    pub(super) sidecars: BTreeMap<Arc<str>, Vec<Arc<Sidecar>>>,
    /// By namespace, the senior first.
    pub(super) peer_authentications: BTreeMap<Arc<str>, Vec<Arc<PeerAuthentication>>>,
    /// By namespace, the senior first.
    pub(super) request_authentications: BTreeMap<Arc<str>, Vec<Arc<RequestAuthentication>>>,
    pub(super) patches: PatchTable,
    pub(super) extensions: ExtensionTable,
}

impl Mesh {
    /// The tables of a snapshot, from nothing.
    pub(super) fn of(snapshot: Arc<Snapshot>) -> Self {
        let everything = everything_in(&snapshot);
        let mut mesh = Self::default();
        mesh.advance(snapshot, &everything);
        mesh
    }

    /// Takes the next snapshot, of which `changes` tells what may differ, and returns what that dirties.
    pub(super) fn advance(&mut self, snapshot: Arc<Snapshot>, changes: &Changes) -> Dirty {
        let old = std::mem::replace(&mut self.snapshot, snapshot);
        let mut dirty = Dirty::default();
        for change in changes {
            match change {
                Change::Mesh => _ = dirty.insert(Input::Settings),
                Change::Service(key) => self.service_changed(&old, key, &mut dirty),
                Change::Endpoints(key) => self.endpoints_changed(key, &mut dirty),
                Change::Workload(key) => _ = dirty.insert(Input::Workload(key.clone())),
                Change::Config(object) => self.config_changed(&old, object, &mut dirty),
                Change::Secret(key) => _ = dirty.insert(Input::Secret(key.clone())),
            }
        }
        dirty
    }

    fn service_changed(&mut self, old: &Snapshot, key: &ServiceKey, dirty: &mut Dirty) {
        dirty.extend([Input::Services, Input::Service(key.clone()), Input::Host(key.host.clone())]);
        if let Some(service) = old.services.get(key) {
            self.forget_service(service, dirty);
        }
        if let Some(service) = self.snapshot.services.get(key).cloned() {
            self.learn_service(&service, dirty);
        }
        // Which service of a host counts is a matter of all of them, and who has a port is asked for those that count.
        let rivals = self.hosts.get(&key.host).into_iter().flatten().filter_map(|rival| self.snapshot.services.get(rival));
        dirty.extend(rivals.flat_map(|rival| &rival.ports).map(|port| Input::Port(port.number)));
    }

    fn learn_service(&mut self, service: &Service, dirty: &mut Dirty) {
        let key = &service.key;
        self.hosts.entry(key.host.clone()).or_default().insert(key.clone());
        if !service.selector.is_empty() {
            self.selectors.entry(key.namespace.clone()).or_default().insert(key.clone());
            dirty.insert(Input::Selectors(key.namespace.clone()));
        }
        if service.resolution == Resolution::DynamicDns {
            self.dynamic.insert(key.clone());
            dirty.insert(Input::DynamicServices);
        }
        if service.outside.gateway_of.is_some() {
            self.network_gateways.insert(key.clone());
            dirty.insert(Input::NetworkGateways);
        }
        for port in &service.ports {
            self.ports.entry(port.number).or_default().insert(key.clone());
            dirty.insert(Input::Port(port.number));
        }
    }

    fn forget_service(&mut self, service: &Service, dirty: &mut Dirty) {
        let key = &service.key;
        if let Some(keys) = self.hosts.get_mut(&key.host) {
            keys.remove(key);
            if keys.is_empty() {
                self.hosts.remove(&key.host);
            }
        }
        if let Some(keys) = self.selectors.get_mut(&key.namespace) {
            keys.remove(key);
            dirty.insert(Input::Selectors(key.namespace.clone()));
        }
        if self.dynamic.remove(key) {
            dirty.insert(Input::DynamicServices);
        }
        if self.network_gateways.remove(key) {
            dirty.insert(Input::NetworkGateways);
        }
        for port in &service.ports {
            if let Some(keys) = self.ports.get_mut(&port.number) {
                keys.remove(key);
                if keys.is_empty() {
                    self.ports.remove(&port.number);
                }
            }
            dirty.insert(Input::Port(port.number));
        }
    }

    fn endpoints_changed(&mut self, key: &ServiceKey, dirty: &mut Dirty) {
        dirty.insert(Input::Endpoints(key.clone()));
        let identities: BTreeSet<SpiffeId> =
            self.snapshot.endpoints.get(key).into_iter().flat_map(|all| all.iter()).filter_map(|e| e.identity.clone()).collect();
        let identities: Arc<[SpiffeId]> = identities.into_iter().collect();
        let known = self.identities.get(key).map_or(&[][..], |known| known);
        if *known != *identities {
            dirty.insert(Input::Identities(key.clone()));
            match identities.is_empty() {
                true => _ = self.identities.remove(key),
                false => _ = self.identities.insert(key.clone(), identities),
            }
        }
    }

    fn config_changed(&mut self, old: &Snapshot, object: &ObjectRef, dirty: &mut Dirty) {
        let new = &self.snapshot;
        match object.kind {
            "VirtualService" => {
                let (before, after) = (old.config.virtual_services.get(object), new.config.virtual_services.get(object));
                dirty.extend([Input::VirtualServices, Input::VirtualService(object.clone())]);
                dirty.extend((before.and_then(reach) != after.and_then(reach)).then_some(Input::RoutedHosts));
                before.into_iter().for_each(|it| self.virtual_services.remove(it, dirty));
                after.into_iter().for_each(|it| self.virtual_services.insert(it, dirty));
                bind(&mut self.bound, object, before.map(|it| &*it.gateways), after.map(|it| &*it.gateways), dirty);
            }
            "DestinationRule" => {
                let (before, after) = (old.config.destination_rules.get(object), new.config.destination_rules.get(object));
                dirty.extend(before.into_iter().chain(after).filter(|it| concerns_routes(it)).map(|it| routing_input(&it.host)));
                before.into_iter().for_each(|it| self.rules.remove(it, dirty));
                after.into_iter().for_each(|it| self.rules.insert(it, dirty));
                let after = after.filter(|it| it.client_tls().any(|tls| tls.credential_name.is_some()));
                let forgotten = self.rules_with_secrets.remove(object);
                dirty.extend(after.or(forgotten.as_ref()).map(|_| Input::RulesWithSecrets));
                after.into_iter().for_each(|it| _ = self.rules_with_secrets.insert(object.clone(), it.clone()));
            }
            "Gateway" => dirty.extend([Input::Gateways, Input::Gateway(object.clone())]),
            "Sidecar" => {
                let found = new.config.sidecars.get(object).cloned();
                replace_in_namespace(&mut self.sidecars, object, found, |it| (it.created, &it.origin));
                dirty.insert(Input::Sidecars);
            }
            "PeerAuthentication" => {
                let found = new.config.peer_authentications.get(object).cloned();
                replace_in_namespace(&mut self.peer_authentications, object, found, |it| (it.created, &it.origin));
                dirty.insert(Input::PeerAuthentications(object.namespace.clone()));
            }
            "RequestAuthentication" => {
                let found = new.config.request_authentications.get(object).cloned();
                replace_in_namespace(&mut self.request_authentications, object, found, |it| (it.created, &it.origin));
                dirty.extend([Input::CheckingNamespaces, Input::RequestAuthentications(object.namespace.clone())]);
            }
            "EnvoyFilter" => self.patches.replace(object, new.config.envoy_filters.get(object), dirty),
            "WasmPlugin" | "TrafficExtension" => self.extensions.replace(object, &new.config, dirty),
            // Other kinds reach the snapshot as services, endpoints or workloads, and are reported as such.
            _ => {}
        }
    }
}

/// For which hosts a VirtualService has routes for sidecars, and who sees it; `None` if it has none.
fn reach(it: &Arc<VirtualService>) -> Option<(&[HostPattern], &ExportTo)> {
    (it.for_mesh() && !it.http.is_empty()).then_some((&*it.hosts, &it.export_to))
}

/// Notes for which gateways a VirtualService holds now, and what that dirties.
fn bind(
    bound: &mut HashMap<Arc<str>, BTreeSet<ObjectRef>, FixedState>,
    object: &ObjectRef,
    before: Option<&[Arc<str>]>,
    after: Option<&[Arc<str>]>,
    dirty: &mut Dirty,
) {
    let gateways = |names: Option<&[Arc<str>]>| -> Vec<Arc<str>> {
        names.into_iter().flatten().filter(|name| &***name != MESH_GATEWAY).cloned().collect()
    };
    for gateway in gateways(before) {
        if let Some(objects) = bound.get_mut(&gateway) {
            objects.remove(object);
            if objects.is_empty() {
                bound.remove(&gateway);
            }
        }
        dirty.insert(Input::VirtualServicesOn(gateway));
    }
    for gateway in gateways(after) {
        bound.entry(gateway.clone()).or_default().insert(object.clone());
        dirty.insert(Input::VirtualServicesOn(gateway));
    }
}

/// Puts an object's new form, or its absence, into the list of its namespace, the senior first.
fn replace_in_namespace<T>(
    lists: &mut BTreeMap<Arc<str>, Vec<Arc<T>>>,
    object: &ObjectRef,
    found: Option<Arc<T>>,
    seniority: impl Fn(&T) -> (i64, &ObjectRef),
) {
    let list = lists.entry(object.namespace.clone()).or_default();
    list.retain(|other| seniority(other).1 != object);
    if let Some(found) = found {
        let place = list.partition_point(|other| seniority(other) < seniority(&found));
        list.insert(place, found);
    }
    if list.is_empty() {
        lists.remove(&object.namespace);
    }
}

/// The changes that lead from an empty snapshot to this one.
fn everything_in(snapshot: &Snapshot) -> Changes {
    let services = snapshot.services.keys().cloned().map(Change::Service);
    let endpoints = snapshot.endpoints.keys().cloned().map(Change::Endpoints);
    let objects = snapshot.config.keys().cloned().map(Change::Config);
    let secrets = snapshot.secrets.keys().cloned().map(Change::Secret);
    services.chain(endpoints).chain(objects).chain(secrets).chain([Change::Mesh]).collect()
}
