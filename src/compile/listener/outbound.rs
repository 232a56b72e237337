//! Listeners for what the application calls. All of its connections are redirected to one port, which hands each on to the listener of
//! the address and port that it was for; so only that one is bound.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use envoy_api::envoy::config::{
    core::v3::TrafficDirection,
    listener::v3::{FilterChain, FilterChainMatch, Listener},
};

use super::{
    ANY, ANY_ADDRESS, RESERVED, chain,
    chains::Chains,
    empty,
    http::{Sender, manager, rds},
    http_inspector, plain_http,
    tcp::{self, Way, ways},
};
use crate::compile::{
    message::unix_socket,
    naming::{self, BLACK_HOLE_CLUSTER, OUTBOUND_PORT, VIRTUAL_OUTBOUND},
    recipe::Recipe,
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{Protocol, Resolution, Service, ServiceKey, ServicePort};

/// Where connections to a service's port arrive.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// At any address of that port.
    AnyAddress,
    /// At these addresses.
    Addresses(Vec<IpAddr>),
    /// Nowhere.
    Nowhere,
}

/// The listeners of all that the application may call.
pub(in crate::compile) fn outbound_recipes(scope: &Scope<'_>) -> Vec<Recipe> {
    let mut recipes = vec![Recipe::VirtualOutbound];
    let mut claims: BTreeMap<(IpAddr, u16), &Arc<Service>> = BTreeMap::new();
    recipes.extend(scope.sockets().into_iter().cloned().map(Recipe::SocketListener));
    for service in scope.visible_services() {
        for port in scope.visible_ports(service).filter(|port| port.protocol != Protocol::Udp) {
            if let Some(opened) = scope.opened(port.number) {
                recipes.push(Recipe::PortListener { address: opened.address, port: port.number });
                continue;
            }
            let place = place(scope, service, port);
            if (place == Place::AnyAddress || reaches_by_range(service, port)) && !RESERVED.contains(&port.number) {
                recipes.push(Recipe::PortListener { address: ANY_ADDRESS, port: port.number });
            }
            let Place::Addresses(addresses) = place else { continue };
            for address in addresses {
                // Of services that claim the same address and port, the oldest holds.
                let holder = claims.entry((address, port.number)).or_insert(service);
                if (service.created, &service.key) < (holder.created, &holder.key) {
                    *holder = service;
                }
            }
        }
    }
    let of_address = |((address, port), service): ((IpAddr, u16), &Arc<Service>)| Recipe::AddressListener {
        service: service.key.clone(),
        address,
        port,
    };
    recipes.extend(claims.into_iter().map(of_address));
    recipes
}

fn place(scope: &Scope<'_>, service: &Service, port: &ServicePort) -> Place {
    match port.protocol {
        Protocol::Udp => Place::Nowhere,
        // Applications get the other service's address for this name.
        protocol if !protocol.is_http() && scope.named_by(service, port.number).is_some() => Place::Nowhere,
        protocol if protocol.is_http() => Place::AnyAddress,
        _ if !scope.addresses_of(service).is_empty() => Place::Addresses(scope.addresses_of(service)),
        _ if is_headless(service) => {
            let endpoints = scope.endpoints(&service.key).iter().filter(|endpoint| endpoint.service_port == port.name);
            let addresses = endpoints.filter_map(|endpoint| endpoint.address.parse().ok());
            // An application that calls itself does so directly: through here it would meet itself with mTLS that it does not speak.
            Place::Addresses(addresses.filter(|address| !scope.has_address(*address)).collect())
        }
        _ if has_no_address(scope, service) => Place::AnyAddress,
        _ => Place::Nowhere,
    }
}

/// Whether a service never has an address by which it could be told. A Kubernetes Service that waits for its own is nowhere yet.
fn has_no_address(scope: &Scope<'_>, service: &Service) -> bool {
    let waits = service.origin.kind == "Service" && service.resolution == Resolution::Eds;
    scope.addresses_of(service).is_empty() && service.ranges.is_empty() && !is_headless(service) && !waits
}

/// Whether clients go straight to the addresses of a service's endpoints.
fn is_headless(service: &Service) -> bool {
    service.resolution == Resolution::Passthrough && service.origin.kind == "Service"
}

