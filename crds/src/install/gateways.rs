//! Gateways that the installation runs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::Values;
use super::components::{Autoscaling, Component, EnvVariable, env, resources, spread, tolerations};
use crate::object::api_objects;
use crate::schema::{self, Required};

api_objects! {
    /// Gateways, over the profile's; one with a name that the profile has changes that one.
    pub struct Gateways {
        /// Gateways into the mesh.
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
        pub ingress: Vec<GatewayInstall>,
        /// Gateways out of the mesh.
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
        pub egress: Vec<GatewayInstall>,
    }

    /// Settings of one gateway.
    #[schemars(transform = Required(&["name"]))]
    pub struct GatewayInstall {
        /// The name of its Deployment and Service, for example `istio-ingressgateway`.
        #[schemars(length(min = 1, max = 63))]
        pub name: String,
        /// Whether the gateway is installed.
        pub enabled: Option<bool>,
        /// Its Service.
        pub service: Option<GatewayService>,
        /// Labels of its pods, by which Gateways select it; `istio: ingressgateway` or
        /// `istio: egressgateway` without them.
        pub labels: BTreeMap<String, String>,
        /// How many pods; not together with `autoscaling`.
        #[schemars(range(min = 0, max = 1000))]
        pub replicas: Option<i32>,
        /// Lets the load decide how many pods.
        pub autoscaling: Option<Autoscaling>,
        /// What the containers request and may use.
        #[schemars(schema_with = "resources")]
        pub resources: Option<ResourceRequirements>,
        /// Environment variables to add.
        #[schemars(schema_with = "env")]
        pub env: Vec<EnvVariable>,
        /// Labels that nodes must carry.
        pub node_selector: BTreeMap<String, String>,
        /// Taints of nodes that are borne.
        #[schemars(schema_with = "tolerations")]
        pub tolerations: Vec<Toleration>,
        /// Where pods run, as in a pod's own `affinity`. Without it they keep to different nodes, as far as
        /// there are some.
        #[schemars(schema_with = "schema::any_object")]
        pub affinity: Option<Values>,
        /// How pods spread, as in a pod's own `topologySpreadConstraints`. Without it: evenly over zones, as
        /// far as possible. A constraint without `labelSelector` counts the gateway's own pods.
        #[schemars(schema_with = "spread")]
        pub topology_spread_constraints: Vec<Values>,
        /// The PriorityClass of the pods, by which they push away others, or are pushed away, where nodes
        /// are full.
        #[schemars(length(max = 253))]
        pub priority_class_name: Option<String>,
        /// Annotations to add to the pods.
        pub pod_annotations: BTreeMap<String, String>,
    }

    /// A gateway's Service.
    pub struct GatewayService {
        /// LoadBalancer, NodePort or ClusterIP.
        #[serde(rename = "type")]
        pub type_: Option<ServiceType>,
        /// Its ports; they replace the profile's.
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
        pub ports: Vec<GatewayServicePort>,
        /// Annotations of the Service, by which clouds are told what kind of load balancer to make.
        pub annotations: BTreeMap<String, String>,
        /// The address that the load balancer is to have, where the cloud lets one choose.
        #[serde(rename = "loadBalancerIP")]
        #[schemars(length(max = 64))]
        pub load_balancer_ip: Option<String>,
        /// Who makes the load balancer, in place of the cloud's own; it can't be changed while the Service is one.
        #[schemars(length(max = 253))]
        pub load_balancer_class: Option<String>,
        /// Ranges of addresses from which the load balancer lets in traffic; from everywhere without them.
        #[schemars(extend("maxItems" = 256))]
        pub load_balancer_source_ranges: Vec<String>,
        /// Cluster (the default): any node takes traffic in, for all pods. Local: only nodes that have a pod,
        /// which then sees the address of the client.
        pub external_traffic_policy: Option<TrafficPolicy>,
    }

    /// A port of a gateway's Service.
    #[schemars(transform = Required(&["name", "port"]))]
    pub struct GatewayServicePort {
        /// Its name; the part before the first `-` says the protocol.
        #[schemars(length(min = 1, max = 63))]
        pub name: String,
        /// The port of the Service.
        #[schemars(range(min = 1, max = 65535))]
        pub port: Option<i32>,
        /// The port of the pods. Without it the same; for one below 1024, which takes privileges, 8000 more:
        /// 8080 for 80.
        #[schemars(schema_with = "target_port")]
        pub target_port: Option<IntOrString>,
        /// The port of the nodes; Kubernetes chooses one without it.
        #[schemars(range(min = 1, max = 65535))]
        pub node_port: Option<i32>,
        /// TCP (the default), UDP or SCTP.
        pub protocol: Option<String>,
    }
}

/// Types of Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum ServiceType {
    /// Reachable from outside through a load balancer.
    LoadBalancer,
    /// Reachable from outside through a port of every node.
    NodePort,
    /// Reachable inside the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
}

/// Which nodes take in traffic from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum TrafficPolicy {
    /// All of them.
    Cluster,
    /// Those that have a pod.
    Local,
}

// === impl GatewayInstall ===

impl GatewayInstall {
    /// The settings that a gateway shares with the control plane's parts.
    #[must_use]
    pub fn component(&self) -> Component {
        Component {
            enabled: self.enabled,
            replicas: self.replicas,
            autoscaling: self.autoscaling.clone(),
            resources: self.resources.clone(),
            env: self.env.clone(),
            node_selector: self.node_selector.clone(),
            tolerations: self.tolerations.clone(),
            affinity: self.affinity.clone(),
            topology_spread_constraints: self.topology_spread_constraints.clone(),
            priority_class_name: self.priority_class_name.clone(),
            pod_annotations: self.pod_annotations.clone(),
        }
    }
}

fn target_port(_: &mut SchemaGenerator) -> Schema {
    schema::int_or_string()
}
