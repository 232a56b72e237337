//! What holds for every pod.

use serde_json::{Map, Value, json};

use super::template;
use crate::injector::{ProxyConfigs, Surroundings, inject, patch, uninject};
use crate::testing::{for_many, objects::Choices};

/// Annotations with values that make sense.
const ANNOTATIONS: [(&str, &str); 29] = [
    ("inject.istio.io/templates", "gateway"),
    ("inject.istio.io/templates", "sidecar,sidecar"),
    ("inject.istio.io/templates", "grpc-agent"),
    ("kubectl.kubernetes.io/default-container", "a"),
    ("istio.io/rev", "mine"),
    ("prometheus.io/port", "80"),
    ("prometheus.io/scrape", "false"),
    ("prometheus_io_path", "/m"),
    ("prometheus.istio.io/merge-metrics", "false"),
    ("proxy.istio.io/config", "{concurrency: 4, proxyMetadata: {A: b, ISTIO_META_NETWORK: net}, holdApplicationUntilProxyStarts: true}"),
    ("readiness.status.sidecar.istio.io/periodSeconds", "3"),
    ("sidecar.istio.io/agentLogLevel", "default:debug"),
    ("sidecar.istio.io/capNetBindService", "true"),
    ("sidecar.istio.io/componentLogLevel", "filter:debug"),
    ("sidecar.istio.io/interceptionMode", "NONE"),
    ("sidecar.istio.io/interceptionMode", "REDIRECT"),
    ("sidecar.istio.io/logLevel", "debug"),
    ("sidecar.istio.io/nativeSidecar", "true"),
    ("sidecar.istio.io/nativeSidecar", "false"),
    ("sidecar.istio.io/proxyCPU", "100m"),
    ("sidecar.istio.io/proxyImage", "other/proxy"),
    ("sidecar.istio.io/rewriteAppHTTPProbers", "false"),
    ("sidecar.istio.io/userVolume", r#"{"tls": {"secret": {"secretName": "tls"}}}"#),
    ("sidecar.istio.io/userVolumeMount", r#"{"tls": {"mountPath": "/tls"}}"#),
    ("status.sidecar.istio.io/port", "0"),
    ("status.sidecar.istio.io/port", "15999"),
    ("traffic.sidecar.istio.io/excludeInboundPorts", "8080"),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8"),
    ("example.com/other", "x"),
];
const LABELS: [(&str, &str); 6] = [
    ("app", "web"),
    ("version", "v1"),
    ("pod-template-hash", "5d8f"),
    ("security.istio.io/tlsMode", "disabled"),
    ("service.istio.io/canonical-name", "mine"),
    ("topology.istio.io/network", "net"),
];

fn some_of(choices: &mut Choices<'_>, of: &[(&str, &str)]) -> Map<String, Value> {
    (0..choices.below(5)).map(|_| choices.pick(of)).map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn handler(choices: &mut Choices<'_>) -> Value {
    let port = choices.pick(&[json!(8080), json!("http"), json!("nowhere")].each_ref()).clone();
    match choices.below(5) {
        0 => json!({"httpGet": {"path": "/ready", "port": port, "host": "other", "scheme": "HTTPS"}, "timeoutSeconds": 2}),
        1 => json!({"tcpSocket": {"port": port}, "periodSeconds": 3}),
        2 => json!({"grpc": {"port": 9000, "service": "s"}}),
        3 => json!({"exec": {"command": ["true"]}}),
        _ => json!({"httpGet": {"port": port, "httpHeaders": [{"name": "X", "value": "1"}]}}),
    }
}

fn container(choices: &mut Choices<'_>, name: &str) -> Value {
    let mut container = json!({"name": name, "image": "i", "newField": {"kept": true}});
    if choices.chance(160) {
        container["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    }
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if choices.chance(90) {
            container[probe] = handler(choices);
        }
    }
    for hook in ["preStop", "postStart"] {
        if choices.chance(50) {
            container["lifecycle"][hook] = handler(choices);
        }
    }
    if choices.chance(60) {
        container["env"] = json!([{"name": "A", "value": "1"}]);
    }
    container
}

/// The pod's own word on one of our containers.
fn own_container(choices: &mut Choices<'_>, name: &str) -> Value {
    let mut container = json!({"name": name, "image": choices.pick(&["auto", "own/proxy"])});
    if choices.chance(100) {
        container["securityContext"] = json!({"runAsUser": choices.pick(&[0, 1500])});
    }
    if choices.chance(100) {
        container["env"] = json!([{"name": "POD_NAME", "value": "x"}, {"name": "MORE", "value": "y"}]);
    }
    if choices.chance(60) {
        container["args"] = json!(["proxy", "other"]);
    }
    container
}

fn pod(choices: &mut Choices<'_>) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"newField": [1, 2]}});
    for (field, of) in [("labels", &LABELS[..]), ("annotations", &ANNOTATIONS[..])] {
        let some = some_of(choices, of);
        if !some.is_empty() {
            pod["metadata"][field] = some.into();
        }
    }
    let names = ["a", "b", "c", "d"];
    let mut containers: Vec<Value> = (0..=choices.below(4)).map(|at| container(choices, names[at.min(3)])).collect();
    containers.dedup_by_key(|container| container["name"].clone());
    let mut inits: Vec<Value> = ["i", "j", "k"][..choices.below(4)].iter().map(|name| json!({"name": name, "image": "i"})).collect();
    if choices.chance(60) {
        let at = choices.below(containers.len() + 1);
        containers.insert(at, own_container(choices, "istio-proxy"));
    }
    if choices.chance(40) {
        let at = choices.below(inits.len() + 1);
        inits.insert(at, own_container(choices, "istio-init"));
    }
    pod["spec"]["containers"] = containers.into();
    if !inits.is_empty() {
        pod["spec"]["initContainers"] = inits.into();
    }
    if choices.chance(100) {
        pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    }
    if choices.chance(60) {
        pod["spec"]["imagePullSecrets"] = json!([{"name": choices.pick(&["hub", "mine"])}]);
    }
    pod
}

#[test]
fn an_injection_is_done_once_and_undone_wholly() {
    for_many(|choices| {
        let (pod, native) = (pod(choices), choices.chance(128));
        let surroundings = ProxyConfigs::default();
        let again = |pod: &Value, native| inject(pod, &Surroundings::of("shop", &surroundings, native), &template());
        let injected = again(&pod, native).unwrap();
        assert_eq!(again(&injected, native).unwrap(), injected, "a second time changes nothing");
        assert_eq!(again(&injected, !native).unwrap(), again(&pod, !native).unwrap(), "other nodes, other sidecar");
        assert_eq!(uninject(&injected), pod, "undone");
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch::between(&pod, injected.clone())).unwrap();
        assert_eq!(patched, injected, "the patch makes the pod");
    });
}

#[test]
fn an_application_keeps_all_but_what_the_kubelet_asks() {
    for_many(|choices| {
        let pod = pod(choices);
        let injected = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), choices.chance(128)), &template()).unwrap();
        assert_eq!(injected["spec"]["newField"], pod["spec"]["newField"]);
        for field in ["containers", "initContainers"] {
            let of = |pod: &Value| {
                let mut list = pod["spec"][field].as_array().cloned().unwrap_or_default();
                list.retain(|container| !container["name"].as_str().unwrap().starts_with("istio-"));
                for container in &mut list {
                    for asked in ["readinessProbe", "livenessProbe", "startupProbe", "lifecycle"] {
                        container.as_object_mut().unwrap().remove(asked);
                    }
                    without_what_grpc_is_told(container);
                }
                list
            };
            assert_eq!(of(&injected), of(&pod), "{field}");
        }
    });
}

