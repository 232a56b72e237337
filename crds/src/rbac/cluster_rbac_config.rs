//! ClusterRbacConfig: where in the mesh roles count.

use kube::CustomResource;

use super::rbac_config::{EnforcementMode, LISTS_OF_MODES, RbacMode, RbacTarget};
use crate::object::api_objects;
use crate::schema::Rules;
use crate::status::MeshStatus;

api_objects! {
    /// Where in the mesh roles count.
    #[derive(CustomResource)]
    #[kube(
        group = "rbac.istio.io", version = "v1alpha1", kind = "ClusterRbacConfig",
        plural = "clusterrbacconfigs", category = "istio-io", category = "rbac-istio-io",
        doc = "Decides where in the mesh ServiceRoles count. There is one, named default. Deprecated: use AuthorizationPolicy.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(LISTS_OF_MODES))]
    pub struct ClusterRbacConfigSpec {
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
}
