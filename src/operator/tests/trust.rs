//! The webhooks of a mesh go on being trusted, whatever else can't be done for it.

use ferromesh_crds::{MeshInstall, install::State};
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    cluster::{Cluster, MESH, OPERATOR},
    convergence::{assert_same, view},
    upgrade::by_revision,
};
use crate::testing::{eventually, fake_api::Call};

async fn until_told(cluster: &Cluster, reason: &str) {
    let told = || cluster.condition("mesh", "Ready").is_some_and(|(_, told, _)| told == reason);
    let generation = || cluster.api.get::<MeshInstall>(None, "mesh").unwrap().metadata.generation;
    eventually(reason, || told() && cluster.status("mesh").observed_generation == generation()).await;
}

#[tokio::test]
async fn of_a_mesh_that_is_held_the_webhooks_go_on_being_trusted_and_nothing_else_is_touched() {
    let mut cluster = Cluster::healthy(json!({"tags": {"prod": "default"}})).await;
    let before = view(&cluster);
    assert!(before.contains_key("MutatingWebhookConfiguration /istio-revision-tag-prod"));
    let held = [
        (json!({"mode": "Plan"}), "Planned"),
        (json!({"components": {"policy": {"enabled": true}}}), "InvalidSpec"),
        (json!({"version": "0.9"}), "InvalidSpec"),
    ];
    for (spec, reason) in held {
        cluster.install("mesh", spec.clone());
        until_told(&cluster, reason).await;
        cluster.until_another_authority_is_trusted().await;
        assert_same(&view(&cluster), &before, &format!("held by {spec}"));
    }
    // Nor does it take the operator that has seen the mesh come up.
    cluster.start();
    cluster.until_another_authority_is_trusted().await;
    assert_same(&view(&cluster), &before, "held by another operator");
}

#[tokio::test]
async fn a_webhook_goes_with_its_reason_although_it_was_told_of_a_new_authority() {
    let cluster = Cluster::healthy(json!({"injection": {"enableNamespacesByDefault": true}})).await;
    cluster.install("mesh", json!({"mode": "Plan"}));
    until_told(&cluster, "Planned").await;
    cluster.until_another_authority_is_trusted().await;
    let webhooks = || cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").unwrap().webhooks.unwrap();
    let before = webhooks().len();
    cluster.install("mesh", json!({}));
    cluster.until_healthy().await;
    assert_eq!(webhooks().len(), before - 1);
    assert!(webhooks().iter().all(|webhook| webhook.client_config.service.is_some()), "{:#?}", webhooks());
}

/// A healthy mesh whose operator starts anew, and is refused something from then on, until the switch is turned off.
async fn refused(what: fn(&Call) -> bool) -> (Cluster, Arc<AtomicBool>) {
    let mut cluster = Cluster::healthy(json!({})).await;
    cluster.stop();
    let refuses = Arc::new(AtomicBool::new(true));
    let still = refuses.clone();
    cluster.api.answer(move |call| {
        let status = || json!({"kind": "Status", "status": "Failure", "message": "not now", "reason": "Forbidden", "code": 403});
        (what(call) && still.load(Ordering::SeqCst)).then(|| (403, status()))
    });
    cluster.start();
    (cluster, refuses)
}

#[tokio::test]
async fn of_a_mesh_whose_namespace_can_not_be_looked_at_the_webhooks_go_on_being_trusted() {
    let is_namespace = |call: &Call| call.target.plural == "namespaces" && call.target.name.as_deref() == Some(MESH);
    let (cluster, refuses) = refused(is_namespace).await;
    until_told(&cluster, "ApplyFailed").await;
    cluster.until_another_authority_is_trusted().await;
    refuses.store(false, Ordering::SeqCst);
    cluster.until_healthy().await;
}

#[tokio::test]
async fn while_webhook_configurations_can_not_be_listed_certificates_are_kept() {
    let (cluster, refuses) = refused(|call| call.target.plural == "mutatingwebhookconfigurations").await;
    let secrets = [(MESH, "istio-galley-webhook-certs"), (OPERATOR, "ferromesh-operator-webhook-certs")];
    secrets.iter().for_each(|(namespace, name)| cluster.api.delete::<Secret>(Some(namespace), name));
    eventually("both are back", || secrets.iter().all(|(namespace, name)| cluster.api.get::<Secret>(Some(namespace), name).is_some()))
        .await;
    refuses.store(false, Ordering::SeqCst);
    cluster.until_healthy().await;
}

#[tokio::test]
async fn an_object_that_can_not_be_written_keeps_no_webhook_from_being_trusted() {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.api.answer(|call| {
        let refused = call.is_write() && call.target.plural == "services" && call.target.name.as_deref() == Some("istio-pilot-blue");
        let status = json!({"kind": "Status", "status": "Failure", "message": "exceeded quota", "reason": "Forbidden", "code": 403});
        refused.then_some((403, status))
    });
    // The webhooks lead to the version that serves until the new one is ready, and are left as they are.
    cluster.install("mesh", by_revision(json!({"tag": "1.0.3"})));
    until_told(&cluster, "ApplyFailed").await;
    cluster.until_another_authority_is_trusted().await;
    assert_eq!(cluster.status("mesh").components["pilot"].status, Some(State::Updating), "what is told is of now");
}
