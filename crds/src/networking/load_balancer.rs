//! How a DestinationRule spreads requests over endpoints.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{self, Required, Rules};

api_objects! {
    /// How requests are spread over endpoints.
    #[schemars(transform = Rules(&[(
        "!(has(self.simple) && has(self.consistentHash))",
        "only one of simple and consistentHash may be set",
    )]))]
    pub struct LoadBalancer {
        /// An algorithm that needs no settings: LEAST_REQUEST (the default), ROUND_ROBIN, RANDOM, or
        /// PASSTHROUGH for the address that the client chose. LEAST_CONN is the old name of LEAST_REQUEST.
        pub simple: Option<SimpleLoadBalancer>,
        /// Keeps requests with the same property on the same endpoint.
        pub consistent_hash: Option<ConsistentHash>,
        /// Prefers near endpoints; replaces the mesh's own setting.
        pub locality_lb_setting: Option<LocalityLoadBalancer>,
        /// Prefers endpoints of the client's zone, as far as they can bear the load.
        pub zone_aware_lb_setting: Option<ZoneAwareLoadBalancer>,
        /// Deprecated: use `warmup`.
        #[schemars(schema_with = "schema::duration")]
        pub warmup_duration_secs: Option<String>,
        /// Gives new endpoints little traffic at first.
        pub warmup: Option<Warmup>,
    }

    /// The property that decides, and how the ring is built.
    #[schemars(transform = Rules(&[
        ("has(self.httpHeaderName) ? !has(self.httpCookie) && !has(self.useSourceIp) && !has(self.httpQueryParameterName) : \
          has(self.httpCookie) ? !has(self.useSourceIp) && !has(self.httpQueryParameterName) : \
          !has(self.useSourceIp) || !has(self.httpQueryParameterName)",
         "only one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName may be set"),
        ("!(has(self.ringHash) && has(self.maglev))",
         "only one of ringHash and maglev may be set"),
    ]))]
    pub struct ConsistentHash {
        /// A header.
        pub http_header_name: Option<String>,
        /// A cookie, which is set if the client has none.
        pub http_cookie: Option<HttpCookie>,
        /// The client's address.
        pub use_source_ip: Option<bool>,
        /// A query parameter.
        pub http_query_parameter_name: Option<String>,
        /// A hash ring.
        pub ring_hash: Option<RingHash>,
        /// Maglev's table.
        pub maglev: Option<Maglev>,
        /// Deprecated: use `ringHash.minimumRingSize`.
        pub minimum_ring_size: Option<u64>,
    }

    /// A hash ring.
    pub struct RingHash {
        /// The least number of points on the ring; 1024 without it.
        pub minimum_ring_size: Option<u64>,
    }

    /// Maglev's table.
    pub struct Maglev {
        /// Its size, a prime number; 65537 without it.
        pub table_size: Option<u64>,
    }

    /// A cookie.
    #[schemars(transform = Required(&["name"]))]
    pub struct HttpCookie {
        /// Its name.
        pub name: String,
        /// Its path.
        pub path: Option<String>,
        /// How long it lives; 0s makes it a cookie of the session.
        pub ttl: Option<String>,
        /// More of its attributes.
        pub attributes: Vec<HttpCookieAttribute>,
    }

    /// An attribute of a cookie.
    #[schemars(transform = Required(&["name"]))]
    pub struct HttpCookieAttribute {
        /// Its name.
        pub name: String,
        /// Its value, if it has one.
        pub value: Option<String>,
    }

    /// Prefers near endpoints. Localities are `region/zone/subzone`, with `*` at the end.
    pub struct LocalityLoadBalancer {
        /// Shares of the traffic, by the client's locality.
        pub distribute: Vec<LocalityDistribute>,
        /// Where the traffic goes when a region fails.
        pub failover: Vec<LocalityFailover>,
        /// Labels in order of weight: the more of them client and endpoint share, the sooner it is used.
        pub failover_priority: Vec<String>,
        /// Whether this is in force.
        pub enabled: Option<bool>,
    }

    /// Shares of the traffic of one locality.
    pub struct LocalityDistribute {
        /// The client's locality.
        pub from: Option<String>,
        /// The share of each locality in percent; the sum is 100.
        pub to: BTreeMap<String, u32>,
    }

    /// Where the traffic goes when a region fails.
    pub struct LocalityFailover {
        /// The client's region.
        pub from: Option<String>,
        /// The region that is used instead.
        pub to: Option<String>,
    }

    /// Prefers endpoints of the client's zone.
    pub struct ZoneAwareLoadBalancer {
        /// Whether this is in force.
        pub enabled: Option<bool>,
        /// Where the traffic goes when a region fails.
        pub failover: Vec<LocalityFailover>,
        /// Labels in order of weight: the more of them client and endpoint share, the sooner it is used.
        pub failover_priority: Vec<String>,
        /// With fewer endpoints than this, zones don't matter.
        #[schemars(range(min = 1, max = 4294967295u32))]
        pub min_cluster_size: Option<u32>,
    }

    /// Gives new endpoints little traffic at first.
    #[schemars(transform = Required(&["duration"]))]
    pub struct Warmup {
        /// How long until an endpoint gets its full share.
        #[schemars(schema_with = "schema::duration")]
        pub duration: Option<String>,
        /// The share at the start, in percent of the full share; 10 without it.
        #[schemars(range(min = 0, max = 100))]
        pub minimum_percent: Option<f64>,
        /// The curve's shape: 1 is a line, more starts slower and ends faster.
        #[schemars(range(min = 0))]
        pub aggression: Option<f64>,
    }
}

/// Algorithms that need no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum SimpleLoadBalancer {
    /// The mesh's choice.
    Unspecified,
    /// The old name of [`SimpleLoadBalancer::LeastRequest`].
    LeastConn,
    /// Any endpoint.
    Random,
    /// The address that the client chose.
    Passthrough,
    /// One after the other.
    RoundRobin,
    /// Of two endpoints, the one with fewer requests in hand.
    LeastRequest,
}
