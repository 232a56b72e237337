//! Gateway.

use ferromesh_crds::networking::Gateway;
use ferromesh_crds::networking::gateway::{GatewayPort, Server};

use super::hosts::is_label;
use super::path::{At, METADATA, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use super::server_tls::{decrypts, has_certificates};
use super::text::filled;
use crate::model::{self, Bind, GatewayServer, HostPattern, NamespaceSelector, Protocol};

/// The annotation of Gateways that were made from the Gateway API, where `~` may stand for no namespace at all.
const SEMANTICS: (&str, &str) = ("internal.istio.io/gateway-semantics", "gateway");

/// Reads a Gateway.
///
/// # Errors
/// Everything that is wrong with it.
pub fn gateway(object: &Gateway, context: &ParseContext) -> Result<Parsed<model::Gateway>, Invalid> {
    let mut reading = Reading::new("Gateway", &object.metadata, context);
    let spec = &object.spec;
    let annotations = object.metadata.annotations.as_ref();
    let converted = annotations.and_then(|all| all.get(SEMANTICS.0)).is_some_and(|value| value == SEMANTICS.1);
    check_name(&mut reading, object, converted);
    let list = SPEC.field("servers");
    if spec.servers.is_empty() {
        reading.required(&list);
    }
    if spec.selector.is_empty() {
        reading.warn(&SPEC.field("selector"), Code::NoEffect, "without labels every gateway of the mesh listens");
    }
    let servers = spec.servers.iter().enumerate();
    let servers = servers.filter_map(|(index, one)| server(&mut reading, &list.index(index), one, converted)).collect();
    let names = spec.servers.iter().enumerate().filter_map(|(index, one)| Some((list.index(index), one.port.as_ref()?.name.as_str())));
    let names: Vec<_> = names.filter(|(_, name)| !name.is_empty()).collect();
    reading.distinct(names.into_iter(), |name| format!("there are two ports named {}", quoted(name)));
    let value = model::Gateway {
        origin: reading.origin.clone(),
        selector: reading.labels(&SPEC.field("selector"), &spec.selector),
        servers,
        created: reading.created,
    };
    reading.finish(value)
}

/// Objects refer to a gateway as `namespace/name`, where the name is one label.
fn check_name(reading: &mut Reading<'_>, object: &Gateway, converted: bool) {
    if let Some(name) = object.metadata.name.as_deref().filter(|name| !converted && !is_label(name)) {
        let message = format!("{} is no name of a gateway: letters, digits and '-' only", quoted(name));
        reading.error(&METADATA.field("name"), Code::BadName, message);
    }
}

fn server(reading: &mut Reading<'_>, at: &At<'_>, server: &Server, converted: bool) -> Option<GatewayServer> {
    let list = at.field("hosts");
    if server.hosts.is_empty() {
        reading.required(&list);
    }
    let hosts = server.hosts.iter().enumerate();
    let hosts = hosts.filter_map(|(index, one)| host(reading, &list.index(index), one, converted)).collect();
    if server.default_endpoint.is_some() {
        reading.warn(&at.field("defaultEndpoint"), Code::NoEffect, "reserved: has no effect");
    }
    let bind = filled(&server.bind).and_then(|text| bind(reading, &at.field("bind"), text));
    let tls = server.tls.as_ref().map(|tls| reading.server_tls(&at.field("tls"), tls));
    let here = at.field("port");
    let Some(port) = &server.port else {
        reading.required(&here);
        return None;
    };
    let on_socket = matches!(bind, Some(Bind::Socket(_)));
    let (number, protocol) = self::port(reading, &here, port, on_socket)?;
    check_tls(reading, at, server, protocol);
    let name = server.name.as_deref().unwrap_or_default().into();
    let default_endpoint = server.default_endpoint.as_deref().map(Into::into);
    Some(GatewayServer { port: number, port_name: port.name.as_str().into(), protocol, hosts, tls, name, bind, default_endpoint })
}

fn port(reading: &mut Reading<'_>, at: &At<'_>, port: &GatewayPort, on_socket: bool) -> Option<(u16, Protocol)> {
    if port.name.is_empty() {
        reading.required(&at.field("name"));
    }
    if port.target_port.is_some_and(|port| port > 0) {
        let message = "has no effect at a gateway: the Service in front of it says which port of its pods is called";
        reading.error(&at.field("targetPort"), Code::NotAllowed, message);
    }
    let number = match port.number {
        Some(0) if on_socket => Some(0),
        Some(number) if on_socket => {
            reading.error(&at.field("number"), Code::Conflict, format!("{number} must be 0: the server listens on a socket"));
            None
        }
        Some(number) => Some(reading.port(&at.field("number"), number)),
        None => {
            reading.required(&at.field("number"));
            None
        }
    };
    let protocol = reading.protocol(&at.field("protocol"), &port.protocol);
    number.zip(protocol)
}

/// TLS settings belong to HTTPS and TLS, and have to be there; HTTP may have a redirect.
fn check_tls(reading: &mut Reading<'_>, at: &At<'_>, server: &Server, protocol: Protocol) {
    let here = at.field("tls");
    match &server.tls {
        None if protocol.is_tls() => reading.error(&here, Code::Required, format!("required by the protocol {protocol}")),
        Some(tls) if protocol.is_http() && (decrypts(tls) || has_certificates(tls)) => {
            let message = format!("{protocol} is plain text: only httpsRedirect makes sense, or the protocol HTTPS");
            reading.error(&here, Code::Conflict, message);
        }
        Some(_) if !protocol.is_tls() && !protocol.is_http() => {
            reading.error(&here, Code::Conflict, format!("the protocol {protocol} has no TLS: use HTTPS or TLS"));
        }
        Some(tls) if !protocol.is_http() && tls.https_redirect == Some(true) => {
            reading.warn(&here.field("httpsRedirect"), Code::NoEffect, "redirects HTTP only");
        }
        _ => {}
    }
}

/// An address, or `unix://` and a socket.
fn bind(reading: &mut Reading<'_>, at: &At<'_>, text: &str) -> Option<Bind> {
    if let Some(path) = text.strip_prefix("unix://") {
        reading.unix_socket(at, path);
        return Some(Bind::Socket(path.into()));
    }
    let address = text.parse();
    if address.is_err() {
        reading.error(at, Code::BadAddress, format!("{} is neither an IP address nor unix:// and the path of a socket", quoted(text)));
    }
    address.ok().map(Bind::Address)
}

/// `host` or `namespace/host`. A host that no namespace may speak for serves nobody, so it is left out.
fn host(reading: &mut Reading<'_>, at: &At<'_>, text: &str, converted: bool) -> Option<(NamespaceSelector, HostPattern)> {
    let (namespace, host) = match text.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, text),
    };
    let host = reading.qualified_host(at, host, true);
    let namespace = match namespace {
        None | Some("*") => NamespaceSelector::Any,
        Some(".") => NamespaceSelector::Own,
        Some("~") if converted => return None,
        Some(name) => {
            reading.namespace_name(at, name);
            NamespaceSelector::Named(name.into())
        }
    };
    Some((namespace, host))
}

// === impl Reading: protocols ===

impl Reading<'_> {
    /// The protocol of a Gateway's, ServiceEntry's or Sidecar's port.
    pub(super) fn protocol(&mut self, at: &At<'_>, name: &str) -> Option<Protocol> {
        if name.is_empty() {
            self.required(at);
            return None;
        }
        let protocol = Protocol::named(name);
        if protocol.is_none() {
            let known = "HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP, TLS, UDP";
            self.error(at, Code::NotAllowed, format!("{} is not one of {known}", quoted(name)));
        }
        protocol
    }
}
