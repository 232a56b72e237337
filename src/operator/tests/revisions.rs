//! Control planes beside each other: each comes, heals and goes without the others, and what they share stays with whoever is left.

use ferromesh_crds::{MeshInstall, install::State};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
    rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding},
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::cluster::{Cluster, MESH};
use crate::testing::eventually;

/// A default control plane and a canary, both healthy.
async fn both() -> Cluster {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.install("canary", json!({"revision": "canary"}));
    until_healthy(&cluster, "canary").await;
    cluster.until_healthy().await;
    cluster
}

async fn until_healthy(cluster: &Cluster, name: &str) {
    eventually("a healthy control plane", || {
        cluster.bring_up_pods();
        let generation = cluster.api.get::<MeshInstall>(None, name).and_then(|mesh| mesh.metadata.generation);
        let status = cluster.status(name);
        status.state == Some(State::Healthy)
            && status.observed_generation == generation
            && cluster.condition(name, "ProxiesInSync").is_some()
    })
    .await;
}

fn deployments(cluster: &Cluster) -> Vec<String> {
    cluster.api.list::<Deployment>().iter().map(ResourceExt::name_any).collect()
}

/// Who owns citadel's Deployment, the one who has it first.
fn owners_of_citadel(cluster: &Cluster) -> Vec<(String, bool)> {
    let citadel = cluster.api.get::<Deployment>(Some(MESH), "istio-citadel");
    let owners = citadel.and_then(|it| it.metadata.owner_references).unwrap_or_default();
    let mut owners: Vec<(String, bool)> = owners.into_iter().map(|owner| (owner.name, owner.controller == Some(true))).collect();
    owners.sort_by_key(|(_, controls)| !controls);
    owners
}

fn owned(name: &str, controls: bool) -> (String, bool) {
    (name.to_owned(), controls)
}

const OF_MESH: [&str; 6] = ["istio-citadel", "istio-galley", "istio-ingressgateway", "istio-pilot", "istio-sidecar-injector", "prometheus"];
const OF_CANARY: [&str; 3] = ["istio-galley-canary", "istio-pilot-canary", "istio-sidecar-injector-canary"];

