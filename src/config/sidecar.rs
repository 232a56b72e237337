//! Sidecar.

use ferromesh_crds::networking::Sidecar;
use ferromesh_crds::networking::gateway::{ServerTls, ServerTlsMode};
use ferromesh_crds::networking::sidecar::{self as api, CaptureMode, SidecarPort};

use super::endpoint::UNIX;
use super::hosts::{is_ip, is_label};
use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use super::server_tls::mode_name;
use super::text::{filled, given};
use super::virtual_service::destination;
use crate::model::{
    self, Bind, Destination, EgressListener, HostSelector, IngressEndpoint, IngressListener, Labels, OutboundTrafficMode, Protocol,
};

/// Reads a Sidecar.
///
/// # Errors
/// Everything that is wrong with it.
pub fn sidecar(object: &Sidecar, context: &ParseContext) -> Result<Parsed<model::Sidecar>, Invalid> {
    let mut reading = Reading::new("Sidecar", &object.metadata, context);
    let spec = &object.spec;
    let selector = spec.workload_selector.as_ref();
    let selector = selector.map_or_else(Labels::new, |one| reading.selector(&SPEC.field("workloadSelector"), "labels", &one.labels));
    let nothing = spec.ingress.is_empty() && spec.egress.is_empty();
    if nothing && spec.inbound_connection_pool.is_none() && spec.outbound_traffic_policy.is_none() && spec.workload_selector.is_none() {
        reading.error(&SPEC, Code::Required, "one of ingress, egress, inboundConnectionPool and outboundTrafficPolicy is needed");
    }
    let ports = ingress(&mut reading, &spec.ingress);
    let pool = spec.inbound_connection_pool.as_ref();
    let pool = pool.map(|pool| reading.connection_pool(&SPEC.field("inboundConnectionPool"), pool));
    let listeners = egress(&mut reading, &spec.egress);
    let outbound = spec.outbound_traffic_policy.as_ref().map(|policy| outbound_traffic(&mut reading, policy));
    let value = model::Sidecar {
        origin: reading.origin.clone(),
        selector,
        ingress: ports,
        inbound_connection_pool: pool,
        egress: (!spec.egress.is_empty()).then_some(listeners),
        outbound_traffic: outbound.as_ref().map(|(mode, _)| *mode),
        egress_proxy: outbound.and_then(|(_, proxy)| proxy),
        created: reading.created,
    };
    reading.finish(value)
}

/// As in protobuf, no mode is the first one, REGISTRY_ONLY.
fn outbound_traffic(reading: &mut Reading<'_>, policy: &api::OutboundTrafficPolicy) -> (OutboundTrafficMode, Option<Destination>) {
    let at = SPEC.field("outboundTrafficPolicy");
    let mode = match policy.mode {
        Some(api::OutboundTrafficMode::AllowAny) => OutboundTrafficMode::AllowAny,
        Some(api::OutboundTrafficMode::RegistryOnly) | None => OutboundTrafficMode::RegistryOnly,
    };
    let proxy = policy.egress_proxy.as_ref().map(|proxy| {
        let here = at.field("egressProxy");
        if mode != OutboundTrafficMode::AllowAny {
            reading.error(&here, Code::Conflict, "needs mode ALLOW_ANY");
        }
        if proxy.port.is_none() {
            reading.required(&here.field("port"));
        }
        destination(reading, &here, proxy)
    });
    (mode, proxy)
}

