//! Which ports a gateway opens, for which Gateway objects.

use std::{collections::BTreeMap, sync::Arc};

use super::{scope::Scope, workload_ports::ports_called};
use crate::model::{Gateway, GatewayServer, HostPattern, NamespaceSelector, VirtualService};

/// The lowest port that a process without privileges may bind.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// Ports of the pod that the agent and Envoy use themselves.
const TAKEN: [u16; 5] = [15000, 15001, 15020, 15021, 15090];

/// A server of a Gateway that holds for the proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a GatewayServer,
}

/// What a gateway's port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP in plain text.
    Http,
    /// Opaque bytes.
    Tcp,
}

/// The servers of the Gateways that select the proxy, by the pod's port that they open. A port speaks what its oldest server says;
/// others on it do not count.
pub(super) fn servers<'a>(scope: &Scope<'a>) -> BTreeMap<u16, Vec<Server<'a>>> {
    let mut gateways: Vec<&'a Arc<Gateway>> = scope.gateways().filter(|gateway| scope.selected_by(&gateway.selector)).collect();
    gateways.sort_by_key(|gateway| (gateway.created, &gateway.origin));
    let mut ports: BTreeMap<u16, Vec<Server<'a>>> = BTreeMap::new();
    for gateway in gateways {
        for server in gateway.servers.iter().filter(|server| speaks(server).is_some()) {
            for port in ports_called(scope, server.port) {
                if port >= FIRST_UNPRIVILEGED && !TAKEN.contains(&port) {
                    ports.entry(port).or_default().push(Server { gateway, server });
                }
            }
        }
    }
    for servers in ports.values_mut() {
        let first = servers.first().and_then(|it| speaks(it.server));
        servers.retain(|it| speaks(it.server) == first);
    }
    ports
}

/// What a server speaks; `None` for what this version does not serve: TLS.
pub(super) fn speaks(server: &GatewayServer) -> Option<Speaks> {
    let protocol = server.protocol;
    match &server.tls {
        // On plain HTTP, the only thing that the field can ask for is the redirect.
        _ if protocol.is_http() => Some(Speaks::Http),
        None if !protocol.is_tls() => Some(Speaks::Tcp),
        _ => None,
    }
}

impl<'a> Server<'a> {
    /// `namespace/name`, by which VirtualServices name the gateway.
    pub(super) fn gateway_name(&self) -> Arc<str> {
        format!("{}/{}", self.gateway.origin.namespace, self.gateway.origin.name).into()
    }

    /// The VirtualServices that hold here, each with the hosts for which it does, the senior first.
    pub(super) fn routed(&self, scope: &Scope<'a>) -> Vec<(&'a Arc<VirtualService>, Vec<HostPattern>)> {
        let bound = scope.virtual_services_on(&self.gateway_name()).into_iter();
        bound.map(|it| (it, self.hosts_of(it))).filter(|(_, hosts)| !hosts.is_empty()).collect()
    }

    /// The hosts of a VirtualService that the server serves: of two patterns that overlap, the narrower.
    fn hosts_of(&self, routed: &VirtualService) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        for (namespace, served) in &self.server.hosts {
            let speaks = match namespace {
                NamespaceSelector::Any => true,
                NamespaceSelector::Own => routed.origin.namespace == self.gateway.origin.namespace,
                NamespaceSelector::Named(name) => routed.origin.namespace == *name,
            };
            for host in routed.hosts.iter().filter(|host| speaks && host.overlaps(served)) {
                hosts.push(if served.covers(host) { host.clone() } else { served.clone() });
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}
