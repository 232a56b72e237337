//! ServiceRole: what one may do with services.

use kube::CustomResource;

use crate::object::api_objects;
use crate::schema::{Required, Rules};
use crate::status::MeshStatus;

api_objects! {
    /// What whoever has the role may do.
    #[derive(CustomResource)]
    #[kube(
        group = "rbac.istio.io", version = "v1alpha1", kind = "ServiceRole", namespaced,
        plural = "serviceroles", category = "istio-io", category = "rbac-istio-io",
        doc = "Lists what one may do with services. Deprecated: use AuthorizationPolicy.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Required(&["rules"]))]
    pub struct ServiceRoleSpec {
        /// Requests that match one of these are allowed.
        #[schemars(length(min = 1, max = 512))]
        pub rules: Vec<AccessRule>,
    }

    /// Matches requests. All fields that are set must match; of a field, one value must. Texts may begin or end with `*`.
    #[schemars(transform = Rules(&[
        ("!(has(self.methods) && has(self.notMethods))", "only one of methods and notMethods may be set"),
        ("!(has(self.ports) && has(self.notPorts))", "only one of ports and notPorts may be set"),
    ]))]
    pub struct AccessRule {
        /// Services, by full name; `*` for all of the namespace.
        pub services: Vec<String>,
        /// Hosts of the request.
        pub hosts: Vec<String>,
        /// Hosts that must not match.
        pub not_hosts: Vec<String>,
        /// Paths; of gRPC, `/PACKAGE.SERVICE/METHOD`.
        pub paths: Vec<String>,
        /// Paths that must not match.
        pub not_paths: Vec<String>,
        /// Methods, for example GET.
        pub methods: Vec<String>,
        /// Methods that must not match.
        pub not_methods: Vec<String>,
        /// Ports.
        #[schemars(inner(range(min = 1, max = 65535)))]
        pub ports: Vec<u32>,
        /// Ports that must not match.
        #[schemars(inner(range(min = 1, max = 65535)))]
        pub not_ports: Vec<u32>,
        /// What else must hold.
        pub constraints: Vec<Constraint>,
    }

    /// A condition on an attribute of the request.
    #[schemars(transform = Required(&["key", "values"]))]
    pub struct Constraint {
        /// The attribute, for example `destination.labels[version]` or `request.headers[User-Agent]`.
        #[schemars(length(min = 1))]
        pub key: String,
        /// Values of which one must match.
        #[schemars(length(min = 1))]
        pub values: Vec<String>,
    }
}
