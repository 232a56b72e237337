//! Routes of what comes to a gateway.

use std::collections::{BTreeMap, BTreeSet};

use envoy_api::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost, virtual_host::TlsRequirementType};

use super::{routes_of, table, takes_everything};
use crate::compile::{
    gateways::{GatewayPort, Server, https_server, servers},
    resource::{Draft, ResourceType},
    scope::Scope,
    virtual_services::Caller,
};
use crate::model::{HostPattern, ObjectRef};

/// What is served for one host.
#[derive(Debug, Default)]
struct Served {
    routes: Vec<Route>,
    /// VirtualServices whose routes are in: several servers of a port may lead to one.
    taken: BTreeSet<ObjectRef>,
    /// Whether clients are sent to HTTPS.
    redirect: bool,
}

/// The routes of a gateway's port for HTTP in plain text; `None` if that is not what it speaks.
pub(in crate::compile) fn of_gateway_port(scope: &Scope<'_>, port: &GatewayPort) -> Option<Draft> {
    let servers = servers(scope).remove(port)?;
    let name = servers.first()?.route_table(port)?;
    gateway(scope, &name, &servers)
}

/// The routes of one server for HTTP in TLS, by their table's name.
pub(in crate::compile) fn of_https_server(scope: &Scope<'_>, object: &ObjectRef, name: &str) -> Option<Draft> {
    gateway(scope, name, &[https_server(scope, object, name)?])
}

fn gateway(scope: &Scope<'_>, name: &str, servers: &[Server<'_>]) -> Option<Draft> {
    let called = servers.first()?.server.port;
    let mut hosts: BTreeMap<HostPattern, Served> = BTreeMap::new();
    for it in servers {
        scope.shaped_by(&it.gateway.origin);
        let redirect = it.server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
        let gateway = it.gateway_name();
        for (routed, served) in it.routed(scope) {
            let routes = routes_of(scope, routed, Caller { gateway: &gateway, port: it.server.port });
            for host in served.into_iter().filter(|_| !routes.is_empty()) {
                let served = hosts.entry(host).or_default();
                served.redirect |= redirect;
                if served.taken.insert(routed.origin.clone()) {
                    served.routes.extend(routes.iter().cloned());
                }
            }
        }
        for (_, host) in it.server.hosts.iter().filter(|_| redirect) {
            hosts.entry(host.clone()).or_default().redirect = true;
        }
    }
    let mut virtual_hosts: Vec<VirtualHost> = hosts.into_iter().map(|(host, served)| virtual_host(&host, called, served)).collect();
    if virtual_hosts.is_empty() {
        virtual_hosts.push(nothing(called));
    }
    // Clients name whatever port leads to the gateway, not the one on which it listens.
    let table = RouteConfiguration { ignore_port_in_host_matching: true, ..table(name, virtual_hosts) };
    Some(Draft::new(ResourceType::Route, name, &table))
}

fn virtual_host(host: &HostPattern, called: u16, mut served: Served) -> VirtualHost {
    // Of several VirtualServices for a host, what takes everything must not hide the others' routes.
    served.routes.sort_by_key(takes_everything);
    let require_tls = if served.redirect { TlsRequirementType::All } else { TlsRequirementType::None };
    VirtualHost {
        name: format!("{host}:{called}"),
        domains: vec![host.to_string()],
        routes: served.routes,
        require_tls: require_tls.into(),
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}

/// Answers 404 to everything.
fn nothing(called: u16) -> VirtualHost {
    VirtualHost { name: format!("blackhole:{called}"), domains: vec!["*".to_owned()], ..VirtualHost::default() }
}
