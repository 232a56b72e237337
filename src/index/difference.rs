//! What differs between two snapshots.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use rpds::HashTrieMapSync;

use crate::model::{Change, Changes, Snapshot, same_shared};

/// Whether what a change names differs between two snapshots.
pub(super) fn differs(change: &Change, old: &Snapshot, new: &Snapshot) -> bool {
    match change {
        Change::Mesh => !same_shared(Some(&old.mesh), Some(&new.mesh)),
        Change::Service(key) => !same_shared(old.services.get(key), new.services.get(key)),
        Change::Endpoints(key) => !same_shared(old.endpoints.get(key), new.endpoints.get(key)),
        Change::Workload(key) => !same_shared(old.workloads.get(key), new.workloads.get(key)),
        Change::Config(object) => old.config.differs(&new.config, object),
        Change::Secret(key) => !same_shared(old.secrets.get(key), new.secrets.get(key)),
    }
}

/// All that differs between two snapshots. Costs their size.
pub(super) fn difference(old: &Snapshot, new: &Snapshot) -> Changes {
    let mut changes = Changes::from([Change::Mesh]);
    for snapshot in [old, new] {
        changes.extend(everything_of(snapshot));
    }
    changes.retain(|change| differs(change, old, new));
    changes
}

/// The changes that lead from nothing to this snapshot.
pub(super) fn everything(snapshot: &Snapshot) -> Changes {
    everything_of(snapshot).chain([Change::Mesh]).collect()
}

fn everything_of(snapshot: &Snapshot) -> impl Iterator<Item = Change> {
    let services = snapshot.services.keys().cloned().map(Change::Service);
    let endpoints = snapshot.endpoints.keys().cloned().map(Change::Endpoints);
    let workloads = snapshot.workloads.keys().cloned().map(Change::Workload);
    let objects = snapshot.config.keys().cloned().map(Change::Config);
    let secrets = snapshot.secrets.keys().cloned().map(Change::Secret);
    services.chain(endpoints).chain(workloads).chain(objects).chain(secrets)
}

/// [`set_shared`] for a map without order.
pub(super) fn set_hashed<K, T>(map: &mut HashTrieMapSync<K, Arc<T>>, key: &K, value: Option<Arc<T>>)
where
    K: Hash + Eq + Clone + Borrow<K>,
    T: PartialEq + ?Sized,
{
    match value {
        Some(value) if !same_shared(map.get(key), Some(&value)) => map.insert_mut(key.clone(), value),
        Some(_) => {}
        None => _ = map.remove_mut(key),
    }
}
