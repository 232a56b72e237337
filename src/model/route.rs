//! A VirtualService as it was parsed: where requests for some hosts go.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ExportTo, HostPattern, HttpMatch, Labels, ObjectRef, StringMatch, duration::duration_text};

/// A share in millionths, the finest that Envoy knows: a percent is 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMillion(pub u32);

impl PerMillion {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// The share of so many percent, rounded.
    pub fn from_percent(percent: f64) -> Self {
        Self((percent * 10_000.0).round() as u32)
    }
}

/// Routing rules for hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualService {
    /// The object.
    pub origin: ObjectRef,
    /// Hosts that it speaks for, short names resolved. Without any it is a delegate: others hand requests to it.
    pub hosts: Vec<HostPattern>,
    /// Where it holds: `mesh` for sidecars, `namespace/name` for gateways. Never empty.
    pub gateways: Vec<Arc<str>>,
    /// HTTP rules; the first that matches decides.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS that is passed on unopened.
    pub tls: Vec<TlsRoute>,
    /// Rules for opaque connections.
    pub tcp: Vec<TcpRoute>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Seconds since the epoch at which the object was made: of two objects for one host, the older holds.
    pub created: i64,
}

/// The name that `gateways` uses for all sidecars.
pub const MESH_GATEWAY: &str = "mesh";

impl VirtualService {
    /// Whether it holds for sidecars.
    pub fn for_mesh(&self) -> bool {
        self.gateways.iter().any(|g| &**g == MESH_GATEWAY)
    }
}

/// One entry of `http`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute {
    /// The user's name for it.
    pub name: Arc<str>,
    /// Alternatives: it is enough that one matches; empty matches everything.
    pub matches: Vec<HttpMatch>,
    /// What is done.
    pub action: HttpAction,
    /// Changes to path and authority before the request goes on.
    pub rewrite: Option<Box<HttpRewrite>>,
    /// How long a request may take; `None` for ever.
    pub timeout: Option<Duration>,
    /// `None` means the mesh's default retries.
    pub retry: Option<Box<HttpRetry>>,
    /// Changes to headers, whatever the destination.
    pub headers: Option<Box<HeaderOperations>>,
    /// Faults to inject before the request goes on.
    pub fault: HttpFault,
    /// Destinations that get copies.
    pub mirrors: Vec<Mirror>,
    /// What browsers are told about other origins.
    pub cors: Option<Box<Cors>>,
}

/// A destination that gets copies of requests; its answers are dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// The share of requests that is copied.
    pub share: PerMillion,
    /// Whether it stands in the list `mirrors`, rather than alone in `mirror`.
    pub listed: bool,
}

/// `corsPolicy`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cors {
    /// Origins that are allowed.
    pub allow_origins: Vec<StringMatch>,
    /// Methods that are allowed.
    pub allow_methods: Vec<Arc<str>>,
    /// Request headers that are allowed.
    pub allow_headers: Vec<Arc<str>>,
    /// Response headers that a script may read.
    pub expose_headers: Vec<Arc<str>>,
    /// How long a browser may keep the answer.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent along.
    pub allow_credentials: Option<bool>,
    /// Whether preflights of other origins are sent on rather than answered here.
    pub forward_unmatched_preflights: bool,
}

/// `fault`: what is done to a share of the requests, to see how clients bear it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpFault {
    /// A pause before the request goes on, and the share of requests that get it.
    pub delay: Option<(Duration, PerMillion)>,
    /// An answer in place of the upstream's, and the share of requests that get it.
    pub abort: Option<(AbortStatus, PerMillion)>,
}

/// The status of an injected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// An HTTP status, 200 to 599.
    Http(u16),
    /// The number of a gRPC status, 0 to 16.
    Grpc(u8),
}

/// What an HTTP rule does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpAction {
    /// Sends it to one of these, by weight.
    Forward(Vec<WeightedDestination>),
    /// Answers with a redirect.
    Redirect(Box<HttpRedirect>),
    /// Answers itself.
    Respond {
        /// The status code.
        status: u16,
        /// The body, if any.
        body: Option<Body>,
    },
    /// Hands it to the rules of another VirtualService, one without hosts.
    Delegate {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text.
    Text(Arc<str>),
    /// Anything else.
    Bytes(Arc<[u8]>),
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A destination with its share and its own header changes.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// Share in percent: those of several add up to 100; a sole destination gets everything, whatever stands here.
    pub weight: u32,
    /// Changes to headers.
    pub headers: Option<Box<HeaderOperations>>,
}

