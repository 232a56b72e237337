//! What people see of an installation: of files, and of clusters behind a fake API server in which a stand-in does the operator's work.

use ferromesh_crds::{MeshInstall, MeshInstallSpec};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

use crate::cli::{
    Exit,
    tests::{PIPE, Run, TERMINAL, run, run_on, run_words},
};
use crate::operator::{Images, generate};
use crate::testing::{eventually, fake_api::FakeApi};

fn yaml_documents(text: &str) -> Vec<Value> {
    let (documents, problems) = crate::cli::source::read(text);
    assert_eq!(problems, []);
    documents.iter().map(crate::cli::source::Node::to_value).collect()
}

// === files alone ===

#[test]
fn profiles_are_listed_dumped_and_compared() {
    let list = run("profile list", "");
    assert!(list.stdout.starts_with("NAME     DESCRIPTION\ndefault  the control plane and an ingress gateway\n"), "{list:?}");
    insta::assert_snapshot!("profile_gateways", run("profile dump demo -p gateways.egress", "").stdout);
    insta::assert_snapshot!("profile_diff", run("profile diff default minimal", "").stdout);
    assert_eq!(run("profile diff default minimal --exit-code", "").exit, Exit::Findings);
    assert_eq!(run("profile diff demo demo --exit-code", "").stdout, "no differences\n");
    let set = run("profile dump --set profile=minimal,components.pilot.replicas=3 -p components.pilot.replicas -o json", "");
    assert_eq!((set.exit, set.stdout.trim()), (Exit::Clean, "3"));
    let unknown = run("profile dump dmeo", "");
    assert_eq!(
        (unknown.exit, unknown.stderr.as_str()),
        (Exit::Usage, "error: there is no profile \"dmeo\": there are default, demo, minimal, sds, remote\n")
    );
}

#[test]
fn a_manifest_begins_with_the_meshinstall_and_has_what_the_operator_applies() {
    let told = run("manifest generate --set profile=demo", "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    let documents = yaml_documents(&told.stdout);
    assert_eq!(documents[0]["kind"], "MeshInstall");
    assert_eq!(documents[0]["spec"], json!({"profile": "demo"}));
    let spec: MeshInstallSpec = serde_json::from_value(json!({"profile": "demo"})).unwrap();
    let planned = generate(&spec, &Images::published(), "ferromesh-system").unwrap();
    assert_eq!(documents[1..], planned);
    let list: Value = serde_json::from_str(&run("manifest generate -o json", "").stdout).unwrap();
    assert_eq!((list["kind"].as_str(), list["items"][0]["kind"].as_str()), (Some("List"), Some("MeshInstall")));
}

#[test]
fn each_object_can_have_a_file_of_its_own() {
    let folder = TempDir::new().unwrap();
    let told = run(&format!("manifest generate -d {}", folder.path().display()), "");
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Clean, ""));
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names[0], "00-meshinstall-mesh.yaml");
    assert!(told.stderr.starts_with(&format!("{} objects written to", names.len())), "{}", told.stderr);
}

