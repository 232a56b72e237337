//! `connectionPool`, for DestinationRule and Sidecar.

use ferromesh_crds::networking::connection_pool::{ConnectionPool, H2UpgradePolicy, HttpSettings, TcpSettings};

use super::path::At;
use super::problem::Code;
use super::reading::Reading;
use crate::model;

// === impl Reading: connection pools ===

impl Reading<'_> {
    /// Limits of connections and requests.
    pub(super) fn connection_pool(&mut self, at: &At<'_>, pool: &ConnectionPool) -> model::ConnectionPool {
        if pool.tcp.is_none() && pool.http.is_none() {
            self.error(at, Code::Required, "one of tcp and http is needed");
        }
        let mut parsed = model::ConnectionPool::default();
        if let Some(tcp) = &pool.tcp {
            self.tcp_settings(&at.field("tcp"), tcp, &mut parsed);
        }
        if let Some(http) = &pool.http {
            self.http_settings(&at.field("http"), http, &mut parsed);
        }
        parsed
    }

    /// A limit; 0 means the proxy's default, as in protobuf.
    fn limit(&mut self, at: &At<'_>, limit: Option<i32>) -> Option<u32> {
        self.count(at, limit).filter(|limit| *limit > 0)
    }

    fn tcp_settings(&mut self, at: &At<'_>, tcp: &TcpSettings, parsed: &mut model::ConnectionPool) {
        parsed.max_connections = self.limit(&at.field("maxConnections"), tcp.max_connections);
        parsed.connect_timeout = self.duration(&at.field("connectTimeout"), tcp.connect_timeout.as_deref());
        parsed.max_connection_duration = self.duration(&at.field("maxConnectionDuration"), tcp.max_connection_duration.as_deref());
        parsed.tcp_idle_timeout = tcp.idle_timeout.as_deref().and_then(|text| self.any_duration(&at.field("idleTimeout"), text));
        parsed.tcp_keepalive = tcp.tcp_keepalive.as_ref().map(|keepalive| {
            let at = at.field("tcpKeepalive");
            model::TcpKeepalive {
                probes: keepalive.probes.filter(|probes| *probes > 0),
                time: self.duration(&at.field("time"), keepalive.time.as_deref()),
                interval: self.duration(&at.field("interval"), keepalive.interval.as_deref()),
            }
        });
    }

    fn http_settings(&mut self, at: &At<'_>, http: &HttpSettings, parsed: &mut model::ConnectionPool) {
        parsed.http1_max_pending_requests = self.limit(&at.field("http1MaxPendingRequests"), http.http1_max_pending_requests);
        parsed.http2_max_requests = self.limit(&at.field("http2MaxRequests"), http.http2_max_requests);
        parsed.max_requests_per_connection = self.limit(&at.field("maxRequestsPerConnection"), http.max_requests_per_connection);
        parsed.max_retries = self.limit(&at.field("maxRetries"), http.max_retries);
        parsed.idle_timeout = self.duration(&at.field("idleTimeout"), http.idle_timeout.as_deref());
        parsed.max_concurrent_streams = self.limit(&at.field("maxConcurrentStreams"), http.max_concurrent_streams);
        parsed.h2_upgrade = match http.h2_upgrade_policy {
            None | Some(H2UpgradePolicy::Default) => None,
            Some(H2UpgradePolicy::DoNotUpgrade) => Some(false),
            Some(H2UpgradePolicy::Upgrade) => Some(true),
        };
        parsed.use_client_protocol = http.use_client_protocol.unwrap_or_default();
        if http.h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade) && http.use_client_protocol == Some(true) {
            self.error(at, Code::Conflict, "h2UpgradePolicy: UPGRADE and useClientProtocol exclude each other");
        }
        parsed.http2_keepalive = http.http2_keep_alive.as_ref().map(|keepalive| {
            let at = at.field("http2KeepAlive");
            model::Http2Keepalive {
                interval: self.duration(&at.field("interval"), keepalive.interval.as_deref()),
                timeout: self.duration(&at.field("timeout"), keepalive.timeout.as_deref()),
            }
        });
    }
}
