//! Routes of connections: TLS that is passed through, and plain TCP.

use std::collections::BTreeMap;

use super::Destination;
use crate::object::api_objects;
use crate::schema::Required;

api_objects! {
    /// Where the TLS connections go that match.
    #[schemars(transform = Required(&["match"]))]
    pub struct TlsRoute {
        /// Conditions; a connection must meet one of them.
        #[serde(rename = "match")]
        pub match_: Vec<TlsMatch>,
        /// Destinations, chosen by weight.
        pub route: Vec<RouteDestination>,
    }

    /// Where the connections go that match.
    pub struct TcpRoute {
        /// Conditions; a connection must meet one of them. Without any the route takes every connection.
        #[serde(rename = "match")]
        pub match_: Vec<L4Match>,
        /// Destinations, chosen by weight.
        pub route: Vec<RouteDestination>,
    }

    /// A destination and its share of the connections.
    #[schemars(transform = Required(&["destination"]))]
    pub struct RouteDestination {
        /// Where the connections go.
        pub destination: Option<Destination>,
        /// This destination's share in percent; those of several add up to 100. A single destination needs none.
        #[schemars(range(min = 0, max = 2147483647))]
        pub weight: Option<i32>,
    }

    /// A condition on TLS connections; all that it names must hold.
    #[schemars(transform = Required(&["sniHosts"]))]
    pub struct TlsMatch {
        /// Server names that the client asks for; `*.` in front for a wildcard. Each must lie within a
        /// host of the VirtualService.
        pub sni_hosts: Vec<String>,
        /// Addresses that the client connects to, as CIDR ranges or single addresses.
        pub destination_subnets: Vec<String>,
        /// The port that the client connects to.
        #[schemars(range(min = 0, max = 65535))]
        pub port: Option<u32>,
        /// Labels that the client's workload carries; only for sidecars.
        pub source_labels: BTreeMap<String, String>,
        /// The namespace of the client's workload; only for sidecars.
        pub source_namespace: Option<String>,
        /// Gateways for which the condition holds; replaces the object's own list.
        pub gateways: Vec<String>,
    }

    /// A condition on connections; all that it names must hold.
    pub struct L4Match {
        /// Addresses that the client connects to, as CIDR ranges or single addresses.
        pub destination_subnets: Vec<String>,
        /// The port that the client connects to.
        #[schemars(range(min = 0, max = 65535))]
        pub port: Option<u32>,
        /// Addresses that the client connects from; has no effect.
        pub source_subnet: Option<String>,
        /// Labels that the client's workload carries; only for sidecars.
        pub source_labels: BTreeMap<String, String>,
        /// The namespace of the client's workload; only for sidecars.
        pub source_namespace: Option<String>,
        /// Gateways for which the condition holds; replaces the object's own list.
        pub gateways: Vec<String>,
    }
}
