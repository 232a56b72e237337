//! Another Istio is in the cluster, or others live in the mesh's namespace: what is theirs stays as it is.

use ferromesh_crds::MeshInstall;
use k8s_openapi::{
    api::{
        admissionregistration::v1::MutatingWebhookConfiguration,
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{Namespace, Pod, Service},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Answer, Cluster};
use crate::cli::{Exit, tests::Run};

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

const REFUSED: &str = "error: MutatingWebhookConfiguration istio-sidecar-injector injects pods, and is of another mesh; nothing was written \
                       (FM1005). Remove the other mesh, or what it left behind; or install beside it under a revision: \
                       `ferromesh install --set revision=NAME`.\n";

impl Cluster {
    /// Another Istio's control plane, with CRDs of which its installer keeps one.
    fn istio(&self) {
        self.injector();
        self.crds();
        self.namespace("istio-system");
        let metadata = json!({"name": "istiod", "namespace": "istio-system"});
        self.api.insert::<Deployment>(&of(json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}})));
        self.api.insert::<Service>(&of(json!({"metadata": metadata, "spec": {}})));
        self.pod("istiod-1-a", Some(("ReplicaSet", "istiod-1")));
    }

    /// The configuration of its injector.
    fn injector(&self) {
        let rules = json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
        let client = json!({"service": {"name": "istiod", "namespace": "istio-system"}});
        let webhook = json!({"name": "sidecar-injector.istio.io", "clientConfig": client, "rules": rules, "sideEffects": "None",
            "admissionReviewVersions": ["v1"]});
        let configuration = json!({"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [webhook]});
        self.api.insert::<MutatingWebhookConfiguration>(&of(configuration));
    }

    /// Its CRDs of two kinds, of which it says that it keeps one.
    fn crds(&self) {
        for (name, kind, labels) in [
            ("gateways.networking.istio.io", "Gateway", json!({"operator.istio.io/component": "Base"})),
            ("sidecars.networking.istio.io", "Sidecar", json!({})),
        ] {
            let names = json!({"kind": kind, "plural": format!("{}s", kind.to_lowercase())});
            let spec = json!({"group": "networking.istio.io", "scope": "Namespaced", "names": names, "versions": []});
            self.api.insert::<CustomResourceDefinition>(&of(json!({"metadata": {"name": name, "labels": labels}, "spec": spec})));
        }
    }

    fn namespace(&self, name: &str) {
        self.api.insert::<Namespace>(&of(json!({"metadata": {"name": name}})));
    }

    /// A pod of the mesh's namespace.
    fn pod(&self, name: &str, owner: Option<(&str, &str)>) {
        let owner = owner.map(|(kind, name)| {
            // It is there: the API server collects what has lost all its owners.
            let metadata = json!({"name": name, "namespace": "istio-system"});
            self.api.insert::<ReplicaSet>(&of(json!({"metadata": metadata, "spec": {"selector": {}}})));
            let uid = self.api.get::<ReplicaSet>(Some("istio-system"), name).and_then(|set| set.uid());
            json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true})
        });
        let owners: Vec<Value> = owner.into_iter().collect();
        let metadata = json!({"name": name, "namespace": "istio-system", "ownerReferences": owners});
        self.api.insert::<Pod>(&of(json!({"metadata": metadata, "spec": {"containers": []}})));
    }

    fn has_namespace(&self) -> bool {
        self.api.get::<Namespace>(None, "istio-system").is_some()
    }

    fn crd_names(&self) -> Vec<String> {
        self.api.list::<CustomResourceDefinition>().iter().map(ResourceExt::name_any).collect()
    }

    fn versions_of(&self, crd: &str) -> usize {
        self.api.get::<CustomResourceDefinition>(None, crd).unwrap().spec.versions.len()
    }

    /// Runs a command that must write nothing.
    async fn reads(&self, command: &str) -> Run {
        self.api.forget_calls();
        let run = self.run(command).await;
        let writes: Vec<_> = self.api.calls().into_iter().filter(|call| call.is_write()).collect();
        assert!(writes.is_empty(), "{command}: {writes:?}");
        run
    }
}

