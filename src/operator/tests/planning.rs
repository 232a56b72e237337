//! Mode Plan: everything is told and nothing is done.

use ferromesh_crds::{
    MeshInstall,
    install::{ChangeAction, Plan, State},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Service},
    rbac::v1::ClusterRole,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::cluster::{Cluster, MESH};
use crate::testing::eventually;

/// Waits for a plan of the spec that is stored.
async fn plan(cluster: &Cluster) -> Plan {
    eventually("a plan", || {
        let generation = cluster.api.get::<MeshInstall>(None, "mesh").and_then(|mesh| mesh.metadata.generation);
        cluster.status("mesh").plan.is_some_and(|plan| plan.generation == generation)
    })
    .await;
    cluster.status("mesh").plan.unwrap()
}

fn named(plan: &Plan, action: ChangeAction) -> BTreeSet<String> {
    let changes = plan.changes.iter().filter(|change| change.action == Some(action));
    changes.map(|change| format!("{} {}", change.kind, change.name)).collect()
}

fn field<'a>(plan: &'a Plan, object: &str, path: &str) -> Option<(&'a Option<Value>, &'a Option<Value>)> {
    let change = plan.changes.iter().find(|change| format!("{} {}", change.kind, change.name) == object)?;
    change.fields.iter().find(|field| field.path == path).map(|field| (&field.from, &field.to))
}

/// All that the operator made, by kind and name.
fn made(cluster: &Cluster) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = cluster.api.all().into_iter().filter(|object| object["metadata"]["annotations"]["install.ferromesh.dev/applied"].is_string());
    all.map(|object| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
}

#[tokio::test]
async fn before_there_is_a_mesh_all_of_it_would_be_made() {
    let mut cluster = Cluster::new();
    cluster.install("mesh", json!({"mode": "Plan"}));
    cluster.start();
    plan(&cluster).await;
    let role = "Role ferromesh-pilot-credentials";
    let all = || cluster.status("mesh").plan.filter(|plan| named(plan, ChangeAction::Create).contains(role));
    eventually("what gateways need is known", || all().is_some()).await;
    let planned = all().unwrap();
    assert_eq!((planned.update, planned.delete, planned.unchanged), (Some(0), Some(0), Some(0)));
    assert_eq!((made(&cluster), cluster.api.get::<Namespace>(None, MESH)), (BTreeSet::new(), None));
    assert_eq!(cluster.status("mesh").state, Some(State::None));
    let (status, reason, message) = cluster.condition("mesh", "Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Planned"));
    assert!(message.starts_with("mode is Plan, nothing is done: "), "{message}");
    cluster.install("mesh", json!({}));
    cluster.until_healthy().await;
    assert_eq!(named(&planned, ChangeAction::Create), made(&cluster), "what was planned is what is made");
    assert_eq!(cluster.status("mesh").plan, None);
}

#[tokio::test]
async fn changes_are_told_field_by_field_and_are_those_that_apply_makes() {
    let cluster = Cluster::healthy(json!({"components": {"galley": {"podAnnotations": {"old": "1"}}}})).await;
    let before = made(&cluster);
    let spec = |mode: &str| {
        json!({"mode": mode, "profile": "demo", "components": {"pilot": {"replicas": 3}, "injector": {"enabled": false}},
            "meshConfig": {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}})
    };
    let writes = cluster.writes().len();
    cluster.install("mesh", spec("Plan"));
    let planned = plan(&cluster).await;
    assert_eq!(field(&planned, "Deployment istio-pilot", "spec.replicas"), Some((&Some(json!(1)), &Some(json!(3)))));
    let old = "spec.template.metadata.annotations.old";
    assert_eq!(field(&planned, "Deployment istio-galley", old), Some((&Some(json!("1")), &None)));
    let mode = "data.mesh.outboundTrafficPolicy.mode";
    assert_eq!(field(&planned, "ConfigMap istio", mode), Some((&Some(json!("ALLOW_ANY")), &Some(json!("REGISTRY_ONLY")))));
    assert!(planned.changes.iter().flat_map(|change| &change.fields).all(|field| !field.path.contains("install.ferromesh.dev/applied")));
    let done: Vec<String> = cluster.writes().split_off(writes).into_iter().filter(|write| !write.contains("meshinstalls")).collect();
    assert!(done.iter().all(|write| write.contains("events")), "{done:?}");

    cluster.install("mesh", spec("Apply"));
    cluster.until_healthy().await;
    let after = made(&cluster);
    assert_eq!(named(&planned, ChangeAction::Create), after.difference(&before).cloned().collect());
    assert_eq!(named(&planned, ChangeAction::Delete), before.difference(&after).cloned().collect());
    assert!(named(&planned, ChangeAction::Delete).contains("MutatingWebhookConfiguration istio-sidecar-injector"));
}

