//! Services that the spec describes: those of gateways and of add-ons.

use ferromesh_crds::install::{GatewayService, GatewayServicePort, ServiceType};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::object::{Base, Planned};
use crate::operator::object::Kind;

/// A Service, and what the spec says of it.
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) component: &'a str,
    /// The Deployment to whose pods it leads.
    pub(super) workload: &'a str,
    pub(super) type_: ServiceType,
    /// All else but the ports.
    pub(super) described: &'a GatewayService,
    pub(super) ports: Vec<Value>,
}

// === impl Service ===

impl Service<'_> {
    pub(super) fn plan(&self, base: Base<'_>) -> Planned {
        let described = self.described;
        let mut spec = json!({"type": self.type_, "selector": Base::selector(self.workload), "ports": self.ports});
        let mut say = |field: &str, value: Value| spec[field] = value;
        if let Some(address) = &described.load_balancer_ip {
            say("loadBalancerIP", json!(address));
        }
        if let Some(class) = &described.load_balancer_class {
            say("loadBalancerClass", json!(class));
        }
        if !described.load_balancer_source_ranges.is_empty() {
            say("loadBalancerSourceRanges", json!(described.load_balancer_source_ranges));
        }
        if let Some(policy) = described.external_traffic_policy {
            say("externalTrafficPolicy", json!(policy));
        }
        base.annotated(Kind::Service, self.name, self.component, &described.annotations, json!({"spec": spec}))
    }
}

/// A port as the spec has it; it leads to `usual` unless it says where.
pub(super) fn port(port: &GatewayServicePort, usual: i32) -> Value {
    let target = port.target_port.clone().unwrap_or(IntOrString::Int(usual));
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let mut fields = json!({"name": port.name, "port": port.port.unwrap_or_default(), "targetPort": target, "protocol": protocol});
    if let Some(node_port) = port.node_port {
        fields["nodePort"] = json!(node_port);
    }
    fields
}
