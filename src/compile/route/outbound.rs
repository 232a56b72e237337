//! Routes of what the application calls.

use std::{collections::BTreeSet, sync::Arc};

use envoy_api::envoy::config::route::v3::{Route, VirtualHost};

use super::{
    action::to_service,
    answer, decorator,
    domains::{Domains, namespace_that_shortens, other_names},
    everything, plainly_to, routes_of, table,
};
use crate::compile::{
    naming,
    resource::{Draft, ResourceType},
    scope::Scope,
    virtual_services::Caller,
};
use crate::model::{HostPattern, Protocol, Service, ServiceKey};

/// The port of HTTP. Hosts that only VirtualServices name are routed there alone: nothing else says on which port they would be called.
const HTTP_PORT: u16 = 80;

/// The routes of HTTP that the application sends to that port, whatever the address.
pub(in crate::compile) fn of_port(scope: &Scope<'_>, port: u16) -> Draft {
    let services: Vec<&Arc<Service>> = scope.visible_services_on(port).into_iter().filter(|service| speaks_http(service, port)).collect();
    let undeclared = if port == HTTP_PORT { scope.undeclared_hosts(port) } else { Vec::new() };
    let namespaces: BTreeSet<&Arc<str>> = services.iter().filter_map(|service| namespace_that_shortens(service)).collect();
    let own = scope.in_one_of(&namespaces);

    let hosts = services.iter().map(|service| &service.key.host);
    let mut domains = Domains::reserving(hosts.chain(undeclared.iter().copied()));
    let mut virtual_hosts = Vec::with_capacity(services.len() + undeclared.len() + 1);
    for service in services {
        let others = other_names(service, own == Some(&service.key.namespace), &scope.addresses_of(service));
        let names = domains.of(&service.key.host, others, port);
        virtual_hosts.push(virtual_host(&service.key.host, port, names, service_routes(scope, service, port)));
    }
    for host in undeclared {
        let routes = virtual_service_routes(scope, host, port);
        if !routes.is_empty() {
            virtual_hosts.push(virtual_host(host, port, domains.of(host, Vec::new(), port), routes));
        }
    }
    virtual_hosts.push(elsewhere(scope));
    let name = naming::routes(port);
    Draft::new(ResourceType::Route, &name, &table(&name, virtual_hosts))
}

/// The routes of HTTP that was found on a port of which nobody says what it speaks. The address says which service is meant, so that
/// every name will do.
pub(in crate::compile) fn sniffed(scope: &Scope<'_>, key: &ServiceKey, port: u16) -> Option<Draft> {
    let service = scope.service(key)?;
    service.port(port)?;
    let name = naming::sniffed_routes(&key.host, port);
    let host = virtual_host(&key.host, port, vec!["*".to_owned()], service_routes(scope, service, port));
    Some(Draft::new(ResourceType::Route, &name, &table(&name, vec![host])))
}

/// The routes of HTTP that the application sends to a Unix socket. Nothing but the host says which port is meant: without a number it is
/// the first that speaks HTTP.
pub(in crate::compile) fn of_socket(scope: &Scope<'_>, path: &str) -> Draft {
    let services = scope.services_by_socket(path);
    let speaking: Vec<_> = services.into_iter().filter(|(service, port)| speaks_http(service, port.number)).collect();
    let namespaces: BTreeSet<&Arc<str>> = speaking.iter().filter_map(|(service, _)| namespace_that_shortens(service)).collect();
    let own = scope.in_one_of(&namespaces);
    let mut domains = Domains::default();
    let mut virtual_hosts = Vec::with_capacity(speaking.len() + 1);
    for (service, port) in speaking {
        let others = other_names(service, own == Some(&service.key.namespace), &scope.addresses_of(service));
        let names = domains.free(&service.key.host, others, port.number);
        virtual_hosts.push(virtual_host(&service.key.host, port.number, names, service_routes(scope, service, port.number)));
    }
    virtual_hosts.push(elsewhere(scope));
    let name = naming::socket(path);
    Draft::new(ResourceType::Route, &name, &table(&name, virtual_hosts))
}

fn speaks_http(service: &Service, port: u16) -> bool {
    service.port(port).is_some_and(|port| port.protocol.is_http() || port.protocol == Protocol::Auto)
}

fn virtual_host(host: &HostPattern, port: u16, domains: Vec<String>, routes: Vec<Route>) -> VirtualHost {
    VirtualHost { name: format!("{host}:{port}"), domains, routes, include_request_attempt_count: true, ..VirtualHost::default() }
}

/// The routes of a service: its VirtualService's, if that has any for this proxy; else to its cluster.
fn service_routes(scope: &Scope<'_>, service: &Service, port: u16) -> Vec<Route> {
    scope.shaped_by(&service.origin);
    if let Some(named) = scope.named_by(service, port) {
        return service_routes(scope, named, port);
    }
    let host = &service.key.host;
    let routes = virtual_service_routes(scope, host, port);
    if !routes.is_empty() {
        return routes;
    }
    let policy = scope.routing_policy(service, port, None);
    let route = everything("default", to_service(scope, &naming::outbound_cluster(port, None, host), &policy));
    vec![Route { decorator: decorator(&format!("{host}:{port}"), "/*"), ..route }]
}

fn virtual_service_routes(scope: &Scope<'_>, host: &HostPattern, port: u16) -> Vec<Route> {
    let routed = scope.virtual_service(host, port);
    routed.map(|routed| routes_of(scope, routed, Caller::sidecar(port))).unwrap_or_default()
}

/// What becomes of requests for hosts that nobody declared.
fn elsewhere(scope: &Scope<'_>) -> VirtualHost {
    let (name, action) = match scope.undeclared_cluster() {
        Some(cluster) => ("allow_any", plainly_to(&cluster)),
        None => ("block_all", answer(502)),
    };
    VirtualHost {
        name: name.to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![everything(name, action)],
        include_request_attempt_count: true,
        ..VirtualHost::default()
    }
}
