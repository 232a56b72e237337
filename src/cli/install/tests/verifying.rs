//! Whether a cluster has what was applied.

use ferromesh_crds::{MeshInstall, catalog};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment},
        core::v1::{ConfigMap, Node, Pod, Service},
        discovery::v1::EndpointSlice,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Answer, Cluster, yaml_documents};
use crate::cli::{
    Exit,
    install::Id,
    tests::{PIPE, run, run_words},
};
use crate::operator::{Images, generate_for};
use crate::testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_verified_one_by_one() {
    let cluster = Cluster::new();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n---\n\
                    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 2}\n---\n\
                    apiVersion: v1\nkind: Service\nmetadata: {name: gone, namespace: shop}\n";
    let map = |value: &str| json!({"metadata": {"name": "a", "namespace": "default"}, "data": {"k": value, "other": "x"}});
    cluster.api.insert::<ConfigMap>(&serde_json::from_value(map("v")).unwrap());
    let deployment = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": {"availableReplicas": 1, "updatedReplicas": 2}});
    cluster.api.insert::<Deployment>(&serde_json::from_value(deployment).unwrap());
    let verify = async || cluster.run_with("verify-install -f -", manifest, false).await;
    let told = verify().await;
    assert_eq!(told.exit, Exit::Findings);
    insta::assert_snapshot!("verify_install", told.stdout);
    cluster.api.insert::<ConfigMap>(&serde_json::from_value(map("w")).unwrap());
    let json = cluster.run_with("manifest verify-install -o json -f -", manifest, false).await;
    let rows: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(rows[0]["state"], "differs");
    assert_eq!(rows[0]["differences"], json!([{"path": "data.k", "from": "v", "to": "w"}]));
    assert_eq!(run_words(&PIPE, &["verify-install", "-f", "-"], "").exit, Exit::Unreadable, "nothing to verify");
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_those_that_nodes_have_fetched() {
    let cluster = Cluster::new();
    let image = format!("docker.io/ferromesh/ferromesh:{}", env!("CARGO_PKG_VERSION"));
    let status =
        json!({"name": "pilot", "image": "x", "imageID": "docker.io/ferromesh/ferromesh@sha256:0123", "ready": true, "restartCount": 0});
    let pod = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"containers": [{"name": "pilot", "image": image}]},
        "status": {"containerStatuses": [status]}});
    cluster.api.insert::<Pod>(&serde_json::from_value(pod).unwrap());
    let told = cluster.run("images --digests -o json").await;
    let rows: Value = serde_json::from_str(&told.stdout).unwrap();
    let of = |image: &str| rows.as_array().unwrap().iter().find(|row| row["image"] == image).unwrap()["digests"].clone();
    assert_eq!(of(&image), json!(["sha256:0123"]));
    assert_eq!(of(&image.replace("ferromesh:", "ferromesh-proxy:")), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_the_objects_of_the_meshinstall_are_verified() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install --set profile=minimal").await.exit, Exit::Clean);
    eventually("the mesh is ready", || cluster.mesh().status.is_some()).await;
    let told = cluster.run("verify-install").await;
    assert_eq!(told.exit, Exit::Findings);
    assert!(told.stdout.contains("MeshInstall mesh") && told.stdout.contains("Deployment istio-system/istio-pilot"), "{}", told.stdout);
    assert!(told.stdout.lines().any(|line| line.split_whitespace().eq(["MeshInstall", "mesh", "ok", "-"])), "{}", told.stdout);
    operator.abort();
}

/// A webhook configuration as the operator writes it once somebody answers; any other object as it is.
fn answered(object: &Value) -> Value {
    let mut object = object.clone();
    for webhook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        webhook["failurePolicy"] = json!("Fail");
    }
    object
}