#[test]
fn what_describes_no_installation_is_refused_with_all_reasons() {
    let refused = |arguments: &str, stdin: &str| {
        let told = run(&format!("manifest generate {arguments}"), stdin);
        assert_eq!((told.exit, told.stdout.as_str()), (Exit::Usage, ""), "{told:?}");
        told.stderr
    };
    assert!(refused("--set global.mtls.enabled=true", "").contains("did you mean \"values.global.mtls.enabled\"?"));
    assert!(refused("--set profil=demo", "").contains("did you mean \"profile\"?"));
    let both = refused("--set profile=huge,components.pilot.replicas=x", "");
    assert!(both.contains("error: spec.profile: ") && both.contains("error: spec.components.pilot.replicas: "), "{both}");
    assert!(refused("--set values.mixer.enabled=true", "").contains("spec.values.mixer.enabled"));
    assert!(refused("-f -", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n").contains("stdin:1: Service describes no installation"));
    let of_istio = "apiVersion: install.istio.io/v1alpha2\nkind: IstioControlPlane\nspec: {profile: demo, gateways: {}}\n";
    assert!(refused("-f -", of_istio).contains("IstioControlPlane: spec.gateways has no counterpart"));
}

#[test]
fn later_files_count_more_and_set_most() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    let mesh = "apiVersion: install.ferromesh.dev/v1alpha1\nkind: MeshInstall\nmetadata: {name: own}\n";
    std::fs::write(&first, format!("{mesh}spec: {{profile: minimal, hub: first, tag: first}}\n")).unwrap();
    std::fs::write(
        &second,
        "apiVersion: install.istio.io/v1alpha2\nkind: IstioControlPlane\nspec: {tag: second, defaultNamespace: mesh, hub: second}\n",
    )
    .unwrap();
    let told = run(&format!("manifest generate -f {} -f {} --set tag=1.10", first.display(), second.display()), "");
    let documents = yaml_documents(&told.stdout);
    assert_eq!(documents[0]["metadata"]["name"], "own");
    assert_eq!(documents[0]["spec"], json!({"profile": "minimal", "hub": "second", "tag": "1.10", "namespace": "mesh"}));
}

#[test]
fn manifests_are_compared_field_by_field() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, arguments: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, run(&format!("manifest generate {arguments}"), "").stdout).unwrap();
        path.display().to_string()
    };
    let first = file("first.yaml", "");
    let second = file("second.yaml", "--set components.pilot.replicas=2,gateways.ingress[istio-ingressgateway].enabled=false");
    let told = run(&format!("manifest diff {first} {second} --exit-code"), "");
    assert_eq!(told.exit, Exit::Findings);
    for line in ["Service istio-system/istio-ingressgateway: only in ", "Deployment istio-system/istio-pilot:\n", "  spec.replicas "] {
        assert!(told.stdout.contains(line), "{line}: {}", told.stdout);
    }
    let json: Value = serde_json::from_str(&run(&format!("manifest diff {first} {second} -o json"), "").stdout).unwrap();
    let pilot = json.as_array().unwrap().iter().find(|one| one["object"] == "Deployment istio-system/istio-pilot").unwrap();
    assert!(pilot["fields"].as_array().unwrap().contains(&json!({"path": "spec.replicas", "from": 1, "to": 2})), "{pilot}");
    assert_eq!(run(&format!("manifest diff {first} {first} --exit-code"), "").exit, Exit::Clean);
    assert_eq!(run(&format!("manifest diff {first} -"), "a: [").exit, Exit::Unreadable);
}