/// Listeners on which services are reached.
fn egress(reading: &mut Reading<'_>, listeners: &[api::EgressListener]) -> Vec<EgressListener> {
    let list = SPEC.field("egress");
    let mut parsed = Vec::with_capacity(listeners.len());
    for (index, listener) in listeners.iter().enumerate() {
        let at = list.index(index);
        match &listener.port {
            None if index + 1 < listeners.len() => {
                reading.error(&at, Code::Conflict, "without a port it takes all that others leave, so it must come last and alone");
            }
            None => check_bind(reading, &at, listener.bind.as_deref().unwrap_or_default()),
            Some(port) => check_egress_port(reading, &at, listener, port),
        }
        let (hosts, excluded) = egress_hosts(reading, &at.field("hosts"), &listener.hosts);
        let port = listener.port.as_ref();
        parsed.push(EgressListener {
            port: port.and_then(|port| u16::try_from(port.number?).ok()).filter(|number| *number != 0),
            protocol: port.and_then(|port| port.protocol.as_deref()).and_then(Protocol::named),
            bind: listener.bind.as_deref().and_then(egress_bind),
            opened: opened(listener.capture_mode),
            hosts,
            excluded,
        });
    }
    let binds = listeners.iter().enumerate().filter_map(|(index, listener)| {
        let bind = listener.bind.as_deref().unwrap_or_default();
        Some((list.index(index), (listener.port.as_ref()?.number.unwrap_or_default(), if bind.starts_with(UNIX) { bind } else { "" })))
    });
    let binds: Vec<_> = binds.collect();
    reading.distinct(binds.into_iter(), |(port, bind)| match *port {
        0 => format!("there are two listeners on {}", quoted(bind)),
        port => format!("there are two listeners on port {port}"),
    });
    parsed
}

fn egress_bind(bind: &str) -> Option<Bind> {
    match bind.strip_prefix(UNIX) {
        Some(path) => Some(Bind::Socket(path.into())),
        None => bind.parse().ok().map(Bind::Address),
    }
}

fn check_egress_port(reading: &mut Reading<'_>, at: &At<'_>, listener: &api::EgressListener, port: &SidecarPort) {
    let here = at.field("port");
    let bind = listener.bind.as_deref().unwrap_or_default();
    if let Some(path) = bind.strip_prefix(UNIX) {
        reading.unix_socket(&at.field("bind"), path);
        if port.number.unwrap_or_default() != 0 {
            reading.error(&here.field("number"), Code::Conflict, "a listener on a Unix socket has no port number");
        }
        if listener.capture_mode == Some(CaptureMode::Iptables) {
            reading.error(&at.field("captureMode"), Code::Conflict, "connections to a Unix socket are not redirected");
        }
    } else {
        reading.port(&here.field("number"), port.number.unwrap_or_default());
        check_bind(reading, at, bind);
    }
    check_port_fields(reading, &here, port);
}

/// The address that a listener is bound to; empty for the mesh's own choice.
fn check_bind(reading: &mut Reading<'_>, at: &At<'_>, bind: &str) {
    if !bind.is_empty() && !is_ip(bind) {
        reading.error(&at.field("bind"), Code::BadAddress, format!("{} is no IP address", quoted(bind)));
    }
}

fn check_port_fields(reading: &mut Reading<'_>, at: &At<'_>, port: &SidecarPort) {
    if let Some(name) = filled(&port.name) {
        reading.port_name(&at.field("name"), name);
    }
    if let Some(protocol) = filled(&port.protocol) {
        reading.protocol(&at.field("protocol"), protocol);
    }
    if port.target_port.is_some_and(|port| port != 0) {
        reading.error(&at.field("targetPort"), Code::NotAllowed, "has no effect in a Sidecar: remove it, or use defaultEndpoint");
    }
}

/// `namespace/host` entries: those that select, and those that exclude (`~NAMESPACE/host`). Those of no namespace (`~`) select nothing,
/// so they are left out.
fn egress_hosts(reading: &mut Reading<'_>, at: &At<'_>, entries: &[String]) -> (Vec<HostSelector>, Vec<HostSelector>) {
    if entries.is_empty() {
        reading.required(at);
    }
    let all = entries.iter().any(|entry| entry == "*/*");
    let mut seen = std::collections::BTreeSet::new();
    let (mut hosts, mut excluded) = (Vec::with_capacity(entries.len()), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        let at = at.index(index);
        let Some((namespace, host)) = entry.split_once('/') else {
            reading.error(&at, Code::BadHost, format!("{} is not of the form NAMESPACE/HOST", quoted(entry)));
            continue;
        };
        let pattern = reading.qualified_host(&at, host, false);
        if !seen.insert((namespace, host)) {
            reading.warn(&at, Code::NoEffect, format!("{} is named twice", quoted(entry)));
        } else if all && entry != "*/*" && !namespace.starts_with('~') {
            reading.warn(&at, Code::NoEffect, "has no effect: \"*/*\" selects all that there is");
        }
        let namespace = match namespace {
            "*" => None,
            "." => Some(reading.origin.namespace.clone()),
            "~" => continue,
            name => match name.strip_prefix('~') {
                Some(left_out) if is_label(left_out) => {
                    excluded.push(HostSelector { namespace: Some(left_out.into()), host: pattern });
                    continue;
                }
                _ => {
                    reading.namespace_name(&at, name);
                    Some(name.into())
                }
            },
        };
        hosts.push(HostSelector { namespace, host: pattern });
    }
    (hosts, excluded)
}

