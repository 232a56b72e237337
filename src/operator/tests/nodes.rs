//! The nodes' part has a namespace of its own, and stays as long as pods may count on it.

use ferromesh_crds::{MeshInstall, install::State};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{ConfigMap, Namespace, Service, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::cluster::{Cluster, MESH};
use crate::operator::settings::NODES;
use crate::testing::eventually;

const PART: &str = "istio-cni-node";

fn on() -> Value {
    json!({"components": {"cni": {"enabled": true}}})
}

#[tokio::test]
async fn it_lives_in_a_namespace_of_its_own_that_lets_it_in() {
    let cluster = Cluster::healthy(on()).await;
    let namespace = cluster.api.get::<Namespace>(None, NODES).unwrap();
    assert_eq!(namespace.labels()["pod-security.kubernetes.io/enforce"], "privileged");
    assert!(namespace.owner_references().iter().any(|owner| owner.kind == "MeshInstall"), "it goes with the mesh");
    assert!(cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some());
    let rights = cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-cni").unwrap();
    assert_eq!(rights.subjects.unwrap()[0].namespace.as_deref(), Some(NODES));
    // It is watched there as well.
    cluster.api.delete::<DaemonSet>(Some(NODES), PART);
    eventually("it is back", || cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some()).await;
    cluster.api.delete::<Namespace>(None, NODES);
    eventually("all of it is back", || {
        cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some() && cluster.api.get::<Namespace>(None, NODES).is_some()
    })
    .await;
}

/// What injectors are told: whether nodes redirect pods.
fn counts_on_it(cluster: &Cluster) -> bool {
    let map = cluster.api.get::<ConfigMap>(Some(MESH), "istio-sidecar-injector").and_then(|map| map.data).unwrap_or_default();
    map["values"].contains("\"cni\": true")
}

/// A namespace of somebody else's where the nodes' part is to be.
fn taken(cluster: &Cluster) -> Namespace {
    cluster.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": NODES, "labels": {"team": "net"}}})).unwrap());
    cluster.api.get::<Namespace>(None, NODES).unwrap()
}

async fn until_named(cluster: &Cluster) {
    let named = |(_, reason, message): (String, String, String)| {
        reason == "ForeignObject" && message.starts_with("Namespace istio-cni is somebody else's and has been left alone: ")
    };
    eventually("it is named", || cluster.condition("mesh", "Stalled").is_some_and(named)).await;
}

#[tokio::test]
async fn a_namespace_of_somebody_elses_keeps_it_away_and_nothing_else() {
    let cluster = Cluster::healthy(json!({})).await;
    let theirs = taken(&cluster);
    cluster.install("mesh", on());
    until_named(&cluster).await;
    cluster.api.delete::<Service>(Some(MESH), "istio-galley");
    eventually("a repair", || cluster.api.get::<Service>(Some(MESH), "istio-galley").is_some()).await;
    cluster.until_another_authority_is_trusted().await;
    assert!(!counts_on_it(&cluster), "pods that were left to nodes without the part would never start");
    assert!(cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-cni").is_none(), "their accounts get no right of ours");
    assert_eq!(cluster.api.get::<Namespace>(None, NODES), Some(theirs));
    let status = cluster.status("mesh");
    assert_eq!((status.components["cni"].status, status.components["galley"].status), (Some(State::None), Some(State::Healthy)));
    cluster.api.delete::<Namespace>(None, NODES);
    cluster.until_healthy().await;
    assert!(counts_on_it(&cluster) && cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some());
}

#[tokio::test]
async fn a_mesh_does_not_come_up_without_it() {
    let mut cluster = Cluster::new();
    taken(&cluster);
    cluster.install("mesh", on());
    cluster.start();
    until_named(&cluster).await;
    assert!(cluster.api.list::<Deployment>().is_empty());
    cluster.api.delete::<Namespace>(None, NODES);
    cluster.until_healthy().await;
}

#[tokio::test]
async fn while_its_namespace_hangs_on_its_way_out_all_else_is_kept() {
    let mut cluster = Cluster::healthy(on()).await;
    let hold = |held: bool| {
        let mut namespace = cluster.api.get::<Namespace>(None, NODES).unwrap();
        namespace.metadata.finalizers = held.then(|| vec!["example.com/held".to_owned()]);
        cluster.api.insert(&namespace);
    };
    hold(true);
    cluster.api.delete::<Namespace>(None, NODES);
    let told = "namespace istio-cni is being deleted; the mesh comes back after that";
    let is_told = || cluster.condition("mesh", "Ready").is_some_and(|(_, reason, message)| reason == "ApplyFailed" && message == told);
    eventually("it is told", is_told).await;
    cluster.api.delete::<Service>(Some(MESH), "istio-galley");
    eventually("a repair", || cluster.api.get::<Service>(Some(MESH), "istio-galley").is_some()).await;
    cluster.until_another_authority_is_trusted().await;
    assert!(counts_on_it(&cluster), "injectors go on as they were told");
    hold(false);
    if cluster.api.get::<Namespace>(None, NODES).is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
        cluster.api.delete::<Namespace>(None, NODES);
    }
    cluster.until_healthy().await;
    eventually("it is back", || cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some()).await;
    cluster.stop();
}

#[tokio::test]
async fn it_goes_once_no_injector_counts_on_it() {
    let cluster = Cluster::healthy(on()).await;
    cluster.install("mesh", json!({}));
    let replaced = || {
        let injector = cluster.api.get::<Deployment>(Some(MESH), "istio-sidecar-injector").unwrap();
        let seen = injector.status.and_then(|status| status.observed_generation);
        seen < injector.metadata.generation
    };
    eventually("the injector's pods are to be replaced, as they are told another thing", || !counts_on_it(&cluster) && replaced()).await;
    // A pass that has nothing to do with it.
    cluster.api.delete::<ServiceAccount>(Some(MESH), "istio-galley");
    eventually("a pass", || cluster.api.get::<ServiceAccount>(Some(MESH), "istio-galley").is_some()).await;
    let parts = || {
        let namespace = cluster.api.get::<Namespace>(None, NODES).is_some();
        let rights = cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-cni").is_some();
        [cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some(), rights, namespace]
    };
    assert_eq!(parts(), [true; 3], "pods that were left to the nodes still start");
    cluster.until_healthy().await;
    eventually("it is gone", || parts() == [false; 3]).await;
}

#[tokio::test]
async fn it_goes_at_once_where_nothing_is_injected_any_more() {
    let cluster = Cluster::healthy(on()).await;
    cluster.install("mesh", json!({"profile": "minimal"}));
    eventually("it is gone", || cluster.api.list::<DaemonSet>().is_empty()).await;
    let writes = cluster.writes();
    let removed = |object: &str| writes.iter().position(|write| *write == format!("DELETE {object}")).unwrap_or(usize::MAX);
    assert!(removed("mutatingwebhookconfigurations/istio-sidecar-injector") < removed("daemonsets/istio-cni-node"), "{writes:#?}");
    eventually("so is its namespace", || cluster.api.get::<Namespace>(None, NODES).is_none()).await;
}

#[tokio::test]
async fn an_operator_takes_away_what_the_one_before_it_has_left() {
    let mut cluster = Cluster::healthy(on()).await;
    cluster.stop();
    cluster.install("mesh", json!({}));
    cluster.start();
    let known = || {
        let inventory = cluster.status("mesh").inventory;
        let told = cluster.status("mesh").observed_generation == cluster.api.get::<MeshInstall>(None, "mesh").unwrap().metadata.generation;
        told && inventory.iter().any(|entry| entry.kind == "DaemonSet")
    };
    eventually("it is seen, and stays until the injector's pods are replaced", known).await;
    assert!(cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some());
    cluster.until_healthy().await;
    eventually("it is gone", || cluster.api.get::<Namespace>(None, NODES).is_none()).await;
    assert_eq!(cluster.api.list::<DaemonSet>(), []);
    let writes = cluster.writes();
    let removed = |object: &str| writes.iter().position(|write| *write == format!("DELETE {object}")).unwrap_or(usize::MAX);
    assert!(removed("daemonsets/istio-cni-node") < removed("namespaces/istio-cni"), "{writes:#?}");
}

#[tokio::test]
async fn what_is_only_planned_tells_of_it_too() {
    let mut cluster = Cluster::healthy(on()).await;
    cluster.stop();
    cluster.install("mesh", json!({"mode": "Plan"}));
    cluster.start();
    let planned = || {
        let changes = cluster.status("mesh").plan.map(|plan| plan.changes).unwrap_or_default();
        changes.iter().any(|change| change.kind == "DaemonSet" && change.name == PART)
    };
    eventually("that it would go", planned).await;
    assert!(cluster.api.get::<DaemonSet>(Some(NODES), PART).is_some());
}
