//! A mesh comes, changes and goes.

use ferromesh_crds::{MeshInstall, install::State};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount},
    events::v1::Event,
    rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::cluster::{Cluster, MESH, OPERATOR};
use crate::testing::eventually;

#[tokio::test]
async fn a_mesh_comes_up_and_says_so() {
    let cluster = Cluster::healthy(json!({})).await;
    let status = cluster.status("mesh");
    let components = ["citadel", "galley", "injector", "istio-ingressgateway", "pilot", "prometheus"];
    assert_eq!(status.components.keys().collect::<Vec<_>>(), components);
    assert_eq!(status.version.as_deref(), Some("1.0.2"));
    let listed = status.inventory.iter().filter(|entry| entry.kind == "Deployment").map(|entry| entry.name.clone()).collect::<Vec<_>>();
    assert_eq!(listed, cluster.api.list::<Deployment>().iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    assert_eq!(cluster.condition("mesh", "Ready").unwrap().0, "True");
    assert_eq!(cluster.condition("mesh", "Reconciling"), None);
    assert_eq!(cluster.condition("mesh", "WebhooksReady").unwrap().0, "True");
    assert!(cluster.api.get::<Namespace>(None, MESH).unwrap().metadata.owner_references.is_none());
    eventually("an event", || cluster.api.list::<Event>().iter().any(|event| event.reason.as_deref() == Some("Healthy"))).await;
}

#[tokio::test]
async fn everything_belongs_to_the_meshinstall() {
    let cluster = Cluster::healthy(json!({"profile": "demo"})).await;
    let uid = cluster.api.get::<MeshInstall>(None, "mesh").unwrap().uid();
    let mesh = cluster.api.get::<MeshInstall>(None, "mesh").unwrap();
    assert!(mesh.finalizers().is_empty());
    let owned = |owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]| {
        owners.iter().any(|owner| Some(&owner.uid) == uid.as_ref())
    };
    for object in cluster.api.list::<Secret>().iter().filter(|secret| secret.namespace().as_deref() == Some(MESH)) {
        assert!(owned(object.owner_references()), "{}", object.name_any());
    }
    for role in cluster.api.list::<ClusterRole>().iter().filter(|role| !role.name_any().starts_with("ferromesh-operator")) {
        assert_eq!(role.owner_references().iter().map(|owner| owner.kind.as_str()).collect::<Vec<_>>(), ["ClusterRole", "MeshInstall"]);
    }
    assert_eq!(cluster.lease_owners(), ["ClusterRole"]);
}

#[tokio::test]
async fn deleting_the_meshinstall_takes_everything_with_it() {
    let cluster = Cluster::healthy(json!({})).await;
    assert!(cluster.api.watches(MESH) > 0);
    cluster.api.delete::<MeshInstall>(None, "mesh");
    let left = || {
        let api = &cluster.api;
        api.list::<Deployment>().len()
            + api.list::<Service>().len()
            + api.list::<ConfigMap>().len()
            + api.list::<ServiceAccount>().len()
            + api.list::<RoleBinding>().len()
            + api.list::<ClusterRoleBinding>().len()
            + api.list::<MutatingWebhookConfiguration>().len()
            + api.list::<k8s_openapi::api::coordination::v1::Lease>().len()
            + api.list::<Secret>().iter().filter(|secret| secret.namespace().as_deref() != Some(OPERATOR)).count()
    };
    // The operator's own lease.
    eventually("nothing is left", || left() == 1).await;
    assert_eq!(cluster.api.list::<ValidatingWebhookConfiguration>().len(), 1, "the chart's own");
    eventually("roles belong to the chart alone", || {
        cluster.api.get::<ClusterRole>(None, "ferromesh-pilot").is_some_and(|role| role.owner_references().len() == 1)
    })
    .await;
    assert_eq!(left(), 1, "and nothing comes back");
    // With the operator's right to it gone, each would fail for ever.
    eventually("nobody watches there any more", || cluster.api.watches(MESH) == 0).await;
}

#[tokio::test]
async fn another_profile_removes_what_it_lacks() {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.install("mesh", json!({"profile": "minimal"}));
    cluster.until_healthy().await;
    let names: Vec<String> = cluster.api.list::<Deployment>().iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["istio-citadel", "istio-pilot"]);
    assert!(cluster.api.list::<MutatingWebhookConfiguration>().is_empty());
    assert!(cluster.api.get::<Service>(Some(MESH), "istio-ingressgateway").is_none());
    assert!(cluster.api.get::<ServiceAccount>(Some(MESH), "istio-ingressgateway").is_none());
    assert_eq!(cluster.condition("mesh", "WebhooksReady"), None, "nothing is known of what isn't there");
    // A webhook without its server would refuse every pod.
    let writes = cluster.writes();
    let removed = |object: &str| writes.iter().position(|write| *write == format!("DELETE {object}/istio-sidecar-injector"));
    let webhook = removed("mutatingwebhookconfigurations").unwrap();
    assert!(removed("deployments").is_some_and(|server| webhook < server), "{writes:#?}");
    assert!(removed("services").is_some_and(|server| webhook < server), "{writes:#?}");
}

