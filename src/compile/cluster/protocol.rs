//! Which HTTP a cluster speaks, and how it treats its connections.

use std::time::Duration;

use envoy_api::envoy::{
    config::{
        cluster::v3::{Cluster, UpstreamConnectionOptions},
        common::matcher::v3::{
            HttpHeadersMatch, MatchPredicate,
            match_predicate::{MatchSet, Rule},
        },
        core::v3::{
            self as core, Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as Common, KeepaliveSettings,
            UpstreamHttpProtocolOptions,
        },
        route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier},
    },
    extensions::upstreams::http::v3::{
        HttpProtocolOptions,
        http_protocol_options::{
            ExplicitHttpConfig, OutlierDetection, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
        },
    },
};

use crate::compile::message::{duration, string_matcher};
use crate::model::{ConnectionPool, H2UpgradePolicy, Http2Keepalive, OutlierDetection as Ejection, Protocol, StringMatch, TcpKeepalive};

/// The key under which Envoy looks for these options.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Time between pings of HTTP/2, and how long an answer may take, where the user leaves one of them open.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What is spoken with endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, whatever the request came in.
    Http2,
    /// HTTP in the version of the request.
    AsClient,
    /// No HTTP.
    Bytes,
}

// === impl Spoken ===

impl Spoken {
    /// What is spoken on a port: what it declares, unless the policy says otherwise, or `mesh` where the policy says nothing.
    pub(super) fn of(protocol: Protocol, pool: &ConnectionPool, mesh: H2UpgradePolicy) -> Self {
        let upgrade = pool.h2_upgrade.unwrap_or(protocol.is_http() && mesh == H2UpgradePolicy::Upgrade);
        match protocol {
            _ if !protocol.is_http() && protocol != Protocol::Auto => Self::Bytes,
            _ if pool.use_client_protocol => Self::AsClient,
            _ if protocol.is_http2() || upgrade => Self::Http2,
            Protocol::Auto => Self::AsClient,
            _ => Self::Http1,
        }
    }
}

/// Options for the port of a service; `None` where Envoy's defaults, HTTP/1.1 among them, will do.
pub(super) fn outbound_options(
    spoken: Spoken,
    pool: &ConnectionPool,
    names: Option<UpstreamHttpProtocolOptions>,
    ejection: Option<&Ejection>,
) -> Option<HttpProtocolOptions> {
    let common = common(pool);
    let errors = ejection.filter(|_| spoken != Spoken::Bytes).and_then(|it| errors(&it.error_codes));
    let options = match spoken {
        Spoken::AsClient => downstream_protocol(http2_options(pool)),
        Spoken::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2_options(pool))),
        Spoken::Http1 | Spoken::Bytes if common.is_none() && names.is_none() && errors.is_none() => return None,
        Spoken::Http1 | Spoken::Bytes => explicit(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
    };
    Some(HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_http_protocol_options: names,
        upstream_protocol_options: Some(options),
        outlier_detection: errors,
        ..HttpProtocolOptions::default()
    })
}

/// The answers that count as errors of their endpoint: those with these status codes, beside 5xx. What Envoy is told here stands in the
/// place of what it counts by itself, so that 5xx is among it.
fn errors(codes: &[u16]) -> Option<OutlierDetection> {
    let status = |value: StringMatch| HeaderMatcher {
        name: ":status".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(string_matcher(&value))),
        ..HeaderMatcher::default()
    };
    let others = codes.iter().filter(|code| !(500..600).contains(*code)).map(|code| StringMatch::Exact(code.to_string().into()));
    let rule = |value| {
        let headers = HttpHeadersMatch { headers: vec![status(value)] };
        MatchPredicate { rule: Some(Rule::HttpResponseHeadersMatch(headers)) }
    };
    let rules: Vec<_> = [StringMatch::Regex("5..".into())].into_iter().chain(others).map(rule).collect();
    let error_matcher = Some(MatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) });
    // One rule alone is what Envoy counts by itself.
    (codes.iter().any(|code| !(500..600).contains(code))).then_some(OutlierDetection { error_matcher })
}

/// Options for a port of the workload's own: HTTP/2, or the version in which the request came.
pub(super) fn inbound_options(http2: bool, pool: &ConnectionPool) -> HttpProtocolOptions {
    let options = match http2 {
        true => explicit(ProtocolConfig::Http2ProtocolOptions(http2_options(pool))),
        false => downstream_protocol(http2_options(pool)),
    };
    HttpProtocolOptions {
        common_http_protocol_options: common(pool),
        upstream_protocol_options: Some(options),
        ..HttpProtocolOptions::default()
    }
}

/// How long connections live; `None` where nobody says so.
fn common(pool: &ConnectionPool) -> Option<Common> {
    let common = Common {
        // That of all connections holds for those of HTTP, too.
        idle_timeout: pool.idle_timeout.or(pool.tcp_idle_timeout).map(duration),
        // In the API, 0 is no limit; Envoy would refuse it.
        max_requests_per_connection: pool.max_requests_per_connection.filter(|limit| *limit > 0),
        max_connection_duration: pool.max_connection_duration.map(duration),
        ..Common::default()
    };
    (common != Common::default()).then_some(common)
}

fn http2_options(pool: &ConnectionPool) -> Http2ProtocolOptions {
    let pings = |pings: &Http2Keepalive| KeepaliveSettings {
        interval: Some(duration(pings.interval.unwrap_or(PING_INTERVAL))),
        timeout: Some(duration(pings.timeout.unwrap_or(PING_TIMEOUT))),
        ..KeepaliveSettings::default()
    };
    Http2ProtocolOptions {
        max_concurrent_streams: pool.max_concurrent_streams,
        connection_keepalive: pool.http2_keepalive.as_ref().map(pings),
        ..Http2ProtocolOptions::default()
    }
}

/// Keepalive probes of a cluster's sockets. Envoy counts in seconds.
pub(super) fn keepalive(probes: &TcpKeepalive) -> UpstreamConnectionOptions {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let keepalive = core::TcpKeepalive {
        keepalive_probes: probes.probes,
        keepalive_time: probes.time.map(seconds),
        keepalive_interval: probes.interval.map(seconds),
    };
    UpstreamConnectionOptions { tcp_keepalive: Some(keepalive), ..UpstreamConnectionOptions::default() }
}

/// The version of HTTP in which the request came.
pub(super) fn as_downstream() -> HttpProtocolOptions {
    inbound_options(false, &ConnectionPool::default())
}

/// Gives a cluster its options.
pub(super) fn set(cluster: &mut Cluster, options: Option<HttpProtocolOptions>) {
    let options = options.map(|options| (KEY.to_owned(), envoy_api::any(&options)));
    cluster.typed_extension_protocol_options.extend(options);
}

fn downstream_protocol(http2: Http2ProtocolOptions) -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(http2),
        ..UseDownstreamHttpConfig::default()
    })
}

fn explicit(config: ProtocolConfig) -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) })
}
