//! EndpointSlices by Service, and which Services a pod or an address is behind.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::IpAddr,
    sync::Arc,
};

use foldhash::fast::RandomState;

use crate::config::kubernetes::Slice;
use crate::model::{ObjectRef, WorkloadKey};

/// All slices.
#[derive(Debug, Default)]
pub(super) struct Slices {
    by_object: HashMap<ObjectRef, Arc<Slice>, RandomState>,
    /// By Service, in the order of their names.
    by_service: HashMap<ObjectRef, BTreeMap<ObjectRef, Arc<Slice>>, RandomState>,
    /// Services by the pods that their slices name.
    by_pod: Referrers<WorkloadKey>,
    /// Services by the addresses that their slices give without a pod.
    by_address: Referrers<IpAddr>,
}

/// Services by what their slices refer to, with the number of slices that do.
type Referrers<K> = HashMap<K, HashMap<ObjectRef, usize, RandomState>, RandomState>;

// === impl Slices ===

impl Slices {
    /// Takes a slice's new form, or its absence, and reports the Services whose endpoints that may change.
    pub(super) fn set(&mut self, object: &ObjectRef, new: Option<Slice>, touched: &mut impl Extend<ObjectRef>) {
        let old = self.by_object.get(object);
        if old.map(|old| &**old) == new.as_ref() {
            return;
        }
        if let Some(old) = self.by_object.remove(object) {
            self.forget(object, &old);
            touched.extend([old.service.clone()]);
        }
        if let Some(new) = new.map(Arc::new) {
            touched.extend([new.service.clone()]);
            self.learn(object, new);
        }
    }

    fn learn(&mut self, object: &ObjectRef, slice: Arc<Slice>) {
        for endpoint in &slice.endpoints {
            match &endpoint.pod {
                Some(pod) => add(&mut self.by_pod, pod, &slice.service),
                None => add(&mut self.by_address, &endpoint.address, &slice.service),
            }
        }
        self.by_service.entry(slice.service.clone()).or_default().insert(object.clone(), slice.clone());
        self.by_object.insert(object.clone(), slice);
    }

    fn forget(&mut self, object: &ObjectRef, slice: &Slice) {
        for endpoint in &slice.endpoints {
            match &endpoint.pod {
                Some(pod) => remove(&mut self.by_pod, pod, &slice.service),
                None => remove(&mut self.by_address, &endpoint.address, &slice.service),
            }
        }
        if let Some(slices) = self.by_service.get_mut(&slice.service) {
            slices.remove(object);
            if slices.is_empty() {
                self.by_service.remove(&slice.service);
            }
        }
    }

    /// The slices of a Service.
    pub(super) fn of_service(&self, service: &ObjectRef) -> impl Iterator<Item = &Arc<Slice>> {
        self.by_service.get(service).into_iter().flat_map(BTreeMap::values)
    }

    /// Services whose slices name that pod.
    pub(super) fn services_of_pod(&self, pod: &WorkloadKey) -> impl Iterator<Item = &ObjectRef> {
        self.by_pod.get(pod).into_iter().flat_map(HashMap::keys)
    }

    /// Services whose slices give that address without a pod.
    pub(super) fn services_at(&self, address: &IpAddr) -> impl Iterator<Item = &ObjectRef> {
        self.by_address.get(address).into_iter().flat_map(HashMap::keys)
    }
}

fn add<K: Hash + Eq + Clone>(referrers: &mut Referrers<K>, to: &K, service: &ObjectRef) {
    *referrers.entry(to.clone()).or_default().entry(service.clone()).or_default() += 1;
}

fn remove<K: Hash + Eq>(referrers: &mut Referrers<K>, to: &K, service: &ObjectRef) {
    let Some(services) = referrers.get_mut(to) else { return };
    if let Some(count) = services.get_mut(service) {
        *count -= 1;
        if *count == 0 {
            services.remove(service);
        }
    }
    if services.is_empty() {
        referrers.remove(to);
    }
}