/// Every Deployment and DaemonSet answers from now on, and all kinds are served.
pub(super) fn bring_up(cluster: &Cluster) {
    for kind in catalog::kinds() {
        let condition = json!({"type": "Established", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = serde_json::from_value(json!({"conditions": [condition]})).unwrap();
        let crd = CustomResourceDefinition { status, ..kind.crd() };
        cluster.api.insert(&crd);
    }
    for mut deployment in cluster.api.list::<Deployment>() {
        let status = json!({"availableReplicas": 99, "updatedReplicas": 99, "observedGeneration": 99});
        deployment.status = serde_json::from_value(status).unwrap();
        cluster.api.insert(&deployment);
    }
    for mut set in cluster.api.list::<DaemonSet>() {
        let status = json!({"currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1,
            "numberAvailable": 1, "updatedNumberScheduled": 1, "observedGeneration": 99});
        set.status = serde_json::from_value(status).unwrap();
        cluster.api.insert(&set);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn istios_invocations_of_1_4_do_what_they_did() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("manifest apply --set profile=demo").await.exit, Exit::Clean);
    assert_eq!(serde_json::to_value(&cluster.mesh().spec).unwrap()["profile"], "demo");
    eventually("the mesh is ready", || cluster.mesh().status.is_some()).await;
    operator.abort();

    let manifest = run("manifest generate --set profile=demo", "").stdout;
    let verify = async || cluster.run_with("verify-install -f -", &manifest, false).await;
    let before = verify().await;
    assert!(before.exit == Exit::Findings && before.stdout.contains("is not there"), "{before:?}");
    let client = cluster.api.client();
    let objects: Vec<(Id, Value)> =
        yaml_documents(&manifest).into_iter().map(|object| (Id::of(&object, "default").unwrap(), object)).collect();
    // What the operator does; by then webhooks are answered.
    for (id, object) in &objects[1..] {
        let object = &answered(object);
        id.api(&client).patch(&id.name, &PatchParams::apply("operator").force(), &Patch::Apply(object)).await.unwrap();
    }
    let unready = verify().await;
    assert!(unready.exit == Exit::Findings && unready.stdout.contains("not ready"), "{unready:?}");
    bring_up(&cluster);
    let after = verify().await;
    assert_eq!(after.exit, Exit::Clean, "{}", after.stdout);
    let deployments = objects.iter().filter(|(id, _)| id.kind == "Deployment").count();
    let crds = catalog::kinds().len();
    let end = format!("Checked {crds} crds\nChecked {deployments} Istio Deployments\nIstio is installed successfully\n");
    assert!(after.stdout.ends_with(&format!(" objects there, as applied and ready\n{end}")), "{}", after.stdout);
    assert!(deployments > 5 && !unready.stdout.contains("successfully"), "{}", unready.stdout);
    let document = cluster.run_with("verify-install -o json -f -", &manifest, false).await.stdout;
    assert_eq!(serde_json::from_str::<Value>(&document).unwrap().as_array().unwrap().len(), objects.len() + crds);
    // Objects that are no installation say nothing of one.
    let alone = cluster.run_with("verify-install -f -", &objects[1].1.to_string(), false).await;
    assert!(alone.exit == Exit::Clean && !alone.stdout.contains("Checked"), "{}", alone.stdout);
    let served = cluster.api.get::<CustomResourceDefinition>(None, "sidecars.networking.istio.io").unwrap();
    cluster.api.insert(&CustomResourceDefinition { status: None, ..served.clone() });
    let unserved = verify().await;
    let told = "CustomResourceDefinition sidecars.networking.istio.io";
    let row = unserved.stdout.lines().find(|line| line.contains(told)).unwrap_or_default();
    assert!(unserved.exit == Exit::Findings && row.contains("not ready  its condition Established"), "{}", unserved.stdout);
    assert!(!unserved.stdout.contains("successfully"), "{}", unserved.stdout);
    cluster.api.insert(&served);

    // kubectl takes the documents in their order, each by its kind and its own namespace.
    assert_eq!(objects[0].0.kind, "MeshInstall", "or the operator would make anew what has just gone");
    for (id, _) in &objects {
        id.api(&client).delete(&id.name, &DeleteParams::default()).await.unwrap_or_else(|error| panic!("{id}: {error}"));
    }
    let gone = verify().await;
    let missing = gone.stdout.lines().filter(|line| line.contains("is not there")).count();
    assert_eq!((gone.exit, missing), (Exit::Findings, objects.len()), "{}", gone.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_generated_offline_is_verified_where_the_control_plane_stands() {
    let cluster = Cluster::new();
    let spec = json!({"profile": "demo", "updateStrategy": {"type": "Revision"}});
    let own = env!("CARGO_PKG_VERSION");
    for place in ["default", "green", "blue"] {
        let condition =
            json!({"type": "Ready", "status": "True", "reason": "Healthy", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"version": own, "revisions": [{"name": place, "version": own}], "conditions": [condition]});
        let mesh = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "mesh"},
            "spec": spec, "status": status});
        let mesh: MeshInstall = serde_json::from_value(mesh).unwrap();
        cluster.api.insert(&mesh);
        for object in generate_for(&mesh, &[], &Images::published(), "ferromesh-system").unwrap().unwrap() {
            let id = Id::of(&object, "default").unwrap();
            let operator = PatchParams::apply("operator").force();
            id.api(&cluster.api.client()).patch(&id.name, &operator, &Patch::Apply(&object)).await.unwrap();
        }
        bring_up(&cluster);
        let manifest = run("manifest generate --set profile=demo,updateStrategy.type=Revision", "").stdout;
        let told = cluster.run_with("verify-install -f -", &manifest, false).await;
        assert_eq!(told.exit, Exit::Clean, "{place}: {}", told.stdout);
        let pilot = if place == "default" { "istio-pilot".to_owned() } else { format!("istio-pilot-{place}") };
        assert!(told.stdout.contains(&pilot), "{place}: {}", told.stdout);

        // What somebody has changed in the file is what is looked for.
        let more = manifest.replacen("replicas: 1", "replicas: 7", 1);
        assert_eq!(cluster.run_with("verify-install -f -", &more, false).await.exit, Exit::Findings, "{place}");
        // What is gone is missing.
        cluster.api.delete::<Deployment>(Some("istio-system"), &pilot);
        let told = cluster.run_with("verify-install -f -", &manifest, false).await;
        let row = ["Deployment", &format!("istio-system/{pilot}"), "missing"];
        let is_missing = |line: &str| line.split_whitespace().take(3).eq(row);
        assert!(told.exit == Exit::Findings && told.stdout.lines().any(is_missing), "{place}: {}", told.stdout);
    }
}

/// A cluster in which the mesh can be installed by someone who may.
fn ready_for_a_mesh() -> Cluster {
    let cluster = Cluster::new();
    cluster.api.answer(|call| {
        let review =
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": true}});
        (call.target.plural == "selfsubjectaccessreviews").then_some((201, review))
    });
    let node = json!({"metadata": {"name": "one"}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux", "kernelVersion": "6.1.0", "kubeletVersion": "v1.34.0",
            "bootID": "", "containerRuntimeVersion": "", "kubeProxyVersion": "", "machineID": "", "osImage": "", "systemUUID": ""}}});
    cluster.api.insert::<Node>(&serde_json::from_value(node).unwrap());
    let dns = json!({"metadata": {"name": "kube-dns", "namespace": "kube-system"}});
    cluster.api.insert::<Service>(&serde_json::from_value(dns).unwrap());
    let labels = json!({"kubernetes.io/service-name": "kube-dns"});
    let slice = json!({"metadata": {"name": "kube-dns-1", "namespace": "kube-system", "labels": labels}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]});
    cluster.api.insert::<EndpointSlice>(&serde_json::from_value(slice).unwrap());
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_installation_it_is_checked_whether_there_can_be_one() {
    let cluster = ready_for_a_mesh();
    let check = cluster.run("check --before").await;
    assert_eq!(check.exit, Exit::Clean, "{check:?}");
    for verb in ["verify-install", "manifest verify-install"] {
        let told = cluster.run(verb).await;
        assert_eq!(told.exit, Exit::Clean, "{told:?}");
        let end = told.stdout.strip_prefix(&check.stdout).unwrap_or_else(|| panic!("{}", told.stdout));
        assert_eq!(end, "Install Pre-Check passed! The cluster is ready for Istio installation.\n");
        assert!(told.stderr.contains("there is no MeshInstall, so it was checked"), "{}", told.stderr);
    }
    let document = cluster.run("verify-install -o json").await.stdout;
    assert_eq!(serde_json::from_str::<Value>(&document).unwrap()["kind"], "Check");

    cluster.api.delete::<Service>(Some("kube-system"), "kube-dns");
    let told = cluster.run("verify-install").await;
    assert_eq!(told.exit, Exit::Findings, "{told:?}");
    assert_eq!(told.stdout, cluster.run("check --before").await.stdout);
    assert!(told.stdout.contains("FM1008") && !told.stdout.contains("passed"), "{}", told.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scaled_to_0_is_not_ready() {
    let cluster = Cluster::new();
    let manifest = run("manifest generate --set profile=minimal", "").stdout;
    let pilot = yaml_documents(&manifest).into_iter().find(|one| one["kind"] == "Deployment" && one["metadata"]["name"] == "istio-pilot");
    let mut pilot = pilot.unwrap();
    pilot["spec"].as_object_mut().unwrap().remove("replicas");
    let file = pilot.to_string();
    pilot["spec"]["replicas"] = json!(0);
    cluster.api.insert::<Deployment>(&serde_json::from_value(pilot).unwrap());
    bring_up(&cluster);
    let told = cluster.run_with("verify-install -f -", &file, false).await;
    assert_eq!(told.exit, Exit::Findings, "{}", told.stdout);
    assert!(told.stdout.contains("not ready  scaled to 0"), "{}", told.stdout);
}
