//! From a connection to the filter that handles it.

use std::net::IpAddr;

use envoy_api::envoy::{
    config::{
        core::v3::address::Address as Specifier,
        core::v3::socket_address::PortSpecifier,
        listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
    },
    extensions::filters::network::{
        http_connection_manager::v3::HttpConnectionManager,
        tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
    },
};

use super::{
    Configuration, Origin, Possibility, Request, Step,
    chain::{Connection, choose},
    cluster,
    configuration::Known,
    decision::Trace,
    http, origin,
};

/// The listener to which a sidecar's outgoing connections are redirected.
const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// The listener to which connections to a sidecar's application are redirected.
const VIRTUAL_INBOUND: &str = "virtualInbound";
/// Filters of connections that decide nothing.
const HARMLESS: [&str; 3] = ["envoy.filters.network.set_filter_state", "istio.metadata_exchange", "envoy.filters.network.connection_limit"];

/// What becomes of a connection that an application opens, or a client of a gateway.
pub(super) fn outbound(configuration: &Configuration, request: &Request, trace: &mut Trace) -> Vec<Possibility> {
    let Some(found) = find(configuration, request) else {
        let told = format!("nothing listens on port {}", request.port);
        return vec![Possibility::closed(told, Vec::new())];
    };
    let message = &found.message;
    let because = match (message.name.as_str(), request.address) {
        (VIRTUAL_OUTBOUND, Some(address)) => format!("no listener is for {address} port {}", request.port),
        (VIRTUAL_OUTBOUND, None) => format!("no listener is for port {} at any address", request.port),
        (_, Some(address)) if listens_at(message).is_some_and(|(own, _)| own == address) => {
            format!("it is for {address} port {}", request.port)
        }
        _ => format!("it is for port {} at any address", request.port),
    };
    trace.decided(Step::Listener, &message.name, because, origin::of_kinds(&found.sources, &["Gateway", "Sidecar"]));
    connected(configuration, found, request, trace)
}

/// What becomes of a connection that comes to a sidecar's application.
pub(super) fn inbound(configuration: &Configuration, request: &Request, trace: &mut Trace) -> Vec<Possibility> {
    let Some(found) = configuration.listeners.get(VIRTUAL_INBOUND) else {
        return vec![Possibility::closed("the proxy takes no connections for its application", Vec::new())];
    };
    let origins = origin::of_kinds(&found.sources, &["PeerAuthentication"]);
    trace.decided(Step::Listener, VIRTUAL_INBOUND, "all connections to the pod are redirected to it", origins);
    connected(configuration, found, request, trace)
}

/// The listener of a connection: that of its address and port, else that of the port at any address, else the one that takes the rest.
fn find<'c>(configuration: &'c Configuration, request: &Request) -> Option<&'c Known<Listener>> {
    let at = |wanted: &dyn Fn(IpAddr) -> bool| {
        configuration.listeners.values().find(|it| {
            let own = |(address, port): (IpAddr, u16)| port == request.port && wanted(address);
            !matches!(it.message.name.as_str(), VIRTUAL_OUTBOUND | VIRTUAL_INBOUND) && listens_at(&it.message).is_some_and(own)
        })
    };
    let exactly = request.address.and_then(|wanted| at(&|address| address == wanted));
    exactly.or_else(|| at(&|address| address.is_unspecified())).or_else(|| configuration.listeners.get(VIRTUAL_OUTBOUND))
}

fn listens_at(listener: &Listener) -> Option<(IpAddr, u16)> {
    let Some(Specifier::SocketAddress(socket)) = listener.address.as_ref()?.address.as_ref() else { return None };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else { return None };
    Some((socket.address.parse().ok()?, u16::try_from(port).ok()?))
}

fn connected(configuration: &Configuration, listener: &Known<Listener>, request: &Request, trace: &mut Trace) -> Vec<Possibility> {
    let connection = Connection::seen_by(&listener.message, request);
    let Some(chain) = choose(&listener.message, &connection) else {
        let origins = origin::of_kinds(&listener.sources, &["PeerAuthentication", "Gateway"]);
        return vec![Possibility::closed(format!("no filter chain is for {}", connection.shown()), origins)];
    };
    let origins = origin::of_metadata(chain.metadata.as_ref());
    trace.decided(Step::FilterChain, &chain.name, format!("the connection is {}", connection.shown()), origins.clone());
    let ended = chain.transport_socket.is_some();
    for filter in &chain.filters {
        match unpacked(filter) {
            Handles::Http(manager) => {
                let Some(inner) = &request.http else {
                    return vec![Possibility::closed("what is sent is no HTTP, and the filter chain takes nothing else", origins)];
                };
                if request.transport.is_tls() && !ended {
                    return vec![Possibility::closed("what is sent is TLS, and the filter chain takes HTTP in plain text", origins)];
                }
                let checkers = origin::of_kinds(&listener.sources, &["RequestAuthentication"]);
                let arrival = http::Arrival { request, http: inner, checkers: &checkers };
                return http::handled(configuration, &manager, &arrival, trace);
            }
            Handles::Tcp(proxy) => return passed_on(configuration, chain, &proxy, request, origins, trace),
            Handles::Other if HARMLESS.contains(&filter.name.as_str()) => {}
            Handles::Other => trace.note(format!("filter {} may decide otherwise: what it does is not known here", filter.name)),
        }
    }
    vec![Possibility::closed("no filter handles the connection", origins)]
}

/// What a filter does with a connection.
enum Handles {
    Http(Box<HttpConnectionManager>),
    Tcp(Box<TcpProxy>),
    Other,
}

fn unpacked(filter: &Filter) -> Handles {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { return Handles::Other };
    if let Ok(manager) = envoy_api::unpack::<HttpConnectionManager>(any) {
        return Handles::Http(Box::new(manager));
    }
    envoy_api::unpack::<TcpProxy>(any).map_or(Handles::Other, |proxy| Handles::Tcp(Box::new(proxy)))
}

fn passed_on(
    configuration: &Configuration,
    chain: &FilterChain,
    proxy: &TcpProxy,
    request: &Request,
    origins: Vec<Origin>,
    trace: &mut Trace,
) -> Vec<Possibility> {
    let shares = match &proxy.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => vec![(name.clone(), 1.0)],
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            cluster::shares(weighted.clusters.iter().map(|it| (it.name.clone(), it.weight)))
        }
        None => return vec![Possibility::closed(format!("filter chain {} leads nowhere", chain.name), origins)],
    };
    let reach = cluster::Reach { configuration, address: request.address, port: request.port, opaque: true };
    let several = shares.len() > 1;
    let to = |(place, (name, share)): (usize, (String, f64))| {
        let part = |it: &Origin| if several { it.rule().within(&format!("route[{place}]")) } else { it.clone() };
        (name, share, origins.iter().map(part).collect::<Vec<_>>())
    };
    shares.into_iter().enumerate().map(to).map(|(name, share, origins)| reach.to(&name, origins, trace).scaled(share)).collect()
}
