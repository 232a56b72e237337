//! Listeners of gateways: real sockets, opened for Gateway objects.

use envoy_api::envoy::config::{core::v3::TrafficDirection, listener::v3::Listener};

use super::{
    ANY, chain,
    chains::Chains,
    empty,
    http::{Sender, manager, rds},
    tcp::routed_ways,
};
use crate::compile::{
    gateways::{Server, Speaks, servers, speaks},
    naming,
    resource::{Draft, ResourceType},
    scope::Scope,
    virtual_services::Caller,
};

/// The listener of a gateway's port; `None` where nothing is to be served.
pub(in crate::compile) fn gateway(scope: &Scope<'_>, port: u16) -> Option<Draft> {
    let servers = servers(scope).remove(&port)?;
    servers.iter().for_each(|it| scope.shaped_by(&it.gateway.origin));
    let name = naming::listener(None, port);
    let mut listener = empty(scope, &name, ANY, port, TrafficDirection::Outbound);
    match speaks(servers.first()?.server)? {
        Speaks::Http => {
            let manager = manager(scope, Sender::Outside, &format!("outbound_{name}"), rds(naming::gateway_routes(port)));
            listener.filter_chains.push(chain(&name, vec![manager]));
        }
        Speaks::Tcp => opaque(scope, &mut listener, &servers)?,
    }
    Some(Draft::new(ResourceType::Listener, &name, &listener))
}

fn opaque(scope: &Scope<'_>, listener: &mut Listener, servers: &[Server<'_>]) -> Option<()> {
    let mut chains = Chains::default();
    for server in servers {
        let gateway = server.gateway_name();
        for (routed, _) in server.routed(scope) {
            let caller = Caller { gateway: &gateway, port: server.server.port };
            for way in routed_ways(scope, routed, caller, false) {
                chains.add(&listener.name, way);
            }
        }
    }
    if chains.is_empty() {
        return None;
    }
    chains.put_into(listener);
    Some(())
}