/// Takes out what the template `grpc-agent` gives to applications.
fn without_what_grpc_is_told(container: &mut Value) {
    for (field, told) in [("env", "GRPC_XDS_"), ("volumeMounts", "istio-")] {
        let Some(list) = container.get_mut(field).and_then(Value::as_array_mut) else { continue };
        list.retain(|item| !item["name"].as_str().unwrap().starts_with(told));
        if list.is_empty() {
            container.as_object_mut().unwrap().remove(field);
        }
    }
}

/// Replaces some value in a pod by one that makes no sense there.
fn spoil(value: &mut Value, choices: &mut Choices<'_>) {
    if choices.chance(30) {
        *value =
            choices.pick(&[json!(null), json!(5), json!("x"), json!([]), json!({}), json!([{"name": "istio-proxy"}])].each_ref()).clone();
        return;
    }
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| spoil(value, choices)),
        Value::Array(list) => list.iter_mut().for_each(|value| spoil(value, choices)),
        _ => {}
    }
}

#[test]
fn no_pod_breaks_the_injector() {
    for_many(|choices| {
        let mut pod = pod(choices);
        let surroundings = ProxyConfigs::default();
        let surroundings = Surroundings::of("shop", &surroundings, choices.chance(128));
        if choices.chance(128) {
            pod = inject(&pod, &surroundings, &template()).unwrap();
        }
        for part in ["metadata", "spec"] {
            for value in pod[part].as_object_mut().unwrap().values_mut() {
                spoil(value, choices);
            }
        }
        if let Ok(injected) = inject(&pod, &surroundings, &template()) {
            let mut patched = pod.clone();
            json_patch::patch(&mut patched, &patch::between(&pod, injected.clone())).unwrap();
            assert_eq!(patched, injected);
        }
    });
}
