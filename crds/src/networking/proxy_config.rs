//! ProxyConfig: settings of single workloads' proxies, which take effect when a pod is made.

use std::collections::BTreeMap;

use kube::CustomResource;

use crate::object::api_objects;
use crate::schema;
use crate::selector::MatchLabels;
use crate::status::MeshStatus;

api_objects! {
    /// How the proxies of the selected workloads run.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1beta1", kind = "ProxyConfig", namespaced,
        plural = "proxyconfigs",
        category = "istio-io", category = "networking-istio-io",
        doc = "Sets how the proxies of workloads run. It takes effect when a workload is started anew.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Concurrency", type_ = "integer", json_path = ".spec.concurrency",
            description = "How many worker threads the proxies have."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct ProxyConfigSpec {
        /// The workloads meant. Without it all of the namespace, and all of the mesh in the mesh's own namespace.
        pub selector: Option<MatchLabels>,
        /// How many worker threads; 0 for one a core that the container may use, 2 without it.
        #[schemars(range(min = 0, max = 2147483647))]
        pub concurrency: Option<i32>,
        /// More variables for the environment of the proxy; those that begin with `ISTIO_META_` become metadata of the proxy's node.
        #[schemars(schema_with = "schema::environment")]
        pub environment_variables: BTreeMap<String, String>,
        /// The proxy's image.
        pub image: Option<ProxyImage>,
    }

    /// The proxy's image.
    pub struct ProxyImage {
        /// The variant: default, debug, distroless, or another that the hub has.
        pub image_type: Option<String>,
    }
}
