//! Who declares which service. Several objects may declare the same one: a Service and ServiceEntries, or several ServiceEntries of a
//! namespace, each with other ports.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{addresses::Claim, groups::Groups, update::SERVICE};
use crate::model::{Labels, ObjectRef, Service, ServiceEntryEndpoint, ServiceKey, ServicePort};

/// One object's declaration of one service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declaration {
    /// The service as this object has it.
    pub(super) service: Arc<Service>,
    /// Where its endpoints come from.
    pub(super) backing: Backing,
    /// Its claim to an address of the mesh's, if it makes one.
    pub(super) claim: Option<Claim>,
}

/// Where the endpoints of a service come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Backing {
    /// From the EndpointSlices of the Service that declares it, and the WorkloadEntries that the Service selects.
    Slices,
    /// They are named in the declaration.
    Named(Vec<ServiceEntryEndpoint>),
    /// They are the ready workloads and the WorkloadEntries with these labels in the declaration's namespace.
    Selected(Labels),
}

/// All declarations.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    /// The senior first.
    by_key: HashMap<ServiceKey, Vec<Declaration>, RandomState>,
    by_origin: HashMap<ObjectRef, Vec<ServiceKey>, RandomState>,
    /// Services with selected endpoints, by namespace.
    selecting: Groups<Arc<str>, ServiceKey>,
    /// Services with slices that select WorkloadEntries, too, by namespace.
    sliced: Groups<Arc<str>, ServiceKey>,
}

// === impl Declaration ===

impl Declaration {
    /// What orders declarations of one service: Kubernetes' own first, then the oldest, then by name.
    fn seniority(&self) -> (bool, i64, &ObjectRef) {
        (self.service.origin.kind != SERVICE, self.service.created, &self.service.origin)
    }

    fn is_selecting(&self) -> bool {
        matches!(self.backing, Backing::Selected(_))
    }

    fn is_sliced(&self) -> bool {
        self.backing == Backing::Slices && !self.service.selector.is_empty()
    }

    /// Labels of the WorkloadEntries that are among its endpoints; none if it selects none.
    pub(super) fn selector(&self) -> Option<&Labels> {
        match &self.backing {
            Backing::Selected(selector) => Some(selector),
            Backing::Slices => Some(&self.service.selector).filter(|selector| !selector.is_empty()),
            Backing::Named(_) => None,
        }
    }
}

// === impl Declarations ===

impl Declarations {
    /// Takes all that an object declares now, and reports the services that may change.
    pub(super) fn set(&mut self, origin: &ObjectRef, new: Vec<Declaration>, touched: &mut BTreeSet<ServiceKey>) {
        let old_keys = self.by_origin.remove(origin).unwrap_or_default();
        if !old_keys.is_empty() && self.holds(&old_keys, origin, &new) {
            self.by_origin.insert(origin.clone(), old_keys);
            return;
        }
        for key in old_keys {
            self.forget(&key, origin);
            touched.insert(key);
        }
        let keys: Vec<_> = new.iter().map(|declaration| declaration.service.key.clone()).collect();
        touched.extend(keys.iter().cloned());
        for declaration in new {
            self.learn(declaration);
        }
        if !keys.is_empty() {
            self.by_origin.insert(origin.clone(), keys);
        }
    }

    /// Whether an object declares just that already.
    fn holds(&self, keys: &[ServiceKey], origin: &ObjectRef, new: &[Declaration]) -> bool {
        let known = |key| self.of(key).iter().find(|declaration| declaration.service.origin == *origin);
        keys.len() == new.len() && keys.iter().zip(new).all(|(key, new)| known(key) == Some(new))
    }

    fn learn(&mut self, declaration: Declaration) {
        let key = declaration.service.key.clone();
        if declaration.is_selecting() {
            self.selecting.insert(&key.namespace, &key);
        }
        if declaration.is_sliced() {
            self.sliced.insert(&key.namespace, &key);
        }
        let declarations = self.by_key.entry(key).or_default();
        let place = declarations.partition_point(|other| other.seniority() < declaration.seniority());
        declarations.insert(place, declaration);
    }

