//! Manifests before and after.

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{
    Exit,
    tests::{Run, run_words},
};
use crate::model::{InjectionValues, SidecarDefaults};

/// Settings in files, so that no cluster is asked.
struct Settings(TempDir);

impl Settings {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let values = InjectionValues {
            hub: "hub.example/mesh".to_owned(),
            tag: "1.0.0".to_owned(),
            revision: "default".to_owned(),
            istio_namespace: "istio-system".to_owned(),
            ca_address: "istio-citadel.istio-system.svc:15012".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            proxy: SidecarDefaults::default(),
            ..InjectionValues::default()
        };
        std::fs::write(folder.path().join("values"), serde_json::to_string(&values).unwrap()).unwrap();
        std::fs::write(folder.path().join("mesh"), "trustDomain: cluster.local\n").unwrap();
        Self(folder)
    }

    fn inject(&self, text: &str) -> Run {
        let path = |name: &str| self.0.path().join(name).display().to_string();
        let words =
            ["kube-inject", "-f", "-", "--meshConfigFile", &path("mesh"), "--valuesFile", &path("values"), "--native-sidecar", "false"];
        run_words(&crate::cli::tests::PIPE, &words, text)
    }
}

fn uninject(text: &str) -> Run {
    run_words(&crate::cli::tests::PIPE, &["x", "uninject", "-f", "-"], text)
}

fn objects(text: &str) -> Vec<Value> {
    crate::cli::source::read(text).0.iter().map(crate::cli::source::Node::to_value).collect()
}

const MANIFEST: &str = "\
# The shop.
apiVersion: v1
kind: Service   # left as it is
metadata: {name: web}
--- # the second
# what serves it
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
# nothing
---
apiVersion: batch/v1
kind: Job
metadata: {name: off}
spec:
  template:
    metadata: {annotations: {sidecar.istio.io/inject: \"false\"}}
    spec: {containers: [{name: off, image: off}]}
";

#[test]
fn what_makes_no_pods_or_opts_out_stays_byte_for_byte() {
    let run = Settings::new().inject(MANIFEST);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
    let (before, injected) = run.stdout.split_once("--- # the second\n# what serves it\n").unwrap();
    assert_eq!(before, MANIFEST.split_once("--- # the second").unwrap().0);
    let (injected, after) = injected.split_once("---\n# nothing\n").unwrap();
    assert_eq!(after, MANIFEST.split_once("---\n# nothing\n").unwrap().1);
    let deployment = &objects(injected)[0];
    assert_eq!(deployment["metadata"], json!({"name": "web", "namespace": "shop"}), "the Deployment's own metadata is nobody's business");
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>(), ["web", "istio-proxy"]);
}

#[test]
fn every_kind_that_makes_pods_is_injected_in_lists_too() {
    let pod = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let template = |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": {"template": pod}});
    let mut items = vec![
        template("apps/v1", "Deployment"),
        template("extensions/v1beta1", "DaemonSet"),
        template("apps/v1", "StatefulSet"),
        template("apps/v1", "ReplicaSet"),
        template("v1", "ReplicationController"),
        template("batch/v1", "Job"),
        template("apps.openshift.io/v1", "DeploymentConfig"),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"jobTemplate": {"spec": {"template": pod}}}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"], "spec": pod["spec"]}),
    ];
    items.push(json!({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "in-list"}, "spec": pod["spec"]}]}));
    let count = items.len();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let run = Settings::new().inject(&list);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
    assert_eq!(run.stdout.matches("name: istio-proxy").count(), count, "{}", run.stdout);
    let again = Settings::new().inject(&run.stdout);
    assert_eq!(again.stdout, run.stdout, "injected anew, not twice");
}

