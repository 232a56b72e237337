//! What people are told of pods in a cluster.

use ferromesh_crds::networking::ServiceEntry;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Pod, Service},
};
use serde_json::{Value, json};

use crate::cli::{
    Exit,
    tests::{PIPE, Run, run_on},
};
use crate::injector::{SelectionSettings, entries};
use crate::model::{InjectionPolicy, InjectionValues};
use crate::testing::fake_api::FakeApi;

/// A cluster with our injector.
pub(in crate::cli) struct Cluster {
    pub(in crate::cli) api: FakeApi,
}

impl Cluster {
    pub(in crate::cli) fn new() -> Self {
        let cluster = Self { api: FakeApi::new() };
        cluster.configuration("istio-sidecar-injector", "default");
        cluster.values(InjectionValues::default());
        for (name, labels) in [
            ("shop", json!({"istio-injection": "enabled"})),
            ("plain", json!({})),
            ("off", json!({"istio-injection": "disabled"})),
            ("both", json!({"istio-injection": "enabled", "istio.io/rev": "canary"})),
        ] {
            let mut labels = labels;
            labels["kubernetes.io/metadata.name"] = json!(name);
            cluster.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap());
        }
        cluster
    }

    fn configuration(&self, name: &str, revision: &str) {
        let table = entries(&SelectionSettings { revision, enable_namespaces_by_default: false });
        let webhook = |mut webhook: Value| {
            let rest = json!({"clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]});
            webhook.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            webhook
        };
        let webhooks: Vec<Value> = table.iter().map(|entry| webhook(entry.json("sidecar-injector.istio.io"))).collect();
        let metadata = json!({"name": name, "labels": {"istio.io/rev": revision}});
        let object = json!({"metadata": metadata, "webhooks": webhooks});
        self.api.insert::<MutatingWebhookConfiguration>(&serde_json::from_value(object).unwrap());
    }

    pub(in crate::cli) fn values(&self, values: InjectionValues) {
        let metadata = json!({"name": "istio-sidecar-injector", "namespace": "istio-system"});
        let text = serde_json::to_string(&values).unwrap();
        self.api.insert::<ConfigMap>(&serde_json::from_value(json!({"metadata": metadata, "data": {"values": text}})).unwrap());
    }

    pub(in crate::cli) fn pod(&self, namespace: &str, name: &str, metadata: Value, spec: Value) {
        let mut metadata = metadata;
        (metadata["name"], metadata["namespace"]) = (json!(name), json!(namespace));
        let mut spec = spec;
        spec["containers"] = json!([{"name": "app"}]);
        self.api.insert::<Pod>(&serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap());
    }

    async fn check(&self, rest: &str) -> Run {
        self.run(&format!("check-inject {rest}")).await
    }

    /// Runs `experimental …`.
    async fn run(&self, rest: &str) -> Run {
        run_on(&self.api, PIPE, &format!("x {rest}"), "").await
    }

    fn deployment(&self, name: &str, app: &str) {
        let template = json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "app", "image": "x"}]}});
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": {}, "template": template}});
        self.api.insert::<Deployment>(&serde_json::from_value(object).unwrap());
    }

    fn containers(&self, name: &str) -> Vec<String> {
        let spec = self.api.get::<Deployment>(Some("shop"), name).unwrap().spec.unwrap().template.spec.unwrap();
        spec.containers.into_iter().map(|container| container.name).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_verdict_names_the_label_that_decides() {
    let cluster = Cluster::new();
    cluster.pod("shop", "web-1", json!({"annotations": {"sidecar.istio.io/status": "{}"}}), json!({}));
    let meshed = cluster.check("web-1.shop").await;
    assert_eq!((meshed.exit, meshed.stderr.as_str()), (Exit::Clean, ""));
    insta::assert_snapshot!("meshed", meshed.stdout);
    insta::assert_snapshot!("meshed_json", cluster.check("web-1 -n shop -o json").await.stdout);

    cluster.pod("plain", "web-1", json!({}), json!({}));
    insta::assert_snapshot!("plain", cluster.check("web-1.plain").await.stdout);
    cluster.pod("shop", "node-1", json!({}), json!({"hostNetwork": true}));
    insta::assert_snapshot!("host_network", cluster.check("pod/node-1 -n shop").await.stdout);
    cluster.pod("shop", "mesh-1", json!({"labels": {"app.kubernetes.io/part-of": "ferromesh"}}), json!({}));
    let mesh = cluster.check("mesh-1.shop").await.stdout;
    assert!(mesh.contains("pods of the mesh itself") && mesh.contains("gets no sidecar: no webhook asks about it"), "{mesh}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_not_as_it_should_be_ends_in_79_only_on_request() {
    let cluster = Cluster::new();
    cluster.pod("shop", "missed", json!({}), json!({}));
    let told = cluster.check("missed.shop").await;
    assert!(told.exit == Exit::Clean && told.stdout.contains("It has none: "), "{told:?}");
    assert_eq!(cluster.check("missed.shop --exit-code").await.exit, Exit::Findings);
    cluster.pod("off", "left-over", json!({"annotations": {"sidecar.istio.io/status": "{}"}}), json!({}));
    assert_eq!(cluster.check("left-over.off --exit-code").await.exit, Exit::Findings);
    assert_eq!(cluster.check("-n shop -l app=web --exit-code").await.exit, Exit::Clean, "labels contradict nothing");
    let none = cluster.check("web-9.shop").await;
    assert_eq!((none.exit, none.stderr.as_str()), (Exit::Failed, "error: there is no Pod shop/web-9\n"));
    assert_eq!(cluster.check("").await.exit, Exit::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_labels_and_policies_are_judged_as_pods_are() {
    let cluster = Cluster::new();
    let template = json!({"metadata": {"labels": {"app": "web", "sidecar.istio.io/inject": "false"}}, "spec": {"containers": []}});
    let deployment = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {}, "template": template}});
    cluster.api.insert::<Deployment>(&serde_json::from_value(deployment).unwrap());
    let told = cluster.check("-n shop deploy/web").await.stdout;
    assert!(told.contains("Pod has sidecar.istio.io/inject=false label, preventing injection"), "{told}");
    let chosen = cluster.check("-n plain -l sidecar.istio.io/inject=true").await.stdout;
    assert!(chosen.contains("Pod label sidecar.istio.io/inject=true matches"), "{chosen}");
    cluster.values(InjectionValues { policy: InjectionPolicy::Disabled, ..InjectionValues::default() });
    let disabled = cluster.check("-n shop -l app=web").await.stdout;
    assert!(disabled.contains("gets no sidecar: the mesh injects only pods that ask for it"), "{disabled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_injectors_that_both_inject_are_an_error_and_unreadable_values_a_note() {
    let cluster = Cluster::new();
    cluster.configuration("istio-revision-tag-other", "default");
    let both = cluster.check("-n shop -l app=web").await;
    assert_eq!(
        both.stderr,
        "error: istio-revision-tag-other and istio-sidecar-injector inject this pod: its labels, or its namespace's, must choose one\n"
    );
    cluster.api.delete::<ConfigMap>(Some("istio-system"), "istio-sidecar-injector");
    let unread = cluster.check("-n shop -l app=web").await;
    assert!(unread.stderr.starts_with("note: can't read ConfigMap istio-system/istio-sidecar-injector: "), "{}", unread.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_behind_a_service_come_into_the_mesh_and_leave_it() {
    let cluster = Cluster::new();
    cluster.values(InjectionValues { hub: "hub".to_owned(), tag: "1".to_owned(), ..InjectionValues::default() });
    let mesh = json!({"metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": "trustDomain: cluster.local"}});
    cluster.api.insert::<ConfigMap>(&serde_json::from_value(mesh).unwrap());
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}}});
    cluster.api.insert::<Service>(&serde_json::from_value(service).unwrap());
    cluster.deployment("web-v1", "web");
    cluster.deployment("web-v2", "web");
    cluster.deployment("other", "other");
    let told = cluster.run("add-to-mesh service web -n shop").await;
    assert_eq!(
        (told.exit, told.stdout.as_str()),
        (Exit::Clean, "Deployment shop/web-v1 gets a sidecar\nDeployment shop/web-v2 gets a sidecar\n")
    );
    assert_eq!((told.stderr.as_str(), cluster.containers("web-v1").len()), ("note: nothing has been changed: add --yes\n", 1));
    assert_eq!(cluster.run("add-to-mesh deployment web-v1 -n shop --yes").await.exit, Exit::Clean);
    assert_eq!(cluster.containers("web-v1"), ["app", "istio-proxy"]);
    let rest = cluster.run("add-to-mesh service web -n shop --yes").await;
    assert_eq!(rest.stdout, "Deployment shop/web-v1 has one already\nDeployment shop/web-v2 gets a sidecar\n");
    assert_eq!((cluster.containers("web-v2").len(), cluster.containers("other").len()), (2, 1));
    cluster.run("remove-from-mesh service web -n shop --yes").await;
    assert_eq!((cluster.containers("web-v1"), cluster.containers("web-v2")), (vec!["app".to_owned()], vec!["app".to_owned()]));
    let again = cluster.run("remove-from-mesh deployment web-v1 -n shop --yes").await;
    assert_eq!((again.exit, again.stdout.as_str()), (Exit::Clean, "Deployment shop/web-v1 has none in its template\n"));
    let none = cluster.run("add-to-mesh service nobody -n shop").await;
    assert_eq!(none.exit, Exit::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_from_outside_is_two_objects_that_come_and_go_together() {
    let cluster = Cluster::new();
    let add = "add-to-mesh external-service vm 10.0.0.1 10.0.0.2 http:9080 9090 -n shop -l app=vm -s vm";
    assert!(cluster.run(add).await.stderr.contains("add --yes"));
    assert!(cluster.api.list::<ServiceEntry>().is_empty());
    let made = cluster.run(&format!("{add} --yes")).await;
    assert_eq!((made.exit, made.stderr.as_str()), (Exit::Clean, ""));
    let entry = cluster.api.get::<ServiceEntry>(Some("shop"), "mesh-expansion-vm").unwrap();
    insta::assert_yaml_snapshot!("external_service", serde_json::to_value(&entry.spec).unwrap());
    assert!(cluster.api.get::<Service>(Some("shop"), "vm").unwrap().spec.unwrap().selector.is_none());
    assert_eq!(cluster.run("remove-from-mesh external-service vm -n shop --yes").await.exit, Exit::Clean);
    assert!(cluster.api.list::<ServiceEntry>().is_empty() && cluster.api.get::<Service>(Some("shop"), "vm").is_none());
    let service = json!({"metadata": {"name": "vm", "namespace": "shop"}, "spec": {"selector": {"app": "vm"}}});
    cluster.api.insert::<Service>(&serde_json::from_value(service).unwrap());
    assert_eq!(cluster.run(&format!("{add} --yes")).await.exit, Exit::Failed, "nor is it taken over");
    cluster.run("remove-from-mesh external-service vm -n shop --yes").await;
    assert!(cluster.api.get::<Service>(Some("shop"), "vm").is_some(), "a Service of that name that is somebody's own");
}
