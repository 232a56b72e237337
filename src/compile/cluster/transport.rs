//! How a cluster's connections are secured.

use std::sync::Arc;

use envoy_api::envoy::config::{
    cluster::v3::{Cluster, cluster::TransportSocketMatch},
    core::v3::{TransportSocket, UpstreamHttpProtocolOptions},
};
use prost_types::Struct;

use super::{Discovery, protocol::Spoken};
use crate::compile::{
    endpoints,
    naming::ClusterKey,
    scope::Scope,
    tls::{self, Peers, alpn},
};
use crate::model::{ClientTls, ClientTlsMode, Protocol, ProxyProtocol, Service, ServicePort, TrafficPolicy};

/// What a connection leads to.
pub(super) struct Upstream<'a> {
    pub(super) service: &'a Service,
    pub(super) port: &'a ServicePort,
    pub(super) key: &'a ClusterKey,
    pub(super) discovery: Discovery,
    pub(super) policy: &'a TrafficPolicy,
    pub(super) spoken: Spoken,
}

/// Chooses the cluster's transport sockets: as the DestinationRule says; without one, the mesh's mTLS to every endpoint that speaks it.
pub(super) fn secure(scope: &Scope<'_>, cluster: &mut Cluster, to: &Upstream<'_>) {
    match &to.policy.tls {
        Some(tls) => cluster.transport_socket = asked_for(scope, to, tls),
        None if !scope.settings().enable_auto_mtls || to.service.external => {}
        // Endpoints that nobody listed have no metadata to choose by: it is all or nothing.
        None if to.discovery.is_unlisted() => {
            if endpoints::all_speak_mtls(scope, to.service, to.key) {
                cluster.transport_socket = Some(mesh(scope, to, None));
            }
        }
        None => {
            let speaking = socket_match("tlsMode-istio", Some(endpoints::speaks_mtls()), mesh(scope, to, None));
            let others = socket_match("tlsMode-disabled", Some(Struct::default()), tls::raw());
            cluster.transport_socket_matches = vec![speaking, others];
        }
    }
    if let Some(version) = to.policy.proxy_protocol {
        introduce(cluster, version);
    }
}

/// Lets each connection begin, before any TLS, with the client's address.
fn introduce(cluster: &mut Cluster, version: ProxyProtocol) {
    for it in &mut cluster.transport_socket_matches {
        it.transport_socket = it.transport_socket.take().map(|socket| tls::behind_proxy_protocol(socket, version));
    }
    if cluster.transport_socket_matches.is_empty() {
        let socket = cluster.transport_socket.take().unwrap_or_else(tls::raw);
        cluster.transport_socket = Some(tls::behind_proxy_protocol(socket, version));
    }
}

/// How the server's name, which TLS needs, is that of each request where the user gives none.
pub(super) fn names_from_request(service: &Service, policy: &TrafficPolicy, protocol: Protocol) -> Option<UpstreamHttpProtocolOptions> {
    let tls = policy.tls.as_ref().filter(|tls| matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual))?;
    let of_request = tls.sni.is_none() && (protocol.is_http() || protocol == Protocol::Auto);
    of_request.then(|| UpstreamHttpProtocolOptions {
        auto_sni: true,
        auto_san_validation: shown_names(service, tls).is_empty() && !tls.unverified(),
        ..UpstreamHttpProtocolOptions::default()
    })
}

fn socket_match(name: &str, condition: Option<Struct>, socket: TransportSocket) -> TransportSocketMatch {
    TransportSocketMatch { name: name.to_owned(), r#match: condition, transport_socket: Some(socket) }
}

fn asked_for(scope: &Scope<'_>, to: &Upstream<'_>, tls: &ClientTls) -> Option<TransportSocket> {
    match tls.mode {
        ClientTlsMode::Disable => None,
        ClientTlsMode::IstioMutual => Some(mesh(scope, to, Some(tls))),
        ClientTlsMode::Simple | ClientTlsMode::Mutual => {
            let offered: &[&str] = if to.spoken == Spoken::Http2 { &["h2"] } else { &[] };
            let host = &to.service.key.host;
            let opaque = !to.port.protocol.is_http() && to.port.protocol != Protocol::Auto;
            let own_name = (opaque && !host.is_wildcard()).then(|| host.as_str());
            let tls = ClientTls { subject_alt_names: shown_names(to.service, tls).to_vec(), ..tls.clone() };
            // Whose Secret it is, the rule says.
            let with_secrets =
                tls.credential_name.is_some() && scope.rules_for(to.service).first().is_some_and(|rule| scope.may_use_secrets_of(rule));
            Some(tls::client(&tls, tls.sni.as_deref().or(own_name), offered, with_secrets))
        }
    }
}

/// The names of which a service's servers must show one: as the policy says, else as whoever declared the service.
fn shown_names<'a>(service: &'a Service, tls: &'a ClientTls) -> &'a [Arc<str>] {
    if tls.subject_alt_names.is_empty() { &service.subject_alt_names } else { &tls.subject_alt_names }
}

/// The mesh's mTLS to a service; `asked` may name server and peers differently.
fn mesh(scope: &Scope<'_>, to: &Upstream<'_>, asked: Option<&ClientTls>) -> TransportSocket {
    let server_name = asked.and_then(|tls| tls.sni.as_deref()).map_or_else(|| to.key.server_name(), str::to_owned);
    let mut declared: Vec<Arc<str>> = Vec::new();
    let peers = match (asked, scope.identities(&to.service.key)) {
        (Some(tls), _) if !tls.subject_alt_names.is_empty() => Peers::Names(&tls.subject_alt_names),
        // What is known of the endpoints adds to the names that were declared.
        (_, identities) if !to.service.subject_alt_names.is_empty() => {
            let identities = identities.iter().map(|identity| identity.to_string().into());
            declared.extend(to.service.subject_alt_names.iter().cloned().chain(identities));
            Peers::Names(&declared)
        }
        // Nobody is there yet, or nobody said whom to expect.
        (_, []) => Peers::TrustDomain(&scope.settings().trust_domain),
        (_, identities) => Peers::Identities(identities),
    };
    let offered = match to.spoken {
        Spoken::AsClient => alpn::ANY_HTTP,
        Spoken::Http2 => alpn::HTTP2,
        Spoken::Http1 => alpn::HTTP1,
        Spoken::Bytes => alpn::TCP,
    };
    tls::mesh_client(&server_name, &peers, offered)
}
