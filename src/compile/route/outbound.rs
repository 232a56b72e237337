//! Route tables of what the application calls.

use envoy_api::envoy::config::route::v3::{RouteConfiguration, Vhds, VirtualHost};

use super::{
    answer, everything,
    host::{Table, hosts, service_routes, virtual_host},
    plainly_to, table,
};
use crate::compile::{
    message::ads,
    naming,
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::ServiceKey;

/// A table with a host for each service. A proxy that takes hosts one by one is told to ask for them: in its table stands the host for
/// everything else alone, so that no service is a reason to send the table.
pub(in crate::compile) fn of_table(scope: &Scope<'_>, of: &Table) -> Draft {
    let name = of.name();
    let mut whole = if scope.splits_tables() {
        RouteConfiguration { vhds: Some(Vhds { config_source: Some(ads()) }), ..table(&name, Vec::new()) }
    } else {
        table(&name, hosts(scope, of).iter().filter_map(|key| key.host(scope)).collect())
    };
    whole.virtual_hosts.push(elsewhere(scope));
    Draft::new(ResourceType::Route, &name, &whole)
}

/// The routes of HTTP that was found on a port of which nobody says what it speaks. The address says which service is meant, so that
/// every name will do. Having one host, the table is never split.
pub(in crate::compile) fn sniffed(scope: &Scope<'_>, key: &ServiceKey, port: u16) -> Option<Draft> {
    let name = naming::sniffed_routes(&key.host, port);
    of_service(scope, key, port, &name).map(|table| Draft::new(ResourceType::Route, &name, &table))
}

/// The routes of a service's port alone, whatever it is called by.
pub(in crate::compile) fn of_service(scope: &Scope<'_>, key: &ServiceKey, port: u16, name: &str) -> Option<RouteConfiguration> {
    let service = scope.service(key)?;
    service.port(port)?;
    let host = virtual_host(&key.host, port, vec!["*".to_owned()], service_routes(scope, service, port));
    Some(table(name, vec![host]))
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
