//! All that was said of the cluster, and the snapshot that follows from it. A pure value: no task, no clock, no client.
//!
//! Updates are taken in one by one, which is cheap and notes what they touch; [`Cluster::settle`] then derives what was touched, once
//! however many updates touched it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{
    addresses::Addresses,
    carried::CarriedObjects,
    declarations::{Declaration, Declarations},
    declared::{of_entry, of_kubernetes},
    difference::{differs, set_hashed},
    endpoints::Join,
    rejected::{self, Rejected, RejectedObjects},
    slices::Slices,
    update::{Fact, Form, NODE, POD, SECRET, SERVICE, SLICE, Update, WORKLOAD_ENTRY},
    verdict::Verdict,
    workloads::{TouchedWorkloads, Workloads},
};
use crate::model::{
    Change, Changes, ConfigObject, Credential, MeshConfig, ObjectRef, SecretKey, Service, ServiceKey, Snapshot, WorkloadKey, set_shared,
};

/// The cluster as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    /// What follows from the updates, but for what is touched.
    snapshot: Snapshot,
    /// What was handed out last.
    settled: Snapshot,
    touched: Touched,
    /// Objects that are there, by kind.
    known: HashMap<&'static str, HashSet<ObjectRef, RandomState>>,
    workloads: Workloads,
    slices: Slices,
    declarations: Declarations,
    addresses: Addresses,
    rejected: RejectedObjects,
    rejected_changed: bool,
    /// What authors are told next; stays empty where nobody tells them.
    verdicts: Vec<(ObjectRef, Option<Box<Verdict>>)>,
    /// Objects of which there was a verdict last.
    told: HashSet<ObjectRef, RandomState>,
    /// Objects as they are passed on; stays empty where nobody does.
    carried: CarriedObjects,
    carried_told: u64,
}

/// What updates touched since the last time that the cluster was settled: what may differ, never less.
#[derive(Debug, Default)]
struct Touched {
    mesh: bool,
    /// Everybody's identity.
    trust_domain: bool,
    workloads: TouchedWorkloads,
    /// Services whose slices changed.
    sliced: BTreeSet<ObjectRef>,
    /// Services whose declarations changed.
    declared: BTreeSet<ServiceKey>,
    objects: BTreeSet<ObjectRef>,
    secrets: BTreeSet<SecretKey>,
}

// === impl Cluster ===

impl Cluster {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes in an update.
    pub(super) fn take_in(&mut self, update: Update) {
        match update {
            Update::One(fact) => self.note(fact),
            Update::All(kind, facts) => {
                let mut gone = self.known.remove(kind).unwrap_or_default();
                for fact in facts {
                    gone.remove(&fact.object);
                    self.note(fact);
                }
                for object in gone {
                    self.note(Fact::absent(object));
                }
            }
            Update::Mesh(mesh) => self.set_mesh(mesh),
            Update::Together(updates) => updates.into_iter().for_each(|update| self.take_in(update)),
        }
    }

    /// Derives what was touched. Returns the new snapshot and exactly what differs from the one before.
    pub(super) fn settle(&mut self) -> (Arc<Snapshot>, Changes) {
        let mut touched = std::mem::take(&mut self.touched);
        let endpoints = self.touched_endpoints(&touched);
        for key in &touched.declared {
            self.addresses.set(key, self.declarations.claim(key));
        }
        touched.declared.extend(self.addresses.settle());
        for key in &touched.declared {
            let service = self.service(key);
            set_shared(&mut self.snapshot.services, key, service);
        }
        for key in &endpoints {
            self.join(key);
        }
        let mut changes: Changes = touched.declared.into_iter().map(Change::Service).collect();
        changes.extend(endpoints.into_iter().map(Change::Endpoints));
        changes.extend(touched.workloads.into_iter().map(Change::Workload));
        changes.extend(touched.objects.into_iter().map(Change::Config));
        changes.extend(touched.secrets.into_iter().map(Change::Secret));
        changes.extend(touched.mesh.then_some(Change::Mesh));
        changes.retain(|change| differs(change, &self.settled, &self.snapshot));
        if !changes.is_empty() {
            self.snapshot.version += 1;
        }
        self.settled = self.snapshot.clone();
        (Arc::new(self.snapshot.clone()), changes)
    }

    /// Objects that are not understood, if that changed since the last call.
    pub(super) fn news_of_rejected(&mut self) -> Option<RejectedObjects> {
        std::mem::take(&mut self.rejected_changed).then(|| self.rejected.clone())
    }

    /// What authors are to be told since the last call.
    pub(super) fn take_verdicts(&mut self) -> Vec<(ObjectRef, Option<Box<Verdict>>)> {
        std::mem::take(&mut self.verdicts)
    }

    /// Objects as they are passed on, if that changed since the last call.
    pub(super) fn news_of_carried(&mut self) -> Option<CarriedObjects> {
        let version = self.carried.version();
        (std::mem::replace(&mut self.carried_told, version) != version).then(|| self.carried.clone())
    }

