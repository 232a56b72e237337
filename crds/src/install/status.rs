//! What the operator reports.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::api_objects;
use crate::schema::{self, Required};

api_objects! {
    /// What the operator found and did.
    // A new object has no status at all; the default of the whole makes the one of the field hold there too.
    #[schemars(extend("default" = {"observedGeneration": -1}))]
    pub struct MeshInstallStatus {
        /// The generation that this status speaks of; -1 before the operator has read any.
        #[schemars(extend("default" = -1))]
        pub observed_generation: Option<i64>,
        /// All of it in one word.
        pub state: Option<State>,
        /// The version that is installed.
        pub version: Option<String>,
        /// Ready sums up. Reconciling and Stalled exist only while True. WebhooksReady,
        /// CertificatesReady, TagsReady, ProxiesInSync and Upgraded tell the rest. What each reason
        /// means is in docs/conditions.md.
        #[schemars(schema_with = "conditions")]
        pub conditions: Vec<Condition>,
        /// Each part's state, by name.
        pub components: BTreeMap<String, ComponentStatus>,
        /// Control planes that run, the new and those that workloads still use.
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
        pub revisions: Vec<RevisionStatus>,
        /// Each tag with the revision that it stands for at present.
        pub tags: BTreeMap<String, String>,
        /// Proxies of the mesh.
        pub proxies: Option<ProxyCounts>,
        /// Every object that the operator made and keeps.
        #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
        pub inventory: Vec<InventoryEntry>,
        /// What Apply would change; only in mode Plan.
        pub plan: Option<Plan>,
    }

    /// The state of one part.
    pub struct ComponentStatus {
        /// All of it in one word.
        pub status: Option<State>,
        /// The version that runs.
        pub version: Option<String>,
        /// What is missing.
        pub message: Option<String>,
    }

    /// A control plane that runs.
    #[schemars(transform = Required(&["name"]))]
    pub struct RevisionStatus {
        /// Its name; `default` for the one without a name.
        pub name: String,
        /// Its version.
        pub version: Option<String>,
        /// All of it in one word.
        pub state: Option<State>,
        /// Whether namespaces or pods choose it.
        pub in_use: Option<bool>,
        /// How many proxies it serves.
        pub proxies: Option<i64>,
    }

    /// How many proxies there are, and how they stand.
    pub struct ProxyCounts {
        /// All: pods with a sidecar, and those of the mesh's own gateways.
        pub total: Option<i64>,
        /// Those that are connected and have what pilot told them; not known while a pilot can't be asked.
        pub synced: Option<i64>,
        /// Those that are connected and refuse something, or owe pilot an answer for longer than 10 s.
        pub stale: Option<i64>,
        /// Those of another version than the control plane's.
        pub outdated: Option<i64>,
        /// Pods that should have one and have none.
        pub missed: Option<i64>,
        /// All of it for tables, as in `7/7` or `6/7 (2 outdated, 1 missed)`.
        pub summary: Option<String>,
    }

    /// An object that the operator made.
    #[schemars(transform = Required(&["apiVersion", "kind", "name"]))]
    pub struct InventoryEntry {
        /// Its group and version.
        pub api_version: String,
        /// Its kind.
        pub kind: String,
        /// Its namespace, unless it belongs to the cluster.
        pub namespace: Option<String>,
        /// Its name.
        pub name: String,
    }

    /// What Apply would change.
    pub struct Plan {
        /// The generation that was planned.
        pub generation: Option<i64>,
        /// When.
        #[schemars(schema_with = "schema::time")]
        pub time: Option<Time>,
        /// How many objects would be created.
        pub create: Option<i64>,
        /// How many objects would be changed.
        pub update: Option<i64>,
        /// How many objects would be deleted.
        pub delete: Option<i64>,
        /// How many objects would stay as they are.
        pub unchanged: Option<i64>,
        /// The changes, as many as fit.
        #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
        pub changes: Vec<PlannedChange>,
        /// Whether there are more changes than are listed.
        pub truncated: Option<bool>,
    }

    /// What would happen to one object.
    #[schemars(transform = Required(&["action", "apiVersion", "kind", "name"]))]
    pub struct PlannedChange {
        /// Create, Update or Delete.
        pub action: Option<ChangeAction>,
        /// The object's group and version.
        pub api_version: String,
        /// Its kind.
        pub kind: String,
        /// Its namespace, unless it belongs to the cluster.
        pub namespace: Option<String>,
        /// Its name.
        pub name: String,
        /// The fields that would change.
        #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
        pub fields: Vec<FieldChange>,
    }

    /// What would happen to one field. Values of Secrets are never shown.
    #[schemars(transform = Required(&["path"]))]
    pub struct FieldChange {
        /// The field's path.
        pub path: String,
        /// What it is now; absent when it would be added.
        #[schemars(schema_with = "any_value")]
        pub from: Option<Value>,
        /// What it would be; absent when it would be removed.
        #[schemars(schema_with = "any_value")]
        pub to: Option<Value>,
    }
}

/// A state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum State {
    /// Not installed.
    None,
    /// A change is on its way.
    Updating,
    /// All is well.
    Healthy,
    /// Something does not work.
    Error,
    /// What had drifted is being put right.
    Reconciling,
}

/// What would happen to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum ChangeAction {
    /// It would be made.
    Create,
    /// It would be changed.
    Update,
    /// It would be removed.
    Delete,
}

/// Kubernetes' own conditions.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "The aspect."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "How it stands."},
                "observedGeneration": {"type": "integer", "minimum": 0, "description": "The generation that was looked at."},
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When status last changed."},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "The cause in one word."},
                "message": {"type": "string", "maxLength": 32768, "description": "The object, the cause and the remedy."},
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Any JSON value.
fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}
