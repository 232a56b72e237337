//! Pods that were missed are counted, told of, and where it is asked for, meshed by restarting their owners one after the other.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{Namespace, Pod},
        events::v1::Event,
        policy::v1::PodDisruptionBudget,
        rbac::v1::ClusterRoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::cluster::{Cluster, MESH};
use crate::testing::eventually;

const ROLLED: &str = "install.ferromesh.dev/rolled";

/// What a sidecar's injection writes down.
fn injected(image: &str) -> Value {
    json!({"sidecar.istio.io/status": json!({"revision": "default", "image": image}).to_string()})
}

fn namespace(cluster: &Cluster, name: &str, labels: Value) {
    let mut labels = labels;
    labels["kubernetes.io/metadata.name"] = json!(name);
    cluster.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap());
}

fn pod(cluster: &Cluster, name: &str, owner: Option<&str>, annotations: Value, created: Timestamp) {
    let owners = owner.map(|set| {
        let uid = cluster.api.get::<ReplicaSet>(Some("shop"), set).and_then(|set| set.uid());
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": uid, "controller": true}])
    });
    let metadata = json!({"namespace": "shop", "name": name, "annotations": annotations, "ownerReferences": owners});
    let mut pod: Pod = serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": []}})).unwrap();
    pod.metadata.creation_timestamp = Some(Time(created));
    cluster.api.insert(&pod);
}

/// A Deployment of the shop with one pod that has no sidecar.
fn deployment(cluster: &Cluster, name: &str, strategy: &Value) {
    let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": []}});
    let spec = json!({"replicas": 1, "selector": {}, "strategy": strategy, "template": template});
    let object = json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec});
    cluster.api.insert::<Deployment>(&serde_json::from_value(object).unwrap());
    let uid = cluster.api.get::<Deployment>(Some("shop"), name).and_then(|it| it.uid());
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": true}]);
    let metadata = json!({"namespace": "shop", "name": format!("{name}-1"), "ownerReferences": owner});
    cluster.api.insert::<ReplicaSet>(&serde_json::from_value(json!({"metadata": metadata, "spec": {"selector": {}}})).unwrap());
    pod(cluster, &format!("{name}-1-a"), Some(&format!("{name}-1")), json!({}), long_ago());
    cluster.bring_up_pods();
}

fn long_ago() -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(3600)
}

fn rolled(cluster: &Cluster, name: &str) -> Option<String> {
    cluster.api.get::<Deployment>(Some("shop"), name)?.annotations().get(ROLLED).cloned()
}

/// What the controller does after a restart: a new pod in the place of the old one.
fn replace(cluster: &Cluster, name: &str, annotations: Value) {
    cluster.api.delete::<Pod>(Some("shop"), &format!("{name}-1-a"));
    pod(cluster, &format!("{name}-1-b"), Some(&format!("{name}-1")), annotations, Timestamp::now() + SignedDuration::from_secs(1));
    cluster.bring_up_pods();
}

