//! What a route does to requests and responses besides routing them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Percent, StringMatch};
use crate::object::api_objects;
use crate::schema::{self, Required, Rules};

api_objects! {
    /// Names another VirtualService whose routes are used.
    pub struct Delegate {
        /// Its name.
        pub name: Option<String>,
        /// Its namespace; without it: this object's own.
        pub namespace: Option<String>,
    }

    /// Header changes, by direction.
    pub struct Headers {
        /// Changes to the request before it is sent on.
        pub request: Option<HeaderOperations>,
        /// Changes to the response before it is returned.
        pub response: Option<HeaderOperations>,
    }

    /// Header changes; `remove` comes last.
    pub struct HeaderOperations {
        /// Headers to overwrite.
        pub set: BTreeMap<String, String>,
        /// Values to append.
        pub add: BTreeMap<String, String>,
        /// Headers to remove.
        pub remove: Vec<String>,
    }

    /// A redirect.
    #[schemars(transform = Rules(&[(
        "!(has(self.port) && has(self.derivePort))",
        "only one of port and derivePort may be set",
    )]))]
    pub struct HttpRedirect {
        /// The new path; replaces the whole path.
        pub uri: Option<String>,
        /// Replaces only the part of the path that matched.
        pub prefix_rewrite: Option<String>,
        /// The new authority.
        pub authority: Option<String>,
        /// The new port.
        #[schemars(range(min = 0, max = 65535))]
        pub port: Option<u32>,
        /// Where else the new port comes from: FROM_PROTOCOL_DEFAULT (80 or 443) or FROM_REQUEST_PORT.
        pub derive_port: Option<DerivePort>,
        /// The new scheme, `http` or `https`.
        pub scheme: Option<String>,
        /// The status code: 301 (the default), 302, 303, 307 or 308.
        #[schemars(range(min = 0, max = 399))]
        pub redirect_code: Option<u32>,
    }

    /// A fixed response.
    #[schemars(transform = Required(&["status"]))]
    pub struct HttpDirectResponse {
        /// The status code.
        #[schemars(range(min = 0, max = 599))]
        pub status: Option<u32>,
        /// The body; without it the response is empty.
        pub body: Option<HttpBody>,
    }

    /// A response's body; one of the two.
    #[schemars(extend("maxProperties" = 1))]
    pub struct HttpBody {
        /// As text.
        pub string: Option<String>,
        /// As bytes in base64.
        #[schemars(extend("format" = "byte"))]
        pub bytes: Option<String>,
    }

    /// A change of path or authority.
    pub struct HttpRewrite {
        /// Replaces the path, or the part that a prefix match took.
        pub uri: Option<String>,
        /// Replaces the Host header.
        pub authority: Option<String>,
        /// Replaces what a regular expression finds in the path. Not together with `uri`.
        pub uri_regex_rewrite: Option<RegexRewrite>,
    }

    /// A replacement by regular expression.
    pub struct RegexRewrite {
        /// The expression, in RE2 syntax.
        #[serde(rename = "match")]
        pub match_: Option<String>,
        /// What replaces each match; `\1` means the first group.
        pub rewrite: Option<String>,
    }

    /// Which failures are tried again.
    pub struct HttpRetry {
        /// How often at most; 0 turns retries off.
        #[schemars(range(min = 0, max = 2147483647))]
        pub attempts: Option<i32>,
        /// How long one try may take; without it: the route's timeout.
        #[schemars(schema_with = "schema::duration")]
        pub per_try_timeout: Option<String>,
        /// Conditions under which a request is tried again, with commas between: Envoy's names, or status codes.
        pub retry_on: Option<String>,
        /// Whether tries may go to other localities.
        pub retry_remote_localities: Option<bool>,
        /// Whether tries avoid endpoints that have failed already; true without it.
        pub retry_ignore_previous_hosts: Option<bool>,
        /// The least pause before a second try; later pauses grow.
        #[schemars(schema_with = "schema::duration")]
        pub backoff: Option<String>,
    }

    /// Faults to inject, to see how clients bear them.
    pub struct HttpFault {
        /// Delays requests.
        pub delay: Option<FaultDelay>,
        /// Ends requests with an error.
        pub abort: Option<FaultAbort>,
    }

    /// A delay before a request is sent on.
    #[schemars(transform = Rules(&[(
        "!(has(self.fixedDelay) && has(self.exponentialDelay))",
        "only one of fixedDelay and exponentialDelay may be set",
    )]))]
    pub struct FaultDelay {
        /// How long.
        #[schemars(schema_with = "schema::duration")]
        pub fixed_delay: Option<String>,
        /// Reserved; has no effect.
        #[schemars(schema_with = "schema::duration")]
        pub exponential_delay: Option<String>,
        /// The share of requests that is delayed.
        pub percentage: Option<Percent>,
        /// Deprecated: use `percentage`.
        #[schemars(range(min = 0, max = 100))]
        pub percent: Option<i32>,
    }

    /// An error instead of a response.
    #[schemars(transform = Rules(&[(
        "[has(self.httpStatus), has(self.grpcStatus), has(self.http2Error)].filter(set, set).size() <= 1",
        "only one of httpStatus, grpcStatus and http2Error may be set",
    )]))]
    pub struct FaultAbort {
        /// The HTTP status code.
        #[schemars(range(min = 200, max = 599))]
        pub http_status: Option<i32>,
        /// The gRPC status, by name, for example `UNAVAILABLE`.
        pub grpc_status: Option<String>,
        /// Reserved; has no effect.
        pub http2_error: Option<String>,
        /// The share of requests that is aborted.
        pub percentage: Option<Percent>,
        /// Deprecated: use `percentage`.
        #[schemars(range(min = 0, max = 100))]
        pub percent: Option<i32>,
    }

    /// What a browser is told about other origins.
    pub struct CorsPolicy {
        /// Origins that may use this route.
        pub allow_origins: Vec<StringMatch>,
        /// Deprecated: use `allowOrigins`.
        pub allow_origin: Vec<String>,
        /// Methods that may be used.
        pub allow_methods: Vec<String>,
        /// Request headers that may be used.
        pub allow_headers: Vec<String>,
        /// Response headers that a script may read.
        pub expose_headers: Vec<String>,
        /// How long a browser may keep the answer.
        #[schemars(schema_with = "schema::duration")]
        pub max_age: Option<String>,
        /// Whether cookies and other credentials may be sent along.
        pub allow_credentials: Option<bool>,
        /// What happens to preflight requests of other origins: FORWARD sends them on, IGNORE answers
        /// them here. UNSPECIFIED and absent mean FORWARD.
        pub unmatched_preflights: Option<UnmatchedPreflights>,
    }
}

/// Where a redirect's port comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum DerivePort {
    /// 80 for http, 443 for https.
    FromProtocolDefault,
    /// The request's own port.
    FromRequestPort,
}

/// What happens to preflight requests of origins that are not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum UnmatchedPreflights {
    /// As FORWARD.
    Unspecified,
    /// They are sent on.
    Forward,
    /// They are answered here.
    Ignore,
}
