//! Who else lives in a namespace: it goes only if nobody does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, ResourceExt, api::ListParams, core::DynamicObject};
use std::collections::BTreeMap;

use super::object::Id;
use crate::cli::{exit::Failure, report::counted};
use crate::runtime::list_each;

/// What pods belong to, and what answers. What Kubernetes makes in every namespace, and what nobody runs, is no sign of life.
const WORKLOADS: [(&str, &str); 3] = [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet")];

/// An object's labels.
pub(super) type Labels = BTreeMap<String, String>;

/// The workloads, Services and pods of a namespace that `goes` doesn't say of that they go; pods go with what they belong to.
///
/// # Errors
/// When they can't be listed: what can't be seen is not to be taken for absent.
pub(super) async fn neighbours(client: &Client, namespace: &str, goes: impl Fn(&Id, &Labels) -> bool) -> Result<Vec<Id>, Failure> {
    let mut workloads = Vec::new();
    for (api_version, kind) in WORKLOADS {
        workloads.extend(all(client, namespace, api_version, kind).await?);
    }
    let services = all(client, namespace, "v1", "Service").await?;
    let known = |owner: &Id| workloads.iter().any(|(id, _)| id == owner) || goes(owner, &Labels::new());
    let pods =
        all(client, namespace, "v1", "Pod").await?.into_iter().filter(|(_, pod)| !owner(pod, namespace).is_some_and(|it| known(&it)));
    let pods: Vec<_> = pods.collect();
    let others = workloads.iter().chain(&services).chain(&pods).filter(|(id, object)| !goes(id, object.labels()));
    // What is being deleted already keeps nothing.
    Ok(others.filter(|(_, object)| object.metadata.deletion_timestamp.is_none()).map(|(id, _)| id.clone()).collect())
}

/// Why a namespace stays, by those that are in it; none if nobody is.
pub(super) fn told(namespace: &str, neighbours: &[Id]) -> Option<String> {
    let first = neighbours.first()?;
    let more = if neighbours.len() > 1 { format!(" and {}", counted(neighbours.len() - 1, "other object")) } else { String::new() };
    Some(format!("Namespace {namespace} stays, for {first}{more} in it is not the mesh's"))
}

async fn all(client: &Client, namespace: &str, api_version: &str, kind: &str) -> Result<Vec<(Id, DynamicObject)>, Failure> {
    let named =
        |name: String| Id { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace: Some(namespace.to_owned()), name };
    let api = named(String::new()).api(client);
    let found = list_each(&api, &ListParams::default(), |object: DynamicObject| Some((named(object.name_any()), object))).await;
    found.map_err(|error| Failure::cluster(format_args!("list {kind}s of namespace {namespace}"), &error))
}

/// The workload that a pod belongs to, by the name that its controller gave it.
fn owner(pod: &DynamicObject, namespace: &str) -> Option<Id> {
    let controller: &OwnerReference = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    let (kind, name) = match controller.kind.as_str() {
        "ReplicaSet" => ("Deployment", controller.name.rsplit_once('-')?.0),
        kind => (kind, controller.name.as_str()),
    };
    let (api_version, kind) = WORKLOADS.into_iter().find(|(_, of)| *of == kind)?;
    Some(Id { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace: Some(namespace.to_owned()), name: name.to_owned() })
}