/// A service, a port of it, and a subset of its workloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The service's host, short names resolved.
    pub host: HostPattern,
    /// The subset of the host's DestinationRule.
    pub subset: Option<Arc<str>>,
    /// The port; `None` for the service's only one, or the one that was called.
    pub port: Option<u16>,
}

/// `redirect`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRedirect {
    /// A new path.
    pub uri: Option<Arc<str>>,
    /// What replaces the part of the path that matched.
    pub prefix: Option<Arc<str>>,
    /// A new host.
    pub authority: Option<Arc<str>>,
    /// A new scheme.
    pub scheme: Option<Arc<str>>,
    /// A new port.
    pub port: Option<RedirectPort>,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// Where a redirect's port comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// The scheme's own: 80 or 443.
    OfScheme,
    /// The one that the client called.
    OfRequest,
}

/// `rewrite`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpRewrite {
    /// Replaces the matched prefix, or the whole path where the match is exact.
    pub uri: Option<Arc<str>>,
    /// RE2 pattern and substitution for the path.
    pub uri_regex: Option<(Arc<str>, Arc<str>)>,
    /// Replaces the authority.
    pub authority: Option<Arc<str>>,
}

/// `retries`; in the mesh's settings `defaultHttpRetryPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRetry {
    /// 0 switches retries off.
    pub attempts: u32,
    /// Time-out of each attempt; `None` for the route's.
    #[serde(with = "duration_text")]
    pub per_try_timeout: Option<Duration>,
    /// Envoy's conditions, comma-separated; empty for the mesh's default.
    pub retry_on: Arc<str>,
    /// The least pause before a second try; `None` for Envoy's own.
    #[serde(with = "duration_text")]
    pub backoff: Option<Duration>,
    /// Whether tries go to endpoints that the request has not met; `None` for the default, which is yes.
    #[serde(rename = "retryIgnorePreviousHosts")]
    pub ignore_previous_hosts: Option<bool>,
    /// Whether tries may go to other localities; `None` for the default, which is no.
    #[serde(rename = "retryRemoteLocalities")]
    pub remote_localities: Option<bool>,
}

/// `headers`: changes on the way there and back. Few routes have any, so these stand apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderOperations {
    /// Request headers to overwrite.
    pub request_set: Vec<(Arc<str>, Arc<str>)>,
    /// Request headers to add to.
    pub request_add: Vec<(Arc<str>, Arc<str>)>,
    /// Request headers to remove.
    pub request_remove: Vec<Arc<str>>,
    /// Response headers to overwrite.
    pub response_set: Vec<(Arc<str>, Arc<str>)>,
    /// Response headers to add to.
    pub response_add: Vec<(Arc<str>, Arc<str>)>,
    /// Response headers to remove.
    pub response_remove: Vec<Arc<str>>,
}

impl HeaderOperations {
    /// Where a route keeps them: nowhere if there are none.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// One entry of `tcp`.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRoute {
    /// Alternatives; empty matches everything.
    pub matches: Vec<TcpMatch>,
    /// Where to, by weight.
    pub destinations: Vec<WeightedDestination>,
}

/// Conditions on an opaque connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TcpMatch {
    /// Ranges that the destination address lies in; empty for any.
    pub destination_subnets: Vec<ipnet::IpNet>,
    /// The port that the client called; `None` for any.
    pub port: Option<u16>,
    /// Labels of the calling workload; empty for any.
    pub source_labels: Labels,
    /// Namespace of the calling workload; `None` for any.
    pub source_namespace: Option<Arc<str>>,
    /// Gateways for which it holds; empty for all of the object's.
    pub gateways: Vec<Arc<str>>,
}

/// One entry of `tls`.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsRoute {
    /// Alternatives; at least one.
    pub matches: Vec<TlsMatch>,
    /// Where to, by weight.
    pub destinations: Vec<WeightedDestination>,
}

/// Conditions on a TLS connection: the server names, and those of TCP.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsMatch {
    /// Server names (SNI).
    pub sni_hosts: Vec<HostPattern>,
    /// The rest.
    pub connection: TcpMatch,
}