#[tokio::test]
async fn a_second_control_plane_comes_up_and_leaves_the_first_alone() {
    let cluster = Cluster::healthy(json!({})).await;
    let before = cluster.writes().len();
    cluster.install("canary", json!({"revision": "canary"}));
    until_healthy(&cluster, "canary").await;
    let mut all: Vec<&str> = OF_MESH.into_iter().chain(OF_CANARY).collect();
    all.sort_unstable();
    assert_eq!(deployments(&cluster), all);
    let status = cluster.status("canary");
    assert_eq!(status.components.keys().collect::<Vec<_>>(), ["galley", "injector", "pilot"]);
    assert!(status.inventory.iter().all(|entry| entry.name.ends_with("-canary")), "{:#?}", status.inventory);
    assert_eq!(status.revisions[0].name, "canary");
    for name in ["istio-galley-webhook-certs-canary", "istio-sidecar-injector-webhook-certs-canary"] {
        assert!(cluster.api.get::<Secret>(Some(MESH), name).is_some(), "{name}");
    }
    let values = cluster.api.get::<ConfigMap>(Some(MESH), "istio-sidecar-injector-canary").unwrap().data.unwrap()["values"].clone();
    assert_eq!(serde_json::from_str::<Value>(&values).unwrap()["revision"], "canary");
    // What is shared gets one more owner; of what is the default one's alone nothing is written.
    let shared = ["istio-citadel", "ferromesh-citadel", "ferromesh-operator-namespaced", "ferromesh-proxies", "ferromesh-webhook-ca"];
    let touched = |write: &&String| {
        let name = write.rsplit('/').next().unwrap_or_default();
        OF_MESH.contains(&name) && !shared.iter().any(|shared| name.starts_with(shared))
    };
    let writes = cluster.writes().split_off(before);
    assert_eq!(writes.iter().filter(touched).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(owners_of_citadel(&cluster), [owned("mesh", true), owned("canary", false)]);
    let owners = cluster.api.get::<ClusterRole>(None, "ferromesh-pilot").unwrap().metadata.owner_references.unwrap();
    assert_eq!(owners.iter().filter(|owner| owner.kind == "MeshInstall").count(), 2);
}

#[tokio::test]
async fn removing_the_canary_removes_its_objects_alone() {
    let cluster = both().await;
    cluster.api.delete::<MeshInstall>(None, "canary");
    eventually("its objects are gone", || deployments(&cluster) == OF_MESH).await;
    eventually("one owner", || owners_of_citadel(&cluster) == [owned("mesh", true)]).await;
    assert!(cluster.api.list::<MutatingWebhookConfiguration>().iter().all(|it| !it.name_any().ends_with("-canary")));
    assert!(cluster.api.list::<ClusterRoleBinding>().iter().all(|it| !it.name_any().ends_with("-canary")));
    cluster.until_healthy().await;
    assert_eq!(deployments(&cluster), OF_MESH);
}

#[tokio::test]
async fn what_is_shared_stays_with_the_one_that_is_left() {
    let cluster = both().await;
    let uid = |name: &str| cluster.api.get::<Deployment>(Some(MESH), name).and_then(|it| it.uid());
    let citadel = uid("istio-citadel");
    cluster.api.delete::<MeshInstall>(None, "mesh");
    eventually("the canary has it", || owners_of_citadel(&cluster) == [owned("canary", true)]).await;
    until_healthy(&cluster, "canary").await;
    assert_eq!(uid("istio-citadel"), citadel, "it was never gone");
    let left: Vec<&str> = ["istio-citadel"].into_iter().chain(OF_CANARY).collect();
    assert_eq!(deployments(&cluster), left);
    assert!(cluster.api.get::<RoleBinding>(Some(MESH), "ferromesh-operator-namespaced").is_some());
    eventually("it says so", || cluster.status("canary").components.contains_key("citadel")).await;
    // And back, when there is a default one again.
    cluster.install("mesh", json!({}));
    eventually("the default one has it", || {
        cluster.bring_up_pods();
        owners_of_citadel(&cluster) == [owned("mesh", true), owned("canary", false)]
    })
    .await;
    cluster.until_healthy().await;
    assert_eq!(uid("istio-citadel"), citadel);
    eventually("and so does the other", || !cluster.status("canary").components.contains_key("citadel")).await;
}

#[tokio::test]
async fn a_bad_one_is_no_harm_to_the_other() {
    let cluster = both().await;
    cluster.install("mesh", json!({"version": "0.9"}));
    eventually("stalled", || cluster.condition("mesh", "Stalled").is_some()).await;
    cluster.api.delete::<Deployment>(Some(MESH), "istio-pilot-canary");
    eventually("the canary heals", || deployments(&cluster).contains(&"istio-pilot-canary".to_owned())).await;
    until_healthy(&cluster, "canary").await;
    assert!(cluster.status("mesh").state == Some(State::Error) && deployments(&cluster).contains(&"istio-citadel".to_owned()));
    cluster.install("mesh", json!({}));
    cluster.install("canary", json!({"revision": "canary", "meshConfig": {"trustDomain": "other.example"}}));
    eventually("stalled", || cluster.condition("canary", "Stalled").is_some()).await;
    let (_, reason, message) = cluster.condition("canary", "Ready").unwrap();
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.starts_with("spec.meshConfig.trustDomain: is \"other.example\", and \"cluster.local\" in MeshInstall mesh"),
        "{message}"
    );
    cluster.api.delete::<Deployment>(Some(MESH), "istio-pilot");
    eventually("the default one heals", || deployments(&cluster).contains(&"istio-pilot".to_owned())).await;
    cluster.until_healthy().await;
}

#[tokio::test]
async fn an_operator_that_begins_anew_finds_both_and_changes_nothing() {
    let mut cluster = both().await;
    cluster.stop();
    let writes = cluster.writes().len();
    cluster.start();
    cluster.api.delete::<ConfigMap>(Some(MESH), "istio-canary");
    eventually("the one repair", || cluster.api.get::<ConfigMap>(Some(MESH), "istio-canary").is_some()).await;
    until_healthy(&cluster, "canary").await;
    cluster.until_healthy().await;
    let written: Vec<String> = cluster.writes().split_off(writes).into_iter().filter(|write| !write.contains("events")).collect();
    assert_eq!(written, ["PATCH configmaps/istio-canary"]);
}

/// How many proxies a control plane serves, and how many it should get from others.
fn proxies(cluster: &Cluster, name: &str) -> (Option<i64>, Option<i64>, Option<bool>) {
    let status = cluster.status(name);
    let revision = status.revisions.first().cloned().unwrap_or_default();
    (revision.proxies, status.proxies.and_then(|proxies| proxies.outdated), revision.in_use)
}

#[tokio::test]
async fn pods_of_a_namespace_that_moves_are_outdated_until_they_are_made_anew() {
    let cluster = both().await;
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    cluster.pod("default", "1.0.2");
    eventually("the default one's", || proxies(&cluster, "mesh") == (Some(1), Some(0), Some(true))).await;
    eventually("not the canary's", || proxies(&cluster, "canary") == (Some(0), Some(0), Some(false))).await;
    cluster.namespace(&json!({"istio.io/rev": "canary"}));
    eventually("on its way", || proxies(&cluster, "canary") == (Some(0), Some(1), Some(true))).await;
    cluster.pod("canary", "1.0.2");
    eventually("the canary's", || proxies(&cluster, "canary") == (Some(1), Some(0), Some(true))).await;
    eventually("the default one serves nobody", || proxies(&cluster, "mesh") == (Some(0), Some(0), Some(false))).await;
}

