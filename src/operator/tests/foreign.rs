//! Somebody else's objects under names of the plan's are told of, and nothing of them is touched; what was once the operator's still is.

use ferromesh_crds::{MeshInstall, install::State, security::PeerAuthentication};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    events::v1::Event,
    rbac::v1::ClusterRoleBinding,
};
use kube::{Resource, ResourceExt, core::DynamicObject};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::cluster::{Cluster, MESH};
use crate::operator::{
    generate,
    plan::{MANAGED_BY, MANAGER},
};
use crate::testing::eventually;

fn insert<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned>(cluster: &Cluster, object: Value) -> K {
    let object: K = serde_json::from_value(object).unwrap();
    cluster.api.insert(&object);
    cluster.api.get(object.meta().namespace.as_deref(), object.meta().name.as_deref().unwrap()).unwrap()
}

/// A Service of the user's where pilot's is to be.
fn pilot_of_the_user(cluster: &Cluster) -> Service {
    let spec = json!({"selector": {"app": "aviation"}, "ports": [{"name": "http", "port": 80}]});
    insert(cluster, json!({"metadata": {"name": "istio-pilot", "namespace": MESH, "labels": {"team": "sky"}}, "spec": spec}))
}

async fn until_stalled_at(cluster: &Cluster, object: &str) {
    let stalled =
        || cluster.condition("mesh", "Stalled").filter(|(_, reason, message)| reason == "ForeignObject" && message.contains(object));
    eventually(&format!("{object} is named"), || stalled().is_some()).await;
    assert_eq!(cluster.status("mesh").state, Some(State::Error));
}

/// Gives an object of the user's the label that makes it the operator's.
fn hand_over<K: Resource<DynamicType = ()> + Serialize>(cluster: &Cluster, mut object: K) {
    object.meta_mut().labels.get_or_insert_default().insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    cluster.api.insert(&object);
}

#[tokio::test]
async fn a_mesh_does_not_come_up_around_an_object_of_somebody_elses() {
    let mut cluster = Cluster::new();
    let theirs = pilot_of_the_user(&cluster);
    cluster.install("mesh", json!({}));
    cluster.start();
    until_stalled_at(&cluster, "Service istio-system/istio-pilot is somebody else's").await;
    assert_eq!(cluster.api.list::<Service>(), [theirs], "nothing of it is touched");
    assert!(cluster.api.list::<Deployment>().is_empty());
    assert!(cluster.api.list::<ClusterRoleBinding>().is_empty(), "their account gets no right of ours");
    let told = |event: &Event| event.reason.as_deref() == Some("ForeignObject") && event.type_.as_deref() == Some("Warning");
    eventually("an event", || cluster.api.list::<Event>().iter().any(told)).await;

    cluster.api.delete::<Service>(Some(MESH), "istio-pilot");
    cluster.until_healthy().await;
    assert_eq!(cluster.condition("mesh", "Stalled"), None);
}

#[tokio::test]
async fn a_mesh_that_is_there_is_kept_but_for_the_object_that_is_somebody_elses() {
    let cluster = Cluster::healthy(json!({})).await;
    let policy = json!({"metadata": {"name": "default", "namespace": MESH}, "spec": {"mtls": {"mode": "PERMISSIVE"}}});
    let theirs: PeerAuthentication = insert(&cluster, policy);
    cluster.install("mesh", json!({"profile": "sds"}));
    until_stalled_at(&cluster, "PeerAuthentication istio-system/default is somebody else's").await;
    cluster.api.delete::<Service>(Some(MESH), "istio-galley");
    eventually("a repair", || cluster.api.get::<Service>(Some(MESH), "istio-galley").is_some()).await;
    cluster.fail_pods_of("istio-pilot");
    let pilot = || cluster.status("mesh").components["pilot"].status;
    eventually("what fails meanwhile is told of", || pilot() == Some(State::Error)).await;
    until_stalled_at(&cluster, "PeerAuthentication istio-system/default").await;
    let listed = |kind: &str| cluster.status("mesh").inventory.iter().any(|entry| entry.kind == kind);
    assert!(listed("Deployment") && !listed("PeerAuthentication"), "theirs is nothing of the mesh's");

    // Who goes back keeps his policy.
    cluster.install("mesh", json!({}));
    cluster.until_healthy().await;
    assert_eq!(cluster.api.list::<PeerAuthentication>(), std::slice::from_ref(&theirs));

    cluster.install("mesh", json!({"profile": "sds"}));
    until_stalled_at(&cluster, "PeerAuthentication istio-system/default").await;
    hand_over(&cluster, theirs);
    cluster.until_healthy().await;
    let policy = cluster.api.get::<PeerAuthentication>(Some(MESH), "default").unwrap();
    assert_eq!(serde_json::to_value(&policy.spec).unwrap()["mtls"]["mode"], "STRICT");
}