/// Whether connections to a service's port are also told by ranges of addresses.
fn reaches_by_range(service: &Service, port: &ServicePort) -> bool {
    !service.ranges.is_empty() && port.protocol != Protocol::Udp
}

/// The listener to which everything is redirected, and what becomes of connections that no other listener is for.
pub(in crate::compile) fn virtual_outbound(scope: &Scope<'_>) -> Draft {
    // Whoever calls this port itself would be passed on to it again and again.
    let to_itself = FilterChainMatch { destination_port: Some(OUTBOUND_PORT.into()), ..FilterChainMatch::default() };
    let black_hole = FilterChain {
        filter_chain_match: Some(to_itself),
        ..chain("virtualOutbound-blackhole", vec![tcp::proxy(scope, BLACK_HOLE_CLUSTER)])
    };
    let listener = Listener {
        filter_chains: vec![black_hole, chain("virtualOutbound-catchall-tcp", vec![tcp::undeclared(scope)])],
        use_original_dst: Some(true),
        ..empty(scope, VIRTUAL_OUTBOUND, ANY, OUTBOUND_PORT, TrafficDirection::Outbound)
    };
    Draft::new(ResourceType::Listener, VIRTUAL_OUTBOUND, &listener)
}

/// The listener of a port at any address, or at the one where the Sidecar opens it: HTTP by its routes, opaque connections to services
/// that are not told by addresses of their own by server name and range; the rest is passed on. Of services that want the same
/// connections the oldest gets them.
pub(in crate::compile) fn of_port(scope: &Scope<'_>, address: IpAddr, number: u16) -> Option<Draft> {
    let name = naming::listener(Some(address), number);
    let opened = scope.opened(number);
    let mut chains = Chains::default();
    let mut services: Vec<_> = scope.visible_services_on(number).into_iter().filter_map(|it| Some((it, it.port(number)?))).collect();
    services.sort_by_key(|(service, _)| (service.created, &service.key));
    // Whoever declares HTTP wants all that comes at any address, and so does who declares other protocols and has no address.
    let everything_to_opaque = services.iter().find_map(|(service, port)| match () {
        () if port.protocol.is_http() => Some(false),
        () if takes_everything(scope, service, port, opened.is_some()) => Some(true),
        () => None,
    });
    let takes_http = |(service, port): &(&Arc<Service>, &ServicePort)| takes_plain_http(scope, service, port, opened.is_some());
    let http = everything_to_opaque != Some(true) && services.iter().any(takes_http);
    for (service, port) in services {
        let anywhere = opened.is_some() || place(scope, service, port) == Place::AnyAddress;
        let lost = everything_to_opaque == Some(false) && takes_everything(scope, service, port, opened.is_some());
        if port.protocol.is_http() || lost || !(anywhere || reaches_by_range(service, port)) {
            continue;
        }
        for way in ways(scope, service, port) {
            chains.add(&naming::outbound_cluster(number, None, &service.key.host), narrowed(way, service, port));
        }
    }
    if !http && chains.is_empty() {
        return None;
    }
    let mut listener = unbound(scope, &name, &address.to_string(), number);
    listener.bind_to_port = Some(opened.is_some_and(|opened| opened.bound));
    if let Some(sidecar) = scope.sidecar().filter(|_| opened.is_some()) {
        scope.shaped_by(&sidecar.origin);
    }
    chains.put_into(&mut listener);
    if http {
        add_http(scope, &mut listener, number, naming::routes(number));
    }
    if listener.default_filter_chain.is_none() {
        listener.default_filter_chain = Some(chain("PassthroughFilterChain", vec![tcp::undeclared(scope)]));
    }
    Some(Draft::new(ResourceType::Listener, &name, &listener))
}

/// Whether a service's port is declared as opaque, and nothing tells its connections from those to other services; where the Sidecar opens
/// the port, addresses tell nothing.
fn takes_everything(scope: &Scope<'_>, service: &Service, port: &ServicePort, opened: bool) -> bool {
    let by_name = port.protocol.is_tls() && service.key.host.as_str() != "*";
    let declared = !port.protocol.is_http() && port.protocol != Protocol::Auto && port.protocol != Protocol::Udp;
    declared && !by_name && (opened || has_no_address(scope, service))
}

