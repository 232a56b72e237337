//! A Gateway as it was parsed: ports that gateway workloads open.

use std::{net::IpAddr, sync::Arc};

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
    /// The number that clients of the gateway's Service call; 0 for a socket.
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
    /// Where it listens; `None` for all addresses.
    pub bind: Option<Bind>,
    /// Reserved by the API: where traffic would go that nothing else takes.
    pub default_endpoint: Option<Arc<str>>,
}

/// What a server is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bind {
    /// An address.
    Address(IpAddr),
    /// A Unix socket: its path, or `@` and an abstract name.
    Socket(Arc<str>),
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerTls {
    /// The mode.
    pub mode: ServerTlsMode,
    /// Whether HTTP requests are answered by a redirect to HTTPS.
    pub https_redirect: bool,
    /// Certificates and keys: one, or one a kind of key.
    pub certificates: Vec<ServerCertificate>,
    /// Where authorities of clients' certificates come from, apart from the certificates' own Secret.
    pub client_authorities: Option<ClientAuthorities>,
    /// Path of a list of revoked certificates.
    pub ca_crl: Option<Arc<str>>,
    /// Names of which a client must show one.
    pub subject_alt_names: Vec<Arc<str>>,
    /// SHA-256 of public keys that clients may have, in base64.
    pub verify_certificate_spki: Vec<Arc<str>>,
    /// SHA-256 of certificates that clients may have, in hexadecimal.
    pub verify_certificate_hash: Vec<Arc<str>>,
    /// The least version of TLS; `None` for the mesh's choice.
    pub min_protocol: Option<TlsVersion>,
    /// The greatest version of TLS; `None` for the mesh's choice.
    pub max_protocol: Option<TlsVersion>,
    /// Cipher suites that Envoy knows, each once; empty for the mesh's choice.
    pub cipher_suites: Vec<Arc<str>>,
}

/// Where a server's certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerCertificate {
    /// In this Secret.
    Secret(Arc<str>),
    /// In these files.
    Files {
        /// Path of the certificate chain.
        certificate: Arc<str>,
        /// Path of the key.
        key: Arc<str>,
    },
}

/// Where the authorities are that sign clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuthorities {
    /// In this Secret or ConfigMap.
    Secret(Arc<str>),
    /// In this file.
    File(Arc<str>),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0
    V1_0,
    /// 1.1
    V1_1,
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

/// How TLS is ended at a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerTlsMode {
    /// Passed on unopened, routed by server name.
    #[default]
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

// === impl ServerTls ===

impl ServerTls {
    /// The Secrets that it names, of certificates and of authorities.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> {
        let certificates = self.certificates.iter().filter_map(|certificate| match certificate {
            ServerCertificate::Secret(name) => Some(name),
            ServerCertificate::Files { .. } => None,
        });
        let authorities = self.client_authorities.iter().filter_map(|authorities| match authorities {
            ClientAuthorities::Secret(name) => Some(name),
            ClientAuthorities::File(_) => None,
        });
        certificates.chain(authorities)
    }
}