    fn forget(&mut self, key: &ServiceKey, origin: &ObjectRef) {
        let Some(declarations) = self.by_key.get_mut(key) else { return };
        declarations.retain(|declaration| declaration.service.origin != *origin);
        if !declarations.iter().any(Declaration::is_selecting) {
            self.selecting.remove(&key.namespace, key);
        }
        if !declarations.iter().any(Declaration::is_sliced) {
            self.sliced.remove(&key.namespace, key);
        }
        if declarations.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// The declarations of a service, the senior first.
    pub(super) fn of(&self, key: &ServiceKey) -> &[Declaration] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// The services that an object declares.
    pub(super) fn keys_of(&self, origin: &ObjectRef) -> &[ServiceKey] {
        self.by_origin.get(origin).map_or(&[], Vec::as_slice)
    }

    /// All services.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.by_key.keys()
    }

    /// Services of a namespace that select a pod with one of these sets of labels.
    pub(super) fn selecting<'a>(&'a self, namespace: &Arc<str>, labels: [Option<&'a Labels>; 2]) -> impl Iterator<Item = &'a ServiceKey> {
        self.selecting.of(namespace).filter(move |key| self.selects_one(key, Declaration::is_selecting, labels))
    }

    /// Services of a namespace that select a WorkloadEntry with one of these sets of labels.
    pub(super) fn selecting_entries<'a>(
        &'a self,
        namespace: &Arc<str>,
        labels: [Option<&'a Labels>; 2],
    ) -> impl Iterator<Item = &'a ServiceKey> {
        let keys = self.selecting.of(namespace).chain(self.sliced.of(namespace));
        keys.filter(move |key| self.selects_one(key, |_| true, labels))
    }

    fn selects_one(&self, key: &ServiceKey, counts: impl Fn(&Declaration) -> bool, labels: [Option<&Labels>; 2]) -> bool {
        let mut selectors = self.of(key).iter().filter(|declaration| counts(declaration)).filter_map(Declaration::selector);
        selectors.any(|selector| labels.into_iter().flatten().any(|labels| selects(selector, labels)))
    }

    /// The claim of a service to an address of the mesh's: that of its senior declaration, if no other gives it one.
    pub(super) fn claim(&self, key: &ServiceKey) -> Option<&Claim> {
        let declarations = self.of(key);
        let addressed = declarations.iter().any(|it| !it.service.addresses.is_empty() || !it.service.ranges.is_empty());
        declarations.first().filter(|_| !addressed)?.claim.as_ref()
    }

    /// The service that its declarations make together; none if there are none.
    pub(super) fn merged(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        let (senior, juniors) = self.of(key).split_first()?;
        let mut merged = senior.service.clone();
        for junior in juniors.iter().filter(|junior| agree(&senior.service, &junior.service)) {
            merge(Arc::make_mut(&mut merged), &junior.service);
        }
        Some(merged)
    }
}

/// Whether a selector picks workloads with these labels. An empty selector picks everything.
pub(super) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether two declarations can be one service: their endpoints are found in the same way.
fn agree(senior: &Service, junior: &Service) -> bool {
    senior.resolution == junior.resolution && senior.external == junior.external
}

/// Adds the addresses and the ports of a junior declaration that are not taken.
fn merge(service: &mut Service, junior: &Service) {
    let ports =
        junior.ports.iter().filter(|port| !service.ports.iter().any(|taken| taken.number == port.number || taken.name == port.name));
    let ports: Vec<_> = ports.cloned().collect();
    service.ports.extend(ports);
    for address in &junior.addresses {
        if !service.addresses.contains(address) {
            service.addresses.push(*address);
        }
    }
    for name in &junior.subject_alt_names {
        if !service.subject_alt_names.contains(name) {
            service.subject_alt_names.push(name.clone());
        }
    }
    for range in &junior.ranges {
        if !service.ranges.contains(range) {
            service.ranges.push(*range);
        }
    }
}

/// The ports of one declaration that the whole service has from it, or shares with it.
pub(super) fn ports_of<'a>(declaration: &'a Declaration, service: &Service) -> Vec<&'a ServicePort> {
    let own = &declaration.service;
    if !agree(service, own) {
        return Vec::new();
    }
    own.ports.iter().filter(|port| service.ports.iter().any(|taken| taken.number == port.number && taken.name == port.name)).collect()
}
