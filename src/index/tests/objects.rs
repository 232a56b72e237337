//! Objects for tests, as short as their meaning.

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::kubernetes::PodView;
use crate::model::{HostPattern, ServiceKey};

/// An object of that name, with the fields of `rest`.
pub(super) fn object<K: DeserializeOwned>(namespace: &str, name: &str, mut rest: Value) -> K {
    let mut metadata = rest.get("metadata").cloned().unwrap_or_else(|| json!({}));
    metadata["name"] = json!(name);
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    rest["metadata"] = metadata;
    serde_json::from_value(rest).unwrap()
}

/// A Service with one port, `http` on 80.
pub(super) fn service(namespace: &str, name: &str) -> Service {
    let spec = json!({"clusterIP": "10.0.0.1", "selector": {"app": name}, "ports": [{"name": "http", "port": 80}]});
    object(namespace, name, json!({"spec": spec}))
}

/// A slice of a Service: pods by name and address, all of them on 8080.
pub(super) fn slice(namespace: &str, service: &str, suffix: &str, pods: &[(&str, &str)]) -> EndpointSlice {
    let endpoints = pods.iter().map(|(pod, address)| match *pod {
        "" => json!({"addresses": [address]}),
        pod => json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}}),
    });
    let rest = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": service}},
        "addressType": if pods.iter().any(|(_, address)| address.contains(':')) { "IPv6" } else { "IPv4" },
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    });
    object(namespace, &format!("{service}-{suffix}"), rest)
}

/// A ready pod that speaks mTLS, on node `n1`, with the label `app`.
pub(super) fn pod(namespace: &str, name: &str, address: &str, app: &str) -> Pod {
    let labels = json!({"app": app, "security.istio.io/tlsMode": "istio"});
    object(
        namespace,
        name,
        json!({
            "metadata": {"labels": labels},
            "spec": {"containers": [], "nodeName": "n1", "serviceAccountName": app},
            "status": {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
        }),
    )
}

/// A pod as it is watched.
pub(super) fn view(pod: &Pod) -> PodView {
    serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap()
}

/// A node in a zone.
pub(super) fn node(name: &str, zone: &str) -> Node {
    object("", name, json!({"metadata": {"labels": {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": zone}}}))
}

/// The key of a Service.
pub(super) fn key(namespace: &str, name: &str) -> ServiceKey {
    external(namespace, &format!("{name}.{namespace}.svc.cluster.local"))
}

/// The key of a host that a namespace declares.
pub(super) fn external(namespace: &str, host: &str) -> ServiceKey {
    ServiceKey { host: HostPattern::new(host), namespace: namespace.into() }
}
