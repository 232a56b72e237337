//! What would be changed in a cluster, told without a change.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Answer, Cluster, yaml_documents};
use crate::cli::{Exit, install::Id, tests::run};

impl Cluster {
    /// A mesh as the operator has made it for `--set`.
    async fn installed(set: &str) -> Self {
        let cluster = Self::new();
        let operator = cluster.operator(Answer::Healthy);
        assert_eq!(cluster.run(&format!("install --set {set}")).await.exit, Exit::Clean);
        operator.abort();
        let (client, mut inventory) = (cluster.api.client(), Vec::new());
        for object in yaml_documents(&run(&format!("manifest generate --set {set}"), "").stdout).into_iter().skip(1) {
            let id = Id::of(&object, "default").unwrap();
            // What only a cluster tells is no difference.
            let mut object = object;
            object["metadata"]["annotations"]["install.ferromesh.dev/applied"] = json!(format!("{}/0123", id.name));
            object["metadata"]["ownerReferences"] = json!([{"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "name": "mesh", "uid": "u", "controller": true}]);
            for webhook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
                (webhook["clientConfig"]["caBundle"], webhook["failurePolicy"]) = (json!("cGVt"), json!("Fail"));
            }
            let applied = PatchParams::apply("ferromesh-operator").force();
            id.api(&client).patch(&id.name, &applied, &Patch::Apply(&object)).await.unwrap_or_else(|error| panic!("{id}: {error}"));
            inventory.push(json!({"apiVersion": id.api_version, "kind": id.kind, "namespace": id.namespace, "name": id.name}));
        }
        let mut mesh = cluster.mesh();
        mesh.status.as_mut().unwrap().inventory = serde_json::from_value(json!(inventory)).unwrap();
        cluster.api.insert(&mesh);
        cluster
    }

    /// The answer to `plan` as rows: object, change, and the paths of its fields.
    pub(super) async fn planned(&self, arguments: &str) -> Vec<(String, String, Vec<String>)> {
        let told = self.run(&format!("plan -o json {arguments}")).await;
        assert_eq!(told.exit, Exit::Clean, "{told:?}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let row = |one: &Value| {
            let paths = one["fields"].as_array().unwrap().iter().map(|field| text(&field["path"])).collect();
            (text(&one["object"]), text(&one["change"]), paths)
        };
        serde_json::from_str::<Value>(&told.stdout).unwrap().as_array().unwrap().iter().map(row).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_created_changed_and_deleted_is_told_and_nothing_is_written() {
    let cluster = Cluster::installed("profile=default").await;
    let before = cluster.api.calls().len();
    assert_eq!(cluster.planned("--set profile=default").await, []);
    assert_eq!(cluster.planned("").await, [], "of the MeshInstall that is there");

    let spec = "components.pilot.replicas=2,components.galley.enabled=false,addons.grafana.enabled=true";
    let rows = cluster.planned(&format!("--set profile=default,{spec}")).await;
    let of = |object: &str| rows.iter().find(|(name, ..)| name == object).map(|(_, change, fields)| (change.as_str(), fields.clone()));
    assert_eq!(of("Deployment istio-system/istio-pilot"), Some(("Changed", vec!["spec.replicas".to_owned()])), "{rows:?}");
    assert_eq!(of("Deployment istio-system/istio-galley"), Some(("Removed", Vec::new())), "{rows:?}");
    assert_eq!(of("Deployment istio-system/grafana"), Some(("Added", Vec::new())), "{rows:?}");
    assert_eq!(of("MeshInstall mesh").unwrap().0, "Changed", "{rows:?}");
    assert_eq!(of("Deployment istio-system/istio-citadel"), None);

    let told = cluster.run(&format!("manifest diff --exit-code --set profile=default,{spec}")).await;
    assert_eq!(told.exit, Exit::Findings);
    for line in [
        "Deployment istio-system/istio-pilot would be changed:\n  FIELD ",
        "Deployment istio-system/istio-galley would be deleted\n",
        "Deployment istio-system/grafana would be created\n",
        " to delete, ",
    ] {
        assert!(told.stdout.contains(line), "{line}: {}", told.stdout);
    }
    assert!(cluster.api.calls().iter().skip(before).all(|call| !call.is_write()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_is_what_the_operator_would_put_right() {
    let cluster = Cluster::installed("profile=minimal").await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.api.client(), "istio-system");
    let edit = json!({"spec": {"replicas": 3}});
    deployments.patch("istio-pilot", &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
    let rows = cluster.planned("").await;
    assert_eq!(rows, [("Deployment istio-system/istio-pilot".to_owned(), "Changed".to_owned(), vec!["spec.replicas".to_owned()])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mesh_all_would_be_created_and_a_description_is_needed() {
    let cluster = Cluster::new();
    let none = cluster.run("plan").await;
    assert!(none.exit == Exit::Failed && none.stderr.contains("the cluster has no MeshInstall: say what to plan"), "{none:?}");
    let rows = cluster.planned("--set profile=minimal").await;
    assert!(rows.len() > 10 && rows.iter().all(|(_, change, _)| change == "Added"), "{rows:?}");
    assert_eq!(rows[0].0, "MeshInstall mesh");
    let told = cluster.run("plan --set profile=minimal").await;
    assert!(told.stderr.starts_with("note: no operator runs in the cluster: ferromesh install installs it first\n"), "{told:?}");
    let both = run("manifest diff a.yaml b.yaml --set profile=demo", "");
    assert_eq!(both.exit, Exit::Usage, "{both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_object_is_named_and_what_only_the_operator_knows_is_left_to_it() {
    let cluster = Cluster::installed("profile=minimal").await;
    let foreign = json!({"metadata": {"name": "grafana", "namespace": "istio-system"}, "spec": {"ports": [{"port": 1}]}});
    cluster.api.insert::<Service>(&serde_json::from_value(foreign).unwrap());
    let told = cluster.run("plan --set profile=minimal,addons.grafana.enabled=true").await;
    assert!(told.stderr.contains("note: Service istio-system/grafana is somebody else's: the operator would leave it alone"), "{told:?}");
    let mut mesh: MeshInstall = cluster.mesh();
    mesh.status.as_mut().unwrap().version = Some("0.1".to_owned());
    cluster.api.insert(&mesh);
    let upgrade = cluster.run("plan --set profile=default,updateStrategy.type=Revision").await;
    assert!(upgrade.exit == Exit::Failed && upgrade.stderr.contains("Set mode: Plan, and read status.plan"), "{upgrade:?}");
    assert_eq!(cluster.planned("--set profile=minimal").await, [], "in place it is known");
}