/// Ports of the workload.
fn ingress(reading: &mut Reading<'_>, listeners: &[api::IngressListener]) -> Vec<IngressListener> {
    let list = SPEC.field("ingress");
    let read = |(index, one): (usize, &api::IngressListener)| ingress_listener(reading, &list.index(index), one);
    let parsed = listeners.iter().enumerate().filter_map(read).collect();
    let numbers = listeners.iter().enumerate().filter_map(|(index, one)| Some((list.index(index), one.port.as_ref()?.number?)));
    let numbers: Vec<_> = numbers.collect();
    reading.distinct(numbers.into_iter(), |port| format!("there are two listeners on port {port}"));
    parsed
}

fn ingress_listener(reading: &mut Reading<'_>, at: &At<'_>, listener: &api::IngressListener) -> Option<IngressListener> {
    let here = at.field("port");
    if let Some(port) = &listener.port {
        check_port_fields(reading, &here, port);
    } else {
        reading.required(&here);
    }
    let bind = filled(&listener.bind);
    if let Some(bind) = bind.filter(|bind| !is_ip(bind)) {
        reading.error(&at.field("bind"), Code::BadAddress, format!("{} is no IP address", quoted(bind)));
    }
    let endpoint = filled(&listener.default_endpoint);
    let endpoint = endpoint.map(|endpoint| default_endpoint(reading, &at.field("defaultEndpoint"), endpoint));
    let protocol = listener.port.as_ref().and_then(|port| port.protocol.as_deref()).and_then(Protocol::named);
    let tls = listener.tls.as_ref().map(|tls| ingress_tls(reading, &at.field("tls"), tls, protocol));
    let pool = listener.connection_pool.as_ref().map(|pool| reading.connection_pool(&at.field("connectionPool"), pool));
    let http = listener.connection_pool.as_ref().is_some_and(|pool| pool.http.is_some());
    if http && protocol.is_some_and(|protocol| !protocol.is_http()) {
        reading.warn(&at.field("connectionPool").field("http"), Code::NoEffect, "the port's protocol is not HTTP");
    }
    let port = listener.port.as_ref()?;
    Some(IngressListener {
        port: reading.port(&here.field("number"), port.number.unwrap_or_default()),
        port_name: port.name.as_deref().unwrap_or_default().into(),
        protocol,
        bind: bind.and_then(|bind| bind.parse().ok()),
        opened: opened(listener.capture_mode),
        endpoint: endpoint.unwrap_or(IngressEndpoint::SamePort),
        tls,
        connection_pool: pool,
    })
}

/// A local address and port, or a Unix socket.
fn default_endpoint(reading: &mut Reading<'_>, at: &At<'_>, endpoint: &str) -> IngressEndpoint {
    if let Some(path) = endpoint.strip_prefix(UNIX) {
        reading.unix_socket(at, path);
        return IngressEndpoint::Socket(path.into());
    }
    let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, ""));
    let port = match port.parse::<u32>() {
        Ok(port) => reading.port(at, port),
        Err(_) => {
            reading.error(at, Code::BadAddress, format!("{} has no port number after its last colon", quoted(endpoint)));
            0
        }
    };
    match host {
        "0.0.0.0" | "[::]" => IngressEndpoint::PodAddress(port),
        "" | "127.0.0.1" | "[::1]" => IngressEndpoint::Loopback(port),
        _ => {
            let message = format!("{} must be 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///PATH", quoted(endpoint));
            reading.error(at, Code::BadAddress, message);
            IngressEndpoint::SamePort
        }
    }
}

