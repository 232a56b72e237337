//! One HTTP route: what it matches and where the requests go.

use super::{
    CorsPolicy, Delegate, Destination, Headers, HttpDirectResponse, HttpFault, HttpMatch, HttpRedirect, HttpRetry, HttpRewrite, Percent,
};
use std::collections::BTreeMap;

use crate::object::api_objects;
use crate::schema::{self, Required};

api_objects! {
    /// What happens to the HTTP requests that match.
    pub struct HttpRoute {
        /// A name for logs and metrics.
        pub name: Option<String>,
        /// Conditions; a request must meet one of them. Without any the route takes every request.
        #[serde(rename = "match")]
        pub match_: Vec<HttpMatch>,
        /// Destinations, chosen by weight. A route has exactly one of `route`, `redirect`,
        /// `directResponse` and `delegate`.
        pub route: Vec<HttpRouteDestination>,
        /// Answers with a redirect.
        pub redirect: Option<HttpRedirect>,
        /// Answers with a fixed response.
        pub direct_response: Option<HttpDirectResponse>,
        /// Hands the requests to the routes of another VirtualService, which has no hosts of its own.
        pub delegate: Option<Delegate>,
        /// Changes path or authority before the request is sent on.
        pub rewrite: Option<HttpRewrite>,
        /// How long a request may take in all, retries included; without it there is no limit.
        #[schemars(schema_with = "schema::duration")]
        pub timeout: Option<String>,
        /// Which failures are tried again, and how often.
        pub retries: Option<HttpRetry>,
        /// Delays and errors to inject.
        pub fault: Option<HttpFault>,
        /// A destination that gets a copy of the requests; its responses are dropped.
        pub mirror: Option<Destination>,
        /// Several destinations that get copies, each with its share. Not together with `mirror`.
        pub mirrors: Vec<HttpMirror>,
        /// Deprecated: use `mirrorPercentage`.
        #[schemars(range(min = 0, max = 100))]
        pub mirror_percent: Option<u32>,
        /// Deprecated: use `mirrorPercentage`.
        #[serde(rename = "mirror_percent")]
        #[schemars(range(min = 0, max = 100))]
        pub mirror_percent_snake: Option<u32>,
        /// The share of requests that `mirror` gets; without it: all.
        pub mirror_percentage: Option<Percent>,
        /// Which other origins a browser may let use this route.
        pub cors_policy: Option<CorsPolicy>,
        /// Headers to set, add and remove.
        pub headers: Option<Headers>,
        /// Deprecated: use `headers.request.add`.
        pub append_headers: BTreeMap<String, String>,
        /// Deprecated: use `headers.request.add`.
        pub append_request_headers: BTreeMap<String, String>,
        /// Deprecated: use `headers.request.remove`.
        pub remove_request_headers: BTreeMap<String, String>,
        /// Deprecated: use `headers.response.add`.
        pub append_response_headers: BTreeMap<String, String>,
        /// Deprecated: use `headers.response.remove`.
        pub remove_response_headers: BTreeMap<String, String>,
        /// Deprecated: upgrades to WebSocket are always allowed.
        pub websocket_upgrade: Option<bool>,
    }

    /// A destination and its share of the requests.
    #[schemars(transform = Required(&["destination"]))]
    pub struct HttpRouteDestination {
        /// Where the requests go.
        pub destination: Option<Destination>,
        /// This destination's share in percent; those of several add up to 100. A single destination needs none.
        #[schemars(range(min = 0, max = 2147483647))]
        pub weight: Option<i32>,
        /// Headers to change for this destination alone.
        pub headers: Option<Headers>,
        /// Deprecated: use `headers.request.add`.
        pub append_request_headers: BTreeMap<String, String>,
        /// Deprecated: use `headers.request.remove`.
        pub remove_request_headers: Vec<String>,
        /// Deprecated: use `headers.response.add`.
        pub append_response_headers: BTreeMap<String, String>,
        /// Deprecated: use `headers.response.remove`.
        pub remove_response_headers: Vec<String>,
    }

    /// A destination of copies.
    #[schemars(transform = Required(&["destination"]))]
    pub struct HttpMirror {
        /// Where the copies go.
        pub destination: Option<Destination>,
        /// The share of requests that is copied; without it: all.
        pub percentage: Option<Percent>,
    }
}
