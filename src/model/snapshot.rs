//! The whole mesh at one moment.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use super::{ConfigObjects, Credential, Endpoint, MeshConfig, ObjectRef, SecretKey, Service, ServiceKey, Workload, WorkloadKey};

/// Everything that the compiler reads. Its maps are persistent: cloning it is free, and a changed one shares all that did not change.
///
/// Maps that a compiler walks are ordered, so that the same snapshot always compiles to the same bytes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts up with each change; the version that proxies are told.
    pub version: u64,
    /// Settings of the mesh.
    pub mesh: Arc<MeshConfig>,
    /// Services, Kubernetes' and ServiceEntries' alike.
    pub services: RedBlackTreeMapSync<ServiceKey, Arc<Service>>,
    /// Endpoints of each service, sorted by address and port.
    pub endpoints: HashTrieMapSync<ServiceKey, Arc<[Endpoint]>>,
    /// Workloads by name.
    pub workloads: HashTrieMapSync<WorkloadKey, Arc<Workload>>,
    /// Which workload has an address.
    pub addresses: HashTrieMapSync<IpAddr, WorkloadKey>,
    /// Configuration, kind by kind.
    pub config: ConfigObjects,
    /// What is known of the Secrets that proxies need.
    pub secrets: HashTrieMapSync<SecretKey, Arc<Credential>>,
}

/// What differs between one snapshot and the one before it. Whoever reads a change compiles again only what read the thing that it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The mesh's settings.
    Mesh,
    /// A service itself: its ports, addresses or visibility.
    Service(ServiceKey),
    /// The endpoints of a service.
    Endpoints(ServiceKey),
    /// A workload: its labels or addresses.
    Workload(WorkloadKey),
    /// A configuration object.
    Config(ObjectRef),
    /// What a Secret holds.
    Secret(SecretKey),
}

impl Snapshot {
    /// The workload of that address, if it is one of the mesh's.
    pub fn workload_at(&self, address: &IpAddr) -> Option<&Arc<Workload>> {
        self.workloads.get(self.addresses.get(address)?)
    }
}

/// The changes that lead from one snapshot to the next.
pub type Changes = BTreeSet<Change>;