#[tokio::test]
async fn what_is_on_its_way_out_is_not_removed_again() {
    let cluster = Cluster::healthy(json!({})).await;
    let mut held = cluster.api.get::<Service>(Some(MESH), "istio-ingressgateway").unwrap();
    held.finalizers_mut().push("example.com/slow".to_owned());
    cluster.api.insert(&held);
    cluster.install("mesh", json!({"profile": "minimal"}));
    cluster.until_healthy().await;
    let going = || cluster.api.get::<Service>(Some(MESH), "istio-ingressgateway").unwrap().metadata.deletion_timestamp.is_some();
    eventually("it is to go", going).await;
    // A pass that has nothing to do with it.
    cluster.api.delete::<ServiceAccount>(Some(MESH), "istio-pilot");
    eventually("a pass", || cluster.api.get::<ServiceAccount>(Some(MESH), "istio-pilot").is_some()).await;
    cluster.until_healthy().await;
    let removed = cluster.writes().iter().filter(|write| *write == "DELETE services/istio-ingressgateway").count();
    assert_eq!(removed, 1, "{:#?}", cluster.writes());
}

#[tokio::test]
async fn pods_are_not_asked_about_before_an_injector_can_answer() {
    let mut cluster = Cluster::new();
    cluster.install("mesh", json!({}));
    cluster.start();
    eventually("galley's webhook", || cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley").is_some()).await;
    assert!(cluster.api.list::<MutatingWebhookConfiguration>().is_empty());
    cluster.until_healthy().await;
    assert!(!cluster.api.list::<MutatingWebhookConfiguration>().is_empty());
}

#[tokio::test]
async fn a_part_that_is_left_to_an_autoscaler_keeps_its_pods_until_that_has_looked() {
    let cluster = Cluster::healthy(json!({"components": {"galley": {"replicas": 3}}})).await;
    cluster.install("mesh", json!({"components": {"galley": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}}}));
    cluster.until_healthy().await;
    let replicas = || cluster.api.get::<Deployment>(Some(MESH), "istio-galley").unwrap().spec.unwrap().replicas;
    assert_eq!(replicas(), Some(3));
    cluster.install("mesh", json!({"components": {"galley": {"replicas": 2}}}));
    cluster.until_healthy().await;
    assert_eq!(replicas(), Some(2), "who says a number is heard");
}

#[tokio::test]
async fn a_part_that_is_scaled_to_nothing_under_its_autoscaler_is_an_error() {
    let cluster = Cluster::healthy(json!({"components": {"galley": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}}})).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.api.client(), MESH);
    let scale = async |replicas: i32| {
        let scaled = json!({"spec": {"replicas": replicas}});
        deployments.patch("istio-galley", &PatchParams::default(), &Patch::Merge(scaled)).await.unwrap();
        cluster.bring_up_pods();
    };
    scale(0).await;
    let told = "istio-galley: it is scaled to 0: kubectl scale deployment/istio-galley -n istio-system --replicas=2";
    let ready = || cluster.condition("mesh", "Ready").unwrap();
    eventually("it is told", || ready() == ("False".to_owned(), "ComponentFailed".to_owned(), told.to_owned())).await;
    assert_eq!(cluster.status("mesh").state, Some(State::Error));
    scale(2).await;
    cluster.until_healthy().await;
}

#[tokio::test]
async fn a_gateway_that_the_spec_wants_no_pods_of_is_well() {
    let gateways = json!({"ingress": [{"name": "istio-ingressgateway", "replicas": 0}]});
    let cluster = Cluster::healthy(json!({"gateways": gateways})).await;
    assert_eq!(cluster.status("mesh").components["istio-ingressgateway"].status, Some(State::Healthy));
}

#[tokio::test]
async fn what_was_taken_from_the_spec_goes_from_the_object() {
    let cluster = Cluster::healthy(json!({"components": {"galley": {"podAnnotations": {"a": "b"}}}})).await;
    cluster.install("mesh", json!({}));
    cluster.until_healthy().await;
    let galley = cluster.api.get::<Deployment>(Some(MESH), "istio-galley").unwrap();
    let annotations = galley.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
    assert!(!annotations.contains_key("a"), "{annotations:?}");
}