    /// A service as its declarations make it, with the address that it was given.
    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        let mut service = self.declarations.merged(key)?;
        if let Some(address) = self.addresses.of(key) {
            Arc::make_mut(&mut service).automatic_address = Some(address);
        }
        Some(service)
    }

    /// Services whose endpoints have to be joined anew.
    fn touched_endpoints(&self, touched: &Touched) -> BTreeSet<ServiceKey> {
        let mut keys = touched.declared.clone();
        if touched.trust_domain {
            keys.extend(self.declarations.keys().cloned());
            return keys;
        }
        let mut sliced = touched.sliced.clone();
        for key in &touched.workloads {
            self.touched_by_workload(key, &mut sliced, &mut keys);
        }
        for object in touched.objects.iter().filter(|object| object.kind == WORKLOAD_ENTRY) {
            let entries = [&self.settled, &self.snapshot].map(|snapshot| snapshot.config.workload_entries.get(object));
            let labels = entries.map(|entry| entry?.endpoint.as_ref().map(|endpoint| &endpoint.labels));
            keys.extend(self.declarations.selecting_entries(&object.namespace, labels).cloned());
        }
        keys.extend(sliced.iter().flat_map(|service| self.declarations.keys_of(service)).cloned());
        keys
    }

    /// Notes the services that a workload is, or was, behind.
    fn touched_by_workload(&self, key: &WorkloadKey, sliced: &mut BTreeSet<ObjectRef>, selecting: &mut BTreeSet<ServiceKey>) {
        let (old, new) = (self.settled.workloads.get(key), self.snapshot.workloads.get(key));
        sliced.extend(self.slices.services_of_pod(key).cloned());
        for address in [old, new].into_iter().flatten().flat_map(|workload| &workload.addresses) {
            sliced.extend(self.slices.services_at(address).cloned());
        }
        let labels = [old, new].map(|workload| workload.map(|workload| &workload.labels));
        selecting.extend(self.declarations.selecting(&key.namespace, labels).cloned());
    }

    fn join(&mut self, key: &ServiceKey) {
        let join = Join { snapshot: &self.snapshot, workloads: &self.workloads, slices: &self.slices };
        let service = self.snapshot.services.get(key);
        let endpoints = service.and_then(|service| join.endpoints(service, self.declarations.of(key)));
        set_hashed(&mut self.snapshot.endpoints, key, endpoints);
    }

    fn set_mesh(&mut self, mesh: Arc<MeshConfig>) {
        if *self.snapshot.mesh == *mesh {
            return;
        }
        self.touched.mesh = true;
        let renamed = self.snapshot.mesh.trust_domain != mesh.trust_domain;
        self.snapshot.mesh = mesh;
        if renamed {
            self.touched.trust_domain = true;
            self.workloads.rename_trust_domain(&mut self.snapshot, &mut self.touched.workloads);
        }
    }

    /// Takes in one object, or its absence.
    fn note(&mut self, Fact { object, form, verdict, carried }: Fact) {
        match &form {
            Some(_) => _ = self.known.entry(object.kind).or_default().insert(object.clone()),
            None => _ = self.known.get_mut(object.kind).is_some_and(|known| known.remove(&object)),
        }
        let (form, rejected) = match form {
            Some(Form::Rejected(rejected)) => (None, Some(rejected)),
            form => (form, None),
        };
        self.note_rejected(&object, rejected);
        self.note_verdict(&object, verdict);
        self.carried.set(&object, carried);
        match (object.kind, form) {
            (SERVICE, form) => {
                let declared = form.and_then(Form::into_service).map(of_kubernetes).into_iter().collect();
                self.declare(&object, declared);
            }
            (SECRET, form) => self.set_secret(&object, form.and_then(Form::into_credential)),
            (SLICE, form) => self.slices.set(&object, form.and_then(Form::into_slice), &mut self.touched.sliced),
            (POD, form) => {
                let key = WorkloadKey { namespace: object.namespace, name: object.name };
                self.workloads.set_pod(&mut self.snapshot, &key, form.and_then(Form::into_pod), &mut self.touched.workloads);
            }
            (NODE, form) => {
                let locality = form.and_then(Form::into_locality);
                self.workloads.set_node(&mut self.snapshot, &object.name, locality, &mut self.touched.workloads);
            }
            (_, Some(Form::Config(config))) => self.set_config(config),
            _ => self.remove_config(&object),
        }
    }

    fn note_rejected(&mut self, object: &ObjectRef, rejected: Option<Rejected>) {
        self.rejected_changed |= rejected::note(&mut self.rejected, object, rejected);
    }

    /// Notes what an object's author is told, and that there is nothing to tell any more.
    fn note_verdict(&mut self, object: &ObjectRef, verdict: Option<Box<Verdict>>) {
        let told = match verdict {
            Some(_) => self.told.insert(object.clone()),
            None => self.told.remove(object),
        };
        if told || verdict.is_some() {
            self.verdicts.push((object.clone(), verdict));
        }
    }

    fn set_secret(&mut self, object: &ObjectRef, credential: Option<Credential>) {
        let key = SecretKey { namespace: object.namespace.clone(), name: object.name.clone() };
        set_hashed(&mut self.snapshot.secrets, &key, credential.map(Arc::new));
        self.touched.secrets.insert(key);
    }

    fn declare(&mut self, object: &ObjectRef, declarations: Vec<Declaration>) {
        self.declarations.set(object, declarations, &mut self.touched.declared);
    }

    fn set_config(&mut self, config: ConfigObject) {
        let object = config.origin().clone();
        if let ConfigObject::ServiceEntry(entry) = &config {
            self.declare(&object, of_entry(entry));
        }
        self.snapshot.config.insert(config);
        self.touched.objects.insert(object);
    }

    fn remove_config(&mut self, object: &ObjectRef) {
        // A service that goes with its declaration; other kinds declare none.
        self.declare(object, Vec::new());
        if self.snapshot.config.remove(object) {
            self.touched.objects.insert(object.clone());
        }
    }
}
