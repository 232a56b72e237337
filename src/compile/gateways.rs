//! Which ports a gateway opens, for which servers of Gateway objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{naming, scope::Scope, workload_ports::ports_called};
use crate::model::{
    Bind, Gateway, GatewayServer, HostPattern, NamespaceSelector, ObjectRef, Protocol, ServerTls, ServerTlsMode, Service, VirtualService,
};

/// The lowest port that a process without privileges may bind.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// Ports of the pod that the agent and Envoy use themselves.
const TAKEN: [u16; 5] = [15000, 15001, 15020, 15021, 15090];

/// Where a gateway listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct GatewayPort {
    /// The pod's port; 0 for a socket.
    pub(super) number: u16,
    /// At what; `None` for all addresses.
    pub(super) bind: Option<Bind>,
}

/// A server of a Gateway that holds for the proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a GatewayServer,
    pub(super) handling: Handling<'a>,
}

/// What becomes of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Handling<'a> {
    /// HTTP in plain text, by routes.
    Http,
    /// Opaque bytes in plain text, as VirtualServices say.
    Tcp,
    /// TLS ends here, and HTTP is in it.
    Https(&'a ServerTls),
    /// TLS ends here, and opaque bytes are in it.
    Tls(&'a ServerTls),
    /// Passed on unopened, by server name as VirtualServices say.
    Passthrough,
    /// Passed on unopened, to the service's port that the server name stands for.
    AutoPassthrough,
}

/// What clients of a port speak. Servers can share a port only if theirs speak the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Http,
    Bytes,
    Tls,
}

/// The servers of the Gateways that select the proxy, by where they listen. A port speaks what its oldest server says; others on it do not
/// count, nor do servers with TLS of whose hosts an older one has any: a client's server name leads to one alone.
pub(super) fn servers<'a>(scope: &Scope<'a>) -> BTreeMap<GatewayPort, Vec<Server<'a>>> {
    let mut gateways: Vec<&'a Arc<Gateway>> = scope.gateways().filter(|gateway| scope.selected_by(&gateway.selector)).collect();
    gateways.sort_by_key(|gateway| (gateway.created, &gateway.origin));
    let mut ports: BTreeMap<GatewayPort, Vec<Server<'a>>> = BTreeMap::new();
    for gateway in gateways {
        for server in &gateway.servers {
            let Some(handling) = Handling::of(server) else { continue };
            for port in opened(scope, server) {
                ports.entry(port).or_default().push(Server { gateway, server, handling });
            }
        }
    }
    for servers in ports.values_mut() {
        let speech = servers.first().map(|it| it.handling.speech());
        let mut taken: BTreeSet<&HostPattern> = BTreeSet::new();
        servers.retain(|it| {
            let hosts = || it.server.hosts.iter().map(|(_, host)| host);
            let alone = it.handling.speech() != Speech::Tls || !hosts().any(|host| taken.contains(host));
            let holds = alone && Some(it.handling.speech()) == speech;
            taken.extend(hosts().filter(|_| holds));
            holds
        });
    }
    ports
}

/// Where a server listens: at the pod's ports to which clients of its port are led.
fn opened(scope: &Scope<'_>, server: &GatewayServer) -> Vec<GatewayPort> {
    let bind = bind(server);
    if matches!(bind, Some(Bind::Socket(_))) {
        return vec![GatewayPort { number: 0, bind }];
    }
    let numbers = ports_called(scope, server.port).into_iter();
    let free = numbers.filter(|number| *number >= FIRST_UNPRIVILEGED && !TAKEN.contains(number));
    free.map(|number| GatewayPort { number, bind: bind.clone() }).collect()
}

/// At what a server listens: all addresses, said so or not, are the same socket.
fn bind(server: &GatewayServer) -> Option<Bind> {
    server.bind.clone().filter(|bind| *bind != Bind::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// The server of a Gateway whose requests, in TLS that ends here, have the table of routes of that name. Whether it holds for the proxy is
/// not asked.
pub(super) fn https_server<'a>(scope: &Scope<'a>, gateway: &ObjectRef, table: &str) -> Option<Server<'a>> {
    let gateway = scope.gateway(gateway)?;
    let servers = gateway.servers.iter().filter_map(|server| Some(Server { gateway, server, handling: Handling::of(server)? }));
    let mut https = servers.filter(|it| matches!(it.handling, Handling::Https(_)));
    https.find(|it| it.route_table(&GatewayPort { number: 0, bind: bind(it.server) }).as_deref() == Some(table))
}

// === impl GatewayPort ===

/// The name of its listener.
impl fmt::Display for GatewayPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bind {
            None => f.write_str(&naming::listener(None, self.number)),
            Some(Bind::Address(address)) => f.write_str(&naming::listener(Some(*address), self.number)),
            Some(Bind::Socket(path)) => write!(f, "unix://{path}"),
        }
    }
}

