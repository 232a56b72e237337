//! Objects of any kind: how one is named, and where its API is.

use ferromesh_crds::catalog;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;
use std::fmt;

use crate::cli::exit::Failure;

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Id {
    pub(in crate::cli) api_version: String,
    pub(in crate::cli) kind: String,
    /// None for objects of the whole cluster.
    pub(in crate::cli) namespace: Option<String>,
    pub(in crate::cli) name: String,
}

/// Kubernetes' own kinds without namespaces, as far as manifests have them.
const OF_CLUSTER: [&str; 14] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
];

/// `Deployment istio-system/istio-pilot`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

// === impl Id ===

impl Id {
    /// The name of an object; `namespace` is that of objects that name none and belong to one. None if it is no object.
    pub(in crate::cli) fn of(object: &Value, namespace: &str) -> Option<Self> {
        let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        let own = object["metadata"]["namespace"].as_str().filter(|own| !own.is_empty());
        Some(Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: (!is_of_cluster(api_version, kind)).then(|| own.unwrap_or(namespace).to_owned()),
            name: object["metadata"]["name"].as_str()?.to_owned(),
        })
    }

    /// The API of its kind, in its namespace; without one in the whole cluster.
    pub(in crate::cli) fn api(&self, client: &Client) -> Api<DynamicObject> {
        let resource = self.resource();
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }

    /// The object as the cluster has it, if it does.
    ///
    /// # Errors
    /// When it can't be read.
    pub(in crate::cli) async fn read(&self, client: &Client) -> Result<Option<Value>, Failure> {
        let found = self.api(client).get_opt(&self.name).await.map_err(|error| Failure::cluster(format_args!("read {self}"), &error))?;
        Ok(found.map(|object| serde_json::to_value(object).unwrap_or_default()))
    }

    fn resource(&self) -> ApiResource {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let kind = GroupVersionKind::gvk(group, version, &self.kind);
        match catalog::find(group, &self.kind) {
            Some(known) => ApiResource::from_gvk_with_plural(&kind, known.plural),
            None => ApiResource::from_gvk(&kind),
        }
    }
}

fn is_of_cluster(api_version: &str, kind: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match catalog::find(group, kind) {
        Some(known) => known.cluster_scoped,
        None => OF_CLUSTER.contains(&kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(api_version: &str, kind: &str, metadata: Value) -> Option<String> {
        Some(Id::of(&json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}), "shop")?.to_string())
    }

    #[test]
    fn an_object_is_in_its_own_namespace_the_given_one_or_none() {
        assert_eq!(shown("v1", "Service", json!({"name": "a"})).as_deref(), Some("Service shop/a"));
        assert_eq!(shown("v1", "Service", json!({"name": "a", "namespace": "b"})).as_deref(), Some("Service b/a"));
        assert_eq!(shown("rbac.authorization.k8s.io/v1", "ClusterRole", json!({"name": "a"})).as_deref(), Some("ClusterRole a"));
        assert_eq!(shown("install.ferromesh.dev/v1alpha1", "MeshInstall", json!({"name": "a"})).as_deref(), Some("MeshInstall a"));
        assert_eq!(shown("v1", "Service", json!({})), None);
    }

    #[test]
    fn kinds_have_the_plural_that_urls_need() {
        let plural = |api_version: &str, kind: &str| {
            Id { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace: None, name: String::new() }.resource().plural
        };
        assert_eq!(plural("networking.istio.io/v1", "ServiceEntry"), "serviceentries");
        assert_eq!(plural("networking.k8s.io/v1", "NetworkPolicy"), "networkpolicies");
        assert_eq!(plural("apps/v1", "Deployment"), "deployments");
    }
}
