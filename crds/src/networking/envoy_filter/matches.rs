//! Properties by which an EnvoyFilter chooses what it changes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;

api_objects! {
    /// Properties of a proxy; all must hold.
    pub struct ProxyMatch {
        /// A regular expression for the proxy's version.
        pub proxy_version: Option<String>,
        /// Metadata of the proxy's node, by exact text.
        #[schemars(extend("maxProperties" = 256))]
        pub metadata: BTreeMap<String, String>,
    }

    /// Properties of a listener; all must hold.
    pub struct ListenerMatch {
        /// The port of the service or gateway.
        #[schemars(range(min = 0, max = 65535))]
        pub port_number: Option<u32>,
        /// The name of the service's port.
        pub port_name: Option<String>,
        /// One of its filter chains.
        pub filter_chain: Option<FilterChainMatch>,
        /// The name of one of its listener filters.
        pub listener_filter: Option<String>,
        /// The listener's name.
        pub name: Option<String>,
    }

    /// Properties of a filter chain; all must hold.
    pub struct FilterChainMatch {
        /// Its name.
        pub name: Option<String>,
        /// One of the server names that it is for.
        pub sni: Option<String>,
        /// The transport protocol that it is for: `raw_buffer` or `tls`.
        pub transport_protocol: Option<String>,
        /// Application protocols that it is for, separated by commas.
        pub application_protocols: Option<String>,
        /// One of its filters.
        pub filter: Option<FilterMatch>,
        /// The port that it is for.
        #[schemars(range(min = 0, max = 65535))]
        pub destination_port: Option<u32>,
    }

    /// A network filter.
    pub struct FilterMatch {
        /// Its name.
        pub name: Option<String>,
        /// A filter inside it: an HTTP filter of the connection manager.
        pub sub_filter: Option<SubFilterMatch>,
    }

    /// A filter inside a network filter.
    pub struct SubFilterMatch {
        /// Its name.
        pub name: Option<String>,
    }

    /// Properties of a route configuration; all must hold.
    pub struct RouteConfigurationMatch {
        /// The port of the service, or of the gateway's server.
        #[schemars(range(min = 0, max = 65535))]
        pub port_number: Option<u32>,
        /// The name of the port of the gateway's server.
        pub port_name: Option<String>,
        /// The Gateway that it was made for, as `namespace/name`.
        pub gateway: Option<String>,
        /// One of its virtual hosts.
        pub vhost: Option<VirtualHostMatch>,
        /// Its name.
        pub name: Option<String>,
    }

    /// Properties of a virtual host; all must hold.
    pub struct VirtualHostMatch {
        /// Its name, `host:port`.
        pub name: Option<String>,
        /// One of its routes.
        pub route: Option<RouteMatch>,
        /// One of its domains.
        pub domain_name: Option<String>,
    }

    /// Properties of a route; all must hold.
    pub struct RouteMatch {
        /// Its name: that of the route in the VirtualService, or `default`.
        pub name: Option<String>,
        /// What it does with requests.
        pub action: Option<RouteAction>,
    }

    /// Properties of a cluster; all must hold.
    pub struct ClusterMatch {
        /// The port of the service.
        #[schemars(range(min = 0, max = 65535))]
        pub port_number: Option<u32>,
        /// The host of the service.
        pub service: Option<String>,
        /// The subset.
        pub subset: Option<String>,
        /// Its name; then the other fields are to be left out.
        pub name: Option<String>,
    }

    /// Properties of what a waypoint is sent; all must hold.
    pub struct WaypointMatch {
        /// The port of the service.
        #[schemars(range(min = 1, max = 65535))]
        pub port_number: Option<u32>,
        /// A filter.
        pub filter: Option<FilterMatch>,
        /// A route.
        pub route: Option<WaypointRouteMatch>,
    }

    /// A route of a waypoint.
    pub struct WaypointRouteMatch {
        /// Its name.
        pub name: Option<String>,
    }
}

/// What a route does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum RouteAction {
    /// Anything.
    Any,
    /// It passes them on.
    Route,
    /// It redirects the client.
    Redirect,
    /// It answers by itself.
    DirectResponse,
}
