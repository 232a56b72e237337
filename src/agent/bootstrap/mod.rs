//! Envoy's bootstrap: what it knows before it has spoken to pilot. A pure function of [`ProxyFacts`] and [`Ports`].
//!
//! It is written in protobuf's binary form: the JSON form would cost each agent the descriptors of the whole API. Envoy's admin port
//! shows it in JSON (`/config_dump`).

mod clusters;
mod listeners;
mod parts;
mod statistics;
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

/// More downstream connections than a proxy of any size serves; without a limit Envoy warns at each start.
const MAX_CONNECTIONS: i64 = 1_000_000;

/// The bootstrap of a pod's proxy.
pub fn bootstrap(facts: &ProxyFacts, ports: &Ports) -> Bootstrap {
    let everywhere = if facts.address().is_some_and(|address| address.is_ipv6()) { "::" } else { "0.0.0.0" };
    let mut clusters = vec![clusters::prometheus_stats(ports), clusters::agent(ports), clusters::sds(), clusters::xds(facts)];
    clusters.extend(facts.discovers_itself().then(clusters::local));
    let (flush, eviction) = statistics::intervals(&facts.statistics);
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
        stats_config: Some(statistics::config(&facts.statistics)),
        stats_flush_interval: Some(seconds(flush)),
        stats_eviction: Some(StatsEviction::StatsEvictionInterval(seconds(eviction))),
        layered_runtime: Some(runtime()),
        overload_manager: Some(overload_manager()),
        ..Bootstrap::default()
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