impl GatewayPort {
    /// The end of names of routes at an address of their own.
    fn suffix(&self) -> String {
        match &self.bind {
            None => String::new(),
            Some(Bind::Address(address)) => format!(".{address}"),
            Some(Bind::Socket(path)) => format!(".unix://{path}"),
        }
    }
}

// === impl Handling ===

impl<'a> Handling<'a> {
    /// `None` for what is not served.
    fn of(server: &'a GatewayServer) -> Option<Self> {
        let protocol = server.protocol;
        match &server.tls {
            // On plain HTTP, the only thing that the field can ask for is the redirect.
            _ if protocol.is_http() => Some(Self::Http),
            None => (!protocol.is_tls() && protocol != Protocol::Udp).then_some(Self::Tcp),
            Some(_) if !protocol.is_tls() => None,
            Some(tls) => Some(match tls.mode {
                ServerTlsMode::Passthrough => Self::Passthrough,
                ServerTlsMode::AutoPassthrough => Self::AutoPassthrough,
                _ if protocol == Protocol::Https => Self::Https(tls),
                _ => Self::Tls(tls),
            }),
        }
    }

    fn speech(self) -> Speech {
        match self {
            Self::Http => Speech::Http,
            Self::Tcp => Speech::Bytes,
            Self::Https(_) | Self::Tls(_) | Self::Passthrough | Self::AutoPassthrough => Speech::Tls,
        }
    }

    /// Whether clients begin with TLS.
    pub(super) fn is_tls(self) -> bool {
        self.speech() == Speech::Tls
    }

    /// How TLS is ended here, if it is.
    pub(super) fn ended(self) -> Option<&'a ServerTls> {
        match self {
            Self::Https(tls) | Self::Tls(tls) => Some(tls),
            Self::Http | Self::Tcp | Self::Passthrough | Self::AutoPassthrough => None,
        }
    }
}

// === impl Server ===

impl<'a> Server<'a> {
    /// `namespace/name`, by which VirtualServices name the gateway.
    pub(super) fn gateway_name(&self) -> Arc<str> {
        format!("{}/{}", self.gateway.origin.namespace, self.gateway.origin.name).into()
    }

    /// The routes of its requests: all plain HTTP of a port has one table, HTTP in TLS one for each server, so that a request can't get to
    /// another server than its connection. `None` if it serves no HTTP.
    pub(super) fn route_table(&self, at: &GatewayPort) -> Option<Arc<str>> {
        let (server, gateway, suffix) = (self.server, &self.gateway.origin, at.suffix());
        match self.handling {
            Handling::Http => Some(format!("{}{suffix}", naming::gateway_routes(at.number)).into()),
            Handling::Https(_) => {
                Some(format!("https.{}.{}.{}.{}{suffix}", server.port, server.port_name, gateway.name, gateway.namespace).into())
            }
            _ => None,
        }
    }

    /// The server names of its clients; empty for all.
    pub(super) fn server_names(&self) -> Vec<String> {
        let hosts: BTreeSet<&str> = self.server.hosts.iter().map(|(_, host)| host.as_str()).collect();
        if hosts.contains("*") {
            return Vec::new();
        }
        // Envoy knows wildcards of whole labels.
        hosts.into_iter().filter(|host| !host.trim_start_matches("*.").contains('*')).map(str::to_owned).collect()
    }

    /// Whether it passes connections on to a service.
    pub(super) fn leads_to(&self, service: &Service) -> bool {
        !service.external && self.server.hosts.iter().any(|(_, host)| host.covers(&service.key.host))
    }

    /// The VirtualServices that hold here, each with the hosts for which it does, the senior first.
    pub(super) fn routed(&self, scope: &Scope<'a>) -> Vec<(&'a Arc<VirtualService>, Vec<HostPattern>)> {
        let bound = scope.virtual_services_on(&self.gateway_name()).into_iter();
        bound.map(|it| (it, self.hosts_of(it))).filter(|(_, hosts)| !hosts.is_empty()).collect()
    }

    /// The hosts of a VirtualService that the server serves: of two patterns that overlap, the narrower.
    fn hosts_of(&self, routed: &VirtualService) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        for (namespace, served) in &self.server.hosts {
            let speaks = match namespace {
                NamespaceSelector::Any => true,
                NamespaceSelector::Own => routed.origin.namespace == self.gateway.origin.namespace,
                NamespaceSelector::Named(name) => routed.origin.namespace == *name,
            };
            for host in routed.hosts.iter().filter(|host| speaks && host.overlaps(served)) {
                hosts.push(if served.covers(host) { host.clone() } else { served.clone() });
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}
