//! A Gateway as it was parsed: ports that gateway workloads open.

use std::sync::Arc;

use super::{HostPattern, Labels, ObjectRef, Protocol};

/// Servers on the workloads that the selector picks.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// The object.
    pub origin: ObjectRef,
    /// Labels of the gateway's workloads.
    pub selector: Labels,
    /// Its servers.
    pub servers: Vec<GatewayServer>,
    /// Seconds since the epoch at which the object was made: of conflicting servers the oldest holds.
    pub created: i64,
}

/// One port and the hosts that are served on it.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayServer {
    /// The number that clients of the gateway's Service call.
    pub port: u16,
    /// The port's name, part of route names.
    pub port_name: Arc<str>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Hosts, each with the namespace whose VirtualServices may speak for it.
    pub hosts: Vec<(NamespaceSelector, HostPattern)>,
    /// How TLS is ended, if it is.
    pub tls: Option<ServerTls>,
    /// The user's name for it.
    pub name: Arc<str>,
}

/// The part before the slash of a gateway's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceSelector {
    /// `*`, or no slash.
    Any,
    /// `.`.
    Own,
    /// A namespace by name.
    Named(Arc<str>),
}

/// `tls` of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// The mode.
    pub mode: ServerTlsMode,
    /// The Secret with certificate and key.
    pub credential_name: Option<Arc<str>>,
    /// Whether HTTP requests are answered by a redirect to HTTPS.
    pub https_redirect: bool,
}

/// How TLS is ended at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTlsMode {
    /// Passed on unopened, routed by server name.
    Passthrough,
    /// Ended here, clients need no certificate.
    Simple,
    /// Ended here, clients must show a certificate.
    Mutual,
    /// Ended here with the mesh's own certificates.
    IstioMutual,
    /// Passed on by server name to the cluster of that name.
    AutoPassthrough,
    /// Ended here, clients may show a certificate.
    OptionalMutual,
}
