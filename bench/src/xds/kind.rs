//! The kinds of resources that a proxy subscribes to, and what Envoy reads in them of others.

use anyhow::Context;
use envoy_api::envoy::{
    config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType},
        },
        listener::v3::{Listener, filter::ConfigType},
        route::v3::RouteConfiguration,
    },
    extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, http_connection_manager::RouteSpecifier},
};
use prost::Message;

/// In the order in which a proxy that starts asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Clusters,
    Endpoints,
    Listeners,
    Routes,
    /// Virtual hosts that are sent apart from their tables.
    Hosts,
}

// === impl Kind ===

impl Kind {
    /// How many kinds there are.
    pub(super) const COUNT: usize = 5;
    pub(super) const ALL: [Self; Self::COUNT] = [Self::Clusters, Self::Endpoints, Self::Listeners, Self::Routes, Self::Hosts];

    pub(super) const fn type_url(self) -> &'static str {
        match self {
            Self::Clusters => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listeners => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Hosts => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        }
    }

    /// The kind of a type URL; none for one that a proxy of this program does not ask for.
    pub(super) fn of(type_url: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url().as_bytes() == type_url)
    }

    /// Whether its resources say which ones of another kind the proxy has to ask for.
    pub(super) fn names_others(self) -> bool {
        matches!(self, Self::Clusters | Self::Listeners | Self::Routes)
    }

    /// Whether a proxy asks for all of it by the name `*`.
    pub(super) fn is_asked_for_as_a_whole(self) -> bool {
        matches!(self, Self::Clusters | Self::Listeners)
    }

    /// The resources of another kind that one of this kind makes a proxy ask for: the endpoints of a cluster, the route tables of a
    /// listener; of a table itself, if its hosts are sent apart from it.
    ///
    /// # Errors
    /// When the body is not what the kind says.
    pub(super) fn names_in(self, body: &[u8]) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Clusters => Ok(endpoints_of(Cluster::decode(body).context("malformed cluster")?)),
            Self::Listeners => tables_of(Listener::decode(body).context("malformed listener")?),
            Self::Routes => {
                let table = RouteConfiguration::decode(body).context("malformed route table")?;
                Ok(table.vhds.map(|_| table.name).into_iter().collect())
            }
            Self::Endpoints | Self::Hosts => Ok(Vec::new()),
        }
    }
}

fn endpoints_of(cluster: Cluster) -> Vec<String> {
    let eds = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32));
    if cluster.cluster_discovery_type != eds {
        return Vec::new();
    }
    let name = cluster.eds_cluster_config.map(|config| config.service_name).filter(|name| !name.is_empty());
    vec![name.unwrap_or(cluster.name)]
}

fn tables_of(listener: Listener) -> anyhow::Result<Vec<String>> {
    let mut tables = Vec::new();
    for filter in listener.filter_chains.into_iter().chain(listener.default_filter_chain).flat_map(|chain| chain.filters) {
        let Some(ConfigType::TypedConfig(any)) = filter.config_type else { continue };
        if !any.type_url.ends_with("http_connection_manager.v3.HttpConnectionManager") {
            continue;
        }
        let manager = HttpConnectionManager::decode(any.value.as_slice()).context("malformed connection manager")?;
        if let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier {
            tables.push(rds.route_config_name);
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_api::envoy::{
        config::{
            cluster::v3::cluster::EdsClusterConfig,
            endpoint::v3::ClusterLoadAssignment,
            listener::v3::{Filter, FilterChain},
            route::v3::{Vhds, VirtualHost},
        },
        extensions::filters::network::http_connection_manager::v3::Rds,
    };

    #[test]
    fn kinds_have_the_urls_of_the_published_api() {
        let urls = [
            envoy_api::type_url::<Cluster>(),
            envoy_api::type_url::<ClusterLoadAssignment>(),
            envoy_api::type_url::<Listener>(),
            envoy_api::type_url::<RouteConfiguration>(),
            envoy_api::type_url::<VirtualHost>(),
        ];
        assert_eq!(Kind::ALL.map(Kind::type_url).map(str::to_owned), urls);
        assert_eq!(Kind::of(urls[3].as_bytes()), Some(Kind::Routes));
        assert_eq!(Kind::of(b"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"), None);
    }

    #[test]
    fn a_table_whose_hosts_are_sent_apart_says_so() {
        let whole = RouteConfiguration { name: "80".to_owned(), ..RouteConfiguration::default() };
        assert!(Kind::Routes.names_in(&whole.encode_to_vec()).unwrap().is_empty());
        let split = RouteConfiguration { vhds: Some(Vhds::default()), ..whole };
        assert_eq!(Kind::Routes.names_in(&split.encode_to_vec()).unwrap(), ["80"]);
    }

    fn cluster(kind: DiscoveryType, service_name: &str) -> Vec<u8> {
        Cluster {
            name: "c".to_owned(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
            eds_cluster_config: Some(EdsClusterConfig { service_name: service_name.to_owned(), ..Default::default() }),
            ..Cluster::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn a_cluster_names_its_endpoints() {
        assert_eq!(Kind::Clusters.names_in(&cluster(DiscoveryType::Eds, "s")).unwrap(), ["s"]);
        assert_eq!(Kind::Clusters.names_in(&cluster(DiscoveryType::Eds, "")).unwrap(), ["c"]);
        assert!(Kind::Clusters.names_in(&cluster(DiscoveryType::StrictDns, "s")).unwrap().is_empty());
        assert!(Kind::Clusters.names_in(b"\xff").is_err());
    }

    #[test]
    fn a_listener_names_the_route_tables_of_all_its_chains() {
        let chain = |table: &str| {
            let rds = Rds { route_config_name: table.to_owned(), ..Rds::default() };
            let manager = HttpConnectionManager { route_specifier: Some(RouteSpecifier::Rds(rds)), ..HttpConnectionManager::default() };
            let http = Filter { config_type: Some(ConfigType::TypedConfig(envoy_api::any(&manager))), ..Filter::default() };
            FilterChain { filters: vec![Filter::default(), http], ..FilterChain::default() }
        };
        let listener =
            Listener { filter_chains: vec![chain("80"), chain("8080")], default_filter_chain: Some(chain("any")), ..Listener::default() };
        assert_eq!(Kind::Listeners.names_in(&listener.encode_to_vec()).unwrap(), ["80", "8080", "any"]);
    }
}
