//! WorkloadEntry: a workload outside of Kubernetes, such as a virtual machine. The endpoints of a ServiceEntry are written in the same way.

use std::collections::BTreeMap;

use kube::CustomResource;

use crate::object::api_objects;
use crate::schema::{self, Rules};
use crate::status::MeshStatus;

/// The rule that says where a workload is; a template has none.
pub(crate) const NEEDS_ADDRESS: &str = "has(self.address) || has(self.network)";

api_objects! {
    /// A workload outside of Kubernetes, or an endpoint of a service.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "WorkloadEntry", namespaced,
        plural = "workloadentries", shortname = "we",
        category = "istio-io", category = "networking-istio-io",
        doc = "Describes one workload outside of Kubernetes, such as a virtual machine; ServiceEntries select it by its labels.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Address", type_ = "string", json_path = ".spec.address",
            description = "Where the workload is."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[
        (NEEDS_ADDRESS,
         "an endpoint needs an address, or the network behind whose gateway it lives"),
        ("!has(self.address) || !has(self.ports) || !self.address.startsWith('unix://')",
         "an endpoint on a Unix socket has no ports"),
    ]))]
    pub struct WorkloadEntrySpec {
        /// An IP address, a DNS name, or `unix:///path` for a socket. Without it `network` must be there.
        #[schemars(length(max = 256), transform = Rules(&[(
            "!self.startsWith('unix://') || self.matches('^unix://[/@].*[^/]$')",
            "unix:// must be followed by the absolute path of a socket, or by @ and an abstract name",
        )]))]
        pub address: Option<String>,
        /// This endpoint's ports, by the names of the service's ports.
        #[schemars(schema_with = "schema::endpoint_ports")]
        pub ports: BTreeMap<String, u32>,
        /// Labels of this endpoint, for subsets and selectors.
        #[schemars(extend("maxProperties" = 256))]
        pub labels: BTreeMap<String, String>,
        /// The network in which it lives; it is reached through that network's gateway from others.
        #[schemars(length(max = 2048))]
        pub network: Option<String>,
        /// Its place, as `region/zone/subzone`.
        #[schemars(length(max = 2048))]
        pub locality: Option<String>,
        /// Its part of the sum of all weights.
        #[schemars(range(max = 4294967295u32))]
        pub weight: Option<u32>,
        /// The service account under which it runs, in the object's namespace.
        #[schemars(length(max = 253))]
        pub service_account: Option<String>,
    }
}