/// TLS of an ingress listener: files only, and on TLS ports only.
fn ingress_tls(reading: &mut Reading<'_>, at: &At<'_>, tls: &ServerTls, protocol: Option<Protocol>) -> model::ServerTls {
    let unsupported = [
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("httpsRedirect", tls.https_redirect == Some(true)),
        ("credentialName", given(&tls.credential_name)),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ];
    for (field, _) in unsupported.iter().filter(|(_, present)| *present) {
        reading.error(&at.field(field), Code::NotAllowed, "can't be used for a sidecar's own ports");
    }
    if let Some(mode @ (ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough)) = tls.mode {
        reading.error(&at.field("mode"), Code::NotAllowed, format!("{} can't be used for a sidecar's own ports", mode_name(mode)));
    }
    if !protocol.is_some_and(Protocol::is_tls) {
        reading.error(at, Code::Conflict, "needs a port with the protocol HTTPS or TLS");
    }
    reading.server_tls(at, tls)
}

/// Whether the proxy itself is called, as far as that is said.
fn opened(mode: Option<CaptureMode>) -> Option<bool> {
    match mode {
        Some(CaptureMode::None) => Some(true),
        Some(CaptureMode::Iptables) => Some(false),
        Some(CaptureMode::Default) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_of_a_workload_are_read() {
        let spec = json!({"ingress": [
            {"port": {"number": 80, "protocol": "HTTP", "name": "web"}, "defaultEndpoint": "0.0.0.0:8080", "captureMode": "NONE", "bind": "10.0.0.1"},
            {"port": {"number": 81}, "defaultEndpoint": "[::1]:8081"},
            {"port": {"number": 82}, "defaultEndpoint": "unix:///run/a.sock"},
        ]});
        let object = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
        let sidecar = sidecar(&object, &ParseContext::default()).unwrap().value;
        let endpoints: Vec<_> = sidecar.ingress.iter().map(|one| one.endpoint.clone()).collect();
        assert_eq!(
            endpoints,
            [IngressEndpoint::PodAddress(8080), IngressEndpoint::Loopback(8081), IngressEndpoint::Socket("/run/a.sock".into())]
        );
        let first = &sidecar.ingress[0];
        assert_eq!((first.port, first.bind, first.opened), (80, Some("10.0.0.1".parse().unwrap()), Some(true)));
    }

    #[test]
    fn listeners_for_what_the_workload_calls_are_read() {
        let spec = json!({"egress": [
            {"port": {"number": 9080, "protocol": "HTTP"}, "bind": "127.0.0.2", "captureMode": "NONE", "hosts": ["./*", "~/*"]},
            {"port": {"protocol": "TCP"}, "bind": "unix:///run/db.sock", "hosts": ["data/db.data.svc.cluster.local"]},
            {"hosts": ["*/*", "~kube-system/*"]},
        ]});
        let object = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "shop"}, "spec": spec})).unwrap();
        let parsed = sidecar(&object, &ParseContext::default()).unwrap();
        assert_eq!(parsed.warnings, []);
        let [on_port, on_socket, others] = &parsed.value.egress.unwrap()[..] else { panic!("three listeners") };
        assert_eq!((on_port.port, on_port.opened, on_port.protocol), (Some(9080), Some(true), Some(Protocol::Http)));
        assert_eq!(on_port.bind, Some(Bind::Address("127.0.0.2".parse().unwrap())));
        assert_eq!((on_port.hosts.len(), on_port.hosts[0].namespace.as_deref()), (1, Some("shop")));
        assert_eq!((on_socket.port, on_socket.socket().map(|path| &**path)), (None, Some("/run/db.sock")));
        let (system, shop): (std::sync::Arc<str>, std::sync::Arc<str>) = ("kube-system".into(), "shop".into());
        let host = crate::model::HostPattern::new("dns.example.com");
        assert!(others.admits(&shop, &host) && !others.admits(&system, &host));
    }
}
