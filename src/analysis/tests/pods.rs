//! Pods: whether they have the sidecar that they should have.

use super::*;
use serde_json::json;

const SIDECAR: &str = "docker.io/istio/proxyv2:1.31.0";

fn shop(label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": label}}})
}

fn pod(name: &str, metadata: Value, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = json!("shop");
    pod
}

fn app() -> Value {
    json!({"containers": [{"name": "app", "image": "app:1"}]})
}

fn with_sidecar(image: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app:1"}, {"name": "istio-proxy", "image": image}]})
}

fn injector() -> Value {
    let values = json!({"global": {"hub": "docker.io/istio", "tag": "1.31.0", "proxy": {"image": "proxyv2"}}});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
        "data": {"values": values.to_string()},
    })
}

#[test]
fn a_pod_without_the_sidecar_that_its_namespace_asks_for_is_found() {
    let code = Code::PodMissingProxy;
    let lines = only(&cluster(&[shop("enabled"), pod("web", json!({}), app())]), code);
    assert_eq!(
        lines,
        ["Warning [IST0103] Pod shop/web: has no sidecar, although its namespace asks for one: restart it, so that it is injected"]
    );
    assert_eq!(analyze(&cluster(&[shop("disabled"), pod("web", json!({}), app())])), []);
    assert_eq!(analyze(&cluster(&[shop("enabled"), pod("web", json!({}), with_sidecar(SIDECAR))])), []);
}

#[test]
fn a_native_sidecar_is_one() {
    let native = json!({
        "containers": [{"name": "app", "image": "app:1"}],
        "initContainers": [{"name": "istio-init", "image": SIDECAR}, {"name": "istio-proxy", "image": SIDECAR, "restartPolicy": "Always"}],
    });
    assert_eq!(analyze(&cluster(&[shop("enabled"), pod("web", json!({}), native)])), []);
}

#[test]
fn pods_that_want_no_sidecar_can_have_none_or_have_finished_are_left_alone() {
    let mut on_node = app();
    on_node["hostNetwork"] = json!(true);
    let mut finished = pod("job", json!({}), app());
    finished["status"] = json!({"phase": "Succeeded"});
    let refused = pod("no", json!({"labels": {"sidecar.istio.io/inject": "false"}}), app());
    assert_eq!(analyze(&cluster(&[shop("enabled"), pod("node", json!({}), on_node), finished, refused])), []);
}

#[test]
fn pods_with_another_sidecar_than_new_ones_would_get_are_found_together() {
    let code = Code::PodsIstioProxyImageMismatchInNamespace;
    let old = "docker.io/istio/proxyv2:1.30.0";
    let own = json!({"annotations": {"sidecar.istio.io/proxyImage": old}});
    let objects = [
        shop("enabled"),
        injector(),
        pod("a", json!({}), with_sidecar(old)),
        pod("b", json!({}), with_sidecar(old)),
        pod("c", json!({}), with_sidecar(SIDECAR)),
        pod("d", own, with_sidecar(old)),
    ];
    let lines = only(&cluster(&objects), code);
    assert_eq!(lines, ["Warning [IST0158] Namespace shop: pods run another sidecar than new ones would, a, b: restart them"]);
    assert_eq!(analyze(&cluster(&[shop("enabled"), injector(), pod("c", json!({}), with_sidecar(SIDECAR))])), []);
}

#[test]
fn nobody_but_the_sidecar_runs_as_its_user() {
    let code = Code::InvalidApplicationUID;
    let run_as = |name: &str, user: i64| json!({"containers": [{"name": name, "image": "x:1", "securityContext": {"runAsUser": user}}]});
    let lines = only(&cluster(&[pod("web", json!({}), run_as("app", 1337))]), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("spec.containers[app].securityContext.runAsUser: runs as user 1337, the sidecar's"), "{lines:?}");
    assert_eq!(analyze(&cluster(&[pod("web", json!({}), run_as("app", 1000))])), []);
    assert_eq!(analyze(&cluster(&[pod("web", json!({}), run_as("istio-proxy", 1337))])), []);
    let whole = json!({"securityContext": {"runAsUser": 1337}, "containers": [{"name": "app", "image": "x:1"}]});
    assert_eq!(only(&cluster(&[pod("web", json!({}), whole)]), code).len(), 1);
}

#[test]
fn a_pod_that_still_waits_for_its_image_was_not_injected() {
    let lines = found(&cluster(&[shop("disabled"), pod("gateway", json!({}), with_sidecar("auto"))]), Code::ImageAutoWithoutInjectionError);
    assert_eq!(lines.len(), 1);
    assert_eq!(found(&cluster(&[pod("gateway", json!({}), with_sidecar(SIDECAR))]), Code::ImageAutoWithoutInjectionError), [""; 0]);
}

#[test]
fn a_deployment_that_waits_for_its_image_is_for_some_webhook() {
    let code = Code::ImageAutoWithoutInjectionWarning;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "gateway", "namespace": "shop"},
        "spec": {"template": {"metadata": {"labels": {"sidecar.istio.io/inject": "true"}}, "spec": with_sidecar("auto")}},
    });
    let webhook = |selector: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "injector"},
            "webhooks": [{"name": "inject.istio.io", "clientConfig": {"url": "https://x/inject"}, "objectSelector": selector}],
        })
    };
    let wants = webhook(json!({"matchLabels": {"sidecar.istio.io/inject": "true"}}));
    let other = webhook(json!({"matchLabels": {"app": "else"}}));
    assert_eq!(analyze(&cluster(&[shop("disabled"), deployment.clone(), wants])), []);
    assert_eq!(only(&cluster(&[shop("disabled"), deployment.clone(), other.clone()]), code).len(), 1);
    // Of a namespace that is not known nothing is said.
    assert_eq!(analyze(&cluster(&[deployment, other])), []);
}

#[test]
fn of_a_secret_the_names_of_keys_are_learnt_and_never_a_value() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert", "namespace": "shop"}, "type": "kubernetes.io/tls",
        "data": {"tls.key": "c2VjcmV0", "tls.crt": "cHVibGlj"}, "stringData": {"ca.crt": "roots"},
    });
    let world = cluster(&[secret]);
    let known = world.facts().secrets.as_ref().unwrap();
    let (object, facts) = known.iter().next().unwrap();
    assert_eq!((object.to_string().as_str(), facts.kind.as_str()), ("Secret shop/cert", "kubernetes.io/tls"));
    assert_eq!(facts.keys.as_deref().unwrap(), ["ca.crt", "tls.crt", "tls.key"]);
    assert!(!format!("{facts:?}").contains("c2VjcmV0") && !format!("{facts:?}").contains("roots"));
}

#[test]
fn kinds_that_analysis_does_not_read_are_told_so() {
    let mut facts = Facts::default();
    assert!(!facts.learn(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}), "default"));
    assert!(!facts.learn(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}), "default"));
    assert!(!facts.learn(&json!("text"), "default"));
    assert!(facts.pods.is_none());
}
