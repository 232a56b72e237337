//! Conditions on HTTP requests.

use std::collections::BTreeMap;

use crate::object::api_objects;

api_objects! {
    /// A condition; all that it names must hold.
    pub struct HttpMatch {
        /// A name for logs and metrics.
        pub name: Option<String>,
        /// The request's path.
        pub uri: Option<StringMatch>,
        /// Whether `uri` ignores upper and lower case; only for `exact` and `prefix`.
        pub ignore_uri_case: Option<bool>,
        /// The scheme, `http` or `https`.
        pub scheme: Option<StringMatch>,
        /// The method, for example `GET`.
        pub method: Option<StringMatch>,
        /// The Host header or `:authority`.
        pub authority: Option<StringMatch>,
        /// Headers by name, in lower case; an empty match asks only that the header is there.
        pub headers: BTreeMap<String, StringMatch>,
        /// Headers that must not match.
        pub without_headers: BTreeMap<String, StringMatch>,
        /// Query parameters by name; `prefix` is not supported here.
        pub query_params: BTreeMap<String, StringMatch>,
        /// The port that the client addressed.
        #[schemars(range(min = 0, max = 65535))]
        pub port: Option<u32>,
        /// Labels that the client's workload carries; only for sidecars.
        pub source_labels: BTreeMap<String, String>,
        /// The namespace of the client's workload; only for sidecars.
        pub source_namespace: Option<String>,
        /// Gateways for which the condition holds; replaces the object's own list.
        pub gateways: Vec<String>,
        /// A prefix for the metrics of this route.
        pub stat_prefix: Option<String>,
    }

    /// Compares a string; one of the three.
    #[schemars(extend("maxProperties" = 1))]
    pub struct StringMatch {
        /// The whole string.
        pub exact: Option<String>,
        /// Its beginning.
        pub prefix: Option<String>,
        /// A regular expression in RE2 syntax that must match the whole string.
        pub regex: Option<String>,
    }
}
