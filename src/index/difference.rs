//! What differs between two snapshots.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::model::{Change, Changes, ObjectRef, Snapshot};

/// Whether what a change names differs between two snapshots.
pub(super) fn differs(change: &Change, old: &Snapshot, new: &Snapshot) -> bool {
    match change {
        Change::Mesh => !same(Some(&old.mesh), Some(&new.mesh)),
        Change::Service(key) => !same(old.services.get(key), new.services.get(key)),
        Change::Endpoints(key) => !same(old.endpoints.get(key), new.endpoints.get(key)),
        Change::Workload(key) => !same(old.workloads.get(key), new.workloads.get(key)),
        Change::Config(object) => config_differs(object, old, new),
    }
}

fn config_differs(object: &ObjectRef, old: &Snapshot, new: &Snapshot) -> bool {
    fn changed<T: PartialEq>(object: &ObjectRef, old: &Objects<T>, new: &Objects<T>) -> bool {
        !same(old.get(object), new.get(object))
    }
    match object.kind {
        "VirtualService" => changed(object, &old.virtual_services, &new.virtual_services),
        "DestinationRule" => changed(object, &old.destination_rules, &new.destination_rules),
        "Gateway" => changed(object, &old.gateways, &new.gateways),
        "Sidecar" => changed(object, &old.sidecars, &new.sidecars),
        "PeerAuthentication" => changed(object, &old.peer_authentications, &new.peer_authentications),
        _ => false,
    }
}

type Objects<T> = RedBlackTreeMapSync<ObjectRef, Arc<T>>;

/// Equal by pointer, which is cheap and the usual case, or by value.
fn same<T: PartialEq + ?Sized>(old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
        (None, None) => true,
        _ => false,
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
    let objects = (snapshot.virtual_services.keys())
        .chain(snapshot.destination_rules.keys())
        .chain(snapshot.gateways.keys())
        .chain(snapshot.sidecars.keys())
        .chain(snapshot.peer_authentications.keys());
    services.chain(endpoints).chain(workloads).chain(objects.cloned().map(Change::Config))
}

/// Puts a value into a map, or takes it out; a value that is equal to the one there leaves that one in place, so that snapshots share it.
pub(super) fn set<K: Ord + Clone, T: PartialEq + ?Sized>(map: &mut RedBlackTreeMapSync<K, Arc<T>>, key: &K, value: Option<Arc<T>>) {
    match value {
        Some(value) if !same(map.get(key), Some(&value)) => map.insert_mut(key.clone(), value),
        Some(_) => {}
        None => _ = map.remove_mut(key),
    }
}

/// The same for a map without order.
pub(super) fn set_hashed<K, T>(map: &mut HashTrieMapSync<K, Arc<T>>, key: &K, value: Option<Arc<T>>)
where
    K: Hash + Eq + Clone + Borrow<K>,
    T: PartialEq + ?Sized,
{
    match value {
        Some(value) if !same(map.get(key), Some(&value)) => map.insert_mut(key.clone(), value),
        Some(_) => {}
        None => _ = map.remove_mut(key),
    }
}