#[tokio::test]
async fn what_is_damaged_meanwhile_is_told_and_not_mended() {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.install("mesh", json!({"mode": "Plan"}));
    let planned = plan(&cluster).await;
    assert_eq!((planned.create, planned.update, planned.delete), (Some(0), Some(0), Some(0)), "{planned:#?}");
    assert_eq!(cluster.condition("mesh", "Ready").unwrap().0, "True");
    cluster.api.delete::<Service>(Some(MESH), "istio-galley");
    eventually("the loss in the plan", || {
        cluster.status("mesh").plan.is_some_and(|plan| named(&plan, ChangeAction::Create).contains("Service istio-galley"))
    })
    .await;
    assert!(cluster.api.get::<Service>(Some(MESH), "istio-galley").is_none());
    cluster.install("mesh", json!({}));
    cluster.until_healthy().await;
    assert!(cluster.api.get::<Service>(Some(MESH), "istio-galley").is_some());
}

#[tokio::test]
async fn how_the_parts_are_that_are_there_is_told() {
    let cluster = Cluster::healthy(json!({})).await;
    // What would come or go says nothing of what is there.
    let planned = json!({"mode": "Plan", "components": {"injector": {"enabled": false}},
        "gateways": {"egress": [{"name": "istio-egressgateway", "enabled": true}]}});
    cluster.install("mesh", planned);
    plan(&cluster).await;
    let ready = || cluster.condition("mesh", "Ready").unwrap();
    let component = |name: &str| cluster.status("mesh").components.get(name).and_then(|it| it.status);
    assert_eq!((&*ready().0, component("injector"), component("istio-egressgateway")), ("True", Some(State::Healthy), None));

    cluster.fail_pods_of("istio-pilot");
    eventually("it is told", || ready().0 == "False" && component("pilot") == Some(State::Error)).await;
    let (_, reason, message) = ready();
    assert_eq!((&*reason, cluster.status("mesh").state), ("Planned", Some(State::Error)));
    assert!(message.starts_with("mode is Plan, ") && message.ends_with("; istio-pilot: ProgressDeadlineExceeded, timed out"), "{message}");
    cluster.bring_up_pods();
    eventually("it is well again", || ready().0 == "True" && component("pilot") == Some(State::Healthy)).await;

    cluster.api.delete::<Deployment>(Some(MESH), "istio-citadel");
    let gone = "; istio-citadel: it is gone, and mode Apply would bring it back";
    eventually("the loss", || ready().0 == "False" && ready().2.ends_with(gone) && component("citadel") == Some(State::Error)).await;
}

#[tokio::test]
async fn an_operator_that_starts_anew_holds_what_another_made() {
    let mut cluster = Cluster::healthy(json!({})).await;
    cluster.install("mesh", json!({"mode": "Plan"}));
    plan(&cluster).await;
    cluster.stop();
    let before = cluster.api.list::<Deployment>();
    cluster.api.delete::<Service>(Some(MESH), "istiod");
    cluster.start();
    eventually("its plan", || cluster.status("mesh").plan.is_some_and(|plan| plan.create == Some(1))).await;
    let owners = cluster.api.get::<ClusterRole>(None, "ferromesh-pilot").unwrap().owner_references().len();
    assert_eq!((owners, cluster.api.list::<Deployment>()), (2, before), "the roles go with the mesh still");
}
