//! Kubernetes Services: whether their ports say what is spoken.

use super::{Code, Finding, ServiceFacts, World};
use crate::model::{ObjectRef, Protocol};

/// Namespaces of Kubernetes itself.
const OF_KUBERNETES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Whether a namespace is Kubernetes' own, which is not the mesh's user's to mend.
pub(super) fn is_of_kubernetes(namespace: &str) -> bool {
    OF_KUBERNETES.contains(&namespace)
}

/// Checks all Services.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for (object, service) in world.facts().services.iter().flatten() {
        let of_control_plane =
            service.labels.contains_key("istio") || service.labels.get("release").is_some_and(|release| release == "istio");
        if !is_of_kubernetes(&object.namespace) && !of_control_plane {
            check_ports(object, service, findings);
        }
    }
}

fn check_ports(object: &ObjectRef, service: &ServiceFacts, findings: &mut Vec<Finding>) {
    for (index, port) in service.ports.iter().enumerate().filter(|(_, port)| port.transport == "TCP") {
        let protocol = Protocol::of_service_port(Some(&port.transport), port.app_protocol.as_deref(), Some(&port.name), port.number);
        let path = format!("spec.ports[{index}].name");
        if service.external_name && (protocol == Protocol::Auto || port.name == "tcp") {
            let message = format!(
                "port {} of a name outside does not say that it is HTTP or TLS: proxies take all connections to that port for it",
                port.number
            );
            findings.push(Finding::new(Code::ExternalNameServiceTypeInvalidPortName, object, path, message));
        } else if protocol == Protocol::Auto {
            let message = format!(
                "neither the name {:?} nor appProtocol of port {} says what is spoken, so that proxies have to guess: call it http-{}, for example",
                port.name,
                port.number,
                if port.name.is_empty() { "web" } else { &port.name }
            );
            findings.push(Finding::new(Code::PortNameIsNotUnderNamingConvention, object, path, message));
        }
    }
}
