//! The objects of a cluster that analysis looks at, listed once.
//!
//! Of Secrets it keeps metadata, and for those that Gateways name the names of the keys; values are dropped as they are read.

use ferromesh_crds::catalog;
use futures::future;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject, PartialObjectMeta},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::cli::{
    cluster::Cluster,
    exit::{Exit, Failure},
};
use crate::runtime::list_all;

/// Kubernetes' own kinds: group, version, kind, plural.
const KUBERNETES: [(&str, &str, &str, &str); 6] = [
    ("", "v1", "Namespace", "namespaces"),
    ("", "v1", "Service", "services"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("apps", "v1", "Deployment", "deployments"),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
];
/// The ConfigMaps that matter, the second also with a revision behind it; others may be large, and none of our business.
const CONFIG_MAPS: [&str; 2] = ["istio", "istio-sidecar-injector"];

/// What a cluster holds.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) objects: Vec<Value>,
    /// Kinds that could not be listed, and why.
    pub(super) unknown: Vec<(String, Failure)>,
}

/// Lists everything.
///
/// # Errors
/// When nothing can be listed at all.
pub(super) async fn read(cluster: &Cluster, mesh_namespace: &str) -> Result<Live, Failure> {
    let own = catalog::kinds().iter().filter_map(|kind| Some((kind.group, *kind.versions.first()?, kind.name, kind.plural)));
    let kinds: Vec<_> = KUBERNETES.into_iter().chain(own).collect();
    let lists = kinds.iter().map(|kind| list_kind(cluster, *kind, mesh_namespace));
    let mut live = Live::default();
    let mut listed = 0;
    for ((_, _, kind, _), result) in kinds.iter().zip(future::join_all(lists).await) {
        match result {
            Ok(objects) => {
                listed += 1;
                live.objects.extend(objects);
            }
            Err(failure) => live.unknown.push(((*kind).to_owned(), failure)),
        }
    }
    if listed == 0 {
        let first = live.unknown.into_iter().next().map(|(_, failure)| failure);
        return Err(first.unwrap_or_else(|| Failure::new(Exit::Failed, "the cluster has nothing to list")));
    }
    match secrets(&cluster.client, &live.objects).await {
        Ok(secrets) => live.objects.extend(secrets),
        Err(failure) => live.unknown.push(("Secret".to_owned(), failure)),
    }
    Ok(live)
}

/// All objects of a kind: its group, version, name and plural; of ConfigMaps those that matter.
///
/// # Errors
/// When they can't be listed.
pub(in crate::cli) async fn list_kind(
    cluster: &Cluster,
    (group, version, kind, plural): (&str, &str, &str, &str),
    mesh_namespace: &str,
) -> Result<Vec<Value>, Failure> {
    let scope = (kind == "ConfigMap").then_some(mesh_namespace);
    list(cluster.client.clone(), resource(group, version, kind, plural), scope).await
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource { group: group.to_owned(), version: version.to_owned(), api_version, kind: kind.to_owned(), plural: plural.to_owned() }
}

async fn list(client: Client, resource: ApiResource, namespace: Option<&str>) -> Result<Vec<Value>, Failure> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let found = match list_all(&api, &ListParams::default()).await {
        Ok(found) => found,
        // The cluster has no such kind, so no such object.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(Failure::cluster(format_args!("list {}", resource.plural), &error)),
    };
    let wanted = |object: &DynamicObject| namespace.is_none() || object.metadata.name.as_deref().is_some_and(is_of_mesh);
    let typed = |mut object: DynamicObject| {
        object.metadata.managed_fields = None;
        let mut value = serde_json::to_value(object).unwrap_or_default();
        // Items of a list leave out what the list says.
        value["apiVersion"] = json!(resource.api_version);
        value["kind"] = json!(resource.kind);
        value
    };
    Ok(found.into_iter().filter(wanted).map(typed).collect())
}

/// The Secrets: metadata of all, and the names of the keys of those that a Gateway names.
async fn secrets(client: &Client, objects: &[Value]) -> Result<Vec<Value>, Failure> {
    let all: Api<PartialObjectMeta<Secret>> = Api::all(client.clone());
    let found = list_all(&all, &ListParams::default()).await.map_err(|error| Failure::cluster("list secrets", &error))?;
    let named = named_secrets(objects);
    let mut secrets = Vec::new();
    for metadata in found {
        let (name, namespace) = (metadata.metadata.name.unwrap_or_default(), metadata.metadata.namespace.unwrap_or_default());
        let mut value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}});
        if named.contains(&name) {
            let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
            // One that may not be read exists all the same.
            if let Ok(Some(secret)) = api.get_opt(&name).await {
                let keys = secret.data.into_iter().flatten().map(|(key, _)| (key, json!("")));
                value["data"] = Value::Object(keys.collect());
                value["type"] = json!(secret.type_);
            }
        }
        secrets.push(value);
    }
    Ok(secrets)
}

/// The names of Secrets in the Gateways among the objects, and of those that Envoy looks for beside them.
fn named_secrets(objects: &[Value]) -> BTreeSet<String> {
    let gateways = objects.iter().filter(|object| object["kind"] == "Gateway");
    let servers = gateways.flat_map(|gateway| gateway["spec"]["servers"].as_array().into_iter().flatten());
    let credentials = servers.flat_map(|server| {
        let several = server["tls"]["credentialNames"].as_array().into_iter().flatten();
        std::iter::once(&server["tls"]["credentialName"]).chain(several)
    });
    let names = credentials.filter_map(Value::as_str);
    names.flat_map(|name| [name.to_owned(), format!("{name}-cacert")]).collect()
}

/// Whether a ConfigMap of that name tells how the mesh is.
fn is_of_mesh(name: &str) -> bool {
    CONFIG_MAPS.contains(&name) || name.strip_prefix(CONFIG_MAPS[1]).is_some_and(|rest| rest.starts_with('-'))
}
