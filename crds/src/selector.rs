//! The spellings by which objects select what they are about.

use std::collections::BTreeMap;

use crate::object::api_objects;
use crate::schema::{self, Required, Rules};

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

    /// Names an object of the same namespace, such as a Gateway or a Service.
    #[schemars(transform = Required(&["kind", "name"]))]
    pub struct PolicyTargetReference {
        /// The object's API group; empty for Kubernetes' own core.
        #[schemars(length(max = 253), extend("pattern" = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"))]
        pub group: Option<String>,
        /// The object's kind.
        #[schemars(length(min = 1, max = 63), extend("pattern" = "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
        pub kind: String,
        /// The object's name.
        #[schemars(length(min = 1, max = 253))]
        pub name: String,
        /// Must be empty: objects of other namespaces can't be named.
        #[schemars(transform = Rules(&[("self.size() == 0", "objects of other namespaces can't be named")]))]
        pub namespace: Option<String>,
    }
}
