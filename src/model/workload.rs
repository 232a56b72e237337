//! A workload: one running instance of an application, which today is a pod.

use std::{net::IpAddr, sync::Arc};

use super::{Labels, SpiffeId};

/// Which workload: its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadKey {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's name.
    pub name: Arc<str>,
}

impl WorkloadKey {
    /// A key from its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// A pod as the mesh sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its namespace and name.
    pub key: WorkloadKey,
    /// Its addresses, the primary one first; empty until it has one.
    pub addresses: Vec<IpAddr>,
    /// Its labels, which selectors and subsets match.
    pub labels: Labels,
    /// Whose name it may bear.
    pub identity: SpiffeId,
    /// The node it runs on.
    pub node: Arc<str>,
    /// `region/zone/subzone` of its node; empty if unknown.
    pub locality: Arc<str>,
    /// Whether it uses its node's network, so that nothing captures its traffic.
    pub host_network: bool,
    /// Numbers of its containers' named ports, for Services that target a name.
    pub named_ports: Vec<(Arc<str>, u16)>,
}

impl Workload {
    /// Whether a sidecar answers mTLS for it: the injector's label `security.istio.io/tlsMode=istio`.
    pub fn speaks_mtls(&self) -> bool {
        self.labels.get("security.istio.io/tlsMode").is_some_and(|mode| mode == "istio")
    }

    /// Whether a selector picks it. An empty selector picks everything.
    pub fn selected_by(&self, selector: &Labels) -> bool {
        selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}
