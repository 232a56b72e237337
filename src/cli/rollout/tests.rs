//! What people see of pods that are missed or outdated, in a cluster where a stand-in does the work of Kubernetes' controllers.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    batch::v1::Job,
    core::v1::Pod,
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::BTreeSet, ops::Deref, time::Duration};
use tokio::task::JoinHandle;

use crate::cli::{
    Exit,
    mesh::tests::Cluster as Injected,
    tests::{PIPE, Run, TERMINAL, run_on},
};
use crate::model::InjectionValues;

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// A cluster with an injector that answers, where namespace `shop` is to be injected.
struct Cluster(Injected);

impl Deref for Cluster {
    type Target = Injected;

    fn deref(&self) -> &Injected {
        &self.0
    }
}

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn sidecar(image: &str) -> Value {
    json!({"sidecar.istio.io/status": json!({"revision": "default", "image": image}).to_string()})
}

impl Cluster {
    fn new() -> Self {
        let cluster = Self(Injected::new());
        let [hub, tag, revision] = ["hub", "2", "default"].map(str::to_owned);
        cluster.values(InjectionValues { hub, tag, revision, ..InjectionValues::default() });
        cluster.injector(1);
        cluster
    }

    /// The injector, with so many pods that answer.
    fn injector(&self, available: i32) {
        let metadata = json!({"name": "istio-sidecar-injector", "namespace": "istio-system"});
        let object = json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}, "status": {"availableReplicas": available}});
        self.api.insert::<Deployment>(&of(object));
    }

    /// A Deployment at rest, with one pod.
    fn deployment(&self, name: &str, annotations: Value) {
        let metadata = json!({"namespace": "shop", "name": name});
        let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": []}});
        let status = json!({"observedGeneration": 99, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        let strategy = json!({"type": "Recreate"});
        let spec = json!({"replicas": 1, "selector": {}, "strategy": strategy, "template": template});
        self.api.insert::<Deployment>(&of(json!({"metadata": metadata, "spec": spec, "status": status})));
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": self.read(name).uid(), "controller": true}]);
        let metadata = json!({"namespace": "shop", "name": format!("{name}-1"), "ownerReferences": owner});
        self.api.insert::<ReplicaSet>(&of(json!({"metadata": metadata, "spec": {"selector": {}}})));
        self.pod_of(name, "a", annotations, LONG_AGO);
    }

    fn pod_of(&self, deployment: &str, suffix: &str, annotations: Value, created: &str) {
        let set = format!("{deployment}-1");
        let uid = self.api.get::<ReplicaSet>(Some("shop"), &set).and_then(|set| set.uid());
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": uid, "controller": true}]);
        let metadata = json!({"annotations": annotations, "ownerReferences": owner, "creationTimestamp": created});
        self.pod("shop", &format!("{set}-{suffix}"), metadata, json!({}));
    }

    fn read(&self, name: &str) -> Deployment {
        self.api.get(Some("shop"), name).unwrap()
    }

    fn restarted(&self, name: &str) -> bool {
        self.read(name).spec.unwrap().template.metadata.unwrap().annotations.is_some_and(|all| all.contains_key(RESTARTED))
    }

    /// Gives each Deployment that is restarted a new pod in the place of the old one.
    fn controllers(self: &std::sync::Arc<Self>, annotations: Value) -> JoinHandle<()> {
        let cluster = self.clone();
        tokio::spawn(async move {
            loop {
                for deployment in cluster.api.list::<Deployment>().iter().filter(|it| it.namespace().as_deref() == Some("shop")) {
                    let name = deployment.name_any();
                    let old = format!("{name}-1-a");
                    if cluster.restarted(&name) && cluster.api.get::<Pod>(Some("shop"), &old).is_some() {
                        cluster.api.delete::<Pod>(Some("shop"), &old);
                        cluster.pod_of(&name, "b", annotations.clone(), "2999-01-01T00:00:00Z");
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    async fn run(&self, rest: &str) -> Run {
        run_on(&self.api, PIPE, &format!("rollout -n shop {rest}"), "").await
    }
}

/// A shop with a pod that was missed, one that is outdated, one that is well, and a Job's that was missed.
fn shop() -> std::sync::Arc<Cluster> {
    let cluster = Cluster::new();
    cluster.deployment("cart", sidecar("hub/ferromesh-proxy:1"));
    cluster.deployment("good", sidecar("hub/ferromesh-proxy:2"));
    cluster.deployment("web", json!({}));
    cluster.into()
}

fn job(cluster: &Cluster) {
    cluster.api.insert::<Job>(&of(json!({"metadata": {"namespace": "shop", "name": "batch"}})));
    let uid = cluster.api.get::<Job>(Some("shop"), "batch").unwrap().uid();
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "batch", "uid": uid, "controller": true}]);
    cluster.pod("shop", "batch-x", json!({"ownerReferences": owner, "creationTimestamp": LONG_AGO}), json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_without_their_sidecar_or_with_an_old_one_are_listed() {
    let cluster = shop();
    job(&cluster);
    cluster.pod("plain", "web", json!({}), json!({}));
    let told = cluster.run("--dry-run").await;
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    insta::assert_snapshot!("listed", told.stdout);
    let missed = cluster.run("--dry-run --missed --exit-code -o json").await;
    assert_eq!(missed.exit, Exit::Findings);
    insta::assert_snapshot!("missed_json", missed.stdout);
    let outdated = cluster.run("--dry-run --outdated").await;
    assert!(outdated.stdout.contains("cart-1-a") && !outdated.stdout.contains("web-1-a"), "{}", outdated.stdout);
    let elsewhere = run_on(&cluster.api, PIPE, "rollout --dry-run -n plain --exit-code", "").await;
    assert_eq!((elsewhere.exit, elsewhere.stdout.as_str()), (Exit::Clean, "✓ every pod has the sidecar that it should have\n"));
    let everywhere = run_on(&cluster.api, PIPE, "rollout --dry-run -A", "").await;
    assert_eq!(everywhere.stdout, told.stdout);
    assert!(!cluster.restarted("web") && !cluster.restarted("cart"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_restarted_until_their_pods_are_as_they_should_be() {
    let cluster = shop();
    let controllers = cluster.controllers(sidecar("hub/ferromesh-proxy:2"));
    let told = cluster.run("").await;
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Clean, "✓ 2 workloads restarted\n"), "{told:?}");
    for line in ["Deployment shop/cart restarted", "Deployment shop/web has its sidecars"] {
        assert!(told.stderr.contains(line), "{}", told.stderr);
    }
    assert!(cluster.restarted("web") && cluster.restarted("cart") && !cluster.restarted("good"));
    assert!(!cluster.read("web").annotations().contains_key("install.ferromesh.dev/rolled"), "nothing is left on it");
    controllers.abort();
    let whole =
        cluster.api.calls().iter().filter(|call| call.target.plural == "pods" && call.target.name.as_deref() == Some("web-1-a")).count();
    assert_eq!(whole, 2, "before the question and after it, and not with each look");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_restart_mends_is_told_and_found() {
    let cluster = shop();
    job(&cluster);
    // Its pods stay as they were.
    let controllers = cluster.controllers(json!({}));
    let told = cluster.run("--missed").await;
    assert_eq!(told.exit, Exit::Findings, "{told:?}");
    insta::assert_snapshot!("left", told.stdout);
    assert!(!cluster.restarted("cart"), "only what was missed");
    let rows: Value = serde_json::from_str(&cluster.run("--missed -o json").await.stdout).unwrap();
    assert_eq!(rows[1]["outcome"], "it was restarted, and its new pods are as the old ones were (FM3002)", "{rows}");
    controllers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_restarted_against_a_budget_without_the_injector_or_without_a_yes() {
    let cluster = shop();
    let late = async || {
        let told = cluster.run("--missed --timeout 1s").await;
        assert_eq!(told.exit, Exit::TimedOut, "{told:?}");
        assert!(told.stderr.contains("not within 1 s: Deployment shop/web: its pods, the injector or a disruption budget"), "{told:?}");
    };
    cluster.injector(0);
    late().await;
    cluster.injector(1);
    let status = json!({"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1});
    let spec = json!({"selector": {"matchLabels": {"app": "web"}}});
    cluster.api.insert::<PodDisruptionBudget>(&of(json!({"metadata": {"namespace": "shop", "name": "b"}, "spec": spec, "status": status})));
    late().await;
    let declined = run_on(&cluster.api, TERMINAL, "rollout -n shop", "n\n").await;
    assert!(declined.stderr.ends_with("Restart 2 workloads? [y/N] nothing was restarted\n"), "{declined:?}");
    assert_eq!(declined.exit, Exit::Findings, "some are left");
    assert!(!cluster.restarted("web") && !cluster.restarted("cart"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_read_in_pages_of_metadata_and_only_doubtful_pods_are_read_whole() {
    let cluster = shop();
    for number in 0..600 {
        let mut metadata = json!({"creationTimestamp": LONG_AGO});
        metadata["annotations"] = sidecar("hub/ferromesh-proxy:2");
        cluster.pod("both", &format!("good-{number}"), metadata, json!({}));
    }
    // Another revision's, made before injectors wrote down which image they gave.
    let metadata =
        json!({"creationTimestamp": LONG_AGO, "annotations": {"sidecar.istio.io/status": json!({"revision": "old"}).to_string()}});
    let spec = json!({"initContainers": [{"name": "istio-proxy", "image": "hub/ferromesh-proxy:0"}]});
    cluster.pod("shop", "moved", metadata, spec);
    let known = cluster.api.calls().len();
    let told = run_on(&cluster.api, PIPE, "rollout --dry-run -A", "").await;
    let row = |pod: &str| told.stdout.lines().find(|line| line.contains(pod)).unwrap_or_else(|| panic!("no {pod}: {told:?}"));
    assert!(row("web-1-a").contains("missed") && row("cart-1-a").contains("outdated"), "{told:?}");
    assert!(row("moved").contains("outdated") && row("moved").ends_with("hub/ferromesh-proxy:0"), "{told:?}");
    let calls = cluster.api.calls().split_off(known);
    let of_pods = calls.iter().filter(|call| call.target.plural == "pods");
    let (whole, lists): (Vec<_>, Vec<_>) = of_pods.partition(|call| call.target.name.is_some());
    assert!(lists.len() == 2 && lists.iter().all(|call| call.metadata_only && call.query["limit"] == "500"), "{lists:?}");
    let asked: BTreeSet<&str> = whole.iter().filter_map(|call| call.target.name.as_deref()).collect();
    assert_eq!((asked, whole.len()), (["moved", "web-1-a"].into(), 2));
}
