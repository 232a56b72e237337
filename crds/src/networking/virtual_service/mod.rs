//! VirtualService: how requests to hosts are matched, changed and routed.

mod http;
mod http_action;
mod http_match;
mod l4;

pub use http::{HttpMirror, HttpRoute, HttpRouteDestination};
pub use http_action::{
    CorsPolicy, Delegate, DerivePort, FaultAbort, FaultDelay, HeaderOperations, Headers, HttpBody, HttpDirectResponse, HttpFault,
    HttpRedirect, HttpRetry, HttpRewrite, RegexRewrite, UnmatchedPreflights,
};
pub use http_match::{HttpMatch, StringMatch};
pub use l4::{L4Match, RouteDestination, TcpRoute, TlsMatch, TlsRoute};

use kube::CustomResource;

use crate::object::api_objects;
use crate::schema::Required;
use crate::status::MeshStatus;

api_objects! {
    /// How requests to `hosts` are routed.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "VirtualService", namespaced,
        plural = "virtualservices", shortname = "vs",
        category = "istio-io", category = "networking-istio-io",
        doc = "Matches requests to hosts, changes them, and routes them to destinations.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Gateways", type_ = "string", json_path = ".spec.gateways",
            description = "The gateways and sidecars that use these routes."),
        printcolumn(name = "Hosts", type_ = "string", json_path = ".spec.hosts",
            description = "The hosts whose requests are routed."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct VirtualServiceSpec {
        /// The hosts whose requests are routed: DNS names, `*.` in front for a wildcard, or addresses. A
        /// name without dots means a Service of the object's namespace. Empty only for a delegate, to
        /// which another VirtualService hands its requests.
        pub hosts: Vec<String>,
        /// Gateways that use these routes, as `namespace/name` or as a name in this namespace; `mesh`
        /// means every sidecar. Without it: `mesh`.
        pub gateways: Vec<String>,
        /// Routes of HTTP, HTTP/2 and gRPC traffic, and of HTTPS that a gateway ends. The first match wins.
        #[schemars(length(max = 8192))]
        pub http: Vec<HttpRoute>,
        /// Routes of TLS traffic that is passed through, chosen by the server name. The first match wins.
        pub tls: Vec<TlsRoute>,
        /// Routes of all other traffic. The first match wins.
        pub tcp: Vec<TcpRoute>,
        /// Namespaces that see this object: names, `.` for its own, `*` for all. Without it: all.
        pub export_to: Vec<String>,
    }

    /// A service, and optionally one of its subsets and ports.
    #[schemars(transform = Required(&["host"]))]
    pub struct Destination {
        /// The service's host. A name without dots means a Service of the object's namespace.
        pub host: String,
        /// A subset that a DestinationRule of this host defines.
        pub subset: Option<String>,
        /// The service's port; needed only when the service has several.
        pub port: Option<PortSelector>,
    }

    /// A port of a service.
    pub struct PortSelector {
        /// The port's number.
        #[schemars(range(min = 1, max = 65535))]
        pub number: Option<u32>,
    }

    /// A share of the requests.
    pub struct Percent {
        /// From 0 to 100, with fractions such as 0.1.
        #[schemars(range(min = 0, max = 100))]
        pub value: Option<f64>,
    }
}
