//! Policy: how callers of a namespace's services prove who they are.

use kube::CustomResource;
use std::collections::BTreeMap;

use super::method::{OriginMethod, PeerMethod, PrincipalBinding};
use crate::object::api_objects;
use crate::schema::Required;
use crate::status::MeshStatus;

api_objects! {
    /// What callers must prove.
    #[derive(CustomResource)]
    #[kube(
        group = "authentication.istio.io", version = "v1alpha1", kind = "Policy", namespaced,
        plural = "policies", category = "istio-io", category = "authentication-istio-io",
        doc = "Decides how callers of a namespace's services prove who they are. Deprecated: use PeerAuthentication and RequestAuthentication.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct PolicySpec {
        /// Services meant. The Policy named `default` has none and is for the whole namespace; any other needs some.
        pub targets: Vec<TargetSelector>,
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

    /// A service, or some of its ports.
    #[schemars(transform = Required(&["name"]))]
    pub struct TargetSelector {
        /// The service's short name.
        #[schemars(length(min = 1, max = 63))]
        pub name: String,
        /// Labels of workloads. They never had an effect.
        pub labels: BTreeMap<String, String>,
        /// The service's ports that are meant. Without them: all.
        pub ports: Vec<TargetPort>,
    }

    /// A port of a service; one of the two.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct TargetPort {
        /// Its number.
        #[schemars(range(min = 1, max = 65535))]
        pub number: Option<u32>,
        /// Its name.
        #[schemars(length(min = 1))]
        pub name: Option<String>,
    }
}
