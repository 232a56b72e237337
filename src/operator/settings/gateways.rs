//! Gateways that the installation runs.

use ferromesh_crds::install::{GatewayInstall, GatewayServicePort, ServiceType};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

use super::{Part, Problem, names_service};

/// One gateway.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::operator) struct Gateway {
    /// Of its Deployment, Service and ServiceAccount.
    pub(in crate::operator) name: String,
    /// Labels by which Gateway objects find its pods.
    pub(in crate::operator) labels: BTreeMap<String, String>,
    pub(in crate::operator) service: ServiceType,
    pub(in crate::operator) ports: Vec<GatewayServicePort>,
    pub(in crate::operator) part: Part,
}

/// Whether traffic enters or leaves the mesh through a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// The lowest port that a process without privileges may bind.
pub(in crate::operator) const FIRST_UNPRIVILEGED: i32 = 1024;
/// Ports that the agent and Envoy use themselves; 15021, where a gateway says whether it is ready, is for anybody.
const OWN_PORTS: [i32; 4] = [15000, 15001, 15020, 15090];

/// Names that the mesh's other objects have.
const TAKEN: [&str; 12] = [
    "istio-pilot",
    "istiod",
    "istio-citadel",
    "istio-galley",
    "istio-sidecar-injector",
    "istio",
    "prometheus",
    "grafana",
    "kiali",
    "istio-tracing",
    "tracing",
    "zipkin",
];

// === impl Gateway ===

impl Gateway {
    /// Reads a gateway; none if it is switched off.
    pub(super) fn read(direction: Direction, gateway: &GatewayInstall, problems: &mut Vec<Problem>) -> Option<Self> {
        if gateway.enabled == Some(false) {
            return None;
        }
        let name = &gateway.name;
        let path = format!("spec.gateways.{}[{name}]", direction.field());
        let mut wrong = |field: &str, reason: String| problems.push(Problem::new(format!("{path}{field}"), reason));
        if !names_service(name) {
            wrong(".name", format!("{name:?} must be lower-case letters, digits and -, 63 at most, a letter first"));
        }
        if TAKEN.contains(&name.as_str()) {
            wrong(".name", format!("{name} is the name of another part of the mesh"));
        }
        let service = gateway.service.clone().unwrap_or_default();
        let type_ = service.type_.unwrap_or(direction.service());
        let ports = if service.ports.is_empty() { direction.ports() } else { service.ports };
        for port in &ports {
            if port.node_port.is_some() && type_ == ServiceType::ClusterIp {
                wrong(&format!(".service.ports[{}].nodePort", port.name), "needs service.type NodePort or LoadBalancer".to_owned());
            }
            if let Some(reason) = target_problem(port) {
                wrong(&format!(".service.ports[{}].targetPort", port.name), reason);
            }
        }
        let labels = if gateway.labels.is_empty() { direction.labels() } else { gateway.labels.clone() };
        let part = Part::read(&gateway.component(), &path, 0, problems);
        Some(Self { name: name.clone(), labels, service: type_, ports, part })
    }
}

// === impl Direction ===

impl Direction {
    fn field(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn service(self) -> ServiceType {
        match self {
            Self::Ingress => ServiceType::LoadBalancer,
            Self::Egress => ServiceType::ClusterIp,
        }
    }

    fn labels(self) -> BTreeMap<String, String> {
        let gateway = match self {
            Self::Ingress => "ingressgateway",
            Self::Egress => "egressgateway",
        };
        BTreeMap::from([("istio".to_owned(), gateway.to_owned())])
    }

    /// For a gateway that says nothing about its ports.
    fn ports(self) -> Vec<GatewayServicePort> {
        let port = |name: &str, port| GatewayServicePort { name: name.to_owned(), port: Some(port), ..GatewayServicePort::default() };
        vec![port("http2", 80), port("https", 443)]
    }
}

/// Why a gateway's proxy can't listen where a port leads.
fn target_problem(port: &GatewayServicePort) -> Option<String> {
    let number = match port.target_port.as_ref().map_or(port.port, |target| match target {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => text.parse().ok(),
    }) {
        Some(number) => number,
        None => return Some("must be a number".to_owned()),
    };
    if port.target_port.is_some() && number < FIRST_UNPRIVILEGED {
        return Some(format!("{number} is a port that takes privileges: choose one from {FIRST_UNPRIVILEGED} on"));
    }
    OWN_PORTS.contains(&number).then(|| format!("{number} is one of the proxy's own ports"))
}
