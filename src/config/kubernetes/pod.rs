//! Pods.

use std::{net::IpAddr, sync::Arc};

use super::{
    full_name,
    pod_view::{ContainerView, PodSpecView, PodStatusView, PodView},
    workload_locality,
};
use crate::model::{Labels, SpiffeId, Workload, WorkloadKey};

/// What a pod tells about a workload; its node and the mesh tell the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    /// The pod.
    pub key: WorkloadKey,
    /// Its addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// Its service account.
    pub service_account: Arc<str>,
    /// The node it runs on; empty if unknown.
    pub node: Arc<str>,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Its named ports.
    pub named_ports: Vec<(Arc<str>, u16)>,
    /// Whether it is ready and not about to go.
    pub ready: bool,
}

/// What a pod tells; `None` while it has no address, and once it has finished.
pub fn pod(object: &PodView) -> Option<PodFacts> {
    let (spec, status) = (object.spec.as_ref()?, object.status.as_ref()?);
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let addresses = addresses(status);
    if addresses.is_empty() {
        return None;
    }
    let (namespace, name) = full_name(&object.metadata);
    let account = spec.service_account_name.as_deref().filter(|account| !account.is_empty());
    Some(PodFacts {
        key: WorkloadKey { namespace, name },
        addresses,
        labels: object.metadata.labels.clone().unwrap_or_default(),
        service_account: account.unwrap_or("default").into(),
        node: spec.node_name.as_deref().unwrap_or_default().into(),
        host_network: spec.host_network.unwrap_or_default(),
        named_ports: named_ports(spec),
        ready: object.metadata.deletion_timestamp.is_none() && is_ready(status),
    })
}

fn addresses(status: &PodStatusView) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    // `podIP` repeats the first of `podIPs`, which older clusters leave out.
    let all = status.pod_ip.iter().chain(status.pod_ips.iter().flatten().filter_map(|address| address.ip.as_ref()));
    for address in all.filter_map(|address| address.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Named TCP ports of the containers that run as long as the pod does: init containers that restart are such.
fn named_ports(spec: &PodSpecView) -> Vec<(Arc<str>, u16)> {
    let lasting = |container: &&ContainerView| container.restart_policy.as_deref() == Some("Always");
    let containers = spec.containers.iter().flatten().chain(spec.init_containers.iter().flatten().filter(lasting));
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
        .filter_map(|port| Some((port.name.as_deref()?.into(), u16::try_from(port.container_port).ok()?)))
        .collect()
}

fn is_ready(status: &PodStatusView) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.kind == "Ready" && condition.status == "True")
}

// === impl PodFacts ===

impl PodFacts {
    /// The workload that it is, in a mesh of that trust domain and on a node of that locality.
    pub fn into_workload(self, trust_domain: &Arc<str>, locality_of_node: &Arc<str>) -> Workload {
        Workload {
            identity: SpiffeId {
                trust_domain: trust_domain.clone(),
                namespace: self.key.namespace.clone(),
                service_account: self.service_account,
            },
            locality: workload_locality(&self.labels, locality_of_node),
            key: self.key,
            addresses: self.addresses,
            labels: self.labels,
            node: self.node,
            host_network: self.host_network,
            named_ports: self.named_ports,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(labels: &Value, spec: &Value, status: &Value) -> Option<PodFacts> {
        let metadata = json!({"name": "web-1", "namespace": "shop", "labels": labels});
        pod(&serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap())
    }

    fn spec(more: Value) -> Value {
        let mut spec = json!({"containers": [], "nodeName": "n1", "serviceAccountName": "web"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    }

    #[test]
    fn a_running_pod_is_a_workload_with_the_identity_of_its_service_account() {
        let status = json!({"phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]});
        let facts = of(&json!({"app": "web"}), &spec(json!({})), &status).unwrap();
        assert!(!facts.ready);
        let workload = facts.into_workload(&"td".into(), &"r/z".into());
        assert_eq!(workload.identity.to_string(), "spiffe://td/ns/shop/sa/web");
        assert_eq!(workload.addresses, ["10.1.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!((&*workload.node, &*workload.locality, workload.host_network), ("n1", "r/z", false));
        assert_eq!(workload.labels["app"], "web");
    }

    #[test]
    fn its_own_locality_outweighs_its_nodes() {
        let facts = of(&json!({"istio-locality": "a.b"}), &spec(json!({})), &json!({"podIP": "10.1.0.1"})).unwrap();
        assert_eq!(&*facts.into_workload(&"td".into(), &"r/z".into()).locality, "a/b");
    }

    #[test]
    fn a_pod_without_an_address_or_one_that_has_finished_is_no_workload() {
        assert_eq!(of(&json!({}), &spec(json!({})), &json!({"phase": "Pending"})), None);
        for phase in ["Succeeded", "Failed"] {
            assert_eq!(of(&json!({}), &spec(json!({})), &json!({"phase": phase, "podIP": "10.1.0.1"})), None);
        }
    }

    #[test]
    fn named_ports_are_those_of_containers_that_last() {
        let port = |name: &str, number: u16, protocol: &str| json!({"name": name, "containerPort": number, "protocol": protocol});
        let spec = spec(json!({
            "containers": [{"name": "app", "ports": [port("http", 8080, "TCP"), port("dns", 53, "UDP"), {"containerPort": 1}]}],
            "initContainers": [
                {"name": "setup", "ports": [port("setup", 1, "TCP")]},
                {"name": "proxy", "restartPolicy": "Always", "ports": [port("metrics", 15090, "TCP")]},
            ],
            "hostNetwork": true,
        }));
        let facts = of(&json!({}), &spec, &json!({"podIP": "10.1.0.1"})).unwrap();
        assert_eq!(facts.named_ports, [("http".into(), 8080), ("metrics".into(), 15090)]);
        assert!(facts.host_network);
    }

    #[test]
    fn readiness_is_the_condition_and_ends_with_deletion() {
        let status =
            json!({"podIP": "10.1.0.1", "conditions": [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}]});
        assert!(of(&json!({}), &spec(json!({})), &status).unwrap().ready);
        let metadata = json!({"name": "a", "namespace": "b", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let going = json!({"metadata": metadata, "spec": spec(json!({})), "status": status});
        assert!(!pod(&serde_json::from_value(going).unwrap()).unwrap().ready);
    }
}
