//! Settings of the control plane's parts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::Values;
use crate::object::api_objects;
use crate::schema::{self, Required, Rules};

api_objects! {
    /// Settings of the control plane's parts, over the profile's.
    pub struct Components {
        /// Computes the proxies' configuration and serves it to them.
        pub pilot: Option<Component>,
        /// Signs the workloads' certificates.
        pub citadel: Option<Component>,
        /// Validates configuration.
        pub galley: Option<Component>,
        /// Adds the proxy to pods.
        pub injector: Option<Component>,
        /// Answers rate limits and external authorization.
        pub policy: Option<Component>,
        /// Redirects pods' traffic from the node, in place of an init container.
        pub cni: Option<Component>,
    }

    /// Settings of one part.
    pub struct Component {
        /// Whether the part is installed.
        pub enabled: Option<bool>,
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
        /// far as possible. A constraint without `labelSelector` counts the part's own pods.
        #[schemars(schema_with = "spread")]
        pub topology_spread_constraints: Vec<Values>,
        /// The PriorityClass of the pods, by which they push away others, or are pushed away, where nodes
        /// are full.
        #[schemars(length(max = 253))]
        pub priority_class_name: Option<String>,
        /// Annotations to add to the pods.
        pub pod_annotations: BTreeMap<String, String>,
    }

    /// An environment variable. What names its source is kept as it was written: a field that Kubernetes does not
    /// know is for the operator to refuse.
    pub struct EnvVariable {
        /// Its name.
        pub name: String,
        /// Its value.
        pub value: Option<String>,
        /// Where else its value comes from.
        pub value_from: Option<Values>,
    }

    /// Lets the load decide how many pods.
    #[schemars(transform = Rules(&[(
        "(has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
        "maxReplicas must be at least minReplicas",
    )]))]
    #[schemars(transform = Required(&["maxReplicas"]))]
    pub struct Autoscaling {
        /// At least so many pods; 1 without it.
        #[schemars(range(min = 1, max = 1000))]
        pub min_replicas: Option<i32>,
        /// At most so many pods.
        #[schemars(range(min = 1, max = 1000))]
        pub max_replicas: Option<i32>,
        /// The use of CPU to aim at, in percent of the request; 80 without it.
        #[serde(rename = "targetCPUUtilizationPercentage")]
        #[schemars(range(min = 1, max = 100))]
        pub target_cpu_utilization_percentage: Option<i32>,
    }
}

/// What Kubernetes takes for an amount, without those below zero.
const QUANTITY: &str = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// `resources` of a container, without claims: those belong to devices, which no part of the mesh uses.
pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = |description: &str| {
        serde_json::json!({
            "type": "object",
            "description": description,
            "additionalProperties": {"x-kubernetes-int-or-string": true, "pattern": QUANTITY},
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "limits": quantities("What a container may use at most."),
            "requests": quantities("What is set aside for a container."),
        },
    })
}

/// `env` of a container.
pub(super) fn env(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "description": "The variable's name."},
                "value": {"type": "string", "description": "Its value."},
                "valueFrom": {
                    "type": "object",
                    "description": "Where else its value comes from, as in a container's own `env`.",
                    "x-kubernetes-preserve-unknown-fields": true,
                },
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

/// `tolerations` of a pod.
pub(super) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "key": {"type": "string", "description": "The taint's key; empty for all."},
                "operator": {"type": "string", "description": "Equal (the default) or Exists."},
                "value": {"type": "string", "description": "The taint's value, for Equal."},
                "effect": {"type": "string", "description": "NoSchedule, PreferNoSchedule or NoExecute; empty for all."},
                "tolerationSeconds": {"type": "integer", "description": "How long NoExecute is borne; without it for ever."},
            },
        },
    })
}

/// `topologySpreadConstraints` of a pod.
pub(super) fn spread(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "required": ["maxSkew", "topologyKey", "whenUnsatisfiable"],
            "properties": {
                "maxSkew": {"type": "integer", "minimum": 1, "description": "By how many pods domains may differ."},
                "topologyKey": {"type": "string", "description": "The label of nodes whose values are the domains."},
                "whenUnsatisfiable": {"type": "string", "enum": ["DoNotSchedule", "ScheduleAnyway"],
                    "description": "What becomes of a pod that does not fit."},
            },
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}
