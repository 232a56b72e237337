//! Listeners of gateways: real sockets, opened for Gateway objects.

use envoy_api::envoy::config::{
    core::v3::{Address, Pipe, TrafficDirection, address},
    listener::v3::{Filter, Listener},
};

use super::{
    ANY, chain,
    chains::Chains,
    empty,
    http::{Sender, manager, rds},
    tcp::{self, Way, tcp_ways, tls_ways},
    tls_inspector,
};
use crate::compile::{
    cluster,
    gateways::{GatewayPort, Handling, Server, servers},
    message::socket_address,
    resource::{Draft, ResourceType},
    scope::Scope,
    server_tls,
    tls::alpn,
    virtual_services::Caller,
};
use crate::model::Bind;

/// The listener of a gateway's port; `None` where nothing is to be served.
pub(in crate::compile) fn gateway(scope: &Scope<'_>, port: &GatewayPort) -> Option<Draft> {
    let servers = servers(scope).remove(port)?;
    servers.iter().for_each(|it| scope.shaped_by(&it.gateway.origin));
    let name = port.to_string();
    let mut listener = empty(scope, &name, ANY, port.number, TrafficDirection::Outbound);
    listener.address = Some(address(port));
    if port.bind.is_some() {
        listener.additional_addresses.clear();
    }
    let first = servers.first()?;
    if first.handling == Handling::Http {
        listener.filter_chains.push(chain(&name, vec![requests(scope, first, port)?]));
        return Some(Draft::new(ResourceType::Listener, &name, &listener));
    }
    let mut chains = Chains::default();
    for server in &servers {
        for way in ways(scope, server, port) {
            chains.add(&server.route_table(port).unwrap_or_else(|| name.as_str().into()), way);
        }
    }
    if chains.is_empty() {
        return None;
    }
    put_chains(chains, &mut listener, first.handling.is_tls());
    Some(Draft::new(ResourceType::Listener, &name, &listener))
}

fn put_chains(chains: Chains, listener: &mut Listener, tls: bool) {
    chains.put_into(listener);
    // Logs show the server name, whether or not anything is decided by it.
    if tls && listener.listener_filters.is_empty() {
        listener.listener_filters.push(tls_inspector());
    }
}

fn address(port: &GatewayPort) -> Address {
    match &port.bind {
        None => socket_address(ANY, port.number),
        Some(Bind::Address(address)) => socket_address(&address.to_string(), port.number),
        Some(Bind::Socket(path)) => Address { address: Some(address::Address::Pipe(Pipe { path: path.to_string(), ..Pipe::default() })) },
    }
}

/// The filter for a server's requests.
fn requests(scope: &Scope<'_>, server: &Server<'_>, port: &GatewayPort) -> Option<Filter> {
    let routes = rds(server.route_table(port)?.to_string());
    Some(manager(scope, Sender::Outside, &format!("outbound_{port}"), routes))
}

/// What becomes of the connections of a server that is not plain HTTP.
fn ways(scope: &Scope<'_>, server: &Server<'_>, port: &GatewayPort) -> Vec<Way> {
    match server.handling {
        Handling::Http => Vec::new(),
        Handling::Tcp => bound_ways(scope, server, tcp_ways),
        Handling::Https(tls) => {
            let socket = Some(server_tls::socket(scope, tls, true));
            let filters = requests(scope, server, port).into_iter().collect();
            vec![Way { server_names: server.server_names(), filters, socket, ..Way::default() }]
        }
        Handling::Tls(tls) => {
            let socket = Some(server_tls::socket(scope, tls, false));
            let ways = bound_ways(scope, server, tcp_ways).into_iter();
            ways.map(|way| Way { server_names: server.server_names(), socket: socket.clone(), ..way }).collect()
        }
        Handling::Passthrough => bound_ways(scope, server, tls_ways),
        Handling::AutoPassthrough => passed_on(scope, server),
    }
}

/// What the VirtualServices that are bound to a server say.
fn bound_ways<'a>(
    scope: &Scope<'a>,
    server: &Server<'a>,
    of: impl Fn(&Scope<'_>, &crate::model::VirtualService, Caller<'_>) -> Vec<Way>,
) -> Vec<Way> {
    let gateway = server.gateway_name();
    let caller = Caller { gateway: &gateway, port: server.server.port };
    server.routed(scope).into_iter().flat_map(|(routed, _)| of(scope, routed, caller)).collect()
}

/// To each service's port, and subset of its workloads, by the server name that sidecars send for it. The mesh's mTLS alone is let through.
fn passed_on(scope: &Scope<'_>, server: &Server<'_>) -> Vec<Way> {
    let keys = cluster::passed_on_keys(scope, server).into_iter();
    keys.map(|key| Way {
        server_names: vec![key.server_name()],
        protocols: alpn::OFFERED,
        filters: vec![tcp::proxy(scope, &key.server_name())],
        ..Way::default()
    })
    .collect()
}
