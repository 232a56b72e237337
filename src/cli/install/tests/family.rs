//! Two MeshInstalls of one cluster: what each has depends on the other.

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Cluster, verifying::bring_up, yaml_documents};
use crate::cli::{Exit, install::Id, tests::run};

/// The objects that `manifest generate` writes for a MeshInstall by itself, which comes first, once webhooks are answered.
fn generated(set: &str) -> Vec<Value> {
    let mut objects = yaml_documents(&run(&format!("manifest generate --set {set}"), "").stdout);
    objects.iter_mut().for_each(|object| refuse_by(object, "Fail"));
    objects
}

fn refuse_by(object: &mut Value, policy: &str) {
    for webhook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        webhook["failurePolicy"] = json!(policy);
    }
}

fn named<'a>(objects: &'a mut [Value], kind: &str, name: &str) -> &'a mut Value {
    let found = objects.iter_mut().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{kind} {name}"))
}

impl Cluster {
    /// One in which the operator has made these objects for a default MeshInstall and for one beside it; the MeshInstalls come first.
    async fn with_two(mesh: &[Value], canary: &[Value]) -> Self {
        let cluster = Self::new();
        let labels = json!({"app.kubernetes.io/name": "ferromesh-operator", "app.kubernetes.io/component": "operator"});
        let operator = json!({"metadata": {"name": "ferromesh-operator", "namespace": "ferromesh-system", "labels": labels},
            "spec": {"selector": {}, "template": {}}});
        cluster.api.insert::<Deployment>(&serde_json::from_value(operator).unwrap());
        for (minute, objects) in [mesh, canary].into_iter().enumerate() {
            let mut inventory = Vec::new();
            for object in &objects[1..] {
                let id = Id::of(object, "default").unwrap();
                let applied = PatchParams::apply("ferromesh-operator").force();
                id.api(&cluster.api.client()).patch(&id.name, &applied, &Patch::Apply(object)).await.unwrap();
                inventory.push(json!({"apiVersion": id.api_version, "kind": id.kind, "namespace": id.namespace, "name": id.name}));
            }
            let mut mesh = objects[0].clone();
            let (own, revision) = (env!("CARGO_PKG_VERSION"), mesh["spec"]["revision"].as_str().unwrap_or("default"));
            let ready = json!({"type": "Ready", "status": "True", "reason": "Healthy", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let status = json!({"version": own, "revisions": [{"name": revision, "version": own}], "conditions": [ready],
                "inventory": inventory});
            mesh["status"] = status;
            mesh["metadata"]["uid"] = json!(format!("uid-{minute}"));
            mesh["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:{minute:02}:00Z"));
            cluster.api.insert::<MeshInstall>(&serde_json::from_value(mesh).unwrap());
        }
        bring_up(&cluster);
        cluster
    }

    /// Nobody finds anything to do, be it asked of the cluster or of the files from which this one came.
    async fn is_as_planned(&self, sets: [&str; 2]) {
        let told = self.run("verify-install").await;
        assert_eq!(told.exit, Exit::Clean, "{}", told.stdout);
        assert_eq!(self.planned("").await, []);
        let told = self.run("manifest diff --exit-code").await;
        assert_eq!(told.exit, Exit::Clean, "{}", told.stdout);
        let manifest: String = sets.map(|set| run(&format!("manifest generate --set {set}"), "").stdout).concat();
        let told = self.run_with("verify-install -f -", &manifest, false).await;
        assert_eq!(told.exit, Exit::Clean, "{}", told.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canarys_pods_are_redirected_by_the_meshs_nodes() {
    let sets = ["components.cni.enabled=true", "revision=canary"];
    let [mesh, mut canary] = sets.map(generated);
    let values = &mut named(&mut canary, "ConfigMap", "istio-sidecar-injector-canary")["data"]["values"];
    let redirected = values.as_str().unwrap().replace("\"cni\": false", "\"cni\": true").replace("cni: false", "cni: true");
    assert_ne!(*values, json!(redirected));
    *values = json!(redirected);
    Cluster::with_two(&mesh, &canary).await.is_as_planned(sets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_canary_needs_of_the_operator_is_the_default_ones_to_have() {
    let sets = ["updateStrategy.workloads=Manual", "revision=canary,updateStrategy.workloads=Rolling"];
    let [mut mesh, canary] = sets.map(generated);
    let rolling = named(&mut generated("updateStrategy.workloads=Rolling"), "ClusterRoleBinding", "ferromesh-rollout").clone();
    assert!(!mesh.contains(&rolling));
    mesh.push(rolling);
    Cluster::with_two(&mesh, &canary).await.is_as_planned(sets).await;

    let sets = ["profile=minimal", "revision=canary"];
    let [mut mesh, canary] = sets.map(generated);
    let proxies = named(&mut generated("profile=default"), "ClusterRoleBinding", "ferromesh-proxies").clone();
    assert!(!mesh.contains(&proxies));
    mesh.push(proxies);
    let cluster = Cluster::with_two(&mesh, &canary).await;
    cluster.is_as_planned(sets).await;

    // With the canary goes what it alone needs.
    cluster.api.delete::<MeshInstall>(None, canary[0]["metadata"]["name"].as_str().unwrap());
    let wanted = [("ClusterRoleBinding ferromesh-proxies".to_owned(), "Removed".to_owned(), Vec::new())];
    assert_eq!(cluster.planned("").await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_refuses_as_the_revision_does_for_which_it_stands() {
    let sets = ["tags.prod=canary", "revision=canary,injection.failurePolicy=Ignore"];
    let [mut mesh, mut canary] = sets.map(generated);
    refuse_by(named(&mut mesh, "MutatingWebhookConfiguration", "istio-revision-tag-prod"), "Ignore");
    refuse_by(named(&mut canary, "MutatingWebhookConfiguration", "istio-sidecar-injector-canary"), "Ignore");
    let cluster = Cluster::with_two(&mesh, &canary).await;
    cluster.is_as_planned(sets).await;

    // Without its revision it stays where it is.
    cluster.api.delete::<MeshInstall>(None, canary[0]["metadata"]["name"].as_str().unwrap());
    assert_eq!(cluster.planned("").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_meshinstall_that_is_left_alone_nothing_is_planned() {
    let [mesh, canary] = ["profile=minimal", "revision=canary"].map(generated);
    let cluster = Cluster::with_two(&mesh, &canary).await;
    let mut rival = cluster.mesh();
    rival.metadata.name = Some("rival".to_owned());
    rival.metadata.uid = Some("uid-9".to_owned());
    rival.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-01T00:09:00Z")).unwrap();
    rival.spec = serde_json::from_value(json!({"addons": {"grafana": {"enabled": true}}})).unwrap();
    cluster.api.insert(&rival);
    let told = cluster.run("plan").await;
    assert!(told.stderr.contains("note: MeshInstall mesh has the revision of MeshInstall rival already"), "{told:?}");
    assert!(!told.stdout.contains("grafana"), "{}", told.stdout);
}