/// The revision that a tag's webhooks lead to, and the Service.
fn target(cluster: &Cluster, tag: &str) -> Option<(String, String)> {
    cluster.asked(&format!("istio-revision-tag-{tag}"))
}

fn canary() -> Option<(String, String)> {
    Some(("canary".to_owned(), "istio-sidecar-injector-canary".to_owned()))
}

#[tokio::test]
async fn a_tag_moves_once_its_revision_answers_and_stays_where_it_is_if_that_is_not_there() {
    let cluster = Cluster::healthy(json!({"tags": {"prod": "canary"}})).await;
    let problem = || cluster.condition("mesh", "TagsReady").map(|(status, reason, message)| format!("{status} {reason} {message}"));
    let absent = "False TagsHeld tag prod: there is no revision canary: correct spec.tags[prod]";
    eventually("a problem", || problem().as_deref() == Some(absent)).await;
    assert_eq!(target(&cluster, "prod"), None);
    assert_eq!(cluster.status("mesh").state, Some(State::Healthy), "nothing else waits for it");
    cluster.install("canary", json!({"revision": "canary"}));
    let waiting = "False TagsHeld tag prod moves to revision canary once istio-sidecar-injector-canary is ready";
    eventually("it waits", || problem().as_deref() == Some(waiting)).await;
    until_healthy(&cluster, "canary").await;
    eventually("in force", || problem().as_deref() == Some("True TagsInForce ")).await;
    assert_eq!(target(&cluster, "prod"), canary());
    assert_eq!(cluster.status("mesh").tags, [("prod".to_owned(), "canary".to_owned())].into());
    cluster.namespace(&json!({"istio.io/rev": "prod"}));
    cluster.pod("default", "1.0.2");
    eventually("the tag counts", || proxies(&cluster, "canary") == (Some(0), Some(1), Some(true))).await;
    cluster.install("mesh", json!({"tags": {"prod": "nowhere"}}));
    eventually("a problem", || problem().is_some_and(|told| told.starts_with("False TagsHeld tag prod: there is no revision nowhere")))
        .await;
    assert_eq!(target(&cluster, "prod"), canary(), "the last good one stays");
    cluster.install("mesh", json!({}));
    eventually("it goes", || target(&cluster, "prod").is_none()).await;
    cluster.until_healthy().await;
    assert_eq!(problem(), None);
}

#[tokio::test]
async fn a_tag_whose_revision_is_removed_asks_nobody_in_vain() {
    let cluster = both().await;
    cluster.install("mesh", json!({"tags": {"prod": "canary"}}));
    eventually("in force", || target(&cluster, "prod") == canary()).await;
    cluster.api.delete::<MeshInstall>(None, "canary");
    eventually("its webhook goes", || target(&cluster, "prod").is_none()).await;
    let absent = "tag prod: there is no revision canary: correct spec.tags[prod]";
    eventually("it says so", || cluster.condition("mesh", "TagsReady").is_some_and(|(.., message)| message == absent)).await;
}

#[tokio::test]
async fn the_tag_default_moves_the_namespaces_with_the_usual_label() {
    let cluster = both().await;
    let own =
        || cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").unwrap().webhooks.unwrap_or_default().len();
    cluster.namespace(&json!({"istio-injection": "enabled"}));
    cluster.pod("default", "1.0.2");
    let usual = own();
    cluster.install("mesh", json!({"tags": {"default": "canary"}}));
    eventually("moved", || target(&cluster, "default") == canary() && own() == 0).await;
    eventually("the canary's to serve", || proxies(&cluster, "canary") == (Some(0), Some(1), Some(true))).await;
    assert!(cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley").is_some(), "only pods move");
    cluster.install("mesh", json!({}));
    eventually("and back", || target(&cluster, "default").is_none() && own() == usual).await;
    eventually("the default one's", || proxies(&cluster, "canary") == (Some(0), Some(0), Some(false))).await;
}

#[tokio::test]
async fn while_the_tag_default_waits_for_another_revision_pods_are_asked_about_once() {
    let cluster = both().await;
    let own =
        || cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").unwrap().webhooks.unwrap_or_default().len();
    cluster.install("mesh", json!({"tags": {"default": "canary"}}));
    eventually("moved", || target(&cluster, "default") == canary() && own() == 0).await;
    cluster.install("mesh", json!({"tags": {"default": "nowhere"}}));
    let held = || cluster.condition("mesh", "TagsReady").is_some_and(|(.., message)| message.contains("there is no revision nowhere"));
    eventually("held", held).await;
    assert_eq!((target(&cluster, "default"), own()), (canary(), 0), "the one that it last stood for is asked, and no other");
    cluster.api.delete::<MeshInstall>(None, "canary");
    eventually("nobody is asked in vain", || target(&cluster, "default").is_none() && own() > 0).await;
}
