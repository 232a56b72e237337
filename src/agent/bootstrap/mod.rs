//! Envoy's bootstrap: what it knows before it has spoken to pilot. A pure function of [`ProxyFacts`] and [`Ports`].
//!
//! It is written in protobuf's binary form: the JSON form would cost each agent the descriptors of the whole API. Envoy's admin port
//! shows it in JSON (`/config_dump`).

mod clusters;
mod listeners;
mod parts;
#[cfg(test)]
mod tests;

use envoy_api::{
    any,
    envoy::{
        config::{
            bootstrap::v3::{
                Admin, Bootstrap, ClusterManager, LayeredRuntime, RuntimeLayer,
                bootstrap::{DeferredStatOptions, DynamicResources, StaticResources, StatsEviction},
                runtime_layer::LayerSpecifier,
            },
            metrics::v3::{StatsConfig, TagSpecifier, tag_specifier::TagValue},
            overload::v3::{OverloadManager, ResourceMonitor, resource_monitor::ConfigType},
        },
        extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig,
    },
};
use prost_types::{Struct, Value, value::Kind};
use std::net::IpAddr;

use super::{Ports, ProxyFacts};
use crate::model::LOCAL_CLUSTER;
use parts::{aggregated, localhost, seconds, xds_source};

/// Idle series of the proxy's own metrics are dropped after this time; a multiple of [`FLUSH_SECONDS`].
const EVICTION_SECONDS: i64 = 600;
/// How often Envoy completes its histograms.
const FLUSH_SECONDS: i64 = 5;
/// More downstream connections than a proxy of any size serves; without a limit Envoy warns at each start.
const MAX_CONNECTIONS: i64 = 1_000_000;

/// The bootstrap of a pod's proxy.
pub fn bootstrap(facts: &ProxyFacts, ports: &Ports) -> Bootstrap {
    let everywhere = if facts.address().is_some_and(|address| address.is_ipv6()) { "::" } else { "0.0.0.0" };
    let mut clusters = vec![clusters::prometheus_stats(ports), clusters::agent(ports), clusters::sds(), clusters::xds(facts)];
    clusters.extend(facts.discovers_itself().then(clusters::local));
    Bootstrap {
        node: Some(facts.to_node()),
        admin: Some(Admin { address: Some(localhost(ports.admin)), ignore_global_conn_limit: true, ..Admin::default() }),
        static_resources: Some(StaticResources {
            listeners: vec![listeners::metrics(everywhere, ports), listeners::health(everywhere, ports)],
            clusters,
            secrets: vec![],
        }),
        // Where Envoy counts whom else of its kind each zone has, to know how much of the load its own zone must take.
        cluster_manager: facts
            .discovers_itself()
            .then(|| ClusterManager { local_cluster_name: LOCAL_CLUSTER.to_owned(), ..ClusterManager::default() }),
        dynamic_resources: Some(DynamicResources {
            ads_config: Some(xds_source()),
            cds_config: Some(aggregated()),
            lds_config: Some(aggregated()),
            ..DynamicResources::default()
        }),
        // The many statistics of clusters that are never used would be most of a sidecar's memory.
        deferred_stat_options: Some(DeferredStatOptions { enable_deferred_creation_stats: true }),
        stats_config: Some(stats_config()),
        stats_flush_interval: Some(seconds(FLUSH_SECONDS)),
        stats_eviction: Some(StatsEviction::StatsEvictionInterval(seconds(EVICTION_SECONDS))),
        layered_runtime: Some(runtime()),
        overload_manager: Some(overload_manager()),
        ..Bootstrap::default()
    }
}

/// Names of the mesh's clusters hold dots, at the first of which Envoy's own rule would cut them; a `;` ends them in statistics.
/// `cluster_name` is the reference's label, the other one Envoy's.
fn stats_config() -> StatsConfig {
    let tag = |name: &str| TagSpecifier {
        tag_name: name.to_owned(),
        tag_value: Some(TagValue::Regex(r"^cluster\.(([^.;|]+|[^;]+);?\.)".to_owned())),
    };
    StatsConfig {
        stats_tags: vec![tag("cluster_name"), tag("envoy.cluster_name")],
        allow_default_tag_overrides: Some(true),
        ..StatsConfig::default()
    }
}

fn runtime() -> LayeredRuntime {
    let number = |number: f64| Value { kind: Some(Kind::NumberValue(number)) };
    // Users' regular expressions are bounded where they are admitted; Envoy's own bound is lower than what the reference takes.
    let fields = [("re2.max_program_size.error_level".to_owned(), number(32768.0))].into();
    LayeredRuntime {
        layers: vec![
            RuntimeLayer { name: "mesh".to_owned(), layer_specifier: Some(LayerSpecifier::StaticLayer(Struct { fields })) },
            RuntimeLayer { name: "admin".to_owned(), layer_specifier: Some(LayerSpecifier::AdminLayer(Default::default())) },
        ],
    }
}

fn overload_manager() -> OverloadManager {
    let limit = DownstreamConnectionsConfig { max_active_downstream_connections: MAX_CONNECTIONS };
    OverloadManager {
        resource_monitors: vec![ResourceMonitor {
            name: "envoy.resource_monitors.global_downstream_max_connections".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any(&limit))),
        }],
        ..OverloadManager::default()
    }
}

/// Where the agent itself listens, beside a proxy whose main address this is.
pub(super) fn agent_address(address: Option<IpAddr>) -> IpAddr {
    match address {
        Some(IpAddr::V6(_)) => IpAddr::from([0u16; 8]),
        _ => IpAddr::from([0u8; 4]),
    }
}
