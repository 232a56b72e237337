//! Access logs.

use super::{ProviderReference, WorkloadMode};
use crate::object::api_objects;

api_objects! {
    /// Which requests and connections are logged.
    pub struct AccessLogging {
        /// The direction that the entry is about.
        #[serde(rename = "match")]
        pub match_: Option<AccessLoggingSelector>,
        /// Who gets the log. Without it: the mesh's default.
        pub providers: Vec<ProviderReference>,
        /// Whether nothing is logged.
        pub disabled: Option<bool>,
        /// What is logged of all that there is.
        pub filter: Option<AccessLoggingFilter>,
    }

    /// The direction that an entry is about.
    pub struct AccessLoggingSelector {
        /// CLIENT, SERVER, or CLIENT_AND_SERVER (the default).
        pub mode: Option<WorkloadMode>,
    }

    /// Which requests and connections are worth a line.
    pub struct AccessLoggingFilter {
        /// An expression in CEL over Envoy's attributes, for example `response.code >= 400`; what it is true for is logged.
        pub expression: Option<String>,
    }
}
