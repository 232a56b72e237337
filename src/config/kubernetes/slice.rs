//! EndpointSlices.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use super::full_name;
use crate::model::{Health, ObjectRef, WorkloadKey};

/// A part of a Service's endpoints: every endpoint listens on every port.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The Service.
    pub service: ObjectRef,
    /// The ports.
    pub ports: Vec<SlicePort>,
    /// The addresses.
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port; empty for the unnamed one.
    pub name: Arc<str>,
    /// What the workloads listen on.
    pub number: u16,
}

/// An address of a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceEndpoint {
    /// The address.
    pub address: IpAddr,
    /// The same as text, which endpoints share.
    pub text: Arc<str>,
    /// The first part of the name that the pod has below its Service's, as those of StatefulSets do.
    pub hostname: Option<Arc<str>>,
    /// Whether it may get traffic.
    pub health: Health,
    /// The pod that has this address, where the slice tells.
    pub pod: Option<WorkloadKey>,
}

/// Why a slice is of no use to the mesh.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SliceError {
    /// It belongs to no Service.
    #[error("metadata.labels[kubernetes.io/service-name]: absent, so the slice belongs to no Service")]
    NoService,
    /// Its addresses are host names, which can't be balanced over. The reference skips these, too.
    #[error("addressType: {0:?} is neither IPv4 nor IPv6")]
    AddressType(String),
}

/// What an EndpointSlice means. Ports other than TCP, and ports without a number, are left out.
///
/// # Errors
/// When it is of no use to the mesh.
pub fn slice(object: &EndpointSlice) -> Result<Slice, SliceError> {
    let labels = object.metadata.labels.as_ref();
    let service = labels.and_then(|labels| labels.get("kubernetes.io/service-name")).ok_or(SliceError::NoService)?;
    if !matches!(object.address_type.as_str(), "IPv4" | "IPv6") {
        return Err(SliceError::AddressType(object.address_type.clone()));
    }
    let (namespace, _) = full_name(&object.metadata);
    Ok(Slice {
        ports: object.ports.iter().flatten().filter_map(port).collect(),
        endpoints: object.endpoints.iter().flat_map(|endpoint| addresses(endpoint, &namespace)).collect(),
        service: ObjectRef { kind: "Service", namespace, name: service.as_str().into() },
    })
}

fn port(port: &EndpointPort) -> Option<SlicePort> {
    if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    Some(SlicePort { name: port.name.as_deref().unwrap_or_default().into(), number: u16::try_from(port.port?).ok()? })
}

fn addresses(endpoint: &Endpoint, namespace: &Arc<str>) -> impl Iterator<Item = SliceEndpoint> {
    let health = health(endpoint.conditions.as_ref());
    let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    // A slice speaks for its own namespace alone, whatever a hand-made one says.
    let pod = target.and_then(|target| target.name.as_deref());
    let pod = pod.map(|name| WorkloadKey { namespace: namespace.clone(), name: name.into() });
    let addresses = endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
    let hostname: Option<Arc<str>> = endpoint.hostname.as_deref().map(Into::into);
    addresses.map(move |address| SliceEndpoint {
        address,
        text: address.to_string().into(),
        hostname: hostname.clone(),
        health,
        pod: pod.clone(),
    })
}

/// Conditions that are absent mean ready, serving and not terminating.
fn health(conditions: Option<&EndpointConditions>) -> Health {
    let Some(conditions) = conditions else { return Health::Healthy };
    match (conditions.ready.unwrap_or(true), conditions.serving.unwrap_or(true), conditions.terminating.unwrap_or(false)) {
        (true, _, _) => Health::Healthy,
        (false, true, true) => Health::Draining,
        (false, _, _) => Health::Unhealthy,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(labels: &Value, address_type: &str, ports: &Value, endpoints: &Value) -> Result<Slice, SliceError> {
        let metadata = json!({"name": "web-x1", "namespace": "shop", "labels": labels});
        let object = json!({"metadata": metadata, "addressType": address_type, "ports": ports, "endpoints": endpoints});
        slice(&serde_json::from_value(object).unwrap())
    }

    fn endpoints(address_type: &str, endpoints: &Value) -> Vec<SliceEndpoint> {
        of(&json!({"kubernetes.io/service-name": "web"}), address_type, &json!([]), endpoints).unwrap().endpoints
    }

    #[test]
    fn a_slice_names_its_service_its_ports_and_the_pods_behind_it() {
        let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {"name": "any"}]);
        let endpoint =
            json!([{"addresses": ["10.1.0.1"], "hostname": "web-1", "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "other"}}]);
        let slice = of(&json!({"kubernetes.io/service-name": "web"}), "IPv4", &ports, &endpoint).unwrap();
        assert_eq!(slice.service.to_string(), "Service shop/web");
        assert_eq!(slice.ports, [SlicePort { name: "http".into(), number: 8080 }]);
        let pod = Some(WorkloadKey::new("shop", "web-1"));
        let address = "10.1.0.1".parse().unwrap();
        let hostname = Some("web-1".into());
        assert_eq!(slice.endpoints, [SliceEndpoint { address, text: "10.1.0.1".into(), hostname, health: Health::Healthy, pod }]);
    }

    #[test]
    fn conditions_decide_whether_an_address_may_get_traffic() {
        let health = |conditions: Value| endpoints("IPv4", &json!([{"addresses": ["10.1.0.1"], "conditions": conditions}]))[0].health;
        assert_eq!(health(json!({})), Health::Healthy);
        assert_eq!(health(json!({"ready": true, "serving": true, "terminating": false})), Health::Healthy);
        assert_eq!(health(json!({"ready": false, "serving": true, "terminating": true})), Health::Draining);
        assert_eq!(health(json!({"ready": false, "serving": false, "terminating": true})), Health::Unhealthy);
        assert_eq!(health(json!({"ready": false, "serving": false})), Health::Unhealthy);
        // As for a Service that publishes addresses that are not ready.
        assert_eq!(health(json!({"ready": true, "serving": false, "terminating": true})), Health::Healthy);
    }

    #[test]
    fn both_address_families_are_understood_and_nonsense_is_left_out() {
        let found = endpoints("IPv6", &json!([{"addresses": ["fd00::1", "fd00::2", "x"]}, {"addresses": []}]));
        assert_eq!(found.iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>(), ["fd00::1", "fd00::2"]);
        assert!(found.iter().all(|endpoint| endpoint.pod.is_none()));
    }

    #[test]
    fn a_slice_of_host_names_or_of_no_service_is_refused_with_the_reason() {
        let named = json!({"kubernetes.io/service-name": "web"});
        let error = of(&named, "FQDN", &json!([]), &json!([{"addresses": ["a.example.com"]}])).unwrap_err();
        assert_eq!(error.to_string(), "addressType: \"FQDN\" is neither IPv4 nor IPv6");
        assert_eq!(of(&json!({}), "IPv4", &json!([]), &json!([])), Err(SliceError::NoService));
    }
}
