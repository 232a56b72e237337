//! The typed core: what a workload, a service, a route and a snapshot of the mesh *are*, as plain values.
//!
//! Nothing here reads a clock, a file or the network, and nothing knows Kubernetes' or Envoy's types: `config` parses API objects into
//! these values, `index` keeps the current ones in a [`Snapshot`], `compile` turns a snapshot into Envoy's resources. All types compare
//! by value, because comparison is how change is detected.

mod config_object;
mod destination;
mod duration;
mod endpoint;
mod gateway;
mod identity;
mod load_balancing;
mod matching;
mod mesh;
mod name;
mod peer_authentication;
mod protocol;
mod proxy;
mod proxy_environment;
mod route;
mod service;
mod service_entry;
mod sidecar;
mod snapshot;
mod workload;

pub use config_object::{ConfigObject, ConfigObjects, Objects, same_shared, set_shared};
pub use destination::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, Http2Keepalive, OutlierDetection, PortTrafficPolicy, ProxyProtocol,
    RetryBudget, Subset, TcpKeepalive, TrafficPolicy, Tunnel,
};
pub use duration::parse_duration;
pub use endpoint::{Endpoint, Health};
pub use gateway::{
    Bind, ClientAuthorities, Gateway, GatewayServer, NamespaceSelector, ServerCertificate, ServerTls, ServerTlsMode, TlsVersion,
};
pub use identity::{IdentityError, SpiffeId};
pub use load_balancing::{
    ConsistentHash, HashCookie, HashKey, HashTable, LoadBalancer, LoadBalancing, LocalityBalancing, LocalityShares, Warmup,
    ZoneAwareBalancing,
};
pub use matching::{ClaimMatch, HeaderMatch, HttpMatch, StringMatch};
pub use mesh::{
    AccessLogEncoding, InjectionValues, MeshConfig, MeshProxyDefaults, OutboundTrafficMode, OutboundTrafficPolicy, SidecarDefaults,
};
pub use name::{ExportTo, HostPattern, Labels, ObjectRef, Visibility};
pub use peer_authentication::{MtlsMode, PeerAuthentication};
pub use protocol::Protocol;
pub use proxy::{ProxyConfig, ProxyRole};
pub use proxy_environment::ProxyEnvironment;
pub use route::{
    AbortStatus, Body, Cors, Destination, HeaderOperations, HttpAction, HttpFault, HttpRedirect, HttpRetry, HttpRewrite, HttpRoute,
    MESH_GATEWAY, Mirror, PerMillion, RedirectPort, TcpMatch, TcpRoute, TlsMatch, TlsRoute, VirtualService, WeightedDestination,
};
pub use service::{Resolution, Service, ServiceKey, ServicePort, TargetPort};
pub use service_entry::{Location, ServiceEntry, ServiceEntryEndpoint};
pub use sidecar::{EgressListener, HostSelector, Sidecar};
pub use snapshot::{Change, Changes, Snapshot};
pub use workload::{Workload, WorkloadKey};
