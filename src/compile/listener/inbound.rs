//! The listener for who calls the application: per port of the workload, in plain text and by mTLS as PeerAuthentications say.

use envoy_api::envoy::{
    config::{
        core::v3::{TrafficDirection, TransportSocket},
        listener::v3::{
            FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
            listener_filter_chain_match_predicate::{MatchSet, Rule},
        },
    },
    extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier,
    r#type::v3::Int32Range,
};

use super::{
    ANY, PLAIN, PLAIN_HTTP, TLS, chain, empty,
    http::{Sender, manager},
    http_inspector, original_destination, original_source, tcp, tls_inspector,
};
use crate::compile::{
    message::duration,
    mtls::Accepted,
    naming::{self, BLACK_HOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, INBOUND_PORT, VIRTUAL_INBOUND},
    resource::{Draft, ResourceType},
    route,
    scope::Scope,
    server_tls,
    tls::{self, HANDSHAKE_TIMEOUT, alpn},
    workload_ports::{WorkloadPort, workload_ports},
};
use crate::model::{MtlsMode, Protocol, ServerTlsMode};

/// A port of the application, or all of which no service tells.
struct Way {
    /// The number; `None` for all others.
    port: Option<u16>,
    cluster: String,
    /// What is spoken once any TLS has been ended.
    protocol: Protocol,
    mode: MtlsMode,
    /// TLS of the port's own, which is ended here.
    tls: Option<TransportSocket>,
    /// The number that clients call, and `host:port` for traces.
    called: u16,
    operation: String,
}

/// What a filter chain takes.
struct Kind {
    transport: Transport,
    /// Protocol names that the client offers or the inspector finds; empty for any.
    protocols: &'static [&'static str],
    http: bool,
}

/// What a connection is made of when it arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// The mesh's mTLS, ended here.
    Mesh,
    /// Plain text.
    Plain,
    /// TLS of the port's own, ended here.
    Listed,
    /// TLS that the application ends itself.
    OwnTls,
    /// Whatever it is.
    Any,
}

/// The listener to which all connections from outside are redirected.
pub(in crate::compile) fn virtual_inbound(scope: &Scope<'_>) -> Draft {
    let ways = ways(scope, &scope.accepted_here());
    let transparent = scope.is_transparent();
    // Whoever calls this port itself would be passed on to it again and again.
    let to_itself = FilterChainMatch { destination_port: Some(INBOUND_PORT.into()), ..FilterChainMatch::default() };
    let black_hole = FilterChain {
        filter_chain_match: Some(to_itself),
        ..chain("virtualInbound-blackhole", vec![tcp::proxy(scope, BLACK_HOLE_CLUSTER)])
    };
    let listener = Listener {
        filter_chains: [black_hole].into_iter().chain(filter_chains(scope, &ways)).collect(),
        listener_filters: [original_destination()].into_iter().chain(transparent.then(original_source)).chain(inspectors(&ways)).collect(),
        transparent: transparent.then_some(true),
        ..empty(scope, VIRTUAL_INBOUND, ANY, INBOUND_PORT, TrafficDirection::Inbound)
    };
    Draft::new(ResourceType::Listener, VIRTUAL_INBOUND, &listener)
}

/// The listener of a port that others call themselves, as the Sidecar says.
pub(in crate::compile) fn ingress(scope: &Scope<'_>, number: u16) -> Option<Draft> {
    let port = workload_ports(scope).remove(&number)?;
    let address = port.opened_at(scope);
    let name = naming::listener(Some(address), number);
    let ways = [service_way(scope, number, &port, scope.accepted_here().on(number))];
    let listener = Listener {
        filter_chains: filter_chains(scope, &ways).collect(),
        listener_filters: inspectors(&ways).collect(),
        ..empty(scope, &name, &address.to_string(), number, TrafficDirection::Inbound)
    };
    Some(Draft::new(ResourceType::Listener, &name, &listener))
}

