//! What compiling sees: the mesh and the proxy, through questions that are noted.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use super::{
    facts::{Fact, FactValue, without_implied},
    fault::Fault,
    input::Input,
    mesh::{Dirty, Mesh},
    proxy::Proxy,
};
use crate::model::{
    Credential, Endpoint, ExportTo, Gateway, HostPattern, Labels, MeshConfig, ObjectRef, PeerAuthentication, ProxyRole, SecretKey, Service,
    ServiceKey, Sidecar, SpiffeId, TargetKind, TargetResource, Visibility, parse_duration,
};

/// When the mesh's setting can't be read.
const DNS_REFRESH: Duration = Duration::from_secs(60);

/// Beyond so many namespaces the whole namespace is noted instead of a yes or no for each.
const SEPARATE_NAMESPACES: usize = 4;

/// The label that tells of which Gateway of the Gateway API a proxy is.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The only way by which compiling reads: each answer is noted as a fact of the proxy or an input of the mesh.
///
/// Ask as narrowly as possible. Whatever is asked makes results less shared (facts) or compiled again more often (inputs).
pub(super) struct Scope<'a> {
    pub(super) mesh: &'a Mesh,
    proxy: &'a Proxy,
    notes: RefCell<Notes>,
}

/// What was read, and which objects shaped the result.
#[derive(Default)]
pub(super) struct Notes {
    /// Facts of the proxy.
    pub(super) facts: BTreeSet<Fact>,
    /// Inputs of the mesh.
    pub(super) inputs: Dirty,
    /// Objects that shaped the result.
    pub(super) sources: BTreeSet<ObjectRef>,
    /// What was left out of it.
    pub(super) faults: BTreeSet<Fault>,
}

impl<'a> Scope<'a> {
    /// A scope in which nothing was read.
    pub(super) fn new(mesh: &'a Mesh, proxy: &'a Proxy) -> Self {
        Self { mesh, proxy, notes: RefCell::default() }
    }

    /// What was read.
    pub(super) fn into_notes(self) -> Notes {
        let notes = self.notes.into_inner();
        Notes { facts: without_implied(notes.facts), ..notes }
    }

    fn ask(&self, fact: Fact) -> FactValue {
        let value = fact.of(self.proxy);
        #[cfg(test)]
        if fact.is_forgotten() {
            return value;
        }
        self.notes.borrow_mut().facts.insert(fact);
        value
    }

    /// Notes that an input of the mesh was read.
    pub(super) fn reads(&self, input: Input) {
        self.notes.borrow_mut().inputs.insert(input);
    }

    /// Notes that an object shaped the result.
    pub(super) fn shaped_by(&self, object: &ObjectRef) {
        let sources = &mut self.notes.borrow_mut().sources;
        if !sources.contains(object) {
            sources.insert(object.clone());
        }
        #[cfg(test)]
        super::fixture::fail_if_told(&self.mesh.snapshot, object);
    }

    /// Notes what was left out of the result.
    pub(super) fn leave_out(&self, fault: Fault) {
        self.notes.borrow_mut().faults.insert(fault);
    }
}

// === facts of the proxy ===

