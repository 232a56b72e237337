//! Tags as people and scripts see and move them.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{
    Exit,
    tests::{Run, run},
};
use crate::testing::fake_api::FakeApi;

/// A cluster with a default control plane and a canary.
struct Cluster {
    api: FakeApi,
    folder: TempDir,
}

impl Cluster {
    async fn with(tags: Value, in_force: Value) -> Self {
        let api = FakeApi::new();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), api.kubeconfig().await.to_string()).unwrap();
        let mut mesh = MeshInstall::new("mesh", serde_json::from_value(json!({"tags": tags})).unwrap());
        mesh.status = Some(serde_json::from_value(json!({"tags": in_force})).unwrap());
        api.insert(&mesh);
        api.insert(&MeshInstall::new("canary", serde_json::from_value(json!({"revision": "canary"})).unwrap()));
        for (name, labels) in [
            ("shop", json!({"istio.io/rev": "prod"})),
            ("old", json!({"istio-injection": "enabled", "istio.io/rev": "prod"})),
            ("plain", json!({})),
        ] {
            api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap());
        }
        Self { api, folder }
    }

    async fn run(&self, rest: &str) -> Run {
        let command = format!("tag {rest} --kubeconfig {}", self.folder.path().join("kubeconfig").display());
        tokio::task::spawn_blocking(move || run(&command, "")).await.unwrap()
    }

    fn tags(&self) -> Value {
        json!(self.api.get::<MeshInstall>(None, "mesh").unwrap().spec.tags)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_listed_with_what_they_stand_for_and_who_chooses_them() {
    let tags = json!({"prod": "canary", "default": "canary", "next": "gone"});
    let cluster = Cluster::with(tags, json!({"prod": "default", "default": "canary"})).await;
    let table = cluster.run("list").await;
    assert_eq!((table.exit, table.stderr.as_str()), (Exit::Clean, ""));
    insta::assert_snapshot!("list", table.stdout);
    let rows: Value = serde_json::from_str(&cluster.run("list -o json").await.stdout).unwrap();
    assert_eq!(rows[2], json!({"tag": "prod", "revision": "canary", "inForce": "default", "namespaces": ["shop"]}));
    assert_eq!(rows[1]["inForce"], Value::Null);
    assert_eq!(Cluster::with(json!({}), json!({})).await.run("list").await.stdout, "no tags\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_set_and_moved_only_if_that_is_meant() {
    let cluster = Cluster::with(json!({"old": "default"}), json!({})).await;
    let set = cluster.run("set prod --revision canary").await;
    let wish = "tag prod is to stand for revision canary: ferromesh tag list says when it is in force";
    assert_eq!(set.stdout, format!("{wish}; namespaces choose it by the label istio.io/rev=prod\n"), "{}", set.stderr);
    assert_eq!(cluster.tags(), json!({"old": "default", "prod": "canary"}));
    assert_eq!(cluster.run("set prod -r canary").await.stdout, format!("{wish}\n"), "the operator has not seen it");
    let in_force = Cluster::with(json!({"prod": "canary"}), json!({"prod": "canary"})).await;
    assert_eq!(in_force.run("set prod -r canary").await.stdout, "tag prod stands for revision canary already\n");
    let moved = cluster.run("set prod --revision default").await;
    assert_eq!(
        (moved.exit, moved.stderr.as_str()),
        (Exit::Usage, "error: tag prod stands for revision canary: add --overwrite to move it\n")
    );
    let unknown = cluster.run("set prod --revision nope --overwrite").await;
    assert_eq!(unknown.stderr, "error: there is no revision \"nope\": there are canary, default\n");
    let dry = cluster.run("set prod --revision default --overwrite --dry-run").await;
    assert!(dry.stdout.starts_with("tag prod would stand for revision default; "), "{}", dry.stdout);
    assert_eq!(cluster.tags(), json!({"old": "default", "prod": "canary"}));
    assert_eq!(cluster.run("set prod --revision default --overwrite").await.exit, Exit::Clean);
    assert_eq!(cluster.tags(), json!({"old": "default", "prod": "default"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_chosen_is_not_removed_by_accident() {
    let cluster = Cluster::with(json!({"prod": "canary", "default": "canary"}), json!({})).await;
    let refused = cluster.run("remove prod").await;
    let wanted =
        "error: tag prod is chosen by namespace shop: new pods there would get no sidecar: label them otherwise first, or add --yes\n";
    assert_eq!((refused.exit, refused.stderr.as_str()), (Exit::Failed, wanted));
    assert_eq!(cluster.run("remove prod --yes --dry-run").await.stdout, "tag prod would be removed\n");
    let told = cluster.run("remove prod --yes").await.stdout;
    assert_eq!(told, "tag prod is taken out of the MeshInstall; the operator takes its webhooks away\n");
    assert_eq!(cluster.run("remove default").await.exit, Exit::Clean, "its namespaces fall back to the default revision");
    assert_eq!(cluster.tags(), json!({}));
    assert_eq!(cluster.run("remove prod").await.stderr, "error: there is no tag \"prod\": there is none\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_tag_is_told_once_it_is_in_force_or_what_keeps_it() {
    let cluster = Cluster::with(json!({}), json!({"prod": "canary", "gone": "canary"})).await;
    let set = cluster.run("set prod --revision canary --wait").await;
    assert!(set.exit == Exit::Clean && set.stdout.starts_with("tag prod stands for revision canary; "), "{set:?}");
    assert_eq!(cluster.run("remove prod --yes --dry-run --wait").await.stdout, "tag prod would be removed\n");
    let late = cluster.run("set next --revision canary --wait 1s").await;
    assert_eq!(late.exit, Exit::TimedOut, "{late:?}");
    assert!(late.stderr.contains("tag next: it stands for none; kubectl get meshinstall says in TagsReady what keeps it"), "{late:?}");
    assert_eq!(cluster.run("set other --revision canary --wait=false").await.exit, Exit::Clean);
    let removed = cluster.run("remove prod --yes --wait --timeout 1s").await;
    assert!(removed.exit == Exit::TimedOut && removed.stderr.contains("tag prod: it stands for canary"), "{removed:?}");
}
