//! The few fields of a pod that the mesh looks at.
//!
//! Pods are the most and the largest objects of a cluster. Reading these fields alone, in place of the whole type, takes a fraction of
//! the time and of the memory.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A pod, to be watched in place of the whole one.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodView {
    /// Name, namespace, version, labels, and whether it is being deleted; nothing else.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What it is made of.
    pub spec: Option<PodSpecView>,
    /// How it is.
    pub status: Option<PodStatusView>,
}

/// What a pod is made of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpecView {
    pub(super) node_name: Option<String>,
    pub(super) service_account_name: Option<String>,
    pub(super) host_network: Option<bool>,
    pub(super) containers: Option<Vec<ContainerView>>,
    pub(super) init_containers: Option<Vec<ContainerView>>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerView {
    pub(super) restart_policy: Option<String>,
    pub(super) ports: Option<Vec<PortView>>,
}

/// A container's port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PortView {
    pub(super) name: Option<String>,
    pub(super) container_port: i32,
    pub(super) protocol: Option<String>,
}

/// How a pod is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatusView {
    pub(super) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pub(super) pod_ips: Option<Vec<PodIpView>>,
    pub(super) conditions: Option<Vec<ConditionView>>,
}

/// One of a pod's addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodIpView {
    pub(super) ip: Option<String>,
}

/// A condition of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConditionView {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
}

/// What is read of the metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataView {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<Time>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let MetadataView { name, namespace, resource_version, labels, deletion_timestamp } = MetadataView::deserialize(deserializer)?;
    Ok(ObjectMeta { name, namespace, resource_version, labels, deletion_timestamp, ..ObjectMeta::default() })
}

// === impl PodView ===

impl Resource for PodView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