#[test]
fn refusals_and_broken_text_have_their_line_and_write_nothing() {
    let settings = Settings::new();
    let bad = MANIFEST.replace("{labels: {app: web}}", "{annotations: {sidecar.istio.io/interceptionMode: LOUD}}");
    let run = settings.inject(&bad);
    assert_eq!((run.exit, run.stdout.as_str()), (Exit::Failed, ""));
    assert!(run.stderr.starts_with("error: stdin:7: Deployment web: annotation sidecar.istio.io/interceptionMode: "), "{}", run.stderr);
    let run = settings.inject(&format!("{MANIFEST}---\na: [\n"));
    assert_eq!((run.exit, run.stdout.as_str()), (Exit::Unreadable, ""));
    assert!(run.stderr.starts_with("error: stdin:2"), "{}", run.stderr);
    let host = settings.inject("apiVersion: v1\nkind: Pod\nmetadata: {name: node}\nspec: {hostNetwork: true, containers: []}\n");
    assert_eq!(host.exit, Exit::Clean);
    assert!(host.stderr.starts_with("warning: stdin:1: Pod node: hostNetwork pods are not injected"), "{}", host.stderr);
    let usage = run_words(&crate::cli::tests::PIPE, &["kube-inject", "-f", "-", "--injectConfigFile", "x"], "");
    assert!(usage.exit == Exit::Usage && usage.stderr.contains("--valuesFile"), "{usage:?}");
}

#[test]
fn a_manifest_of_1_4_that_was_injected_by_hand_comes_back() {
    let status = json!({"version": "1.4", "initContainers": ["istio-init", "enable-core-dump"], "containers": ["istio-proxy"],
        "volumes": ["istio-envoy", "istio-certs"], "imagePullSecrets": null});
    let template = json!({
        "metadata": {"annotations": {"sidecar.istio.io/status": status.to_string(), "own": "stays"}},
        "spec": {
            "initContainers": [{"name": "istio-init"}, {"name": "enable-core-dump"}],
            "containers": [{"name": "web"}, {"name": "istio-proxy"}],
            "volumes": [{"name": "data"}, {"name": "istio-envoy"}, {"name": "istio-certs"}],
        },
    });
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}});
    let run = uninject(&deployment.to_string());
    assert_eq!(
        objects(&run.stdout)[0]["spec"]["template"],
        json!({"metadata": {"annotations": {"own": "stays"}}, "spec": {"containers": [{"name": "web"}], "volumes": [{"name": "data"}]}})
    );
    assert_eq!(uninject(MANIFEST).stdout, MANIFEST, "what was not injected stays byte for byte");
}

fn container(name: String, probe: bool, port: u16) -> Value {
    let mut container = json!({"name": name, "image": "x", "ports": [{"containerPort": port}]});
    if probe {
        container["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 3});
    }
    container
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn uninject_takes_back_what_inject_did_to_the_spec(
        containers in prop::collection::vec(("[a-h]{3,8}", any::<bool>(), 1024..9000u16), 1..4),
        init in any::<bool>(), volume in any::<bool>(), scraped in any::<bool>(), secret in any::<bool>(),
    ) {
        let mut spec = json!({});
        let named = containers.into_iter().enumerate().map(|(index, (name, probe, port))| container(format!("{name}-{index}"), probe, port));
        spec["containers"] = named.collect();
        if init {
            spec["initContainers"] = json!([container("migrate".to_owned(), false, 1)]);
        }
        if volume {
            spec["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        }
        if secret {
            spec["imagePullSecrets"] = json!([{"name": "own"}]);
        }
        let mut metadata = json!({"labels": {"app": "a"}, "annotations": {"own": "x"}});
        if scraped {
            metadata["annotations"]["prometheus.io/port"] = json!("9000");
        }
        let template = json!({"metadata": metadata, "spec": spec});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": template}});
        let injected = Settings::new().inject(&deployment.to_string());
        prop_assert!(injected.stdout.contains("istio-proxy"));
        let plain = uninject(&injected.stdout);
        let after = &objects(&plain.stdout)[0]["spec"]["template"];
        prop_assert_eq!(&after["spec"], &template["spec"]);
        for (key, value) in template["metadata"]["annotations"].as_object().unwrap() {
            prop_assert_eq!(&after["metadata"]["annotations"][key], value);
        }
        prop_assert!(after["metadata"]["annotations"].get("sidecar.istio.io/status").is_none());
    }
}
