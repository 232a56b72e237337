//! Recipes: one for each resource that may be compiled, named by what it is about.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    cluster,
    credentials::{self, SecretSource},
    endpoints, extension,
    gateways::{GatewayPort, Handling, Server, servers},
    grpc::GrpcRecipe,
    listener, names,
    naming::ClusterKey,
    patch::{self, PatchKey},
    remote::{Remote, remote, remotes},
    resource::Draft,
    route::{self, HostKey, Table},
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
    /// The workloads of the proxy's own service.
    LocalEndpoints,
    /// The listener for all that the application calls.
    VirtualOutbound,
    /// The listener of a port that the application calls, at an address that is no service's own: any, or what the Sidecar says.
    PortListener {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The listener of a Unix socket that the application calls.
    SocketListener(Arc<str>),
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
    /// The listener of one of the workload's ports that others call themselves, not being redirected.
    IngressListener(u16),
    /// The routes of a port that the application calls.
    PortRoutes(u16),
    /// The routes of a service's port that does not say what it speaks.
    SniffedRoutes(ServiceKey, u16),
    /// The routes of a Unix socket that the application calls.
    SocketRoutes(Arc<str>),
    /// A virtual host of one of these tables, for proxies that take them one by one.
    Host(HostKey),
    /// The addresses of a service's host, for the agent.
    Name(ServiceKey),
    /// The same of a pod of a headless Service, by the first part of its name.
    PodName(ServiceKey, Arc<str>),
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
    /// The cluster of a server from which something is fetched.
    Remote(Remote),
    /// What a gRPC library gets.
    Grpc(GrpcRecipe),
    /// A resource that a user adds. The last, because what the mesh makes itself under its name goes before it.
    Added(PatchKey),
}

impl Recipe {
    /// The recipes of a section, as far as the proxy is concerned.
    pub(super) fn of_section(kind: SectionKind, scope: &Scope<'_>) -> Vec<Self> {
        let mut recipes = Self::of_mesh(kind, scope);
        if kind.takes_additions() {
            recipes.extend(patch::recipes(scope, kind.resource_type(), kind.is_inbound()));
        }
        recipes
    }

