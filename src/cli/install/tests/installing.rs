//! Meshes and operators come, change and go.

use ferromesh_crds::MeshInstall;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Namespace, Service, ServiceAccount},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::ResourceExt;
use serde_json::json;

use super::{Answer, Cluster};
use crate::cli::Exit;

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
    assert_eq!(cluster.run("operator init").await.exit, Exit::Clean);
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
    let canary = cluster.run("install --set revision=canary --wait=false").await;
    let command = "helm upgrade mine charts/ferromesh -n ops --reuse-values --set 'revisions={canary}'\n";
    assert!(canary.exit == Exit::Failed && canary.stderr.ends_with(command), "{canary:?}");
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

    assert_eq!(cluster.run("install").await.exit, Exit::Clean);
    let left = cluster.run("uninstall --wait=false").await;
    assert_eq!((left.exit, left.stdout.as_str()), (Exit::Clean, "✓ 2 objects being removed\n"), "{left:?}");
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

/// The names of objects that the operator may change, as far as they are of revisions or tags.
fn named(cluster: &Cluster) -> Vec<String> {
    let role = cluster.api.get::<ClusterRole>(None, "ferromesh-operator").unwrap();
    let names = role.rules.unwrap().into_iter().flat_map(|rule| rule.resource_names.unwrap_or_default());
    names.filter(|name| name.starts_with("istio-sidecar-injector-") || name.starts_with("istio-revision-tag-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_for_revisions_and_tags_are_given_and_stay() {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install").await.exit, Exit::Clean);
    let usual = named(&cluster);
    let beside = || named(&cluster).into_iter().filter(|name| !usual.contains(name)).collect::<Vec<_>>();
    for command in ["install --set revision=canary", "install --set revision=canary --dry-run"] {
        let refused = cluster.run(command).await;
        let told = "error: the operator has no right to objects of revision canary yet: ferromesh operator init --operatorNamespace \
                    ferromesh-system --revisions canary\n";
        assert_eq!((refused.exit, refused.stderr.as_str()), (Exit::Failed, told));
    }
    assert_eq!(cluster.api.list::<MeshInstall>().len(), 1);
    assert_eq!(cluster.run("operator init --revisions canary").await.exit, Exit::Clean);
    assert_eq!(beside(), ["istio-sidecar-injector-canary"]);
    assert_eq!(cluster.run("install --set revision=canary").await.exit, Exit::Clean);
    let refused = cluster.run("tag set prod --revision canary").await;
    assert!(refused.exit == Exit::Failed && refused.stderr.ends_with("--revisions canary --tags prod\n"), "{refused:?}");
    assert_eq!(cluster.run("upgrade --set tags.prod=canary").await.exit, Exit::Clean);
    assert_eq!(beside(), ["istio-sidecar-injector-canary", "istio-revision-tag-prod"], "an upgrade gives what it needs, and takes nothing");
    assert_eq!(cluster.run("operator init --revisions --tags prod,stable").await.exit, Exit::Clean);
    assert_eq!(beside(), ["istio-revision-tag-prod", "istio-revision-tag-stable"]);
    let wrong = cluster.run("operator init --revisions Canary").await;
    assert!(wrong.exit == Exit::Usage && wrong.stderr.contains("lower-case letters"), "{wrong:?}");
    operator.abort();
    let bare = Cluster::new();
    let operator = bare.operator(Answer::Healthy);
    assert_eq!(bare.run("install --set revision=canary").await.exit, Exit::Clean);
    assert!(named(&bare).contains(&"istio-sidecar-injector-canary".to_owned()), "a new operator gets what it needs");
    operator.abort();
}
