//! Routes of connections: TLS that is passed through, and plain TCP.

use std::collections::BTreeMap;

use ferromesh_crds::networking::{VirtualServiceSpec, virtual_service as api};

use super::{destinations, for_sidecars, gateways, is_mesh_server_name};
use crate::config::hosts::{HostSet, is_ip, wildcard_defect};
use crate::config::path::{At, SPEC};
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{HostPattern, TcpMatch, TcpRoute, TlsMatch, TlsRoute};

/// What conditions on TLS and on TCP have in common.
struct Connection<'a> {
    subnets: &'a [String],
    port: Option<u32>,
    source_labels: &'a BTreeMap<String, String>,
    source_namespace: Option<&'a str>,
    gateways: &'a [String],
}

/// What a VirtualService is for: server names must lie within it.
struct ServedHosts {
    set: HostSet,
    at_gateways: bool,
}

/// All TLS routes; server names must lie within the object's hosts.
pub(super) fn tls_routes(reading: &mut Reading<'_>, spec: &VirtualServiceSpec) -> Vec<TlsRoute> {
    let at = SPEC.field("tls");
    let hosts = ServedHosts { set: HostSet::new(&spec.hosts), at_gateways: !for_sidecars(spec) };
    let read = |(index, route): (usize, &api::TlsRoute)| {
        let at = at.index(index);
        let conditions = at.field("match");
        if route.match_.is_empty() {
            reading.required(&conditions);
        }
        let matches = route.match_.iter().enumerate().map(|(index, one)| tls_match(reading, &conditions.index(index), one, &hosts));
        TlsRoute { matches: matches.collect(), destinations: destinations::of_connections(reading, &at, &route.route) }
    };
    spec.tls.iter().enumerate().map(read).collect()
}

/// All TCP routes.
pub(super) fn tcp_routes(reading: &mut Reading<'_>, routes: &[api::TcpRoute]) -> Vec<TcpRoute> {
    let at = SPEC.field("tcp");
    let read = |(index, route): (usize, &api::TcpRoute)| {
        let at = at.index(index);
        let conditions = at.field("match");
        let matches = route.match_.iter().enumerate().map(|(index, one)| tcp_match(reading, &conditions.index(index), one));
        TcpRoute { matches: matches.collect(), destinations: destinations::of_connections(reading, &at, &route.route) }
    };
    routes.iter().enumerate().map(read).collect()
}

fn tls_match(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::TlsMatch, hosts: &ServedHosts) -> TlsMatch {
    let names = at.field("sniHosts");
    if condition.sni_hosts.is_empty() {
        reading.required(&names);
    }
    let mut sni_hosts = Vec::with_capacity(condition.sni_hosts.len());
    for (index, name) in condition.sni_hosts.iter().enumerate() {
        let at = names.index(index);
        let pattern = HostPattern::new(name);
        match wildcard_defect(name) {
            Some(_) if is_ip(name) => {
                reading.warn(&at, Code::NoEffect, format!("{} is an address: clients send no address as server name", quoted(name)));
            }
            Some(_) if hosts.at_gateways && is_mesh_server_name(name) && hosts.set.covers(&pattern) => {}
            Some(defect) => reading.error(&at, Code::BadHost, defect),
            None if !hosts.set.covers(&pattern) => {
                reading.error(&at, Code::BadHost, format!("{} lies within none of spec.hosts", quoted(name)));
            }
            None => {}
        }
        sni_hosts.push(pattern);
    }
    let common = Connection {
        subnets: &condition.destination_subnets,
        port: condition.port,
        source_labels: &condition.source_labels,
        source_namespace: condition.source_namespace.as_deref(),
        gateways: &condition.gateways,
    };
    TlsMatch { sni_hosts, connection: connection(reading, at, &common) }
}

fn tcp_match(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::L4Match) -> TcpMatch {
    if condition.source_subnet.is_some() {
        reading.warn(&at.field("sourceSubnet"), Code::NoEffect, "has no effect: use sourceLabels or sourceNamespace");
    }
    let common = Connection {
        subnets: &condition.destination_subnets,
        port: condition.port,
        source_labels: &condition.source_labels,
        source_namespace: condition.source_namespace.as_deref(),
        gateways: &condition.gateways,
    };
    connection(reading, at, &common)
}

fn connection(reading: &mut Reading<'_>, at: &At<'_>, condition: &Connection<'_>) -> TcpMatch {
    let subnets = at.field("destinationSubnets");
    let destination_subnets = condition.subnets.iter().enumerate();
    let destination_subnets = destination_subnets.filter_map(|(index, subnet)| reading.range(&subnets.index(index), subnet)).collect();
    let source_namespace = condition.source_namespace.filter(|namespace| !namespace.is_empty());
    if let Some(namespace) = source_namespace {
        reading.namespace_name(&at.field("sourceNamespace"), namespace);
    }
    TcpMatch {
        destination_subnets,
        port: reading.optional_port(&at.field("port"), condition.port),
        source_labels: reading.labels(&at.field("sourceLabels"), condition.source_labels),
        source_namespace: source_namespace.map(Into::into),
        gateways: gateways(reading, at, condition.gateways),
    }
}
