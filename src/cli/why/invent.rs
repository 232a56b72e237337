//! Workloads for files alone: files say which there are to be, a cluster would say where they run. Addresses are those that are set
//! aside for tests of networks, so that nobody takes them for real ones.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use crate::cli::analyze::{Key, Stock};

/// Kinds whose template says what their pods are like.
const TEMPLATED: [&str; 3] = ["DaemonSet", "Deployment", "StatefulSet"];
/// The label by which the injector says that a sidecar answers mTLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";
/// Addresses of pods follow this one, those of Services the other.
const PODS: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const SERVICES: u32 = u32::from_be_bytes([198, 19, 0, 0]);
/// What a gateway adds to a port that it may not open: 80 is 8080 in its pod, as the reference has it.
const UNPRIVILEGED: u64 = 8000;

/// A pod that is made up.
struct Made {
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    address: String,
    containers: Value,
}

/// Pods for what makes pods, and for gateways that nothing makes; Services with an address, and their EndpointSlices.
pub(super) fn workloads(stock: &Stock<'_>, mesh_namespace: &str) -> Vec<Value> {
    let mut pods: Vec<(Made, Value)> = Vec::new();
    for (key, item) in stock.iter().filter(|(key, _)| TEMPLATED.contains(&key.kind.as_str()) && key.group == "apps") {
        let address = numbered(PODS, pods.len());
        pods.push(templated(key, &item.value, address));
    }
    let mut services: Vec<Value> = stock.iter().filter(|(key, _)| key.kind == "Service" && key.group.is_empty()).map(service).collect();
    for (selector, ports) in gateways(stock) {
        if !pods.iter().any(|(pod, _)| selects(&selector, &pod.labels)) {
            let name = selector.get("istio").map_or_else(|| "gateway".to_owned(), |value| format!("istio-{value}"));
            let address = numbered(PODS, pods.len());
            services.push(gateway_service(&name, mesh_namespace, &selector, &ports));
            pods.push(made(mesh_namespace, &name, &name, selector, json!([]), address));
        }
    }
    for (place, service) in services.iter_mut().enumerate() {
        let spec = &mut service["spec"];
        if spec["clusterIP"].is_null() && spec["type"] != "ExternalName" {
            spec["clusterIP"] = json!(numbered(SERVICES, place));
        }
    }
    let slices: Vec<Value> = services.iter().flat_map(|service| pods.iter().filter_map(|(pod, _)| slice(service, pod))).collect();
    pods.into_iter().map(|(_, value)| value).chain(services).chain(slices).collect()
}

fn numbered(first: u32, place: usize) -> String {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    Ipv4Addr::from(first.saturating_add(place).saturating_add(1)).to_string()
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

fn templated(key: &Key, value: &Value, address: String) -> (Made, Value) {
    let template = &value["spec"]["template"];
    let mut own = labels(&template["metadata"]["labels"]);
    let told = |place: &str| template["metadata"][place]["sidecar.istio.io/inject"].as_str() == Some("false");
    if !told("labels") && !told("annotations") {
        own.entry(TLS_MODE.to_owned()).or_insert_with(|| "istio".to_owned());
    }
    let account = template["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    made(&key.namespace, &key.name, account, own, template["spec"]["containers"].clone(), address)
}

fn made(namespace: &str, name: &str, account: &str, labels: BTreeMap<String, String>, containers: Value, address: String) -> (Made, Value) {
    let value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"serviceAccountName": account, "containers": containers},
        "status": {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    (Made { namespace: namespace.to_owned(), name: name.to_owned(), labels, address, containers }, value)
}

fn service((key, item): (&Key, &crate::cli::analyze::Item<'_>)) -> Value {
    let mut value = item.value.clone();
    value["metadata"]["namespace"] = json!(key.namespace);
    value
}

/// The selectors of Gateways with the ports that their servers ask for.
fn gateways(stock: &Stock<'_>) -> BTreeMap<BTreeMap<String, String>, BTreeSet<u64>> {
    let mut gateways: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    for (_, item) in stock.iter().filter(|(key, _)| key.kind == "Gateway" && key.group == "networking.istio.io") {
        let selector = labels(&item.value["spec"]["selector"]);
        let servers = item.value["spec"]["servers"].as_array().into_iter().flatten();
        let ports = servers.filter_map(|server| server["port"]["number"].as_u64());
        if !selector.is_empty() {
            gateways.entry(selector).or_default().extend(ports);
        }
    }
    gateways
}

fn gateway_service(name: &str, namespace: &str, selector: &BTreeMap<String, String>, ports: &BTreeSet<u64>) -> Value {
    let port = |number: &u64| {
        let target = if *number < 1024 { number + UNPRIVILEGED } else { *number };
        json!({"name": format!("port-{number}"), "port": number, "targetPort": target})
    };
    let ports: Vec<Value> = ports.iter().map(port).collect();
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector, "ports": ports},
    })
}

/// A pod as a part of a Service's endpoints, if it is one.
fn slice(service: &Value, pod: &Made) -> Option<Value> {
    let (metadata, spec) = (&service["metadata"], &service["spec"]);
    if metadata["namespace"] != *pod.namespace || !selects(&labels(&spec["selector"]), &pod.labels) {
        return None;
    }
    let service = metadata["name"].as_str()?;
    let ports = spec["ports"].as_array().into_iter().flatten();
    let ports: Vec<Value> =
        ports.filter_map(|port| Some(json!({"name": port["name"], "port": target(port, pod)?, "protocol": port["protocol"]}))).collect();
    Some(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{service}-{}", pod.name), "namespace": pod.namespace, "labels": {"kubernetes.io/service-name": service},
        },
        "ports": ports,
        "endpoints": [{
            "addresses": [pod.address], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace},
        }],
    }))
}

/// The number that a pod has for a Service's port.
fn target(port: &Value, pod: &Made) -> Option<u64> {
    match &port["targetPort"] {
        Value::Null => port["port"].as_u64(),
        Value::String(name) => {
            let containers = pod.containers.as_array().into_iter().flatten();
            let mut ports = containers.flat_map(|it| it["ports"].as_array().into_iter().flatten());
            ports.find(|it| it["name"] == **name).and_then(|it| it["containerPort"].as_u64())
        }
        number => number.as_u64(),
    }
}
