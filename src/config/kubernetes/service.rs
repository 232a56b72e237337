//! Kubernetes Services.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::full_name;
use crate::model::{
    self, ExportTo, GATEWAY_PORT, HostPattern, NETWORK, ObjectRef, Outside, Protocol, Resolution, ServiceKey, TargetPort, Visibility,
};

/// A Service as the mesh sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesService {
    /// The service.
    pub service: model::Service,
    /// For `type: ExternalName`, the host outside that is behind it.
    pub external_name: Option<Arc<str>>,
}

/// The annotation that narrows who sees a Service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// The label with the port at which a network's gateway takes the mesh's own mTLS.
const NETWORK_GATEWAY_PORT: &str = "networking.istio.io/gatewayPort";

/// What a Service means in a cluster of that DNS domain. Ports other than TCP are left out: no sidecar captures them.
pub fn service(object: &Service, cluster_domain: &str) -> KubernetesService {
    let (namespace, name) = full_name(&object.metadata);
    let nothing = ServiceSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&nothing);
    let external_name = external_name(spec);
    let service = model::Service {
        key: ServiceKey { host: HostPattern::new(&format!("{name}.{namespace}.svc.{cluster_domain}")), namespace: namespace.clone() },
        origin: ObjectRef { kind: "Service", namespace, name: name.clone() },
        name,
        addresses: addresses(spec),
        ranges: Vec::new(),
        automatic_address: None,
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        resolution: match (&external_name, spec.cluster_ip.as_deref()) {
            (Some(_), _) => Resolution::Dns,
            (None, Some("None")) => Resolution::Passthrough,
            (None, _) => Resolution::Eds,
        },
        alias_of: external_name.as_deref().map(HostPattern::new),
        selector: spec.selector.clone().unwrap_or_default(),
        export_to: export_to(object),
        external: external_name.is_some(),
        subject_alt_names: Vec::new(),
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        outside: outside(object),
        created: object.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
    };
    KubernetesService { service, external_name }
}

