//! MeshPolicy: how callers in the whole mesh prove who they are.

use kube::CustomResource;

use super::method::{OriginMethod, PeerMethod, PrincipalBinding};
use crate::object::api_objects;
use crate::status::MeshStatus;

api_objects! {
    /// What callers must prove where no Policy says otherwise.
    #[derive(CustomResource)]
    #[kube(
        group = "authentication.istio.io", version = "v1alpha1", kind = "MeshPolicy",
        plural = "meshpolicies", category = "istio-io", category = "authentication-istio-io",
        doc = "Decides how callers in the whole mesh prove who they are. There is one, named default. Deprecated: use PeerAuthentication and RequestAuthentication in the mesh's own namespace.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct MeshPolicySpec {
        /// Ways for the calling workload to prove its identity; one must succeed. Without them nothing is asked.
        pub peers: Vec<PeerMethod>,
        /// Whether requests pass for which none of `peers` succeeds. Use mode PERMISSIVE.
        pub peer_is_optional: Option<bool>,
        /// Ways for the end user to prove an identity; one must succeed. Without them nothing is asked.
        pub origins: Vec<OriginMethod>,
        /// Whether requests pass for which none of `origins` succeeds.
        pub origin_is_optional: Option<bool>,
        /// Whose identity authorization goes by: USE_PEER (the default) or USE_ORIGIN.
        pub principal_binding: Option<PrincipalBinding>,
    }
}
