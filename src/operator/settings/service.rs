//! Services of gateways and add-ons: what Kubernetes takes for one.

use ferromesh_crds::install::{GatewayService, GatewayServicePort, ServiceType};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::{collections::BTreeSet, net::IpAddr};

use super::{placement::check_keys, problem::Field};
use crate::config::kubernetes::{is_dns_label, is_label_key};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Makes targets numbers that are written as texts, which Kubernetes would take for names of ports.
pub(super) fn number_targets(ports: &mut [GatewayServicePort]) {
    for target in ports.iter_mut().filter_map(|port| port.target_port.as_mut()) {
        if let IntOrString::String(text) = target
            && let Ok(number) = text.parse()
        {
            *target = IntOrString::Int(number);
        }
    }
}

/// Why a port can't lead where it does, because of who is there.
pub(super) type TargetProblem = fn(&GatewayServicePort) -> Option<String>;

/// What is wrong with a Service of that type.
pub(super) fn check(service: &GatewayService, type_: ServiceType, target_problem: TargetProblem, mut field: Field<'_>) {
    let balanced = [
        ("loadBalancerIP", service.load_balancer_ip.is_some()),
        ("loadBalancerClass", service.load_balancer_class.is_some()),
        ("loadBalancerSourceRanges", !service.load_balancer_source_ranges.is_empty()),
    ];
    for (name, _) in balanced.into_iter().filter(|(_, given)| *given && type_ != ServiceType::LoadBalancer) {
        field.at(name).wrong("needs service.type LoadBalancer");
    }
    if service.external_traffic_policy.is_some() && type_ == ServiceType::ClusterIp {
        field.at("externalTrafficPolicy").wrong("needs service.type NodePort or LoadBalancer");
    }
    if let Some(address) = service.load_balancer_ip.as_ref().filter(|address| address.parse::<IpAddr>().is_err()) {
        field.at("loadBalancerIP").wrong(format!("{address:?} is no IP address"));
    }
    if let Some(class) = service.load_balancer_class.as_ref().filter(|class| !is_label_key(class)) {
        field.at("loadBalancerClass").wrong(format!("{class:?} can't name a class: write for example example.com/balancer"));
    }
    for (index, range) in service.load_balancer_source_ranges.iter().enumerate().filter(|(_, range)| range.parse::<IpNet>().is_err()) {
        let reason = format!("{range:?} is no range of addresses: write for example 10.0.0.0/8");
        field.at("loadBalancerSourceRanges").item(index).wrong(reason);
    }
    check_keys(&service.annotations, &mut field.at("annotations"));
    check_ports(&service.ports, type_, target_problem, field.at("ports"));
}

/// Which node's ports may be chosen the cluster decides: those are for the API server to refuse.
fn check_ports(ports: &[GatewayServicePort], type_: ServiceType, target_problem: TargetProblem, mut field: Field<'_>) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for port in ports {
        let mut field = field.item(&port.name);
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if !is_dns_label(&port.name) {
            field.at("name").wrong(format!("{:?} must be lower-case letters, digits and -, 63 at most", port.name));
        }
        if !names.insert(&port.name) {
            field.at("name").wrong("is there twice: each port needs a name of its own");
        }
        if !PROTOCOLS.contains(&protocol) {
            field.at("protocol").wrong(format!("{protocol:?} is not one of {}", PROTOCOLS.join(", ")));
        }
        if port.node_port.is_some() && type_ == ServiceType::ClusterIp {
            field.at("nodePort").wrong("needs service.type NodePort or LoadBalancer");
        }
        if let Some(reason) = target_problem(port) {
            field.at("targetPort").wrong(reason);
        }
        if !numbers.insert((port.port, protocol)) {
            let reason = format!("{} is there twice: each port needs a number of its own", port.port.unwrap_or_default());
            field.at("port").wrong(reason);
        }
    }
}