fn filter_chains(scope: &Scope<'_>, ways: &[Way]) -> impl Iterator<Item = FilterChain> {
    let chains = ways.iter().flat_map(|way| kinds(way).into_iter().map(move |kind| (way, kind)));
    chains.map(|(way, kind)| filter_chain(scope, way, &kind))
}

fn inspectors(ways: &[Way]) -> impl Iterator<Item = ListenerFilter> {
    let reads_tls = |way: &Way| way.mode != MtlsMode::Disable || way.tls.is_some();
    // Where mTLS alone is accepted nothing depends on it, and it waits for nothing that the other does not wait for. It stays, because a
    // change of these ends all connections of the listener, while one of chains ends those of the chains that go.
    let reads_http = |way: &Way| way.protocol == Protocol::Auto;
    let found = [where_needed(tls_inspector(), ways, reads_tls), where_needed(http_inspector(), ways, reads_http)];
    found.into_iter().flatten()
}

/// The ways to the application; the first is for ports of which nothing is known.
fn ways(scope: &Scope<'_>, accepted: &Accepted) -> Vec<Way> {
    let known = workload_ports(scope);
    let unknown = |port: Option<u16>, mode| Way {
        port,
        cluster: INBOUND_PASSTHROUGH_CLUSTER.to_owned(),
        protocol: Protocol::Auto,
        mode,
        tls: None,
        called: 0,
        operation: String::new(),
    };
    let mut ways = vec![unknown(None, accepted.elsewhere())];
    ways.extend(accepted.ports().filter(|port| !known.contains_key(port)).map(|port| unknown(Some(port), accepted.on(port))));
    for (number, port) in known.into_iter().filter(|(_, port)| !port.is_opened(scope)) {
        ways.push(service_way(scope, number, &port, accepted.on(number)));
    }
    ways
}

fn service_way(scope: &Scope<'_>, number: u16, port: &WorkloadPort<'_>, mode: MtlsMode) -> Way {
    port.services.iter().for_each(|service| scope.shaped_by(&service.origin));
    let host = port.services.first().map(|service| service.key.host.to_string()).unwrap_or_default();
    // The mesh's mTLS and other TLS can't be told apart on one port: the latter holds where the mesh's is switched off.
    let listed = port
        .listed
        .and_then(|listed| listed.tls.as_ref())
        .filter(|tls| mode == MtlsMode::Disable && tls.mode != ServerTlsMode::Passthrough);
    let protocol = match port.protocol {
        Protocol::Https if listed.is_some() => Protocol::Http,
        Protocol::Tls if listed.is_some() => Protocol::Tcp,
        protocol => protocol,
    };
    Way {
        port: Some(number),
        cluster: naming::inbound_cluster(number),
        protocol,
        mode,
        tls: listed.map(|listed| server_tls::socket(scope, listed, protocol.is_http())),
        called: port.called,
        operation: format!("{host}:{}", port.called),
    }
}

/// The chains of a port, by what it accepts and what is spoken on it. Those for the mesh's mTLS are the same whether or not plain text is
/// accepted beside: where that ends, the connections of the mesh go on.
fn kinds(way: &Way) -> Vec<Kind> {
    let http = |transport, protocols| Kind { transport, protocols, http: true };
    let opaque = |transport, protocols| Kind { transport, protocols, http: false };
    use Transport::{Any, Listed, Mesh, OwnTls, Plain};
    match (way.mode, way.protocol) {
        (_, protocol) if way.tls.is_some() => vec![Kind { transport: Listed, protocols: &[], http: protocol.is_http() }],
        (MtlsMode::Permissive, Protocol::Auto) => vec![
            http(Mesh, alpn::OFFERED_FOR_HTTP),
            http(Plain, &PLAIN_HTTP),
            opaque(Mesh, alpn::TCP),
            opaque(Plain, &[]),
            opaque(OwnTls, &[]),
        ],
        (MtlsMode::Permissive, protocol) if protocol.is_http() => vec![http(Mesh, &[]), http(Plain, &[])],
        (MtlsMode::Permissive, _) => vec![opaque(Mesh, alpn::OFFERED), opaque(Plain, &[]), opaque(OwnTls, &[])],
        (MtlsMode::Strict, Protocol::Auto) => vec![http(Mesh, alpn::OFFERED_FOR_HTTP), opaque(Mesh, alpn::TCP), opaque(Mesh, &[])],
        (MtlsMode::Strict, protocol) if protocol.is_http() => vec![http(Mesh, &[])],
        (MtlsMode::Strict, _) => vec![opaque(Mesh, alpn::OFFERED), opaque(Mesh, &[])],
        (MtlsMode::Disable, Protocol::Auto) => vec![http(Any, &PLAIN_HTTP), opaque(Any, &[])],
        (MtlsMode::Disable, protocol) => vec![Kind { transport: Any, protocols: &[], http: protocol.is_http() }],
    }
}

