//! Which HTTP a cluster speaks, and how it treats its connections.

use envoy_api::envoy::{
    config::{
        cluster::v3::Cluster,
        core::v3::{Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as Common, UpstreamHttpProtocolOptions},
    },
    extensions::upstreams::http::v3::{
        HttpProtocolOptions,
        http_protocol_options::{
            ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
        },
    },
};

use crate::compile::message::duration;
use crate::model::{ConnectionPool, Protocol};

/// The key under which Envoy looks for these options.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Options for the port of a service; `None` where Envoy's defaults, HTTP/1.1 among them, will do.
pub(super) fn outbound_options(
    protocol: Protocol,
    pool: &ConnectionPool,
    names: Option<UpstreamHttpProtocolOptions>,
) -> Option<HttpProtocolOptions> {
    let common = (pool.idle_timeout.is_some() || pool.max_requests_per_connection.is_some()).then(|| Common {
        idle_timeout: pool.idle_timeout.map(duration),
        // In the API, 0 is no limit; Envoy would refuse it.
        max_requests_per_connection: pool.max_requests_per_connection.filter(|limit| *limit > 0),
        ..Common::default()
    });
    let spoken = match protocol {
        Protocol::Auto => downstream_protocol(),
        _ if protocol.is_http2() => http2_protocol(),
        _ if common.is_none() && names.is_none() => return None,
        _ => http1_protocol(),
    };
    Some(HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_http_protocol_options: names,
        upstream_protocol_options: Some(spoken),
        ..HttpProtocolOptions::default()
    })
}

/// The version of HTTP in which the request came.
pub(super) fn as_downstream() -> HttpProtocolOptions {
    HttpProtocolOptions { upstream_protocol_options: Some(downstream_protocol()), ..HttpProtocolOptions::default() }
}

/// HTTP/2 whatever the request came in.
pub(super) fn http2() -> HttpProtocolOptions {
    HttpProtocolOptions { upstream_protocol_options: Some(http2_protocol()), ..HttpProtocolOptions::default() }
}

/// Gives a cluster its options.
pub(super) fn set(cluster: &mut Cluster, options: Option<HttpProtocolOptions>) {
    let options = options.map(|options| (KEY.to_owned(), envoy_api::any(&options)));
    cluster.typed_extension_protocol_options.extend(options);
}

fn downstream_protocol() -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(Http2ProtocolOptions::default()),
        ..UseDownstreamHttpConfig::default()
    })
}

fn http1_protocol() -> UpstreamProtocolOptions {
    explicit(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()))
}

fn http2_protocol() -> UpstreamProtocolOptions {
    explicit(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()))
}

fn explicit(config: ProtocolConfig) -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) })
}