#[test]
fn the_operators_objects_can_be_had_without_a_cluster() {
    let told = run("operator init --dump --hub registry.example/team --tag 7 --operatorNamespace elsewhere", "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    let documents = yaml_documents(&told.stdout);
    let deployment = documents.iter().find(|one| one["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["metadata"]["namespace"], "elsewhere");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/team/ferromesh:7");
}

#[test]
fn all_images_of_an_installation_are_listed() {
    let told = run("images --set profile=demo,hub=hub.example/team --tag 7", "");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    insta::assert_snapshot!("images", told.stdout);
}

// === a cluster ===

/// A cluster without an operator.
struct Cluster {
    api: FakeApi,
}

/// How the stand-in for the operator answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Healthy,
    Stalled,
    Never,
}

impl Cluster {
    fn new() -> Self {
        Self { api: FakeApi::new() }
    }

    async fn run(&self, command: &str) -> Run {
        self.run_with(command, "", false).await
    }

    async fn run_with(&self, command: &str, stdin: &str, terminal: bool) -> Run {
        run_on(&self.api, if terminal { TERMINAL } else { PIPE }, command, stdin).await
    }

    /// Brings the operator up as soon as it is applied, and answers each MeshInstall.
    fn operator(&self, answer: Answer) -> tokio::task::JoinHandle<()> {
        let api = self.api.clone();
        tokio::spawn(async move {
            loop {
                if let Some(mut deployment) = api.get::<Deployment>(Some("ferromesh-system"), "ferromesh-operator")
                    && deployment.status.as_ref().is_none_or(|status| status.available_replicas.is_none())
                {
                    deployment.status =
                        serde_json::from_value(json!({"availableReplicas": 1, "updatedReplicas": 1, "observedGeneration": 99})).unwrap();
                    api.insert(&deployment);
                }
                for mut mesh in api.list::<MeshInstall>() {
                    let generation = mesh.metadata.generation;
                    let seen = mesh.status.as_ref().and_then(|status| status.observed_generation) == generation;
                    if answer != Answer::Never && !seen {
                        mesh.status = Some(serde_json::from_value(status(generation.unwrap_or(1), answer)).unwrap());
                        api.insert(&mesh);
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn mesh(&self) -> MeshInstall {
        self.api.get::<MeshInstall>(None, "mesh").expect("there is a MeshInstall")
    }
}

fn status(generation: i64, answer: Answer) -> Value {
    let condition = |type_: &str, holds: &str, reason: &str, message: &str| {
        json!({"type": type_, "status": holds, "reason": reason, "message": message, "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let conditions = match answer {
        Answer::Stalled => json!([
            condition("Ready", "False", "ForeignMesh", "istiod is there"),
            condition("Stalled", "True", "ForeignMesh", "istiod is there")
        ]),
        _ => json!([condition("Ready", "True", "Healthy", "all components are ready")]),
    };
    json!({"observedGeneration": generation, "state": "HEALTHY", "version": env!("CARGO_PKG_VERSION"), "conditions": conditions,
        "components": {"pilot": {"status": "HEALTHY"}},
        "inventory": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "istio-system", "name": "istio"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_from_nothing_brings_the_operator_and_waits() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    let told = cluster.run("install --set profile=demo --wait 60s").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    assert_eq!(told.stdout, format!("✓ mesh mesh is ready: version {}, profile demo, 1 component\n", env!("CARGO_PKG_VERSION")));
    for line in ["no operator: installing it in namespace ferromesh-system", "operator ready", "MeshInstall mesh created", "pilot ready"] {
        assert!(told.stderr.contains(line), "{line}: {}", told.stderr);
    }
    assert_eq!(serde_json::to_value(&cluster.mesh().spec).unwrap()["profile"], "demo");
    assert_eq!(cluster.api.list::<CustomResourceDefinition>().len(), ferromesh_crds::catalog::kinds().len());
    let again = cluster.run("install --set profile=demo").await;
    assert!(again.exit == Exit::Clean && again.stderr.contains("MeshInstall mesh is as described"), "{again:?}");
    operator.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_installation_would_lose_is_told_and_asked_about() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install --set profile=demo,mode=Apply,meshConfig.accessLogFile=/dev/stderr").await.exit, Exit::Clean);
    let dry = cluster.run("manifest apply --set profile=default --dry-run").await;
    insta::assert_snapshot!("install_dry_run", dry.stdout);
    assert_eq!(serde_json::to_value(&cluster.mesh().spec).unwrap()["profile"], "demo", "nothing is changed");
    let declined = cluster.run_with("install --set profile=default", "n\n", true).await;
    assert!(declined.stderr.ends_with("Change MeshInstall mesh? [y/N] nothing was changed\n"), "{declined:?}");
    assert_eq!(serde_json::to_value(&cluster.mesh().spec).unwrap()["profile"], "demo");
    let agreed = cluster.run_with("manifest apply --set profile=default", "y\n", true).await;
    assert!(agreed.exit == Exit::Clean && agreed.stderr.contains("MeshInstall mesh changed"), "{agreed:?}");
    let spec = serde_json::to_value(&cluster.mesh().spec).unwrap();
    assert_eq!((spec["profile"].as_str(), spec.get("meshConfig")), (Some("default"), None));
    operator.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_keeps_the_fields_that_are_not_named() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    let nothing = cluster.run("upgrade").await;
    assert_eq!((nothing.exit, nothing.stderr.as_str()), (Exit::Failed, "error: there is no mesh to upgrade: ferromesh install\n"));
    assert_eq!(cluster.run("install --set profile=demo").await.exit, Exit::Clean);
    let told = cluster.run("upgrade --set components.pilot.replicas=2").await;
    assert!(told.exit == Exit::Clean && told.stderr.contains("operator: applied"), "{told:?}");
    let spec = serde_json::to_value(&cluster.mesh().spec).unwrap();
    assert_eq!((&spec["profile"], &spec["components"]["pilot"]["replicas"]), (&json!("demo"), &json!(2)));
    operator.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_get_ready_ends_at_once_and_what_does_not_in_time_with_75() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Stalled);
    let stalled = cluster.run("install").await;
    assert_eq!(stalled.exit, Exit::Failed);
    assert!(stalled.stderr.ends_with("error: MeshInstall mesh: ForeignMesh, istiod is there\n"), "{stalled:?}");
    operator.abort();

    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Never);
    let late = cluster.run("install --wait 2s").await;
    assert_eq!(late.exit, Exit::TimedOut, "{late:?}");
    assert!(late.stderr.contains("not within 2 s: the operator, which has not seen the MeshInstall yet"), "{late:?}");
    let not_waited = cluster.run("manifest apply").await;
    assert!(not_waited.exit == Exit::Clean && not_waited.stdout.starts_with("to see how it gets on: "), "{not_waited:?}");
    operator.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn helms_operator_is_left_to_helm() {
    let cluster = Cluster::new();
    let labels = json!({"app.kubernetes.io/name": "ferromesh-operator", "app.kubernetes.io/component": "operator",
        "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "mine"});
    let deployment = json!({"metadata": {"name": "ferromesh-operator", "namespace": "ops", "labels": labels},
        "spec": {"selector": {}, "template": {}}, "status": {"availableReplicas": 1, "updatedReplicas": 1}});
    cluster.api.insert::<Deployment>(&serde_json::from_value(deployment).unwrap());
    let init = cluster.run("operator init").await;
    assert!(init.exit == Exit::Failed && init.stderr.contains("helm upgrade mine charts/ferromesh -n ops"), "{init:?}");
    let remove = cluster.run("operator remove").await;
    assert!(remove.exit == Exit::Failed && remove.stderr.contains("helm uninstall mine -n ops"), "{remove:?}");
    assert!(cluster.api.list::<ClusterRole>().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_goes_with_all_that_it_owns_and_nothing_else() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install").await.exit, Exit::Clean);
    let uid = cluster.mesh().uid().unwrap();
    let owner = json!([{"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "name": "mesh", "uid": uid}]);
    let map = json!({"metadata": {"name": "istio", "namespace": "istio-system", "ownerReferences": owner}});
    cluster.api.insert::<ConfigMap>(&serde_json::from_value(map).unwrap());
    cluster.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": "istio-system"}})).unwrap());

    let dry = cluster.run("uninstall --dry-run").await;
    assert_eq!(dry.stdout, "would go:\n  MeshInstall mesh\n  ConfigMap istio-system/istio\n");
    let declined = cluster.run_with("uninstall", "\n", true).await;
    assert!(declined.exit == Exit::Clean && declined.stderr.ends_with("nothing was removed\n"), "{declined:?}");
    assert!(cluster.api.get::<MeshInstall>(None, "mesh").is_some());

    let gone = cluster.run("uninstall").await;
    assert_eq!((gone.exit, gone.stdout.as_str()), (Exit::Clean, "✓ 2 objects removed\n"), "{gone:?}");
    assert!(cluster.api.list::<MeshInstall>().is_empty() && cluster.api.list::<ConfigMap>().is_empty());
    assert_eq!(cluster.api.list::<CustomResourceDefinition>().len(), ferromesh_crds::catalog::kinds().len(), "they stay");
    assert!(cluster.api.get::<Namespace>(None, "istio-system").is_some());
    operator.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_nothing() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install").await.exit, Exit::Clean);
    cluster.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": "istio-system"}})).unwrap());
    // The stand-in would bring the Deployment's status back as the Deployment goes.
    operator.abort();
    let gateway = json!({"metadata": {"name": "g", "namespace": "shop"}, "spec": {}});
    cluster.api.insert::<ferromesh_crds::networking::Gateway>(&serde_json::from_value(gateway).unwrap());
    let told = cluster.run("uninstall --purge --yes").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    assert!(told.stderr.contains("note: with the CRDs goes all configuration: 1 Gateway\n"), "{}", told.stderr);
    assert!(cluster.api.list::<CustomResourceDefinition>().is_empty());
    assert!(cluster.api.list::<ClusterRole>().is_empty() && cluster.api.list::<Deployment>().is_empty());
    assert!(cluster.api.list::<Namespace>().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_a_mesh_still_needs_outlive_the_operator() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("operator init").await.exit, Exit::Clean);
    operator.abort();
    // An owner that is there: what has lost all of its owners is collected.
    cluster.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": "owner", "uid": "u"}})).unwrap());
    let uid = cluster.api.get::<Namespace>(None, "owner").unwrap().metadata.uid.unwrap();
    let mut role = cluster.api.get::<ClusterRole>(None, "ferromesh-pilot").unwrap();
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "owner", "uid": uid}]);
    role.metadata.owner_references = serde_json::from_value(owner).unwrap();
    cluster.api.insert(&role);
    let told = cluster.run("operator remove").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    let left: Vec<String> = cluster.api.list::<ClusterRole>().iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["ferromesh-pilot"]);
    assert!(cluster.api.list::<Service>().is_empty() && cluster.api.list::<ServiceAccount>().is_empty());
    assert!(!cluster.api.list::<CustomResourceDefinition>().is_empty());
    assert_eq!(cluster.run("operator remove").await.stdout, "there is no operator\n");
}

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
    let none = cluster.run("verify-install").await;
    assert!(none.exit == Exit::Failed && none.stderr.contains("has no MeshInstall"), "{none:?}");
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install --set profile=minimal").await.exit, Exit::Clean);
    let api = Arc::new(cluster.api.clone());
    eventually("the mesh is ready", || api.get::<MeshInstall>(None, "mesh").is_some_and(|mesh| mesh.status.is_some())).await;
    let told = cluster.run("verify-install").await;
    assert_eq!(told.exit, Exit::Findings);
    assert!(told.stdout.contains("MeshInstall mesh") && told.stdout.contains("Deployment istio-system/istio-pilot"), "{}", told.stdout);
    assert!(told.stdout.lines().any(|line| line.split_whitespace().eq(["MeshInstall", "mesh", "ok", "-"])), "{}", told.stdout);
    operator.abort();
}
