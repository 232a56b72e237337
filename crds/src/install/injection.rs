//! Who gets a sidecar, and which.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::object::api_objects;

api_objects! {
    /// Who gets a sidecar, and which. What namespaces and pods say by their labels counts more.
    pub struct Injection {
        /// Enabled (the default): pods of chosen namespaces get a sidecar. Disabled: only those that ask
        /// for one.
        pub policy: Option<InjectionPolicy>,
        /// Whether namespaces that say nothing are chosen; those of the system never are.
        pub enable_namespaces_by_default: Option<bool>,
        /// What becomes of pods while the injector is away. Fail (the default): they wait. Ignore: they
        /// start without a sidecar; the operator finds them, and with `updateStrategy.workloads: Rolling`
        /// it restarts them.
        pub failure_policy: Option<FailurePolicy>,
        /// Pods that say nothing themselves and get no sidecar. An empty selector chooses none.
        #[schemars(schema_with = "selectors")]
        pub never_inject_selector: Vec<LabelSelector>,
        /// Pods that say nothing themselves and get one although policy is Disabled. An empty selector
        /// chooses none.
        #[schemars(schema_with = "selectors")]
        pub always_inject_selector: Vec<LabelSelector>,
        /// Templates beside those that are built in, by name: pods in YAML, which are merged into pods that
        /// ask for them by the annotation `inject.istio.io/templates`.
        #[schemars(extend("maxProperties" = 64))]
        pub templates: BTreeMap<String, String>,
        /// Names of the templates for pods that name none; `sidecar` without it.
        #[schemars(extend("maxItems" = 16))]
        pub default_templates: Vec<String>,
        /// Names that stand for several templates.
        #[schemars(extend("maxProperties" = 64))]
        pub template_aliases: BTreeMap<String, Vec<String>>,
        /// Images, beside the mesh's own, that pods may choose for their proxies: a name, or the beginning
        /// of one that ends in `*`.
        #[schemars(extend("maxItems" = 64))]
        pub allowed_images: Vec<String>,
    }

    /// How the operator restarts workloads, with `workloads: Rolling`.
    pub struct Rolling {
        /// So many workloads at once; 1 without it.
        #[schemars(range(min = 1, max = 100))]
        pub max_workloads: Option<i32>,
        /// So many pods more than usual at once, over all workloads; 10 without it.
        #[schemars(range(min = 0, max = 10000))]
        pub max_surge_pods: Option<i32>,
        /// Whether workloads are restarted whose pods should have a sidecar and have none; they are, unless
        /// this says false.
        pub missed: Option<bool>,
        /// Whether workloads are restarted whose sidecars are older than the mesh; they are, unless this
        /// says false.
        pub outdated: Option<bool>,
    }
}

/// Whether pods that say nothing get a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum InjectionPolicy {
    /// They do.
    #[default]
    Enabled,
    /// They do not.
    Disabled,
}

/// What becomes of pods while the injector is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum FailurePolicy {
    /// They wait.
    #[default]
    Fail,
    /// They start without a sidecar.
    Ignore,
}

/// Kubernetes' label selectors.
fn selectors(_: &mut SchemaGenerator) -> Schema {
    let requirement = json!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {"type": "string", "description": "The label's key."},
            "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"], "description": "How it is compared."},
            "values": {"type": "array", "items": {"type": "string"}, "description": "What with; only for In and NotIn."},
        },
    });
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "object",
            "properties": {
                "matchLabels": {
                    "type": "object",
                    "description": "Labels that a pod must have, with exactly these values.",
                    "additionalProperties": {"type": "string"},
                },
                "matchExpressions": {"type": "array", "description": "What else must hold of its labels.", "items": requirement},
            },
        },
    })
}