#[tokio::test]
async fn a_bad_spec_stalls_and_changes_nothing_and_how_the_parts_are_is_told() {
    let specs = [
        // One that names what isn't there, and one that comes to nothing at all.
        (json!({"version": "0.9"}), "spec.version: "),
        (json!({"components": {"galley": {"replicas": 0}}}), "spec.components.galley.replicas: "),
    ];
    for (spec, start) in specs {
        let mut cluster = Cluster::healthy(json!({})).await;
        let before = cluster.writes().len();
        let written = |cluster: &Cluster| {
            let writes = cluster.writes().split_off(before).into_iter();
            writes.filter(|write| !write.contains("events") && write != "PATCH meshinstalls/mesh").collect::<Vec<_>>()
        };
        cluster.install("mesh", spec);
        eventually("stalled", || cluster.condition("mesh", "Stalled").is_some()).await;
        let (status, reason, message) = cluster.condition("mesh", "Ready").unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidSpec"));
        assert!(message.starts_with(start), "{message}");
        assert_eq!(cluster.status("mesh").state, Some(State::Error));

        let component = |cluster: &Cluster, name: &str| cluster.status("mesh").components.get(name).and_then(|it| it.status);
        let ends = |cluster: &Cluster, end: &str| cluster.condition("mesh", "Ready").is_some_and(|(.., message)| message.ends_with(end));
        assert_eq!(component(&cluster, "galley"), Some(State::Healthy));
        cluster.fail_pods_of("istio-galley");
        let failed = "; istio-galley: ProgressDeadlineExceeded, timed out";
        eventually("a part that fails", || component(&cluster, "galley") == Some(State::Error) && ends(&cluster, failed)).await;
        cluster.bring_up_pods();
        cluster.api.delete::<Deployment>(Some(MESH), "istio-citadel");
        let gone = "; istio-citadel: it is gone, and stays so while the mesh is stalled";
        let of_both = |cluster: &Cluster| [component(cluster, "galley"), component(cluster, "citadel")];
        let lost = [Some(State::Healthy), Some(State::Error)];
        eventually("a part that is gone", || of_both(&cluster) == lost && ends(&cluster, gone)).await;
        // Another operator, who knows the mesh by its status alone, sees the same.
        cluster.stop();
        cluster.fail_pods_of("istio-galley");
        cluster.start();
        eventually("another operator tells", || of_both(&cluster) == [Some(State::Error); 2]).await;
        assert_eq!(written(&cluster), [""; 0], "{start}");
        assert!(cluster.api.get::<Deployment>(Some(MESH), "istio-citadel").is_none());

        cluster.install("mesh", json!({}));
        cluster.until_healthy().await;
        assert!(cluster.api.get::<Deployment>(Some(MESH), "istio-citadel").is_some());
    }
}

#[tokio::test]
async fn a_second_meshinstall_waits_for_the_first_to_go() {
    let cluster = Cluster::healthy(json!({})).await;
    cluster.install("other", json!({"profile": "minimal"}));
    eventually("the second is refused", || cluster.condition("other", "Stalled").is_some()).await;
    assert!(cluster.condition("other", "Stalled").unwrap().2.contains("MeshInstall mesh is"));
    assert_eq!(cluster.status("mesh").state, Some(State::Healthy));
    cluster.api.delete::<MeshInstall>(None, "mesh");
    eventually("the second is installed", || {
        cluster.condition("other", "Stalled").is_none() && cluster.api.list::<Deployment>().len() == 2
    })
    .await;
}

#[tokio::test]
async fn galley_counts_once_it_has_refused_something() {
    let mut cluster = Cluster::new();
    cluster.lax.lock().unwrap().insert("istio-galley".to_owned());
    cluster.install("mesh", json!({}));
    cluster.start();
    let policy = || {
        let configuration = cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley");
        configuration.and_then(|all| all.webhooks?.first()?.failure_policy.clone()).unwrap_or_default()
    };
    eventually("pods are up", || {
        cluster.bring_up_pods();
        cluster.condition("mesh", "WebhooksReady").is_some_and(|(.., message)| message.contains("has not yet refused"))
    })
    .await;
    assert_eq!((policy().as_str(), cluster.status("mesh").state), ("Ignore", Some(State::Updating)));
    cluster.lax.lock().unwrap().clear();
    cluster.until_healthy().await;
    assert_eq!(policy(), "Fail");
}