fn filter_chain(scope: &Scope<'_>, way: &Way, kind: &Kind) -> FilterChain {
    let listener = naming::listener(None, way.port.unwrap_or(0));
    let name = match way.port {
        Some(_) => &*listener,
        None if kind.http => "virtualInbound-catchall-http",
        None => VIRTUAL_INBOUND,
    };
    let condition = FilterChainMatch {
        destination_port: way.port.map(u32::from),
        transport_protocol: match kind.transport {
            Transport::Mesh | Transport::Listed | Transport::OwnTls => TLS.to_owned(),
            Transport::Plain => PLAIN.to_owned(),
            Transport::Any => String::new(),
        },
        application_protocols: kind.protocols.iter().map(|name| (*name).to_owned()).collect(),
        ..FilterChainMatch::default()
    };
    let filter = if kind.http {
        let certified = matches!(kind.transport, Transport::Mesh | Transport::Listed);
        let sender = if certified { Sender::Peer } else { Sender::Anyone };
        let routes = route::inbound(&way.cluster, way.called, &way.operation);
        manager(scope, sender, &format!("inbound_{listener}"), RouteSpecifier::RouteConfig(routes))
    } else {
        tcp::proxy(scope, &way.cluster)
    };
    let accepted: &[&str] = if kind.http { alpn::ACCEPTED } else { &[] };
    let socket = match kind.transport {
        Transport::Mesh => Some(tls::mesh_server(&scope.settings().trust_domain, accepted)),
        Transport::Listed => way.tls.clone(),
        Transport::Plain | Transport::OwnTls | Transport::Any => None,
    };
    FilterChain {
        filter_chain_match: (condition != FilterChainMatch::default()).then_some(condition),
        transport_socket_connect_timeout: socket.is_some().then(|| duration(HANDSHAKE_TIMEOUT)),
        transport_socket: socket,
        ..chain(name, vec![filter])
    }
}

/// The inspector for the ports that need it, for it waits for the client's first bytes: where the server speaks first, both would wait
/// for ever. `None` if none needs it.
fn where_needed(inspector: ListenerFilter, ways: &[Way], needs: impl Fn(&Way) -> bool) -> Option<ListenerFilter> {
    let by_default = ways.iter().any(|way| way.port.is_none() && needs(way));
    let exceptions: Vec<u16> = ways.iter().filter(|way| needs(way) != by_default).filter_map(|way| way.port).collect();
    let predicate = |rule| ListenerFilterChainMatchPredicate { rule: Some(rule) };
    let filter_disabled = match (by_default, any_of(&exceptions)) {
        (true, exceptions) => exceptions,
        (false, None) => return None,
        (false, Some(exceptions)) => Some(predicate(Rule::NotMatch(Box::new(exceptions)))),
    };
    Some(ListenerFilter { filter_disabled, ..inspector })
}

/// Connections to one of these ports; `None` if there is none.
fn any_of(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    let is = |port: &u16| {
        let port = i32::from(*port);
        Rule::DestinationPortRange(Int32Range { start: port, end: port + 1 })
    };
    let mut rules: Vec<_> = ports.iter().map(|port| ListenerFilterChainMatchPredicate { rule: Some(is(port)) }).collect();
    match rules.len() {
        0 | 1 => rules.pop(),
        _ => Some(ListenerFilterChainMatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }),
    }
}