/// How the Service is reached from outside, as its load balancer and its author say. Names are left out: Envoy looks none up among the
/// endpoints that it is told.
fn outside(object: &Service) -> Outside {
    let listed = object.spec.iter().flat_map(|spec| spec.external_ips.iter().flatten());
    let balancer = object.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let balanced = balancer.into_iter().flatten().filter_map(|ingress| ingress.ip.as_ref());
    let mut addresses: Vec<std::net::IpAddr> = listed.chain(balanced).filter_map(|address| address.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let label = |name: &str| object.metadata.labels.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let port = label(NETWORK_GATEWAY_PORT).and_then(|port| port.parse().ok()).unwrap_or(GATEWAY_PORT);
    Outside { addresses, gateway_of: label(NETWORK).map(|network| (network.into(), port)) }
}

fn external_name(spec: &ServiceSpec) -> Option<Arc<str>> {
    let name = spec.external_name.as_deref().filter(|name| !name.is_empty())?;
    // The field outlives a change of the type, and means nothing then.
    (spec.type_.as_deref() == Some("ExternalName")).then(|| name.trim_end_matches('.').to_ascii_lowercase().into())
}

/// Its virtual addresses: of both families if it has two. `None` and the empty text of a Service that waits for its address are none.
fn addresses(spec: &ServiceSpec) -> Vec<std::net::IpAddr> {
    let listed = spec.cluster_ips.iter().flatten();
    let mut addresses: Vec<_> = listed.chain(&spec.cluster_ip).filter_map(|address| address.parse().ok()).collect();
    // `clusterIP` repeats the first of `clusterIPs`.
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses
}

fn port(port: &ServicePort) -> Option<model::ServicePort> {
    if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let number = u16::try_from(port.port).ok()?;
    let name = port.name.as_deref().unwrap_or_default();
    Some(model::ServicePort {
        name: name.into(),
        number,
        target: match &port.target_port {
            Some(IntOrString::Int(target)) if *target != 0 => TargetPort::Number(u16::try_from(*target).ok()?),
            Some(IntOrString::String(target)) if !target.is_empty() => TargetPort::Name(target.as_str().into()),
            _ => TargetPort::Number(number),
        },
        protocol: Protocol::of_service_port(port.protocol.as_deref(), port.app_protocol.as_deref(), Some(name), number),
    })
}

/// The annotation's comma-separated entries.
fn export_to(object: &Service) -> ExportTo {
    let annotation = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(EXPORT_TO));
    let entries = annotation.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
    ExportTo(entries.map(Visibility::from).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(annotations: &Value, spec: &Value) -> KubernetesService {
        let metadata = json!({"name": "web", "namespace": "shop", "creationTimestamp": "1970-01-01T00:01:00Z", "annotations": annotations});
        service(&serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap(), "cluster.local")
    }

    fn of(spec: &Value) -> KubernetesService {
        parsed(&json!({}), spec)
    }

    #[test]
    fn a_service_is_known_by_its_name_in_the_cluster_and_found_by_its_endpoints() {
        let spec = json!({
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "selector": {"app": "web"}, "type": "ClusterIP",
            "ports": [{"name": "http-web", "port": 80, "targetPort": 8080}, {"name": "db", "port": 3306, "targetPort": "sql"}],
        });
        let found = of(&spec);
        assert_eq!(found.external_name, None);
        let service = found.service;
        assert_eq!(service.key.to_string(), "web.shop.svc.cluster.local (namespace shop)");
        assert_eq!((&*service.name, service.created, service.resolution), ("web", 60, Resolution::Eds));
        assert_eq!(service.origin.to_string(), "Service shop/web");
        assert_eq!(service.addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!(service.selector["app"], "web");
        let ports: Vec<_> = service.ports.iter().map(|port| (port.number, port.target.clone(), port.protocol)).collect();
        assert_eq!(ports, [(80, TargetPort::Number(8080), Protocol::Http), (3306, TargetPort::Name("sql".into()), Protocol::Tcp)]);
    }

    #[test]
    fn a_port_without_a_target_targets_itself() {
        let ports = of(&json!({"ports": [{"port": 9080}, {"port": 9081, "targetPort": 0}]})).service.ports;
        assert_eq!(ports[0].target, TargetPort::Number(9080));
        assert_eq!(ports[1].target, TargetPort::Number(9081));
        assert_eq!((&*ports[0].name, ports[0].protocol), ("", Protocol::Auto));
    }

    #[test]
    fn the_application_protocol_outweighs_the_name() {
        let ports = of(&json!({"ports": [{"name": "http-x", "port": 80, "appProtocol": "grpc"}]})).service.ports;
        assert_eq!(ports[0].protocol, Protocol::Grpc);
    }

    #[test]
    fn ports_that_are_not_tcp_are_left_out() {
        let ports = of(&json!({"ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "s", "port": 7, "protocol": "SCTP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ]}));
        let names: Vec<_> = ports.service.ports.iter().map(|port| (&*port.name, port.protocol)).collect();
        assert_eq!(names, [("dns-tcp", Protocol::Tcp)]);
    }

    #[test]
    fn a_headless_service_leaves_the_address_to_the_client() {
        let service = of(&json!({"clusterIP": "None", "clusterIPs": ["None"], "publishNotReadyAddresses": true})).service;
        assert_eq!((service.resolution, service.publish_not_ready), (Resolution::Passthrough, true));
        assert!(service.addresses.is_empty());
    }

    #[test]
    fn an_external_name_is_resolved_by_dns_and_lies_outside() {
        let found = of(&json!({"type": "ExternalName", "externalName": "API.example.com.", "ports": [{"port": 443, "name": "https"}]}));
        assert_eq!(found.external_name.as_deref(), Some("api.example.com"));
        assert_eq!((found.service.resolution, found.service.external), (Resolution::Dns, true));
        assert_eq!(found.service.alias_of, Some(HostPattern::new("api.example.com")));
        let leftover = of(&json!({"type": "ClusterIP", "externalName": "api.example.com", "clusterIP": "10.0.0.1"}));
        assert_eq!((leftover.external_name, leftover.service.resolution), (None, Resolution::Eds));
    }

    #[test]
    fn the_gateway_of_a_network_is_known_by_its_label_and_reached_at_its_addresses() {
        let of = |labels: Value, status: Value| {
            let spec = json!({"externalIPs": ["192.0.2.7"], "clusterIP": "10.0.0.1"});
            let object = json!({"metadata": {"name": "east", "namespace": "shop", "labels": labels}, "spec": spec, "status": status});
            service(&serde_json::from_value(object).unwrap(), "cluster.local").service.outside
        };
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<std::net::IpAddr>>();
        let balanced = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}, {"ip": "192.0.2.7"}]}});
        let found = of(json!({NETWORK: "far"}), balanced);
        assert_eq!((found.addresses, found.gateway_of), (addresses(&["192.0.2.1", "192.0.2.7"]), Some(("far".into(), 15443))));
        let found = of(json!({NETWORK: "far", NETWORK_GATEWAY_PORT: "443"}), json!({}));
        assert_eq!((found.addresses, found.gateway_of), (addresses(&["192.0.2.7"]), Some(("far".into(), 443))));
        assert_eq!(of(json!({"app": "east"}), json!({})).gateway_of, None);
    }

    #[test]
    fn an_annotation_narrows_who_sees_it() {
        let exported = |text: &str| parsed(&json!({"networking.istio.io/exportTo": text}), &json!({})).service.export_to.0;
        assert_eq!(exported("., web"), [Visibility::Private, Visibility::Namespace("web".into())]);
        assert_eq!(exported("~"), [Visibility::None]);
        assert_eq!(exported("*"), [Visibility::Public]);
        assert_eq!(exported(" "), []);
    }
}