impl Scope<'_> {
    /// Sidecar or gateway.
    pub(super) fn role(&self) -> ProxyRole {
        self.ask(Fact::Role);
        self.proxy.role
    }

    /// Whether the proxy's labels are its pod's, and not only its own words.
    pub(super) fn is_vouched(&self) -> bool {
        self.ask(Fact::Vouched) == FactValue::Bool(true)
    }

    /// The proxy's namespace. Prefer [`Scope::in_namespace`] where a yes or no will do.
    pub(super) fn namespace(&self) -> &Arc<str> {
        self.ask(Fact::Namespace);
        &self.proxy.key.namespace
    }

    /// Whether the proxy is in that namespace.
    pub(super) fn in_namespace(&self, namespace: &Arc<str>) -> bool {
        self.ask(Fact::InNamespace(namespace.clone())) == FactValue::Bool(true)
    }

    /// Which of these namespaces the proxy is in.
    pub(super) fn in_one_of<'n>(&self, namespaces: &BTreeSet<&'n Arc<str>>) -> Option<&'n Arc<str>> {
        if namespaces.len() > SEPARATE_NAMESPACES {
            return namespaces.get(self.namespace()).copied();
        }
        // Each is asked, so that all proxies note the same facts.
        namespaces.iter().filter(|namespace| self.in_namespace(namespace)).copied().last()
    }

    /// Of these namespaces the root namespace and the proxy's own, in this order.
    pub(super) fn root_and_own<T>(&self, all: &BTreeMap<Arc<str>, T>) -> Vec<Arc<str>> {
        let root = self.settings().root_namespace.as_str();
        let own = self.in_one_of(&all.keys().filter(|namespace| ***namespace != *root).collect()).cloned();
        all.get_key_value(root).map(|(root, _)| root.clone()).into_iter().chain(own).collect()
    }

    /// Whether a selector picks the proxy's workload. An empty one picks everything.
    pub(super) fn selected_by(&self, selector: &Labels) -> bool {
        // Each label is asked, so that all proxies note the same facts.
        let has = |name: &String, value: &String| self.ask(Fact::HasLabel(name.as_str().into(), value.as_str().into()));
        selector.iter().filter(|(name, value)| has(name, value) != FactValue::Bool(true)).count() == 0
    }

    /// The same where there are many selectors: what is noted is the labels' values, one fact for each name.
    fn selected_among_many(&self, selector: &Labels) -> bool {
        let differing = selector.iter().filter(|(name, value)| {
            let found = self.ask(Fact::Label(name.as_str().into()));
            !matches!(found, FactValue::Text(Some(text)) if *text == ***value)
        });
        differing.count() == 0
    }

    /// The proxy's primary address, if it has one yet.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.ask(Fact::Address) {
            FactValue::Address(address) => address,
            _ => None,
        }
    }

    /// Where the proxy is: `region/zone/subzone`, or empty.
    pub(super) fn locality(&self) -> &Arc<str> {
        self.ask(Fact::Locality);
        &self.proxy.locality
    }

    /// The value of one of the workload's labels.
    pub(super) fn label(&self, name: &str) -> Option<Arc<str>> {
        match self.ask(Fact::Label(name.into())) {
            FactValue::Text(value) => value,
            _ => None,
        }
    }

    /// The number of the workload's port of that name.
    pub(super) fn named_port(&self, name: &Arc<str>) -> Option<u16> {
        match self.ask(Fact::NamedPort(name.clone())) {
            FactValue::Port(number) => number,
            _ => None,
        }
    }

    /// A text of the node's metadata.
    pub(super) fn metadata(&self, name: &str) -> Option<Arc<str>> {
        match self.ask(Fact::Metadata(name.into())) {
            FactValue::Text(value) => value,
            _ => None,
        }
    }

    /// Whether the proxy is what one of these resources of a namespace stands for. Only gateways of the Gateway API are proxies.
    pub(super) fn stands_behind(&self, resources: &[TargetResource], namespace: &Arc<str>) -> bool {
        let gateways = resources.iter().filter(|it| it.kind == TargetKind::Gateway);
        // Each is asked, so that all proxies note the same facts.
        let own = gateways.filter(|it| self.ask(Fact::HasLabel(GATEWAY_NAME.into(), it.name.clone())) == FactValue::Bool(true)).count();
        own > 0 && self.in_namespace(namespace)
    }

    /// Whether an address is the proxy's own.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.ask(Fact::HasAddress(address)) == FactValue::Bool(true)
    }

    /// Whether applications and callers have to call the proxy itself, because nothing is redirected to it.
    pub(super) fn is_called_itself(&self) -> bool {
        self.ask(Fact::CalledItself) == FactValue::Bool(true)
    }

    /// Whether the proxy's pod has an IPv6 address, beside or in place of one of IPv4.
    pub(super) fn has_ipv6(&self) -> bool {
        self.ask(Fact::HasIpv6) == FactValue::Bool(true)
    }

    /// Whether the proxy gets inbound connections with their addresses as they were, and makes its own to the application in the callers'
    /// names.
    pub(super) fn is_transparent(&self) -> bool {
        self.ask(Fact::Transparent) == FactValue::Bool(true)
    }

    /// Whether the proxy wants to know the other workloads of its own service.
    pub(super) fn discovers_itself(&self) -> bool {
        self.ask(Fact::DiscoversItself) == FactValue::Bool(true)
    }

    /// Whether the pod's agent answers its application's DNS queries.
    pub(super) fn captures_dns(&self) -> bool {
        self.ask(Fact::CapturesDns) == FactValue::Bool(true)
    }

    /// Whether the proxy takes the virtual hosts of route tables one by one.
    pub(super) fn splits_tables(&self) -> bool {
        self.ask(Fact::SplitsTables) == FactValue::Bool(true)
    }

    /// The addresses at which the proxy's application calls a service: those that it declares, else the one that the mesh has given it,
    /// should the application be told.
    pub(super) fn addresses_of(&self, service: &Service) -> Vec<IpAddr> {
        match service.automatic_address {
            Some(address) if service.addresses.is_empty() && self.captures_dns() => vec![address],
            _ => service.addresses.clone(),
        }
    }

    /// Whether an object of namespace `own` that is exported so is visible to the proxy.
    pub(super) fn sees(&self, export_to: &ExportTo, own: &Arc<str>) -> bool {
        let mut namespaces = BTreeSet::new();
        for visibility in &export_to.0 {
            match visibility {
                Visibility::Public => return true,
                Visibility::Private => _ = namespaces.insert(own),
                Visibility::Namespace(namespace) => _ = namespaces.insert(namespace),
                Visibility::None => {}
            }
        }
        export_to.0.is_empty() || self.in_one_of(&namespaces).is_some()
    }
}

// === inputs of the mesh ===

