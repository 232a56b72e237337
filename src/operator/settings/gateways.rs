//! Gateways that the installation runs.

use ferromesh_crds::install::{GatewayInstall, GatewayService, GatewayServicePort, Gateways, ServiceType};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

use super::{Part, Problem, Role, names_service, placement::check_labels, problem::Field, service};

/// One gateway.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::operator) struct Gateway {
    /// Of its Deployment, Service and ServiceAccount.
    pub(in crate::operator) name: String,
    /// Labels by which Gateway objects find its pods.
    pub(in crate::operator) labels: BTreeMap<String, String>,
    pub(in crate::operator) service_type: ServiceType,
    /// What else is said of its Service; with the ports that it has in the end.
    pub(in crate::operator) service: GatewayService,
    pub(in crate::operator) part: Part,
}

/// Whether traffic enters or leaves the mesh through a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// The lowest port that a process without privileges may bind.
pub(in crate::operator) const FIRST_UNPRIVILEGED: i32 = 1024;
/// Ports that the agent and Envoy use themselves; 15021, where a gateway says whether it is ready, is for anybody.
const OWN_PORTS: [i32; 4] = [15000, 15001, 15020, 15090];
/// Names of objects in the mesh's namespace beside those of the control plane's parts.
const TAKEN: [&str; 11] = [
    "istiod",
    "istio",
    "istio-policy",
    "ferromesh-operator",
    "ferromesh-operator-probe",
    "prometheus",
    "grafana",
    "kiali",
    "istio-tracing",
    "tracing",
    "zipkin",
];
/// The beginning of labels by which the operator, and the gateway's own Deployment, find pods.
const RESERVED: [&str; 2] = ["app.kubernetes.io/", "sidecar.istio.io/"];

/// Reads all gateways; those that are switched off are not there.
pub(super) fn read(gateways: &Gateways, problems: &mut Vec<Problem>) -> Vec<Gateway> {
    let mut read = Vec::new();
    for (direction, list) in [(Direction::Ingress, &gateways.ingress), (Direction::Egress, &gateways.egress)] {
        read.extend(list.iter().filter_map(|gateway| Gateway::read(direction, gateway, problems)));
    }
    problems.extend(clashes(&read));
    read
}

/// What two gateways can't both have.
fn clashes(gateways: &[Gateway]) -> Vec<Problem> {
    let mut found = Vec::new();
    let (mut names, mut node_ports) = (BTreeSet::new(), BTreeMap::new());
    for gateway in gateways {
        let name = &gateway.name;
        if !names.insert(name) {
            found.push(Problem::new("spec.gateways", format!("{name} is there twice: each gateway needs a name of its own")));
        }
        for port in &gateway.service.ports {
            let Some(number) = port.node_port else { continue };
            // A node's port may be one Service's for TCP and another's for UDP.
            let place = (number, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()));
            if let Some(other) = node_ports.insert(place, name) {
                found
                    .push(Problem::new("spec.gateways", format!("{other} and {name} both want nodePort {number}: choose another for one")));
            }
        }
    }
    found
}

// === impl Gateway ===

impl Gateway {
    fn read(direction: Direction, gateway: &GatewayInstall, problems: &mut Vec<Problem>) -> Option<Self> {
        if gateway.enabled == Some(false) {
            return None;
        }
        let name = &gateway.name;
        let path = format!("spec.gateways.{}[{name}]", direction.field());
        let mut service = gateway.service.clone().unwrap_or_default();
        let service_type = service.type_.unwrap_or(direction.service());
        if service.ports.is_empty() {
            service.ports = direction.ports();
        }
        service::number_targets(&mut service.ports);
        let mut field = Field::new(&path, problems);
        if let Some(reason) = name_problem(name) {
            field.at("name").wrong(reason);
        }
        check_labels(&gateway.labels, field.at("labels"));
        for label in gateway.labels.keys().filter(|label| is_reserved(label)) {
            field.at("labels").item(label).wrong("is the operator's to set: choose another");
        }
        service::check(&service, service_type, target_problem, field.at("service"));
        let labels = if gateway.labels.is_empty() { direction.labels() } else { gateway.labels.clone() };
        let part = Part::read(&gateway.component(), &path, 0, problems);
        Some(Self { name: name.clone(), labels, service_type, service, part })
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

fn name_problem(name: &str) -> Option<String> {
    if !names_service(name) {
        return Some(format!("{name:?} must be lower-case letters, digits and -, 63 at most, a letter first"));
    }
    // Other control planes' parts have the same names with their revisions behind them.
    let of_a_part =
        |role: &Role| name.strip_prefix(role.object()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-') && !role.is_shared());
    let taken = TAKEN.contains(&name) || name.starts_with("istiod-") || Role::ALL.iter().any(of_a_part);
    taken.then(|| format!("{name} is the name of another part of the mesh"))
}

fn is_reserved(label: &str) -> bool {
    RESERVED.iter().any(|start| label.starts_with(start)) || label == "istio.io/rev"
}

/// Why a gateway's proxy can't listen where a port leads.
fn target_problem(port: &GatewayServicePort) -> Option<String> {
    let number = match (&port.target_port, port.port) {
        (Some(IntOrString::String(text)), _) => return Some(format!("{text:?} must be a number")),
        (Some(IntOrString::Int(number)), _) => *number,
        (None, number) => number?,
    };
    if port.target_port.is_some() && number < FIRST_UNPRIVILEGED {
        return Some(format!("{number} is a port that takes privileges: choose one from {FIRST_UNPRIVILEGED} on"));
    }
    if number > i32::from(u16::MAX) {
        return Some(format!("{number} is no port: choose one from {FIRST_UNPRIVILEGED} to {}", u16::MAX));
    }
    OWN_PORTS.contains(&number).then(|| format!("{number} is one of the proxy's own ports"))
}
