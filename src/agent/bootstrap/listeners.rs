//! The two static listeners: Envoy's metrics and the pod's health. Each answers one path.

use envoy_api::{
    any,
    envoy::{
        config::{
            listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
            route::v3::{
                Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action, route_action::ClusterSpecifier,
                route_match::PathSpecifier,
            },
        },
        extensions::filters::{
            http::router::v3::Router,
            network::http_connection_manager::v3::{
                HttpConnectionManager, HttpFilter, http_connection_manager::RouteSpecifier, http_filter::ConfigType as HttpConfigType,
            },
        },
    },
};

use super::parts::{AGENT_CLUSTER, STATS_CLUSTER, seconds, socket};
use crate::agent::Ports;

/// Envoy's own metrics, unmerged.
pub(super) fn metrics(address: &str, ports: &Ports) -> Listener {
    one_path("metrics", address, ports.metrics, "/stats/prometheus", STATS_CLUSTER)
}

/// The kubelet's probe. It goes through Envoy, so that a proxy whose workers hang is not ready.
pub(super) fn health(address: &str, ports: &Ports) -> Listener {
    one_path("health", address, ports.health, "/healthz/ready", AGENT_CLUSTER)
}

fn one_path(name: &str, address: &str, port: u16, path: &str, cluster: &str) -> Listener {
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Path(path.to_owned())), ..RouteMatch::default() }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
            timeout: Some(seconds(15)),
            ..RouteAction::default()
        })),
        ..Route::default()
    };
    let host = VirtualHost { name: name.to_owned(), domains: vec!["*".to_owned()], routes: vec![route], ..VirtualHost::default() };
    let manager = HttpConnectionManager {
        stat_prefix: name.to_owned(),
        route_specifier: Some(RouteSpecifier::RouteConfig(RouteConfiguration {
            name: name.to_owned(),
            virtual_hosts: vec![host],
            ..RouteConfiguration::default()
        })),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(HttpConfigType::TypedConfig(any(&Router::default()))),
            ..HttpFilter::default()
        }],
        ..HttpConnectionManager::default()
    };
    let filter = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&manager))),
    };
    Listener {
        name: name.to_owned(),
        // So that the agent can tell its own listeners from those of the workload.
        stat_prefix: name.to_owned(),
        address: Some(socket(address, port)),
        filter_chains: vec![FilterChain { filters: vec![filter], ..FilterChain::default() }],
        // They say whether the pod is alive when the proxy has more connections than it takes.
        ignore_global_conn_limit: true,
        ..Listener::default()
    }
}
