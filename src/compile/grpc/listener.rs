//! Where gRPC begins: the listener of a client's target, and that of a server.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use envoy_api::envoy::{
    config::{
        core::v3::TrafficDirection,
        listener::v3::{ApiListener, FilterChain, Listener},
    },
    extensions::filters::{
        http::fault::v3::HttpFault,
        network::http_connection_manager::v3::{HttpConnectionManager, http_connection_manager::RouteSpecifier},
    },
};

use super::{GrpcRecipe, called, cluster::server_socket, route::table_name};
use crate::compile::{
    listener::{FAULT_FILTER, MANAGER, filter, rds, router},
    message::{network_filter, socket_address},
    resource::{Draft, ResourceType},
    route::{Domains, answered_here, free, namespace_that_shortens, short_names},
    scope::Scope,
    workload_ports::workload_ports,
};
use crate::model::{GRPC_SERVER_PREFIX, MtlsMode, ServiceKey};

/// The label by which a pod says that its server takes the mesh's mTLS, so that all clients speak it.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// The targets of the application's clients: each service by its host, and by shorter names as far as they lead to it alone.
pub(super) fn targets(scope: &Scope<'_>) -> Vec<GrpcRecipe> {
    let services = called(scope);
    let own = scope.in_one_of(&services.iter().filter_map(|(service, _)| namespace_that_shortens(service)).collect());
    let mut names = Domains::reserving(services.iter().map(|(service, _)| &service.key.host));
    let mut recipes = Vec::new();
    for (service, ports) in services {
        let short = short_names(service, own == Some(&service.key.namespace));
        let withheld = names.take(short.clone());
        let all = [service.key.host.to_string()].into_iter().chain(free(short, &withheld));
        for called in all.map(Arc::<str>::from) {
            let target = |port: &u16| GrpcRecipe::Target { service: service.key.clone(), called: called.clone(), port: *port };
            recipes.extend(ports.iter().map(target));
        }
    }
    recipes
}

/// The listener that a client asks for by its target: where its routes are, and what may be done to requests on the way.
pub(super) fn target(scope: &Scope<'_>, key: &ServiceKey, called: &str, port: u16) -> Option<Draft> {
    let service = scope.service(key)?;
    service.port(port)?;
    scope.shaped_by(&service.origin);
    let manager = HttpConnectionManager {
        route_specifier: Some(rds(table_name(key, port))),
        http_filters: vec![filter(FAULT_FILTER, &HttpFault::default()), router()],
        ..HttpConnectionManager::default()
    };
    let name = format!("{called}:{port}");
    let api_listener = Some(ApiListener { api_listener: Some(envoy_api::any(&manager)) });
    Some(Draft::new(ResourceType::Listener, &name, &Listener { name: name.clone(), api_listener, ..Listener::default() }))
}

/// The servers that the application may start: on each of the workload's ports, at any address that it may have bound.
pub(super) fn servers(scope: &Scope<'_>) -> Vec<GrpcRecipe> {
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let addresses: BTreeSet<IpAddr> = any.into_iter().chain(own).chain(scope.address()).collect();
    let ports = workload_ports(scope);
    let bound = ports.keys().flat_map(|port| addresses.iter().map(move |address| SocketAddr::new(*address, *port)));
    bound.map(GrpcRecipe::Server).collect()
}

/// The listener that a server asks for by its address: whether it takes plain text or the mesh's mTLS, as it can't take both.
pub(super) fn server(scope: &Scope<'_>, at: SocketAddr) -> Option<Draft> {
    let ports = workload_ports(scope);
    ports.get(&at.port())?.services.iter().for_each(|service| scope.shaped_by(&service.origin));
    let by_mesh = match scope.accepted_here().on(at.port()) {
        MtlsMode::Strict => true,
        MtlsMode::Permissive => scope.label(TLS_MODE).as_deref() == Some("istio"),
        MtlsMode::Disable => false,
    };
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::RouteConfig(answered_here())),
        http_filters: vec![router()],
        ..HttpConnectionManager::default()
    };
    let chain = FilterChain {
        name: if by_mesh { "inbound-mtls" } else { "inbound-plaintext" }.to_owned(),
        filters: vec![network_filter(MANAGER, &manager)],
        transport_socket: by_mesh.then(server_socket),
        ..FilterChain::default()
    };
    let name = format!("{GRPC_SERVER_PREFIX}{at}");
    let listener = Listener {
        name: name.clone(),
        address: Some(socket_address(&at.ip().to_string(), at.port())),
        filter_chains: vec![chain],
        traffic_direction: TrafficDirection::Inbound.into(),
        ..Listener::default()
    };
    Some(Draft::new(ResourceType::Listener, &name, &listener))
}
