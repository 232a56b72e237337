//! Workloads: pods, with the locality of the nodes that they run on.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{difference::set_hashed, groups::Groups, shared::Shared};
use crate::config::kubernetes::{PodFacts, workload_locality};
use crate::model::{Labels, Snapshot, SpiffeId, Workload, WorkloadKey};

/// What the index knows of workloads beside what the snapshot says of them.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    pods: HashMap<WorkloadKey, Pod, RandomState>,
    by_node: Groups<Arc<str>, WorkloadKey>,
    by_namespace: Groups<Arc<str>, WorkloadKey>,
    localities: HashMap<Arc<str>, Arc<str>, RandomState>,
    /// Names of nodes and service accounts, and the trust domain.
    names: Shared<str>,
    labels: Shared<Labels>,
}

/// One pod.
#[derive(Debug)]
struct Pod {
    /// Its labels, which its endpoints share, and pods of the same template too.
    labels: Arc<Labels>,
    ready: bool,
}

/// Workloads that changed.
pub(super) type TouchedWorkloads = BTreeSet<WorkloadKey>;

// === impl Workloads ===

impl Workloads {
    /// Takes a pod's new form, or its absence.
    pub(super) fn set_pod(&mut self, snapshot: &mut Snapshot, key: &WorkloadKey, new: Option<PodFacts>, touched: &mut TouchedWorkloads) {
        let ready = new.as_ref().is_some_and(|new| new.ready);
        let new = new.map(|facts| Arc::new(self.workload(snapshot, key, facts)));
        let old = snapshot.workloads.get(key).cloned();
        if self.pods.get(key).is_some_and(|pod| pod.ready) == ready && old == new {
            return;
        }
        touched.insert(key.clone());
        if let Some(old) = &old {
            self.forget(snapshot, old);
        }
        match &new {
            Some(new) => self.learn(snapshot, new, ready),
            None => _ = self.pods.remove(key),
        }
        set_hashed(&mut snapshot.workloads, key, new);
    }

    /// A pod as a workload, with what many pods have in common kept once.
    fn workload(&mut self, snapshot: &Snapshot, key: &WorkloadKey, facts: PodFacts) -> Workload {
        let trust_domain = self.names.one(&snapshot.mesh.trust_domain, || trust_domain(snapshot));
        let locality = self.localities.get(&facts.node).cloned().unwrap_or_default();
        let node = self.names.one(&facts.node, || facts.node.clone());
        let service_account = self.names.one(&facts.service_account, || facts.service_account.clone());
        let facts = PodFacts { key: key.clone(), node, service_account, ..facts };
        facts.into_workload(&trust_domain, &locality)
    }

    fn learn(&mut self, snapshot: &mut Snapshot, workload: &Workload, ready: bool) {
        let key = &workload.key;
        self.by_node.insert(&workload.node, key);
        self.by_namespace.insert(&key.namespace, key);
        let labels = self.labels.one(&workload.labels, || Arc::new(workload.labels.clone()));
        self.pods.insert(key.clone(), Pod { labels, ready });
        // A node's address is nobody's own.
        if !workload.host_network {
            for address in &workload.addresses {
                snapshot.addresses.insert_mut(*address, key.clone());
            }
        }
    }

    fn forget(&mut self, snapshot: &mut Snapshot, workload: &Workload) {
        let key = &workload.key;
        self.by_node.remove(&workload.node, key);
        self.by_namespace.remove(&key.namespace, key);
        for address in &workload.addresses {
            // A newer pod may have got the address before the old one's end was told.
            if snapshot.addresses.get(address) == Some(key) {
                snapshot.addresses.remove_mut(address);
            }
        }
    }

    /// Takes a node's locality, or its absence.
    pub(super) fn set_node(&mut self, snapshot: &mut Snapshot, node: &Arc<str>, new: Option<Arc<str>>, touched: &mut TouchedWorkloads) {
        let new = new.filter(|locality| !locality.is_empty());
        if self.localities.get(node) == new.as_ref() {
            return;
        }
        match &new {
            Some(new) => _ = self.localities.insert(node.clone(), new.clone()),
            None => _ = self.localities.remove(node),
        }
        let of_node = new.unwrap_or_default();
        for key in self.by_node.of(node) {
            alter(snapshot, key, touched, |workload| workload.locality = workload_locality(&workload.labels, &of_node));
        }
    }

    /// Gives every workload the mesh's present trust domain.
    pub(super) fn rename_trust_domain(&self, snapshot: &mut Snapshot, touched: &mut TouchedWorkloads) {
        let trust_domain = trust_domain(snapshot);
        for key in self.pods.keys() {
            alter(snapshot, key, touched, |workload| {
                workload.identity = SpiffeId { trust_domain: trust_domain.clone(), ..workload.identity.clone() };
            });
        }
    }

    /// The labels of a workload, to be shared; none if there is no such workload.
    pub(super) fn labels(&self, key: &WorkloadKey) -> Option<&Arc<Labels>> {
        self.pods.get(key).map(|pod| &pod.labels)
    }

    /// Whether a workload is ready.
    pub(super) fn is_ready(&self, key: &WorkloadKey) -> bool {
        self.pods.get(key).is_some_and(|pod| pod.ready)
    }

    /// The workloads of a namespace, in no particular order.
    pub(super) fn in_namespace(&self, namespace: &Arc<str>) -> impl Iterator<Item = &WorkloadKey> {
        self.by_namespace.of(namespace)
    }
}

/// Changes one workload in its place.
fn alter(snapshot: &mut Snapshot, key: &WorkloadKey, touched: &mut TouchedWorkloads, change: impl FnOnce(&mut Workload)) {
    let Some(workload) = snapshot.workloads.get(key) else { return };
    let mut altered = Workload::clone(workload);
    change(&mut altered);
    if altered != **workload {
        touched.insert(key.clone());
        snapshot.workloads.insert_mut(key.clone(), Arc::new(altered));
    }
}

fn trust_domain(snapshot: &Snapshot) -> Arc<str> {
    snapshot.mesh.trust_domain.as_str().into()
}