/// A mesh that came beside what there is already, and its operator, which does nothing any more.
async fn installed(cluster: &Cluster) {
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install").await.exit, Exit::Clean);
    operator.abort();
    let _ = operator.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_another_istio_its_namespace_and_crds() {
    let cluster = Cluster::new();
    installed(&cluster).await;
    cluster.istio();
    let plan = cluster.run("uninstall --purge --dry-run").await;
    for kept in ["Namespace istio-system\n", ".istio.io\n"] {
        assert!(!plan.stdout.contains(kept), "{plan:?}");
    }
    let told = cluster.run("uninstall --purge --yes").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    for note in [
        "note: Namespace istio-system stays, for Deployment istio-system/istiod and 1 other object in it is not the mesh's\n",
        "note: the CRDs of istio.io stay with all configuration, for another Istio is here: MutatingWebhookConfiguration \
         istio-sidecar-injector injects pods for it (FM1005)\n",
    ] {
        assert!(told.stderr.contains(note) && plan.stderr.contains(note), "{note}: {told:?}");
    }
    assert!(cluster.has_namespace());
    let crds = cluster.crd_names();
    assert!(crds.iter().all(|name| name.ends_with(".istio.io")) && crds.len() > 10, "{crds:?}");
    assert!(cluster.api.list::<MeshInstall>().is_empty());
    let left: Vec<String> = cluster.api.list::<Deployment>().iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["istiod"]);
    // Once more, without a MeshInstall.
    let again = cluster.run("uninstall --purge --yes").await;
    assert_eq!(again.stdout, "there is nothing to remove\n", "{again:?}");
    assert!(cluster.has_namespace() && !cluster.crd_names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_that_another_installer_keeps_outlive_a_purge() {
    let cluster = Cluster::new();
    cluster.crds();
    cluster.namespace("istio-system");
    let told = cluster.run("uninstall --purge --yes").await;
    assert!(told.stderr.contains("its installer keeps CustomResourceDefinition gateways.networking.istio.io (FM1004)"), "{told:?}");
    assert_eq!(cluster.crd_names(), ["gateways.networking.istio.io", "sidecars.networking.istio.io"]);
    assert!(!cluster.has_namespace(), "nothing of others is in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_purged_only_if_no_others_are_in_it() {
    let cluster = Cluster::new();
    cluster.namespace("istio-system");
    let labels = json!({"app.kubernetes.io/managed-by": "ferromesh-operator"});
    let metadata = json!({"name": "istio-pilot", "namespace": "istio-system", "labels": labels});
    cluster.api.insert::<Deployment>(&of(json!({"metadata": metadata, "spec": {"selector": {}, "template": {}}})));
    cluster.pod("istio-pilot-1-a", Some(("ReplicaSet", "istio-pilot-1")));
    let goes = cluster.run("uninstall --purge --dry-run").await;
    assert_eq!(goes.stdout, "would go:\n  Namespace istio-system\n", "{goes:?}");
    cluster.pod("shell", None);
    let stays = cluster.run("uninstall --purge --dry-run").await;
    assert_eq!(stays.stdout, "there is nothing to remove\n");
    assert_eq!(stays.stderr, "note: Namespace istio-system stays, for Pod istio-system/shell in it is not the mesh's\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_namespace_stays_where_others_moved_in() {
    let cluster = Cluster::new();
    installed(&cluster).await;
    let metadata = json!({"name": "dashboard", "namespace": "ferromesh-system"});
    cluster.api.insert::<Service>(&of(json!({"metadata": metadata, "spec": {}})));
    let told = cluster.run("operator remove").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    let note = "note: Namespace ferromesh-system stays, for Service ferromesh-system/dashboard in it is not the mesh's\n";
    assert!(told.stderr.starts_with(note), "{told:?}");
    assert!(cluster.api.get::<Namespace>(None, "ferromesh-system").is_some() && cluster.api.list::<Deployment>().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_another_istio_injects() {
    let cluster = Cluster::new();
    cluster.istio();
    for command in ["install", "manifest apply", "install --dry-run", "operator init", "operator init --dry-run"] {
        let told = cluster.reads(command).await;
        assert!(told.exit == Exit::Failed && told.stderr.ends_with(REFUSED), "{command}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_was_there_first_is_upgraded_and_one_that_never_came_up_is_not() {
    let cluster = Cluster::new();
    installed(&cluster).await;
    cluster.istio();
    let operator = cluster.operator(Answer::Healthy);
    let told = cluster.run("upgrade").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    assert!(told.stderr.contains("gateways.networking.istio.io: left to the installer of another mesh"), "{told:?}");
    assert_eq!(cluster.versions_of("gateways.networking.istio.io"), 0);
    operator.abort();
    let _ = operator.await;
    let mut mesh = cluster.mesh();
    mesh.status = None;
    cluster.api.insert(&mesh);
    let told = cluster.reads("upgrade").await;
    assert!(told.exit == Exit::Failed && told.stderr.ends_with(REFUSED), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_comes_beside_another_istio_and_leaves_it_its_crds() {
    let cluster = Cluster::new();
    cluster.istio();
    let operator = cluster.operator(Answer::Healthy);
    let told = cluster.run("install --set revision=canary").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    assert!(told.stderr.contains("gateways.networking.istio.io: left to the installer of another mesh"), "{told:?}");
    assert_eq!(cluster.versions_of("gateways.networking.istio.io"), 0, "it is as it was");
    assert!(cluster.versions_of("sidecars.networking.istio.io") > 0, "nobody says that he keeps this one");
    let init = cluster.run("operator init").await;
    assert_eq!(init.exit, Exit::Clean, "its operator may give the revision's name already: {init:?}");
    assert_eq!(cluster.versions_of("gateways.networking.istio.io"), 0);
    operator.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_that_the_api_server_would_refuse_are_told_of_before() {
    let cluster = Cluster::new();
    cluster.crds();
    let mut crd: CustomResourceDefinition = cluster.api.get(None, "sidecars.networking.istio.io").unwrap();
    crd.status = Some(of(json!({"storedVersions": ["v1alpha9"]})));
    cluster.api.insert(&crd);
    let told = cluster.reads("operator init").await;
    let refused = "objects of CustomResourceDefinition sidecars.networking.istio.io are stored in version v1alpha9, which this mesh does not serve (FM1003)";
    assert!(told.exit == Exit::Failed && told.stderr.contains(refused), "{told:?}");
}
