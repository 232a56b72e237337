//! The status that every kind of the `istio.io` groups carries.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{self, Required};

api_objects! {
    /// What the mesh made of the object.
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub struct MeshStatus {
        /// Whether the object was understood (`Accepted`) and has reached the proxies (`Programmed`).
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
        pub conditions: Vec<MeshCondition>,
        /// Findings of the whole-mesh analysis that concern this object.
        pub validation_messages: Vec<ValidationMessage>,
        /// The generation of the object that this status speaks of.
        #[schemars(schema_with = "schema::generation")]
        pub observed_generation: Option<IntOrString>,
    }

    /// One aspect of the object's state.
    #[schemars(transform = Required(&["type"]))]
    pub struct MeshCondition {
        /// The aspect, for example `Accepted` or `Programmed`.
        #[serde(rename = "type")]
        pub type_: String,
        /// `True`, `False` or `Unknown`.
        pub status: Option<String>,
        /// The cause in one word.
        pub reason: Option<String>,
        /// The cause and the remedy in a sentence.
        pub message: Option<String>,
        /// When the aspect was last looked at.
        #[schemars(schema_with = "schema::time")]
        pub last_probe_time: Option<Time>,
        /// When `status` last changed.
        #[schemars(schema_with = "schema::time")]
        pub last_transition_time: Option<Time>,
        /// The generation of the object that this condition speaks of.
        #[schemars(schema_with = "schema::generation")]
        pub observed_generation: Option<IntOrString>,
    }

    /// A finding of the whole-mesh analysis.
    pub struct ValidationMessage {
        /// Which check found it.
        #[serde(rename = "type")]
        pub type_: Option<ValidationMessageType>,
        /// How grave it is.
        pub level: Option<ValidationLevel>,
        /// Where the check is explained.
        pub documentation_url: Option<String>,
    }

    /// Names a check of the analysis.
    pub struct ValidationMessageType {
        /// The check's name.
        pub name: Option<String>,
        /// The check's code, for example `IST0101`.
        pub code: Option<String>,
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum ValidationLevel {
    /// Nobody said.
    Unknown,
    /// Part of the object has no effect.
    Error,
    /// Doubtful, but legal.
    Warning,
    /// Good to know.
    Info,
}
