//! Recipes: one for each resource that may be compiled, named by what it is about.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    cluster,
    credentials::{self, SecretSource},
    endpoints,
    gateways::{GatewayPort, Handling, Server, servers},
    listener,
    naming::ClusterKey,
    resource::Draft,
    route,
    scope::Scope,
    section::SectionKind,
    workload_ports::workload_ports,
};
use crate::model::{ObjectRef, ServiceKey};

/// What is to be compiled. The key under which outcomes are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Recipe {
    /// The cluster for whatever nobody declared.
    PassthroughCluster,
    /// The cluster without endpoints.
    BlackHoleCluster,
    /// The cluster of a service's port.
    OutboundCluster(ClusterKey),
    /// The cluster of a port of the workload.
    InboundCluster(u16),
    /// The cluster of the workload's other ports.
    InboundPassthroughCluster,
    /// The endpoints of a service's port.
    Endpoints(ClusterKey),
    /// The listener for all that the application calls.
    VirtualOutbound,
    /// The listener of a port that the application calls, at any address.
    PortListener(u16),
    /// The listener of one address and port of a service.
    AddressListener {
        /// The service.
        service: ServiceKey,
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The listener for all that calls the application.
    VirtualInbound,
    /// The routes of a port that the application calls.
    PortRoutes(u16),
    /// The routes of a service's port that does not say what it speaks.
    SniffedRoutes(ServiceKey, u16),
    /// A certificate with its key, or authorities, and the objects that ask for it.
    Secret(SecretSource, Vec<ObjectRef>),
    /// The cluster to which a gateway passes connections to a service's port on unopened.
    PassedOnCluster(ClusterKey),
    /// Its endpoints.
    PassedOnEndpoints(ClusterKey),
    /// The listener of a gateway's port.
    GatewayListener(GatewayPort),
    /// The routes of a gateway's port for HTTP in plain text.
    GatewayRoutes(GatewayPort),
    /// The routes of a Gateway's server for HTTP in TLS, by their table's name.
    HttpsRoutes(ObjectRef, Arc<str>),
}

impl Recipe {
    /// The recipes of a section, as far as the proxy is concerned.
    pub(super) fn of_section(kind: SectionKind, scope: &Scope<'_>) -> Vec<Self> {
        match kind {
            SectionKind::OutboundClusters => {
                let services = cluster::outbound_keys(scope).into_iter().map(Self::OutboundCluster);
                [Self::PassthroughCluster, Self::BlackHoleCluster].into_iter().chain(services).collect()
            }
            SectionKind::InboundClusters => {
                let ports = workload_ports(scope).into_keys().map(Self::InboundCluster);
                [Self::InboundPassthroughCluster].into_iter().chain(ports).collect()
            }
            SectionKind::OutboundEndpoints => cluster::outbound_keys(scope).into_iter().map(Self::Endpoints).collect(),
            SectionKind::OutboundListeners => listener::outbound_recipes(scope),
            SectionKind::InboundListeners => vec![Self::VirtualInbound],
            SectionKind::OutboundRoutes => outbound_routes(scope).into_iter().collect(),
            SectionKind::Secrets => credentials::wanted(scope).into_iter().map(|(source, objects)| Self::Secret(source, objects)).collect(),
            SectionKind::PassedOnClusters => cluster::all_passed_on_keys(scope).into_iter().map(Self::PassedOnCluster).collect(),
            SectionKind::PassedOnEndpoints => cluster::all_passed_on_keys(scope).into_iter().map(Self::PassedOnEndpoints).collect(),
            SectionKind::GatewayListeners => servers(scope).into_keys().map(Self::GatewayListener).collect(),
            SectionKind::GatewayRoutes => {
                let all = servers(scope).into_iter().flat_map(|(port, servers)| servers.into_iter().map(move |it| (port.clone(), it)));
                all.filter_map(|(port, server)| Self::of_routes(port, &server)).collect()
            }
        }
    }

    /// The routes of a gateway's server, if it serves HTTP.
    fn of_routes(port: GatewayPort, server: &Server<'_>) -> Option<Self> {
        let table = server.route_table(&port)?;
        Some(match server.handling {
            Handling::Https(_) => Self::HttpsRoutes(server.gateway.origin.clone(), table),
            _ => Self::GatewayRoutes(port),
        })
    }

    /// Compiles it; `None` where the mesh, as the proxy sees it, yields nothing.
    pub(super) fn compile(&self, scope: &Scope<'_>) -> Option<Draft> {
        match self {
            Self::PassthroughCluster => Some(cluster::passthrough(scope)),
            Self::BlackHoleCluster => Some(cluster::black_hole(scope)),
            Self::OutboundCluster(key) => cluster::outbound(scope, key),
            Self::InboundCluster(port) => cluster::inbound(scope, *port),
            Self::InboundPassthroughCluster => Some(cluster::inbound_passthrough(scope)),
            Self::Endpoints(key) => endpoints::assignment(scope, key),
            Self::VirtualOutbound => Some(listener::virtual_outbound(scope)),
            Self::PortListener(port) => listener::of_port(scope, *port),
            Self::AddressListener { service, address, port } => listener::of_address(scope, service, *address, *port),
            Self::VirtualInbound => Some(listener::virtual_inbound(scope)),
            Self::PortRoutes(port) => Some(route::of_port(scope, *port)),
            Self::SniffedRoutes(service, port) => route::sniffed(scope, service, *port),
            Self::Secret(source, objects) => credentials::secret(scope, source, objects),
            Self::PassedOnCluster(key) => cluster::passed_on(scope, key),
            Self::PassedOnEndpoints(key) => endpoints::passed_on(scope, key),
            Self::GatewayListener(port) => listener::gateway(scope, port),
            Self::GatewayRoutes(port) => route::of_gateway_port(scope, port),
            Self::HttpsRoutes(gateway, table) => route::of_https_server(scope, gateway, table),
        }
    }
}

/// The route tables that the application's listeners ask for.
fn outbound_routes(scope: &Scope<'_>) -> BTreeSet<Recipe> {
    let mut recipes = BTreeSet::new();
    for service in scope.visible_services() {
        for port in &service.ports {
            if listener::takes_plain_http(service, port) {
                recipes.insert(Recipe::PortRoutes(port.number));
            }
            if listener::has_sniffed_routes(service, port) {
                recipes.insert(Recipe::SniffedRoutes(service.key.clone(), port.number));
            }
        }
    }
    recipes
}
