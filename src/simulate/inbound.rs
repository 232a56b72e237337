//! The far end: what the sidecar at an endpoint makes of what arrives.

use std::net::SocketAddr;

use envoy_api::envoy::{
    config::{
        cluster::v3::Cluster,
        core::v3::{TransportSocket, transport_socket::ConfigType},
        endpoint::v3::LbEndpoint,
    },
    extensions::transport_sockets::{proxy_protocol::v3::ProxyProtocolUpstreamTransport, tls::v3::UpstreamTlsContext},
};

use super::{
    Configuration, Hop, Outcome, Possibility, Request, Transport, Undecodable, cluster::address_of, configuration::Known, decision::Trace,
    listener, source,
};
use crate::compile::Compiler;
use crate::model::Workload;

/// Endpoints of a cluster that are looked at: sidecars of a service rarely differ, and never in many ways.
const LOOKED_AT: usize = 16;
/// What a client of the mesh offers for bytes that are no HTTP.
const OPAQUE: [&str; 2] = ["istio-peer-exchange", "istio"];
/// The metadata by which a cluster's transport sockets are chosen.
const SOCKET_MATCH: &str = "envoy.transport_socket_match";

/// The hops at the sidecars behind the endpoints, each with its notes; of those that decide the same, the first.
///
/// # Errors
/// When a compiled resource can't be decoded.
pub(super) fn arrivals(
    compiler: &mut Compiler,
    client: &Configuration,
    request: &Request,
    possibilities: &[Possibility],
) -> Result<Vec<(Hop, Vec<String>)>, Undecodable> {
    let mut hops: Vec<(Hop, Vec<String>)> = Vec::new();
    for possibility in possibilities {
        let Outcome::Sent { cluster, endpoints } = &possibility.outcome else { continue };
        let Some(known) = client.clusters.get(&**cluster) else { continue };
        for endpoint in endpoints.iter().take(LOOKED_AT) {
            let Ok(address) = endpoint.parse::<SocketAddr>() else { continue };
            let Some(workload) = compiler.snapshot().workload_at(&address.ip()).filter(|it| it.speaks_mtls()).cloned() else { continue };
            let transport = transport_to(client, known, endpoint, request);
            let (hop, notes) = arrival(compiler, &workload, address, transport, request)?;
            if !hops.iter().any(|(other, _)| other.decisions == hop.decisions && other.possibilities == hop.possibilities) {
                hops.push((hop, notes));
            }
        }
    }
    Ok(hops)
}

fn arrival(
    compiler: &mut Compiler,
    workload: &Workload,
    address: SocketAddr,
    transport: Transport,
    request: &Request,
) -> Result<(Hop, Vec<String>), Undecodable> {
    let proxy = source::proxy_of(compiler.snapshot(), workload);
    let server = Configuration::of(&compiler.compile(&proxy))?;
    let arriving = Request { address: Some(address.ip()), port: address.port(), transport, http: request.http.clone() };
    let mut trace = Trace::default();
    let possibilities = listener::inbound(&server, &arriving, &mut trace).into_iter().map(without_address).collect();
    let name = format!("{}.{}", workload.key.name, workload.key.namespace);
    Ok((Hop { proxy: name, inbound: true, decisions: trace.decisions, possibilities }, trace.notes))
}

/// What goes on to the application needs no address: sidecars of a service would differ by it alone.
fn without_address(mut possibility: Possibility) -> Possibility {
    if let Outcome::Sent { endpoints, .. } = &mut possibility.outcome {
        endpoints.clear();
    }
    possibility
}

/// How bytes travel to an endpoint of a cluster.
fn transport_to(client: &Configuration, known: &Known<Cluster>, endpoint: &str, request: &Request) -> Transport {
    let cluster = &known.message;
    let socket = if cluster.transport_socket_matches.is_empty() {
        cluster.transport_socket.as_ref()
    } else {
        let found = found(client, cluster, endpoint);
        let matches = |condition: &Option<prost_types::Struct>| {
            let metadata = found.and_then(|it| it.metadata.as_ref()).and_then(|it| it.filter_metadata.get(SOCKET_MATCH));
            let mut wanted = condition.iter().flat_map(|it| &it.fields);
            wanted.all(|(name, value)| metadata.and_then(|it| it.fields.get(name)) == Some(value))
        };
        let chosen = cluster.transport_socket_matches.iter().find(|it| matches(&it.r#match));
        chosen.map_or(cluster.transport_socket.as_ref(), |it| it.transport_socket.as_ref())
    };
    let Some(context) = socket.and_then(tls_of) else { return request.transport.clone() };
    let offered = context.common_tls_context.map(|it| it.alpn_protocols).unwrap_or_default();
    if !offered.iter().any(|name| name.starts_with("istio")) {
        return Transport::Tls { server_name: context.sni };
    }
    let protocols = if request.http.is_some() && !request.transport.is_tls() { offered } else { OPAQUE.map(str::to_owned).to_vec() };
    Transport::Mesh { protocols }
}

fn found<'c>(client: &'c Configuration, cluster: &'c Cluster, endpoint: &str) -> Option<&'c LbEndpoint> {
    let told = client.endpoints.get(&*cluster.name).map(|known| &known.message).or(cluster.load_assignment.as_ref())?;
    told.endpoints.iter().flat_map(|group| &group.lb_endpoints).find(|it| address_of(it).as_deref() == Some(endpoint))
}

/// The TLS of a socket, that within a PROXY protocol too.
fn tls_of(socket: &TransportSocket) -> Option<UpstreamTlsContext> {
    let Some(ConfigType::TypedConfig(any)) = &socket.config_type else { return None };
    if let Ok(outer) = envoy_api::unpack::<ProxyProtocolUpstreamTransport>(any) {
        return tls_of(outer.transport_socket.as_ref()?);
    }
    envoy_api::unpack(any).ok()
}
