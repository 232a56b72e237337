//! RbacConfig: where roles count. ClusterRbacConfig took its place before both went.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::Rules;
use crate::status::MeshStatus;

/// A list that the mode needs.
pub(super) const LISTS_OF_MODES: &[(&str, &str)] = &[
    ("!has(self.mode) || self.mode != 'ON_WITH_INCLUSION' || has(self.inclusion)", "ON_WITH_INCLUSION needs inclusion ({} for none)"),
    ("!has(self.mode) || self.mode != 'ON_WITH_EXCLUSION' || has(self.exclusion)", "ON_WITH_EXCLUSION needs exclusion ({} for none)"),
];

api_objects! {
    /// Where roles count.
    #[derive(CustomResource)]
    #[kube(
        group = "rbac.istio.io", version = "v1alpha1", kind = "RbacConfig", namespaced,
        plural = "rbacconfigs", category = "istio-io", category = "rbac-istio-io",
        doc = "Decides where ServiceRoles count. There is one, named default. Deprecated: use AuthorizationPolicy.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(LISTS_OF_MODES))]
    pub struct RbacConfigSpec {
        /// OFF (the default): nowhere. ON: everywhere. ON_WITH_INCLUSION: for `inclusion` only. ON_WITH_EXCLUSION: for all but
        /// `exclusion`. Where roles count, what no role allows is refused.
        pub mode: Option<RbacMode>,
        /// For what roles count, in mode ON_WITH_INCLUSION.
        pub inclusion: Option<RbacTarget>,
        /// For what roles don't count, in mode ON_WITH_EXCLUSION.
        pub exclusion: Option<RbacTarget>,
        /// ENFORCED (the default), or PERMISSIVE: only recorded.
        pub enforcement_mode: Option<EnforcementMode>,
    }

    /// Services and namespaces.
    pub struct RbacTarget {
        /// Services, by full name.
        pub services: Vec<String>,
        /// Namespaces.
        pub namespaces: Vec<String>,
    }
}

/// Where roles count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum RbacMode {
    /// Nowhere.
    Off,
    /// Everywhere.
    On,
    /// For some.
    OnWithInclusion,
    /// For all but some.
    OnWithExclusion,
}

/// Whether roles decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum EnforcementMode {
    /// They do.
    Enforced,
    /// It is only recorded what they would decide.
    Permissive,
}
