//! A proxy as the compiler knows it: who asks for configuration.

use std::{net::IpAddr, sync::Arc};

use crate::model::{Generator, Labels, ProxyRole, SpiffeId, Workload, WorkloadKey};

/// Everything that compiling may depend on beside the snapshot. Resources are compiled through [`super::scope::Scope`], which notes
/// the facts that were really read, so that proxies which agree on them share the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Sidecar or gateway.
    pub role: ProxyRole,
    /// What reads its configuration. It decides, as the role does, which sections there are; nothing within them reads it.
    pub generator: Generator,
    /// Whether the API server knows its pod, so that its labels and account are not only what it says of itself.
    pub vouched: bool,
    /// Its pod.
    pub key: WorkloadKey,
    /// Its pod's labels.
    pub labels: Labels,
    /// Its pod's addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// The identity that its connection proved.
    pub identity: SpiffeId,
    /// The node that it runs on.
    pub node: Arc<str>,
    /// `region/zone/subzone`; empty if unknown.
    pub locality: Arc<str>,
    /// Numbers of its containers' named ports, for Services that target a name.
    pub named_ports: Vec<(Arc<str>, u16)>,
    /// The texts among its node's metadata, such as `ISTIO_VERSION`.
    pub metadata: Labels,
    /// Whether its agent answers its application's DNS queries, with the addresses that the mesh gave to hosts among the answers.
    pub captures_dns: bool,
    /// Whether it wants to know the other workloads of its own service, as choosing by zones needs.
    pub discovers_itself: bool,
    /// Whether it takes the virtual hosts of route tables one by one, which the delta form of the protocol alone can do.
    pub splits_tables: bool,
}

// === impl Proxy ===

impl Proxy {
    /// The proxy of a workload as the API server knows it, which says nothing of itself.
    pub fn beside(workload: &Workload, role: ProxyRole) -> Self {
        Self {
            role,
            generator: Generator::default(),
            vouched: true,
            key: workload.key.clone(),
            labels: workload.labels.clone(),
            addresses: workload.addresses.clone(),
            identity: workload.identity.clone(),
            node: workload.node.clone(),
            locality: workload.locality.clone(),
            named_ports: workload.named_ports.clone(),
            metadata: Labels::new(),
            captures_dns: false,
            discovers_itself: false,
            splits_tables: false,
        }
    }
}
