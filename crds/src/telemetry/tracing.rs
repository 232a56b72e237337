//! Traces.

use std::collections::BTreeMap;

use super::{ProviderReference, WorkloadMode};
use crate::object::api_objects;
use crate::schema::Required;

api_objects! {
    /// How requests are traced.
    pub struct Tracing {
        /// The direction that the entry is about.
        #[serde(rename = "match")]
        pub match_: Option<TracingSelector>,
        /// Who gets the spans. Without it: the mesh's default. Of several only the first counts.
        pub providers: Vec<ProviderReference>,
        /// How many percent of the requests are traced about which nobody has decided yet, in steps of 0.01.
        #[schemars(range(min = 0, max = 100))]
        pub random_sampling_percentage: Option<f64>,
        /// Whether no spans are reported; decisions and headers go on as before.
        pub disable_span_reporting: Option<bool>,
        /// Whether the headers of traces are not handed on.
        pub disable_context_propagation: Option<bool>,
        /// Tags that spans get beside the usual ones, by name. They replace those of wider objects.
        pub custom_tags: BTreeMap<String, CustomTag>,
        /// Whether the request's id says if it is traced; it does by default.
        pub use_request_id_for_trace_sampling: Option<bool>,
        /// Whether spans carry the mesh's own tags; they do by default.
        pub enable_istio_tags: Option<bool>,
    }

    /// The direction that an entry is about.
    pub struct TracingSelector {
        /// CLIENT, SERVER, or CLIENT_AND_SERVER (the default).
        pub mode: Option<WorkloadMode>,
    }

    /// Where a tag's value comes from; one of these.
    #[schemars(extend("maxProperties" = 1))]
    pub struct CustomTag {
        /// Always the same.
        pub literal: Option<TagLiteral>,
        /// The proxy's environment.
        pub environment: Option<TagEnvironment>,
        /// The request.
        pub header: Option<TagHeader>,
        /// A text with Envoy's command operators.
        pub formatter: Option<TagFormatter>,
    }

    /// A value that is always the same.
    #[schemars(transform = Required(&["value"]))]
    pub struct TagLiteral {
        /// The value.
        #[schemars(length(min = 1))]
        pub value: String,
    }

    /// A value from the proxy's environment.
    #[schemars(transform = Required(&["name"]))]
    pub struct TagEnvironment {
        /// The variable's name.
        #[schemars(length(min = 1))]
        pub name: String,
        /// The value where there is no such variable.
        pub default_value: Option<String>,
    }

    /// A value from the request.
    #[schemars(transform = Required(&["name"]))]
    pub struct TagHeader {
        /// The header's name.
        #[schemars(length(min = 1))]
        pub name: String,
        /// The value where there is no such header.
        pub default_value: Option<String>,
    }

    /// A value that Envoy formats.
    #[schemars(transform = Required(&["value"]))]
    pub struct TagFormatter {
        /// The format, for example `%REQ(x-user)%`.
        #[schemars(length(min = 1))]
        pub value: String,
    }
}
