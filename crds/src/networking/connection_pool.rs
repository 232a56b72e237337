//! Limits on connections and requests, for DestinationRule and Sidecar.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema;

api_objects! {
    /// Limits on connections and requests.
    pub struct ConnectionPool {
        /// Limits of every connection.
        pub tcp: Option<TcpSettings>,
        /// Limits of HTTP requests.
        pub http: Option<HttpSettings>,
    }

    /// Limits of every connection.
    pub struct TcpSettings {
        /// How many connections at once.
        #[schemars(range(min = 0, max = 2147483647))]
        pub max_connections: Option<i32>,
        /// How long connecting may take; 10s without it.
        #[schemars(schema_with = "schema::duration")]
        pub connect_timeout: Option<String>,
        /// Keepalive probes of the socket.
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// How long a connection may live.
        #[schemars(schema_with = "schema::duration")]
        pub max_connection_duration: Option<String>,
        /// How long a connection may carry nothing; 0s means without limit.
        pub idle_timeout: Option<String>,
    }

    /// Keepalive probes; what is absent is the system's choice.
    pub struct TcpKeepalive {
        /// How many unanswered probes end the connection.
        #[schemars(range(max = 4294967295u32))]
        pub probes: Option<u32>,
        /// How long a connection is silent before the first probe.
        #[schemars(schema_with = "schema::duration")]
        pub time: Option<String>,
        /// How long between probes.
        #[schemars(schema_with = "schema::duration")]
        pub interval: Option<String>,
    }

    /// Limits of HTTP requests.
    pub struct HttpSettings {
        /// How many requests may wait for a connection.
        #[schemars(range(min = 0, max = 2147483647))]
        pub http1_max_pending_requests: Option<i32>,
        /// How many requests at once.
        #[schemars(range(min = 0, max = 2147483647))]
        pub http2_max_requests: Option<i32>,
        /// How many requests a connection carries before it is closed; 1 turns keepalive off, 0 means any number.
        #[schemars(range(min = 0, max = 2147483647))]
        pub max_requests_per_connection: Option<i32>,
        /// How many retries at once.
        #[schemars(range(min = 0, max = 2147483647))]
        pub max_retries: Option<i32>,
        /// How long a connection may be without a request.
        #[schemars(schema_with = "schema::duration")]
        pub idle_timeout: Option<String>,
        /// Whether HTTP/1.1 becomes HTTP/2 on the way: UPGRADE, DO_NOT_UPGRADE, or DEFAULT for the mesh's choice.
        pub h2_upgrade_policy: Option<H2UpgradePolicy>,
        /// Whether the client's own protocol is kept; overrides `h2UpgradePolicy`.
        pub use_client_protocol: Option<bool>,
        /// How many requests a connection of HTTP/2 carries at once.
        #[schemars(range(min = 0, max = 2147483647))]
        pub max_concurrent_streams: Option<i32>,
        /// Pings that keep connections of HTTP/2 alive.
        pub http2_keep_alive: Option<Http2KeepAlive>,
    }

    /// Pings of HTTP/2.
    pub struct Http2KeepAlive {
        /// How long between pings.
        #[schemars(schema_with = "schema::duration")]
        pub interval: Option<String>,
        /// How long an answer may take before the connection is closed.
        #[schemars(schema_with = "schema::duration")]
        pub timeout: Option<String>,
    }
}

/// Whether HTTP/1.1 becomes HTTP/2 on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum H2UpgradePolicy {
    /// The mesh's choice.
    Default,
    /// Never.
    DoNotUpgrade,
    /// Always.
    Upgrade,
}
