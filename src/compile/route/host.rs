//! Virtual hosts of the tables for what the application calls: which there are, and each by itself. A table that is sent whole has all of
//! them in it; a proxy that takes them one by one gets each as a resource, and a change of one is no change of the others.

use std::{collections::BTreeSet, sync::Arc};

use envoy_api::envoy::config::route::v3::{Route, VirtualHost};

use super::{
    action::to_service,
    decorator,
    domains::{Domains, Withheld, free, namespace_that_shortens, on_port, on_ports, other_names},
    everything, routes_of,
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

/// A table with a host for each service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::compile) enum Table {
    /// That of a port, whatever the address.
    Port(u16),
    /// That of a Unix socket. Nothing but the host says which port is meant: without a number it is the first that speaks HTTP.
    Socket(Arc<str>),
}

/// A virtual host of such a table, with all that the table's other hosts mean for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::compile) struct HostKey {
    table: Table,
    called: Called,
    port: u16,
    /// Other hosts are called so.
    withheld: Withheld,
}

/// What is called by a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Called {
    Service(ServiceKey),
    /// What VirtualServices alone know.
    Undeclared(HostPattern),
}

// === impl Table ===

impl Table {
    /// The table's name.
    pub(in crate::compile) fn name(&self) -> String {
        match self {
            Self::Port(port) => naming::routes(*port),
            Self::Socket(path) => naming::socket(path),
        }
    }

    /// The services that are called through it, with their ports; one for each host and port, sorted by host.
    fn services<'a>(&self, scope: &Scope<'a>) -> Vec<(&'a Arc<Service>, u16)> {
        match self {
            Self::Port(port) => {
                let services = scope.visible_services_on(*port).into_iter();
                services.filter(|service| speaks_http(service, *port)).map(|service| (service, *port)).collect()
            }
            Self::Socket(path) => {
                let services = scope.services_by_socket(path).into_iter().map(|(service, port)| (service, port.number));
                services.filter(|(service, port)| speaks_http(service, *port)).collect()
            }
        }
    }

    /// All names of a host, whether or not others have them.
    fn all_names(&self, scope: &Scope<'_>, service: &Service, near: bool, port: u16) -> Vec<String> {
        let others = other_names(service, near, &scope.addresses_of(service));
        match self {
            // The full name is its own in any case.
            Self::Port(_) => others,
            Self::Socket(_) => on_ports(&service.key.host, others, port),
        }
    }
}

fn speaks_http(service: &Service, port: u16) -> bool {
    service.port(port).is_some_and(|port| port.protocol.is_http() || port.protocol == Protocol::Auto)
}

/// The hosts of a table. Costs their names, and nothing of their routes.
pub(in crate::compile) fn hosts(scope: &Scope<'_>, table: &Table) -> Vec<HostKey> {
    let services = table.services(scope);
    let undeclared = if *table == Table::Port(HTTP_PORT) { scope.undeclared_hosts(HTTP_PORT) } else { Vec::new() };
    let namespaces: BTreeSet<&Arc<str>> = services.iter().filter_map(|(service, _)| namespace_that_shortens(service)).collect();
    let own = scope.in_one_of(&namespaces);
    let mut domains = match table {
        Table::Port(_) => Domains::reserving(services.iter().map(|(service, _)| &service.key.host).chain(undeclared.iter().copied())),
        Table::Socket(_) => Domains::default(),
    };
    let mut keys = Vec::with_capacity(services.len() + undeclared.len());
    for (service, port) in services {
        let withheld = domains.take(table.all_names(scope, service, own == Some(&service.key.namespace), port));
        keys.push(HostKey { table: table.clone(), called: Called::Service(service.key.clone()), port, withheld });
    }
    let without_service = |host: &HostPattern| HostKey {
        table: table.clone(),
        called: Called::Undeclared(host.clone()),
        port: HTTP_PORT,
        withheld: Withheld::default(),
    };
    keys.extend(undeclared.into_iter().map(without_service));
    keys
}

// === impl HostKey ===

impl HostKey {
    /// The host's table.
    pub(in crate::compile) fn table(&self) -> &Table {
        &self.table
    }

    /// The host's name and domains, for whom its routes don't matter.
    pub(in crate::compile) fn called(&self, scope: &Scope<'_>) -> Option<VirtualHost> {
        match &self.called {
            Called::Service(key) => Some(self.of_service(scope, scope.service(key)?, Vec::new())),
            // Without routes there is no such host.
            Called::Undeclared(_) => self.host(scope),
        }
    }

    fn of_service(&self, scope: &Scope<'_>, service: &Arc<Service>, routes: Vec<Route>) -> VirtualHost {
        let (host, port) = (&service.key.host, self.port);
        let near = namespace_that_shortens(service).is_some_and(|namespace| scope.in_namespace(namespace));
        let names = free(self.table.all_names(scope, service, near, port), &self.withheld);
        let domains = match self.table {
            Table::Port(_) => on_port(host, names, port),
            Table::Socket(_) => names,
        };
        virtual_host(host, port, domains, routes)
    }

    /// The host as it stands in a whole table; `None` if there is nothing to route.
    pub(in crate::compile) fn host(&self, scope: &Scope<'_>) -> Option<VirtualHost> {
        let port = self.port;
        match &self.called {
            Called::Service(key) => {
                let service = scope.service(key)?;
                Some(self.of_service(scope, service, service_routes(scope, service, port)))
            }
            Called::Undeclared(host) => {
                let routes = virtual_service_routes(scope, host, port);
                (!routes.is_empty()).then(|| virtual_host(host, port, on_port(host, Vec::new(), port), routes))
            }
        }
    }

    /// A resource of the host. Envoy removes hosts by what they are called themselves, so that is what the resource is called.
    pub(in crate::compile) fn draft(&self, host: VirtualHost) -> Draft {
        let called = match &self.called {
            Called::Service(key) => &key.host,
            Called::Undeclared(host) => host,
        };
        let name = naming::host_of_table(&self.table.name(), &naming::host(called, self.port));
        let host = VirtualHost { name, ..host };
        Draft::new(ResourceType::VirtualHost, &host.name, &host)
    }
}

/// A host of these domains.
pub(super) fn virtual_host(host: &HostPattern, port: u16, domains: Vec<String>, routes: Vec<Route>) -> VirtualHost {
    VirtualHost { name: naming::host(host, port), domains, routes, include_request_attempt_count: true, ..VirtualHost::default() }
}

/// The routes of a service: its VirtualService's, if that has any for this proxy; else to its cluster.
pub(super) fn service_routes(scope: &Scope<'_>, service: &Service, port: u16) -> Vec<Route> {
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
