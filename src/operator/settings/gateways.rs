//! Gateways that the installation runs.

use ferromesh_crds::install::{GatewayInstall, GatewayService, GatewayServicePort, Gateways, ServiceType};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Part, Problem, Role, names_service};
use crate::config::kubernetes::is_label_text;

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
        let found = name_problem(name).map(|reason| (".name".to_owned(), reason)).into_iter();
        let found = found.chain(label_problems(&gateway.labels)).chain(service_problems(&service, service_type)).chain(port_problems(
            &service,
            service_type,
            target_problem,
        ));
        problems.extend(found.map(|(field, reason)| Problem::new(format!("{path}{field}"), reason)));
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

/// Each with the end of its path, as all problems below.
fn label_problems(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (label, value) in labels {
        if RESERVED.iter().any(|start| label.starts_with(start)) || label == "istio.io/rev" {
            found.push((format!(".labels[{label}]"), "is the operator's to set: choose another".to_owned()));
        }
        if !is_label_text(value) {
            found.push((format!(".labels[{label}]"), format!("{value:?} can't be a label's value")));
        }
    }
    found
}

/// What goes with no Service of that type.
pub(super) fn service_problems(service: &GatewayService, type_: ServiceType) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut wrong = |field: &str, reason: String| found.push((format!(".service.{field}"), reason));
    let balanced = [
        ("loadBalancerIP", service.load_balancer_ip.is_some()),
        ("loadBalancerClass", service.load_balancer_class.is_some()),
        ("loadBalancerSourceRanges", !service.load_balancer_source_ranges.is_empty()),
    ];
    for (field, _) in balanced.into_iter().filter(|(_, given)| *given && type_ != ServiceType::LoadBalancer) {
        wrong(field, "needs service.type LoadBalancer".to_owned());
    }
    if service.external_traffic_policy.is_some() && type_ == ServiceType::ClusterIp {
        wrong("externalTrafficPolicy", "needs service.type NodePort or LoadBalancer".to_owned());
    }
    if let Some(address) = service.load_balancer_ip.as_ref().filter(|address| address.parse::<IpAddr>().is_err()) {
        wrong("loadBalancerIP", format!("{address:?} is no IP address"));
    }
    for (index, range) in service.load_balancer_source_ranges.iter().enumerate().filter(|(_, range)| range.parse::<IpNet>().is_err()) {
        wrong(&format!("loadBalancerSourceRanges[{index}]"), format!("{range:?} is no range of addresses: write for example 10.0.0.0/8"));
    }
    found
}

/// What goes with no port of that Service; `target_problem` says where a port can't lead.
pub(super) fn port_problems(
    service: &GatewayService,
    type_: ServiceType,
    target_problem: fn(&GatewayServicePort) -> Option<String>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for port in &service.ports {
        let mut wrong = |field: &str, reason: String| found.push((format!(".service.ports[{}].{field}", port.name), reason));
        if port.node_port.is_some() && type_ == ServiceType::ClusterIp {
            wrong("nodePort", "needs service.type NodePort or LoadBalancer".to_owned());
        }
        if let Some(reason) = target_problem(port) {
            wrong("targetPort", reason);
        }
        if !seen.insert((port.port, port.protocol.as_deref().unwrap_or("TCP"))) {
            wrong("port", format!("{} is there twice: each port needs a number of its own", port.port.unwrap_or_default()));
        }
    }
    found
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