#[tokio::test]
async fn another_istio_is_left_alone() {
    let mut cluster = Cluster::new();
    let foreign = json!({"metadata": {"name": "istio-sidecar-injector", "labels": {"app": "sidecar-injector"}}, "webhooks": []});
    cluster.api.insert::<MutatingWebhookConfiguration>(&serde_json::from_value(foreign).unwrap());
    let before = cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector");
    cluster.install("mesh", json!({}));
    cluster.start();
    eventually("stalled", || cluster.condition("mesh", "Stalled").is_some_and(|(_, reason, _)| reason == "ForeignMesh")).await;
    assert_eq!(cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector"), before);
    assert!(cluster.api.list::<Deployment>().is_empty());
}

#[tokio::test]
async fn another_istio_that_comes_later_is_told_of_and_ends_nothing() {
    let mut cluster = Cluster::healthy(json!({})).await;
    let foreign = json!({"metadata": {"name": "istiod-default-validator"}, "webhooks": []});
    cluster.api.insert::<ValidatingWebhookConfiguration>(&serde_json::from_value(foreign).unwrap());
    let theirs = || cluster.api.get::<ValidatingWebhookConfiguration>(None, "istiod-default-validator");
    let before = theirs();
    let told = (
        "True".to_owned(),
        "ForeignMesh".to_owned(),
        "ValidatingWebhookConfiguration istiod-default-validator belongs to another \
        Istio, and nothing of it has been touched: remove it, or what it left"
            .to_owned(),
    );
    eventually("it is told", || cluster.condition("mesh", "ForeignMesh").as_ref() == Some(&told)).await;
    let warns = |event: &Event| event.reason.as_deref() == Some("ForeignMesh") && event.type_.as_deref() == Some("Warning");
    eventually("an event", || cluster.api.list::<Event>().iter().any(warns)).await;
    assert_eq!((cluster.status("mesh").state, cluster.condition("mesh", "Stalled")), (Some(State::Healthy), None));
    cluster.api.delete::<Service>(Some(MESH), "istio-galley");
    eventually("a repair", || cluster.api.get::<Service>(Some(MESH), "istio-galley").is_some()).await;
    cluster.until_another_authority_is_trusted().await;
    assert_eq!(theirs(), before);

    // Who comes later than it doesn't come up.
    cluster.install("canary", json!({"revision": "canary"}));
    eventually("stalled", || cluster.condition("canary", "Stalled").is_some_and(|(_, reason, _)| reason == "ForeignMesh")).await;
    assert_eq!(cluster.condition("canary", "ForeignMesh"), None, "that says it");
    assert!(cluster.api.list::<Deployment>().iter().all(|deployment| !deployment.name_any().ends_with("-canary")));
    cluster.api.delete::<MeshInstall>(None, "canary");

    // A changed spec is brought about, by another operator too.
    cluster.stop();
    cluster.install("mesh", json!({"components": {"galley": {"replicas": 2}}}));
    cluster.start();
    cluster.until_healthy().await;
    assert_eq!(cluster.api.get::<Deployment>(Some(MESH), "istio-galley").unwrap().spec.unwrap().replicas, Some(2));
    assert_eq!(cluster.condition("mesh", "ForeignMesh"), Some(told));
    cluster.api.delete::<ValidatingWebhookConfiguration>(None, "istiod-default-validator");
    eventually("it is gone", || cluster.condition("mesh", "ForeignMesh").is_none()).await;
}

#[tokio::test]
async fn a_part_that_fails_is_named_with_its_reason() {
    let mut cluster = Cluster::new();
    cluster.install("mesh", json!({}));
    cluster.start();
    eventually("a Deployment", || cluster.api.get::<Deployment>(Some(MESH), "istio-galley").is_some()).await;
    let waiting = json!({"reason": "ErrImagePull", "message": "failed to pull: 401 Unauthorized"});
    let container = json!({"name": "galley", "image": "hub.example/ferromesh:1.0.2", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": waiting}});
    let labels = json!({"app.kubernetes.io/name": "istio-galley", "app.kubernetes.io/managed-by": "ferromesh-operator"});
    let pod =
        json!({"metadata": {"name": "istio-galley-1", "namespace": MESH, "labels": labels}, "status": {"containerStatuses": [container]}});
    cluster.api.insert::<k8s_openapi::api::core::v1::Pod>(&serde_json::from_value(pod).unwrap());
    let wanted = "istio-galley: pod istio-galley-1 ImagePullBackOff, hub.example/ferromesh:1.0.2: 401 Unauthorized: \
                  check spec.hub, spec.tag and spec.imagePullSecrets";
    eventually("the reason", || cluster.condition("mesh", "Ready").is_some_and(|(.., message)| message == wanted)).await;
    assert_eq!(cluster.status("mesh").state, Some(State::Error));
}