/// The listener of a Unix socket that the Sidecar opens: HTTP by its routes, opaque connections to the first service that speaks no HTTP.
pub(in crate::compile) fn of_socket(scope: &Scope<'_>, path: &Arc<str>) -> Draft {
    let name = naming::socket(path);
    let services = scope.services_by_socket(path);
    let mut chains = Chains::default();
    for (service, port) in services.iter().filter(|(_, port)| !port.protocol.is_http()) {
        for way in ways(scope, service, port) {
            chains.add(&naming::outbound_cluster(port.number, None, &service.key.host), way);
        }
    }
    let address = Some(unix_socket(path));
    let mut listener = Listener { address, ..empty(scope, &name, ANY, 0, TrafficDirection::Outbound) };
    chains.put_into(&mut listener);
    if services.iter().any(|(_, port)| port.protocol.is_http() || port.protocol == Protocol::Auto) {
        add_http(scope, &mut listener, 0, name.clone());
    }
    // A listener needs a chain: where nothing is called, nothing is answered.
    if listener.filter_chains.is_empty() && listener.default_filter_chain.is_none() {
        listener.default_filter_chain = Some(chain(&name, vec![tcp::proxy(scope, BLACK_HOLE_CLUSTER)]));
    }
    if let Some(sidecar) = scope.sidecar() {
        scope.shaped_by(&sidecar.origin);
    }
    Draft::new(ResourceType::Listener, &name, &listener)
}

/// A way at any address, narrowed to what tells the service from others: its ranges, or the name that TLS asks for.
fn narrowed(mut way: Way, service: &Service, port: &ServicePort) -> Way {
    if way.ranges.is_empty() {
        way.ranges.clone_from(&service.ranges);
    }
    let host = service.key.host.as_str();
    if way.ranges.is_empty() && way.server_names.is_empty() && port.protocol.is_tls() && host != "*" {
        way.server_names = vec![host.to_owned()];
    }
    way
}

/// The listener of one address and port of a service.
pub(in crate::compile) fn of_address(scope: &Scope<'_>, key: &ServiceKey, address: IpAddr, number: u16) -> Option<Draft> {
    let service = scope.service(key)?;
    let port = service.port(number)?;
    let name = naming::listener(Some(address), number);
    let mut chains = Chains::default();
    for way in ways(scope, service, port) {
        chains.add(&naming::outbound_cluster(number, None, &key.host), way);
    }
    let mut listener = unbound(scope, &name, &address.to_string(), number);
    chains.put_into(&mut listener);
    if port.protocol == Protocol::Auto {
        add_http(scope, &mut listener, number, naming::sniffed_routes(&key.host, number));
    }
    Some(Draft::new(ResourceType::Listener, &name, &listener))
}

/// Whether HTTP for a service's port is told by its host alone, whatever the address. `opened` says whether the Sidecar opens the port, so
/// that the services' addresses tell nothing.
pub(in crate::compile) fn takes_plain_http(scope: &Scope<'_>, service: &Service, port: &ServicePort, opened: bool) -> bool {
    let by_port = port.protocol.is_http() || (port.protocol == Protocol::Auto && (opened || has_no_address(scope, service)));
    by_port && (opened || !RESERVED.contains(&port.number))
}

/// Whether a service's port has routes of its own, because the proxy finds out itself what is spoken there.
pub(in crate::compile) fn has_sniffed_routes(scope: &Scope<'_>, service: &Service, port: &ServicePort) -> bool {
    port.protocol == Protocol::Auto && (is_headless(service) || !scope.addresses_of(service).is_empty())
}

fn unbound(scope: &Scope<'_>, name: &str, address: &str, port: u16) -> Listener {
    Listener { bind_to_port: Some(false), ..empty(scope, name, address, port, TrafficDirection::Outbound) }
}

/// Adds a chain for plain HTTP, with routes of that name.
fn add_http(scope: &Scope<'_>, listener: &mut Listener, number: u16, routes: String) {
    let manager = manager(scope, Sender::Application(number), &format!("outbound_{}", listener.name), rds(routes));
    let chain = FilterChain { filter_chain_match: Some(plain_http()), ..chain(&listener.name, vec![manager]) };
    listener.filter_chains.push(chain);
    listener.listener_filters.push(http_inspector());
}
