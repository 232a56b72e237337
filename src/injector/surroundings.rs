//! What an injection depends on beside the pod and the template.

use std::collections::BTreeMap;

use super::ProxyConfigs;

/// Where a pod will live, and what is known of it there.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The namespace's labels, where they are known: they hold its Pod Security level.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// The ProxyConfigs of the cluster.
    pub proxy_configs: &'a ProxyConfigs,
    /// Whether the node that will run the pod can run native sidecar containers.
    pub native_nodes: bool,
    /// Who will make the pod, where only a template of it is there.
    pub owner: Option<&'a Owner>,
    /// The cluster's name, where the caller says another than the mesh does.
    pub cluster: Option<&'a str>,
    /// The network's name, where the caller says another than the mesh does.
    pub network: Option<&'a str>,
}

/// The object that makes a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

// === impl Surroundings ===

impl<'a> Surroundings<'a> {
    /// A pod of `namespace`, of which nothing else is known.
    #[must_use]
    pub fn of(namespace: &'a str, proxy_configs: &'a ProxyConfigs, native_nodes: bool) -> Self {
        Self { namespace, namespace_labels: None, proxy_configs, native_nodes, owner: None, cluster: None, network: None }
    }
}