fn condition(cluster: &Cluster) -> (String, String) {
    cluster.condition("mesh", "ProxiesInSync").map(|(status, reason, _)| (status, reason)).unwrap_or_default()
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// A mesh in a cluster with a namespace that belongs to it.
async fn shop(spec: Value) -> Cluster {
    let cluster = Cluster::healthy(spec).await;
    namespace(&cluster, "shop", json!({"istio-injection": "enabled"}));
    eventually("proxies are counted", || condition(&cluster) == is("True", "InSync")).await;
    cluster
}

const ROLLING: fn() -> Value = || json!({"updateStrategy": {"workloads": "Rolling"}, "injection": {"failurePolicy": "Ignore"}});

#[tokio::test]
async fn missed_and_outdated_pods_are_counted_and_told_and_nothing_else_is_written() {
    let cluster = shop(json!({})).await;
    pod(&cluster, "good", None, injected("hub.example/ferromesh-proxy:1.0.2"), long_ago());
    pod(&cluster, "old", None, injected("hub.example/ferromesh-proxy:1.0.1"), long_ago());
    deployment(&cluster, "web", &json!({}));
    namespace(&cluster, "plain", json!({}));
    eventually("one is missed", || condition(&cluster) == is("False", "PodsMissed")).await;
    let counts = || cluster.status("mesh").proxies.map(|it| (it.total, it.missed, it.outdated));
    eventually("the counts", || counts() == Some((Some(2), Some(1), Some(1)))).await;
    let message = cluster.condition("mesh", "ProxiesInSync").unwrap().2;
    assert!(message.contains("Deployment shop/web") && message.contains("kubectl rollout restart"), "{message}");
    let note = "pods of Deployment shop/web run without the sidecar that their labels ask for: \
                kubectl rollout restart deployment/web -n shop (FM3001)";
    eventually("an event", || cluster.api.list::<Event>().iter().any(|event| event.note.as_deref() == Some(note))).await;
    assert_eq!(cluster.condition("mesh", "Ready").unwrap().0, "True", "the mesh itself is well");
    let writes = cluster.writes().len();
    cluster.api.break_watches();
    cluster.api.delete::<Pod>(Some("shop"), "old");
    eventually("the outdated one is gone", || counts() == Some((Some(1), Some(1), Some(0)))).await;
    assert_eq!(cluster.writes().split_off(writes), ["PATCH meshinstalls/mesh"], "only what changed is told");
    assert!(cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-rollout").is_none());
    cluster.api.delete::<Pod>(Some("shop"), "web-1-a");
    eventually("all is well", || condition(&cluster) == is("True", "InSync")).await;
}

#[tokio::test]
async fn owners_are_restarted_one_after_the_other_and_settled() {
    let cluster = shop(ROLLING()).await;
    deployment(&cluster, "a", &json!({}));
    deployment(&cluster, "b", &json!({}));
    eventually("the first is restarted", || rolled(&cluster, "a").as_deref() == Some("missed")).await;
    let template = cluster.api.get::<Deployment>(Some("shop"), "a").unwrap().spec.unwrap().template;
    assert!(template.metadata.unwrap().annotations.unwrap().contains_key("kubectl.kubernetes.io/restartedAt"));
    assert_eq!(rolled(&cluster, "b"), None, "one at a time");
    replace(&cluster, "a", injected("hub.example/ferromesh-proxy:1.0.2"));
    eventually("the second is restarted", || rolled(&cluster, "b").as_deref() == Some("missed")).await;
    eventually("the first is settled", || rolled(&cluster, "a").is_none()).await;
    replace(&cluster, "b", injected("hub.example/ferromesh-proxy:1.0.2"));
    eventually("the second is settled", || rolled(&cluster, "b").is_none()).await;
    eventually("all is well", || condition(&cluster) == is("True", "InSync")).await;
    assert!(cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-rollout").is_some());
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_waited_for() {
    let cluster = shop(ROLLING()).await;
    let budget = |allowed: i32| {
        let status = json!({"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1});
        let spec = json!({"selector": {"matchLabels": {"app": "a"}}});
        let object = json!({"metadata": {"namespace": "shop", "name": "a"}, "spec": spec, "status": status});
        cluster.api.insert::<PodDisruptionBudget>(&serde_json::from_value(object).unwrap());
    };
    budget(0);
    let unavailable = json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    deployment(&cluster, "a", &unavailable);
    deployment(&cluster, "b", &unavailable);
    eventually("the other is restarted meanwhile", || rolled(&cluster, "b").is_some()).await;
    assert_eq!(rolled(&cluster, "a"), None);
    replace(&cluster, "b", injected("hub.example/ferromesh-proxy:1.0.2"));
    eventually("that one is settled", || rolled(&cluster, "b").is_none()).await;
    assert_eq!(rolled(&cluster, "a"), None);
    budget(1);
    eventually("now this one", || rolled(&cluster, "a").is_some()).await;
}

#[tokio::test]
async fn a_restart_that_does_not_help_is_told_of_and_not_repeated() {
    let cluster = shop(ROLLING()).await;
    deployment(&cluster, "a", &json!({}));
    eventually("it is restarted", || rolled(&cluster, "a").is_some()).await;
    let generation = || cluster.api.get::<Deployment>(Some("shop"), "a").and_then(|it| it.metadata.generation);
    let restarted = generation();
    replace(&cluster, "a", json!({}));
    let told = || cluster.condition("mesh", "ProxiesInSync").is_some_and(|(_, _, message)| message.contains("(FM3002)"));
    eventually("the status says that it did not help", told).await;
    assert_eq!((generation(), rolled(&cluster, "a").as_deref()), (restarted, Some("missed")));
}

#[tokio::test]
async fn nothing_is_restarted_while_the_injector_is_away_and_another_operator_goes_on() {
    let mut cluster = shop(ROLLING()).await;
    let mut injector = cluster.api.get::<Deployment>(Some(MESH), "istio-sidecar-injector").unwrap();
    injector.status.as_mut().unwrap().available_replicas = Some(0);
    cluster.api.insert(&injector);
    eventually("the injector is away", || cluster.condition("mesh", "Ready").is_some_and(|it| it.0 == "False")).await;
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}});
    let mut away: Deployment = serde_json::from_value(
        json!({"metadata": {"namespace": "shop", "name": "a"}, "spec": {"replicas": 1, "selector": {}, "template": template}}),
    )
    .unwrap();
    away.status = Some(
        serde_json::from_value(json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 1})).unwrap(),
    );
    cluster.api.insert(&away);
    let uid = cluster.api.get::<Deployment>(Some("shop"), "a").and_then(|it| it.uid());
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": uid, "controller": true}]);
    let metadata = json!({"namespace": "shop", "name": "a-1", "ownerReferences": owner});
    cluster.api.insert::<ReplicaSet>(&serde_json::from_value(json!({"metadata": metadata, "spec": {"selector": {}}})).unwrap());
    pod(&cluster, "a-1-a", Some("a-1"), json!({}), long_ago());
    eventually("it is counted", || condition(&cluster) == is("False", "PodsMissed")).await;
    assert_eq!(rolled(&cluster, "a"), None);
    cluster.bring_up_pods();
    eventually("it is restarted", || rolled(&cluster, "a").is_some()).await;
    cluster.stop();
    replace(&cluster, "a", injected("hub.example/ferromesh-proxy:1.0.2"));
    cluster.start();
    eventually("the next operator settles it", || rolled(&cluster, "a").is_none()).await;
}
