//! The kinds of configuration: one list, from which follows what an object of any kind is and where the snapshot keeps it.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::{
    DestinationRule, EnvoyFilter, Gateway, ObjectRef, PeerAuthentication, ProxyConfig, ServiceEntry, Sidecar, VirtualService,
    WorkloadEntry, WorkloadGroup,
};

/// Objects of one kind. Ordered, because their order reaches output.
pub type Objects<T> = RedBlackTreeMapSync<ObjectRef, Arc<T>>;

macro_rules! config_kinds {
    ($( $(#[$doc:meta])* $objects:ident: $kind:ident, )+) => {
        /// An object of one of the kinds that the mesh is configured by. Cheap to clone.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ConfigObject { $( $(#[$doc])* $kind(Arc<$kind>), )+ }

        /// All of the mesh's configuration, one persistent map a kind: a clone is free, and shares what does not change.
        #[derive(Clone, Debug, Default)]
        pub struct ConfigObjects { $( $(#[$doc])* pub $objects: Objects<$kind>, )+ }

        $( impl From<$kind> for ConfigObject {
            fn from(value: $kind) -> Self {
                Self::$kind(Arc::new(value))
            }
        } )+

        impl ConfigObject {
            /// Which object it is.
            pub fn origin(&self) -> &ObjectRef {
                match self { $( Self::$kind(value) => &value.origin, )+ }
            }
        }

        impl ConfigObjects {
            /// The object of that name.
            pub fn get(&self, object: &ObjectRef) -> Option<ConfigObject> {
                match object.kind {
                    $( stringify!($kind) => self.$objects.get(object).cloned().map(ConfigObject::$kind), )+
                    _ => None,
                }
            }

            /// Takes an object in, in place of the one of that name. One that is equal leaves that one in place.
            pub fn insert(&mut self, value: ConfigObject) {
                match value { $( ConfigObject::$kind(value) => {
                    let object = value.origin.clone();
                    set_shared(&mut self.$objects, &object, Some(value));
                } )+ }
            }

            /// Takes an object out. Returns whether it was there.
            pub fn remove(&mut self, object: &ObjectRef) -> bool {
                match object.kind {
                    $( stringify!($kind) => self.$objects.remove_mut(object), )+
                    _ => false,
                }
            }

            /// The names of all objects, kind by kind.
            pub fn keys(&self) -> impl Iterator<Item = &ObjectRef> {
                std::iter::empty()$( .chain(self.$objects.keys()) )+
            }

            /// All objects, kind by kind.
            pub fn values(&self) -> impl Iterator<Item = ConfigObject> + '_ {
                std::iter::empty()$( .chain(self.$objects.values().cloned().map(ConfigObject::$kind)) )+
            }

            /// Whether the object of that name is another in `other`, or is in one of the two alone.
            pub fn differs(&self, other: &Self, object: &ObjectRef) -> bool {
                match object.kind {
                    $( stringify!($kind) => !same_shared(self.$objects.get(object), other.$objects.get(object)), )+
                    _ => false,
                }
            }
        }
    };
}

config_kinds! {
    /// Settings of the traffic to a host.
    destination_rules: DestinationRule,
    /// Changes to proxies' configuration in Envoy's own terms.
    envoy_filters: EnvoyFilter,
    /// Ports and hosts that gateways serve.
    gateways: Gateway,
    /// Whether workloads ask for mutual TLS.
    peer_authentications: PeerAuthentication,
    /// Settings of single workloads' proxies.
    proxy_configs: ProxyConfig,
    /// Services that Kubernetes does not know.
    service_entries: ServiceEntry,
    /// What sidecars of a namespace reach.
    sidecars: Sidecar,
    /// Routes.
    virtual_services: VirtualService,
    /// Workloads outside of Kubernetes.
    workload_entries: WorkloadEntry,
    /// What WorkloadEntries that register themselves have in common.
    workload_groups: WorkloadGroup,
}

/// Equal by pointer, which is cheap and the usual case, or by value.
pub fn same_shared<T: PartialEq + ?Sized>(old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
        (None, None) => true,
        _ => false,
    }
}

/// Puts a value into a map, or takes it out; a value that is equal to the one there leaves that one in place, so that snapshots share it.
pub fn set_shared<K: Ord + Clone, T: PartialEq + ?Sized>(map: &mut RedBlackTreeMapSync<K, Arc<T>>, key: &K, value: Option<Arc<T>>) {
    match value {
        Some(value) if !same_shared(map.get(key), Some(&value)) => map.insert_mut(key.clone(), value),
        Some(_) => {}
        None => _ = map.remove_mut(key),
    }
}