    fn of_mesh(kind: SectionKind, scope: &Scope<'_>) -> Vec<Self> {
        match kind {
            SectionKind::OutboundClusters => {
                let services = cluster::outbound_keys(scope).into_iter().map(Self::OutboundCluster);
                [Self::PassthroughCluster, Self::BlackHoleCluster].into_iter().chain(services).collect()
            }
            SectionKind::InboundClusters => {
                let ports = workload_ports(scope).into_keys().map(Self::InboundCluster);
                [Self::InboundPassthroughCluster].into_iter().chain(ports).collect()
            }
            SectionKind::Remotes => remotes(scope).into_iter().map(Self::Remote).collect(),
            SectionKind::OutboundEndpoints => {
                let own = scope.discovers_itself().then_some(Self::LocalEndpoints);
                own.into_iter().chain(cluster::outbound_keys(scope).into_iter().map(Self::Endpoints)).collect()
            }
            SectionKind::OutboundListeners => listener::outbound_recipes(scope),
            SectionKind::InboundListeners => {
                let opened = workload_ports(scope).into_iter().filter(|(_, port)| port.is_opened(scope));
                [Self::VirtualInbound].into_iter().chain(opened.map(|(number, _)| Self::IngressListener(number))).collect()
            }
            SectionKind::OutboundRoutes => outbound_routes(scope).into_iter().collect(),
            SectionKind::OutboundHosts => outbound_hosts(scope),
            SectionKind::Names => {
                let pods = names::named_pods(scope).into_iter().map(|(key, hostname)| Self::PodName(key, hostname));
                names::named(scope).cloned().map(Self::Name).chain(pods).collect()
            }
            SectionKind::Secrets => credentials::wanted(scope).into_iter().map(|(source, objects)| Self::Secret(source, objects)).collect(),
            SectionKind::PassedOnClusters => cluster::all_passed_on_keys(scope).into_iter().map(Self::PassedOnCluster).collect(),
            SectionKind::PassedOnEndpoints => cluster::all_passed_on_keys(scope).into_iter().map(Self::PassedOnEndpoints).collect(),
            SectionKind::GatewayListeners => servers(scope).into_keys().map(Self::GatewayListener).collect(),
            SectionKind::GatewayRoutes => {
                let all = servers(scope).into_iter().flat_map(|(port, servers)| servers.into_iter().map(move |it| (port.clone(), it)));
                all.filter_map(|(port, server)| Self::of_routes(port, &server)).collect()
            }
            SectionKind::Grpc(section) => section.recipes(scope).into_iter().map(Self::Grpc).collect(),
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

    /// The table whose hosts are sent one by one to proxies that take them so.
    pub(super) fn split_table(&self) -> Option<Table> {
        match self {
            Self::PortRoutes(port) => Some(Table::Port(*port)),
            Self::SocketRoutes(path) => Some(Table::Socket(path.clone())),
            _ => None,
        }
    }

    /// Whether it is about traffic that comes to the workload.
    pub(super) fn is_inbound(&self) -> bool {
        matches!(self, Self::InboundCluster(_) | Self::InboundPassthroughCluster | Self::VirtualInbound)
    }

    /// Compiles it; `None` where the mesh, as the proxy sees it, yields nothing, or users want nothing.
    pub(super) fn compile(&self, scope: &Scope<'_>) -> Option<Draft> {
        match self {
            Self::Added(key) => patch::added(scope, key),
            // Users' patches and code are Envoy's.
            Self::Grpc(recipe) => recipe.draft(scope),
            // Users know a host by what it is called in its table, so that comes before the name of the resource is written.
            Self::Host(key) => patch::patched_host(scope, key.table(), key.host(scope)?).map(|host| key.draft(host)),
            _ => patch::patched(scope, self, extension::extended(scope, self.is_inbound(), self.draft(scope)?)),
        }
    }

    fn draft(&self, scope: &Scope<'_>) -> Option<Draft> {
        match self {
            Self::PassthroughCluster => Some(cluster::passthrough(scope)),
            Self::BlackHoleCluster => Some(cluster::black_hole(scope)),
            Self::OutboundCluster(key) => cluster::outbound(scope, key),
            Self::InboundCluster(port) => cluster::inbound(scope, *port),
            Self::InboundPassthroughCluster => Some(cluster::inbound_passthrough(scope)),
            Self::Endpoints(key) => endpoints::assignment(scope, key),
            Self::LocalEndpoints => Some(endpoints::local(scope)),
            Self::VirtualOutbound => Some(listener::virtual_outbound(scope)),
            Self::PortListener { address, port } => listener::of_port(scope, *address, *port),
            Self::SocketListener(path) => Some(listener::of_socket(scope, path)),
            Self::AddressListener { service, address, port } => listener::of_address(scope, service, *address, *port),
            Self::VirtualInbound => Some(listener::virtual_inbound(scope)),
            Self::IngressListener(port) => listener::ingress(scope, *port),
            Self::PortRoutes(_) | Self::SocketRoutes(_) => self.split_table().map(|table| route::of_table(scope, &table)),
            Self::SniffedRoutes(service, port) => route::sniffed(scope, service, *port),
            Self::Name(key) => names::name(scope, key),
            Self::PodName(key, hostname) => names::pod(scope, key, hostname),
            Self::Secret(source, objects) => credentials::secret(scope, source, objects),
            Self::PassedOnCluster(key) => cluster::passed_on(scope, key),
            Self::PassedOnEndpoints(key) => endpoints::passed_on(scope, key),
            Self::GatewayListener(port) => listener::gateway(scope, port),
            Self::GatewayRoutes(port) => route::of_gateway_port(scope, port),
            Self::HttpsRoutes(gateway, table) => route::of_https_server(scope, gateway, table),
            Self::Remote(server) => Some(remote(scope, server)),
            Self::Host(_) | Self::Grpc(_) | Self::Added(_) => None,
        }
    }
}

/// The route tables that the application's listeners ask for.
fn outbound_routes(scope: &Scope<'_>) -> BTreeSet<Recipe> {
    let mut recipes = BTreeSet::new();
    for service in scope.visible_services() {
        for port in scope.visible_ports(service) {
            let opened = scope.opened(port.number).is_some();
            if listener::takes_plain_http(scope, service, port, opened) {
                recipes.insert(Recipe::PortRoutes(port.number));
            }
            if listener::has_sniffed_routes(scope, service, port) && !opened {
                recipes.insert(Recipe::SniffedRoutes(service.key.clone(), port.number));
            }
        }
    }
    recipes.extend(scope.sockets().into_iter().cloned().map(Recipe::SocketRoutes));
    recipes
}

/// The virtual hosts that stand by themselves.
fn outbound_hosts(scope: &Scope<'_>) -> Vec<Recipe> {
    if !scope.splits_tables() {
        return Vec::new();
    }
    let tables = outbound_routes(scope).into_iter().filter_map(|recipe| recipe.split_table());
    tables.flat_map(|table| route::hosts(scope, &table)).map(Recipe::Host).collect()
}
