//! The ways in which objects select workloads: two spellings of labels, and references to what the workloads serve.

use std::collections::BTreeMap;

use crate::object::api_objects;
use crate::schema::{self, Required, Rules};

/// The rule of every policy that can be attached in three ways.
pub(crate) const ONE_TARGET: (&str, &str) = (
    "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
    "only one of selector, targetRef and targetRefs may be set",
);

api_objects! {
    /// Selects workloads that carry all of these labels.
    pub struct MatchLabels {
        /// Labels that a workload must carry, all of them, with exactly these values.
        #[schemars(schema_with = "schema::match_labels")]
        pub match_labels: BTreeMap<String, String>,
    }

    /// Selects workloads of the object's namespace that carry all of these labels.
    pub struct WorkloadSelector {
        /// Labels that a workload must carry, all of them, with exactly these values.
        #[schemars(schema_with = "schema::selector_labels")]
        pub labels: BTreeMap<String, String>,
    }

    /// Selects the workloads that serve a resource.
    #[schemars(transform = Required(&["kind", "name"]))]
    pub struct TargetReference {
        /// The resource's API group: gateway.networking.k8s.io, networking.istio.io, or core (the default).
        #[schemars(length(max = 253), regex(pattern = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"))]
        pub group: Option<String>,
        /// Gateway, GatewayClass, Service or ServiceEntry.
        #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
        pub kind: String,
        /// The resource's name.
        #[schemars(length(min = 1, max = 253))]
        pub name: String,
        /// Not supported: the resource must be in the object's own namespace.
        #[schemars(transform = Rules(&[(
            "self.size() == 0", "a resource of another namespace can't be referred to: leave namespace out",
        )]))]
        pub namespace: Option<String>,
    }
}