impl<'a> Scope<'a> {
    /// The mesh's settings.
    pub(super) fn settings(&self) -> &'a MeshConfig {
        self.reads(Input::Settings);
        &self.mesh.snapshot.mesh
    }

    /// How long a name is taken as resolved where DNS does not say.
    pub(super) fn dns_refresh(&self) -> Duration {
        parse_duration(&self.settings().dns_refresh_rate).unwrap_or(DNS_REFRESH)
    }

    /// A service, if it is there.
    pub(super) fn service(&self, key: &ServiceKey) -> Option<&'a Arc<Service>> {
        self.reads(Input::Service(key.clone()));
        self.mesh.snapshot.services.get(key)
    }

    /// All services.
    pub(super) fn services(&self) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        self.reads(Input::Services);
        self.mesh.snapshot.services.values()
    }

    /// Services that have that port.
    pub(super) fn services_on(&self, port: u16) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        self.reads(Input::Port(port));
        let mesh = self.mesh;
        mesh.ports.get(&port).into_iter().flatten().filter_map(|key| mesh.snapshot.services.get(key))
    }

    /// Services of that very host, one for each namespace that declares it.
    pub(super) fn services_named(&self, host: &HostPattern) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        self.reads(Input::Host(host.clone()));
        let mesh = self.mesh;
        mesh.hosts.get(host).into_iter().flatten().filter_map(|key| mesh.snapshot.services.get(key))
    }

    /// The same for a host that has a port of which it was asked who has it: that is an answer of which the others of the host are a part.
    pub(super) fn rivals_for(&self, host: &HostPattern) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        let mesh = self.mesh;
        mesh.hosts.get(host).into_iter().flatten().filter_map(|key| mesh.snapshot.services.get(key))
    }

    /// Services whose hosts are looked up as requests ask for them.
    pub(super) fn dynamic_services(&self) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        self.reads(Input::DynamicServices);
        let mesh = self.mesh;
        mesh.dynamic.iter().filter_map(|key| mesh.snapshot.services.get(key))
    }

    /// Services that are gateways of networks.
    pub(super) fn network_gateways(&self) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        self.reads(Input::NetworkGateways);
        let mesh = self.mesh;
        mesh.network_gateways.iter().filter_map(|key| mesh.snapshot.services.get(key))
    }

    /// Services whose selector picks the proxy's workload.
    pub(super) fn own_services(&self) -> Vec<&'a Arc<Service>> {
        let namespace = self.namespace();
        self.reads(Input::Selectors(namespace.clone()));
        let candidates = self.mesh.selectors.get(namespace).into_iter().flatten();
        let services = candidates.filter_map(|key| self.mesh.snapshot.services.get(key));
        services.filter(|service| self.selected_among_many(&service.selector)).collect()
    }

    /// The endpoints of a service.
    pub(super) fn endpoints(&self, key: &ServiceKey) -> &'a [Endpoint] {
        self.reads(Input::Endpoints(key.clone()));
        self.mesh.snapshot.endpoints.get(key).map_or(&[], |endpoints| endpoints)
    }

    /// Whom a service's endpoints run as, sorted.
    pub(super) fn identities(&self, key: &ServiceKey) -> &'a [SpiffeId] {
        self.reads(Input::Identities(key.clone()));
        self.mesh.identities.get(key).map_or(&[], |identities| identities)
    }

    /// All Gateways.
    pub(super) fn gateways(&self) -> impl Iterator<Item = &'a Arc<Gateway>> + use<'a> {
        self.reads(Input::Gateways);
        self.mesh.snapshot.config.gateways.values()
    }

    /// The Gateway of that name.
    pub(super) fn gateway(&self, object: &ObjectRef) -> Option<&'a Arc<Gateway>> {
        self.reads(Input::Gateway(object.clone()));
        self.mesh.snapshot.config.gateways.get(object)
    }

    /// What a Secret holds, as far as that is known.
    pub(super) fn credential(&self, key: SecretKey) -> Option<&'a Credential> {
        let found = self.mesh.snapshot.secrets.get(&key);
        self.reads(Input::Secret(key));
        found.map(|credential| &**credential)
    }

    /// PeerAuthentications of a namespace, the senior first.
    pub(super) fn peer_authentications(&self, namespace: &Arc<str>) -> &'a [Arc<PeerAuthentication>] {
        self.reads(Input::PeerAuthentications(namespace.clone()));
        self.mesh.peer_authentications.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The Sidecar that holds for the proxy: one that selects it, else its namespace's, else the root namespace's.
    pub(super) fn sidecar(&self) -> Option<&'a Arc<Sidecar>> {
        self.reads(Input::Sidecars);
        let all = &self.mesh.sidecars;
        // A gateway's listeners are those of Gateways, and lead wherever VirtualServices say.
        if all.is_empty() || self.role() == ProxyRole::Router {
            return None;
        }
        let general = |list: &'a Vec<Arc<Sidecar>>| list.iter().find(|sidecar| sidecar.selector.is_empty());
        let own = self.in_one_of(&all.keys().collect()).and_then(|namespace| all.get(namespace));
        let found = own.and_then(|list| {
            list.iter().filter(|s| !s.selector.is_empty()).find(|s| self.selected_by(&s.selector)).or_else(|| general(list))
        });
        found.or_else(|| general(all.get(self.settings().root_namespace.as_str())?))
    }
}
