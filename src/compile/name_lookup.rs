//! Names that the proxy looks up as requests and connections ask for them: hosts of ServiceEntries with resolution DYNAMIC_DNS. Cluster and
//! filters share one cache by its name, so all of them must describe it alike.

use envoy_api::envoy::{
    config::{
        cluster::v3::cluster::{CustomClusterType, DnsLookupFamily},
        listener::v3::Filter,
    },
    extensions::{
        clusters::dynamic_forward_proxy::v3::{ClusterConfig, cluster_config::ClusterImplementationSpecifier},
        common::dynamic_forward_proxy::v3::DnsCacheConfig,
        filters::{
            http::dynamic_forward_proxy::v3::{FilterConfig as HttpLookup, filter_config::ImplementationSpecifier},
            network::{
                http_connection_manager::v3::{HttpFilter, http_filter},
                sni_dynamic_forward_proxy::v3::{FilterConfig as TlsLookup, filter_config::PortSpecifier},
            },
        },
    },
};

use super::{
    message::{duration, network_filter},
    scope::Scope,
};

/// The cache's name.
const CACHE: &str = "dynamic_dns";

fn cache(scope: &Scope<'_>) -> DnsCacheConfig {
    DnsCacheConfig {
        name: CACHE.to_owned(),
        dns_lookup_family: DnsLookupFamily::V4Only.into(),
        dns_refresh_rate: Some(duration(scope.dns_refresh())),
        ..DnsCacheConfig::default()
    }
}

/// The type of clusters that lead to whatever host was looked up.
pub(super) fn cluster_type(scope: &Scope<'_>) -> CustomClusterType {
    let config = ClusterConfig {
        // Whose names are checked is what the policy for the host says, as with every other cluster.
        allow_insecure_cluster_options: true,
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(cache(scope))),
        ..ClusterConfig::default()
    };
    CustomClusterType { name: "envoy.clusters.dynamic_forward_proxy".to_owned(), typed_config: Some(envoy_api::any(&config)) }
}

/// The filter that looks up the host of a request, should its route lead to such a cluster.
pub(super) fn of_requests(scope: &Scope<'_>) -> HttpFilter {
    let config =
        HttpLookup { implementation_specifier: Some(ImplementationSpecifier::DnsCacheConfig(cache(scope))), ..HttpLookup::default() };
    let config_type = Some(http_filter::ConfigType::TypedConfig(envoy_api::any(&config)));
    HttpFilter { name: "envoy.filters.http.dynamic_forward_proxy".to_owned(), config_type, ..HttpFilter::default() }
}

/// The filter that looks up the name for which a TLS connection asks; `port` is the host's.
pub(super) fn of_connections(scope: &Scope<'_>, port: u16) -> Filter {
    let port_specifier = Some(PortSpecifier::PortValue(port.into()));
    let config = TlsLookup { dns_cache_config: Some(cache(scope)), port_specifier, ..TlsLookup::default() };
    network_filter("envoy.filters.network.sni_dynamic_forward_proxy", &config)
}

impl Scope<'_> {
    /// Whether any host that is called on that port, or on any, may have to be looked up for each request.
    pub(super) fn looks_names_up(&self, port: Option<u16>) -> bool {
        let services = self.dynamic_services();
        services.into_iter().any(|service| port.is_none_or(|port| service.port(port).is_some_and(|port| port.protocol.is_http())))
    }
}