#[tokio::test]
async fn what_comes_in_the_place_of_an_object_of_ours_stays() {
    let cluster = Cluster::healthy(json!({})).await;
    let ours = cluster.api.get::<Service>(Some(MESH), "istio-pilot").unwrap();
    let theirs = pilot_of_the_user(&cluster);
    until_stalled_at(&cluster, "Service istio-system/istio-pilot").await;
    assert_eq!(cluster.api.get::<Service>(Some(MESH), "istio-pilot").unwrap().spec, theirs.spec);
    assert_ne!(theirs.spec, ours.spec);
}

#[tokio::test]
async fn a_plan_tells_of_objects_of_somebody_elses_too() {
    let cluster = Cluster::healthy(json!({})).await;
    let policy = json!({"metadata": {"name": "default", "namespace": MESH}, "spec": {}});
    insert::<PeerAuthentication>(&cluster, policy);
    cluster.install("mesh", json!({"profile": "sds", "mode": "Plan"}));
    until_stalled_at(&cluster, "PeerAuthentication istio-system/default").await;
}

#[tokio::test]
async fn a_certificate_of_somebody_elses_keeps_the_webhooks_away_and_nothing_else() {
    let mut cluster = Cluster::new();
    let secret = json!({"metadata": {"name": "istio-galley-webhook-certs", "namespace": MESH}, "type": "kubernetes.io/tls"});
    let theirs: Secret = insert(&cluster, secret);
    cluster.install("mesh", json!({}));
    cluster.start();
    eventually("the Secret is named", || {
        cluster.bring_up_pods();
        let told = "secret istio-system/istio-galley-webhook-certs is somebody else's";
        cluster.condition("mesh", "CertificatesReady").is_some_and(|(_, _, message)| message.starts_with(told))
    })
    .await;
    assert_eq!(cluster.api.get::<Secret>(Some(MESH), "istio-galley-webhook-certs"), Some(theirs));
    cluster.api.delete::<Secret>(Some(MESH), "istio-galley-webhook-certs");
    cluster.until_healthy().await;
}

#[tokio::test]
async fn what_was_generated_and_applied_by_hand_becomes_the_meshs() {
    let mut cluster = Cluster::new();
    let spec = serde_json::from_value(json!({})).unwrap();
    let config = cluster.config();
    let objects = generate(&spec, &config.images, &config.namespace).unwrap();
    let client = cluster.api.client();
    for object in &objects {
        // As `kubectl apply --server-side` does.
        let parsed: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let types = parsed.types.clone().unwrap();
        let kind = kube::core::GroupVersionKind::try_from(types).unwrap();
        let resource = kube::core::ApiResource::from_gvk(&kind);
        let api: kube::Api<DynamicObject> = match parsed.namespace() {
            Some(namespace) => kube::Api::namespaced_with(client.clone(), &namespace, &resource),
            None => kube::Api::all_with(client.clone(), &resource),
        };
        let params = kube::api::PatchParams::apply("kubectl");
        api.patch(&parsed.name_any(), &params, &kube::api::Patch::Apply(object)).await.unwrap();
    }
    cluster.install("mesh", json!({}));
    cluster.start();
    cluster.until_healthy().await;
    let mesh = cluster.api.get::<MeshInstall>(None, "mesh").unwrap().uid();
    for service in cluster.api.list::<Service>() {
        assert!(service.owner_references().iter().any(|owner| Some(&owner.uid) == mesh.as_ref()), "{}", service.name_any());
    }
}

#[tokio::test]
async fn what_an_earlier_mesh_left_behind_is_taken_over() {
    let mut cluster = Cluster::healthy(json!({})).await;
    cluster.stop();
    // As after `kubectl delete meshinstall --cascade=orphan`: the objects stay, without an owner.
    let kept: Vec<Service> = cluster.api.list();
    cluster.api.delete::<MeshInstall>(None, "mesh");
    assert!(cluster.api.list::<Service>().is_empty());
    for mut service in kept.iter().cloned() {
        service.metadata.owner_references = None;
        service.metadata.labels = None;
        cluster.api.insert(&service);
    }
    cluster.install("mesh", json!({}));
    cluster.start();
    cluster.until_healthy().await;
    let labels = |service: &Service| service.labels().get(MANAGED_BY).cloned();
    assert!(cluster.api.list::<Service>().iter().all(|service| labels(service).as_deref() == Some(MANAGER)));
    assert_eq!(cluster.api.list::<Service>().len(), kept.len());
}
