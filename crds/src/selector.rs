//! The two spellings by which objects select workloads.

use std::collections::BTreeMap;

use crate::object::api_objects;
use crate::schema;

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
}
