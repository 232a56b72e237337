//! ServiceEntry: services that Kubernetes does not know.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::workload_entry::WorkloadEntrySpec;
use crate::object::api_objects;
use crate::schema::{self, Required, Rules};
use crate::selector::WorkloadSelector;
use crate::status::{MeshCondition, ValidationMessage};

api_objects! {
    /// A service that is added to those that Kubernetes knows.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "ServiceEntry", namespaced,
        plural = "serviceentries", shortname = "se",
        category = "istio-io", category = "networking-istio-io",
        doc = "Adds a service, inside or outside the cluster, to those that the mesh knows.",
        status = "ServiceEntryStatus", derive = "PartialEq",
        printcolumn(name = "Hosts", type_ = "string", json_path = ".spec.hosts",
            description = "The service's hosts."),
        printcolumn(name = "Location", type_ = "string", json_path = ".spec.location",
            description = "Whether the service is part of the mesh."),
        printcolumn(name = "Resolution", type_ = "string", json_path = ".spec.resolution",
            description = "How the service's endpoints are found."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[
        ("!(has(self.workloadSelector) && has(self.endpoints))",
         "only one of workloadSelector and endpoints may be set"),
        ("!has(self.addresses) || (has(self.resolution) ? self.resolution : 'NONE') in ['NONE', 'STATIC'] || !self.addresses.exists(address, address.contains('/'))",
         "addresses may hold CIDR ranges only when resolution is NONE or STATIC"),
        ("!has(self.endpoints) || (has(self.resolution) && self.resolution != 'NONE')",
         "endpoints need a resolution other than NONE"),
        ("!has(self.endpoints) || !has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' || self.endpoints.size() <= 1",
         "DNS_ROUND_ROBIN takes one endpoint at most"),
    ]))]
    #[schemars(transform = Required(&["hosts"]))]
    pub struct ServiceEntrySpec {
        /// The service's hosts: DNS names, `*.` in front for a wildcard.
        #[schemars(length(min = 1, max = 256), transform = Rules(&[(
            "!self.exists(host, host == '*')", "a host can't be * alone: name a domain, for example *.example.com",
        )]))]
        pub hosts: Vec<String>,
        /// Addresses of the service, single or as CIDR ranges; connections to them are taken for it.
        #[schemars(length(max = 256), inner(length(max = 64)))]
        pub addresses: Vec<String>,
        /// The service's ports.
        #[schemars(length(max = 256), transform = Rules(&[(
            "self.all(one, self.exists_one(other, one.number == other.number))",
            "each port number may appear once",
        )]), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
        pub ports: Vec<ServiceEntryPort>,
        /// MESH_EXTERNAL (the default): outside, reached without the mesh's TLS. MESH_INTERNAL: a part of the mesh.
        pub location: Option<Location>,
        /// How endpoints are found. NONE (the default): the address that the client chose. STATIC: those
        /// listed. DNS: names are looked up, all answers used. DNS_ROUND_ROBIN: the first answer is used.
        /// DYNAMIC_DNS: for wildcards, the name that the client asks for is looked up.
        pub resolution: Option<Resolution>,
        /// Endpoints, when they are listed here.
        #[schemars(length(max = 4096))]
        pub endpoints: Vec<WorkloadEntrySpec>,
        /// Chooses pods or WorkloadEntries of this namespace as endpoints, in place of a list.
        pub workload_selector: Option<WorkloadSelector>,
        /// Namespaces that see this object: names, `.` for its own, `*` for all. Without it: all.
        pub export_to: Vec<String>,
        /// Names of which the endpoints' certificates must carry one.
        pub subject_alt_names: Vec<String>,
    }

    /// A port of a service.
    #[schemars(transform = Required(&["number", "name"]))]
    pub struct ServiceEntryPort {
        /// The port that clients address.
        #[schemars(range(min = 1, max = 65535))]
        pub number: Option<u32>,
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS.
        #[schemars(length(max = 256))]
        pub protocol: Option<String>,
        /// A name, unlike those of the other ports.
        #[schemars(length(max = 256))]
        pub name: String,
        /// The endpoints' port, when it is another.
        #[schemars(range(min = 1, max = 65535))]
        pub target_port: Option<u32>,
    }

    /// What the mesh made of a ServiceEntry.
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub struct ServiceEntryStatus {
        /// Whether the object was understood (`Accepted`) and has reached the proxies (`Programmed`).
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
        pub conditions: Vec<MeshCondition>,
        /// Findings of the whole-mesh analysis that concern this object.
        pub validation_messages: Vec<ValidationMessage>,
        /// The generation of the object that this status speaks of.
        #[schemars(schema_with = "schema::generation")]
        pub observed_generation: Option<IntOrString>,
        /// Addresses that the mesh has given to the hosts.
        pub addresses: Vec<ServiceEntryAddress>,
    }

    /// An address that the mesh has given to a host.
    pub struct ServiceEntryAddress {
        /// The address.
        pub value: Option<String>,
        /// The host.
        pub host: Option<String>,
    }
}

/// Whether a service is part of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum Location {
    /// It is not.
    MeshExternal,
    /// It is.
    MeshInternal,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum Resolution {
    /// The address that the client chose.
    None,
    /// Those listed or selected.
    Static,
    /// Names are looked up, all answers used.
    Dns,
    /// Names are looked up, the first answer used.
    DnsRoundRobin,
    /// The name that the client asks for is looked up.
    DynamicDns,
}
