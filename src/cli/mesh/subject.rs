//! The pod that a question is about: one that runs, the template of one, or labels alone.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, core::DynamicObject};
use serde_json::{Value, json};
use std::str::FromStr;

use crate::cli::{
    cluster::Cluster,
    exit::{Exit, Failure},
    workload::WorkloadKind,
};
use crate::injector::Labels;

/// A pod, or what makes pods, by its name: `web-1`, `web-1.shop`, `deploy/web.shop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    kind: &'static WorkloadKind,
    name: String,
    namespace: Option<String>,
}

/// What is asked about, and where it lives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subject {
    /// How it is told of: `Pod shop/web-1`.
    pub(super) shown: String,
    pub(super) namespace: String,
    /// The namespace's labels, its name among them, as the API server has them.
    pub(super) namespace_labels: Labels,
    /// `metadata` and `spec`.
    pub(super) pod: Value,
    /// Whether it is a pod that is there, rather than one that would be made.
    pub(super) exists: bool,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once('/').unwrap_or(("pod", text));
        let kind = WorkloadKind::named(word).ok_or_else(|| format!("{word:?} makes no pods: name one of {}", WorkloadKind::words()))?;
        // A pod's name may hold dots, but what makes pods names them without: the last part is the namespace.
        let (name, namespace) = match rest.rsplit_once('.') {
            Some((name, namespace)) => (name, Some(namespace.to_owned())),
            None => (rest, None),
        };
        if name.is_empty() || namespace.as_deref() == Some("") {
            return Err("write POD, POD.NAMESPACE or TYPE/NAME".to_owned());
        }
        Ok(Self { kind, name: name.to_owned(), namespace })
    }
}

// === impl Subject ===

impl Subject {
    /// Reads it from the cluster.
    ///
    /// # Errors
    /// When it, or its namespace, is not there or can't be read.
    pub(super) async fn find(cluster: &Cluster, named: &Named, default_namespace: &str) -> Result<Self, Failure> {
        let namespace = named.namespace.as_deref().unwrap_or(default_namespace);
        let (kind, name) = (named.kind, &named.name);
        let shown = format!("{} {namespace}/{name}", kind.name);
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &kind.resource());
        let found = api.get_opt(name).await.map_err(|error| Failure::cluster(format_args!("read {shown}"), &error))?;
        let object = found.ok_or_else(|| Failure::new(Exit::Failed, format_args!("there is no {shown}")))?;
        let object = serde_json::to_value(object).unwrap_or_default();
        let pod = kind.template(&object).cloned().ok_or_else(|| Failure::new(Exit::Failed, format_args!("{shown} makes no pods")))?;
        let namespace_labels = labels_of(cluster, namespace).await?;
        Ok(Self { shown, namespace: namespace.to_owned(), namespace_labels, pod, exists: kind.is_pod() })
    }

    /// A pod that would be made with these labels.
    ///
    /// # Errors
    /// When the namespace is not there or can't be read.
    pub(super) async fn labelled(cluster: &Cluster, labels: &Labels, namespace: &str) -> Result<Self, Failure> {
        let namespace_labels = labels_of(cluster, namespace).await?;
        let pod = json!({"metadata": {"labels": labels}, "spec": {}});
        let shown = format!("a pod of namespace {namespace}");
        Ok(Self { shown, namespace: namespace.to_owned(), namespace_labels, pod, exists: false })
    }

    /// The pod's labels.
    pub(super) fn labels(&self) -> Labels {
        crate::injector::PodView::new(&self.pod).labels()
    }
}

async fn labels_of(cluster: &Cluster, namespace: &str) -> Result<Labels, Failure> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let found = namespaces.get_metadata_opt(namespace).await;
    let found = found.map_err(|error| Failure::cluster(format_args!("read namespace {namespace}"), &error))?;
    let found = found.ok_or_else(|| Failure::new(Exit::Failed, format_args!("there is no namespace {namespace}")))?;
    Ok(found.metadata.labels.unwrap_or_default())
}
