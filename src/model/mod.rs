//! The typed core: what a workload, a service, a route and a snapshot of the mesh *are*, as plain values.
//!
//! Nothing here reads a clock, a file or the network, and nothing knows Kubernetes' or Envoy's types: `config` parses API objects into
//! these values, `index` keeps the current ones in a [`Snapshot`], `compile` turns a snapshot into Envoy's resources. All types compare
//! by value, because comparison is how change is detected.

mod authorization_policy;
mod config_object;
mod credential;
mod destination;
mod duration;
mod endpoint;
mod envoy_filter;
mod extension;
mod gateway;
mod identity;
mod injection;
mod label_selector;
mod legacy_authentication;
mod legacy_rbac;
mod load_balancing;
mod matching;
mod mesh;
mod name;
mod network;
mod peer_authentication;
mod pod_repair;
mod policy_target;
mod protocol;
mod proxy;
mod proxy_config;
mod proxy_environment;
mod proxy_statistics;
mod request_authentication;
mod revision;
mod route;
mod service;
mod service_entry;
mod sidecar;
mod snapshot;
mod telemetry;
mod workload;
mod workload_entry;
mod workload_group;

pub use authorization_policy::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, MetadataMatch, Operation, PathMatch, PathSegment,
    ServiceAccountName, Source, TextAttribute, TextMatch, Values,
};
pub use config_object::{ConfigObject, ConfigObjects, Objects, same_shared, set_shared};
pub use credential::{AUTHORITIES_SUFFIX, Authorities, CertifiedKey, Credential, SecretKey};
pub use destination::{
    ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, Http2Keepalive, OutlierDetection, PortTrafficPolicy, ProxyProtocol,
    RetryBudget, Subset, TcpKeepalive, TrafficPolicy, Tunnel,
};
pub use duration::parse_duration;
pub use endpoint::{Endpoint, Health, UNIX_SOCKET};
pub use envoy_filter::{
    ClusterMatch, EnvoyFilter, EnvoyPatch, FilterChainMatch, FilterClass, ListenerMatch, ObjectMatch, PatchContext, PatchOperation,
    PatchTargets, PatchedObject, RouteAction, RouteConfigurationMatch,
};
pub use extension::{
    ExtensionCode, ExtensionPhase, ExtensionPlacement, ExtensionTraffic, PullPolicy, TrafficExtension, WasmFailure, WasmLocation,
    WasmModule, WasmPlugin,
};

pub use gateway::{
    Bind, ClientAuthorities, Gateway, GatewayServer, NamespaceSelector, ServerCertificate, ServerTls, ServerTlsMode, TlsVersion,
};
pub use identity::{IdentityError, SpiffeId};
pub use injection::{InjectionPolicy, InjectionValues, SidecarDefaults};
pub use label_selector::{LabelSelector, Operator, Requirement};
pub use legacy_authentication::{
    AuthenticationMethods, MeshPolicy, OriginMethod, PeerMethod, Policy, PolicyPort, PolicyService, TokenTrigger, TriggerPath,
};
pub use legacy_rbac::{
    AccessRule, BoundRole, ClusterRbacConfig, RbacConfig, RbacScope, RbacTargets, ServiceRole, ServiceRoleBinding, Subject,
};
pub use load_balancing::{
    ConsistentHash, HashCookie, HashKey, HashTable, LoadBalancer, LoadBalancing, LocalityBalancing, LocalityShares, Warmup,
    ZoneAwareBalancing,
};
pub use matching::{ClaimMatch, HeaderMatch, HttpMatch, StringMatch};
pub use mesh::{
    AccessLogEncoding, H2UpgradePolicy, MeshConfig, MeshProxyDefaults, NormalizationType, OutboundTrafficMode, OutboundTrafficPolicy,
    PathNormalization,
};
pub use name::{ExportTo, HostPattern, Labels, ObjectRef, Visibility};
pub use network::{GATEWAY_PORT, MeshNetwork, NETWORK, NetworkEndpoints, NetworkGateway, Outside};
pub use peer_authentication::{MtlsMode, PeerAuthentication};
pub use pod_repair::PodRepair;
pub use policy_target::{PolicyTarget, TargetKind, TargetResource};
pub use protocol::Protocol;
pub use proxy::{
    AGENT_STREAM, AGENT_VERSION, GRPC_SERVER_PREFIX, Generator, InterceptionMode, LOCAL_CLUSTER, OLDEST_VERSION, ProxyImage, ProxyRole,
    ProxySettings, REFERENCE_VERSION, TRANSPARENT_MARK,
};
pub use proxy_config::ProxyConfig;
pub use proxy_environment::ProxyEnvironment;
pub use proxy_statistics::ProxyStatistics;
pub use request_authentication::{ClaimHeader, JwtKeys, JwtRule, KeySetUrl, RequestAuthentication, TokenLocation};
pub use revision::{DEFAULT_REVISION, SLOTS, of_revision, served_revision};
pub use route::{
    AbortStatus, Body, Cors, Destination, HeaderOperations, HttpAction, HttpFault, HttpRedirect, HttpRetry, HttpRewrite, HttpRoute,
    MESH_GATEWAY, Mirror, PerMillion, RedirectPort, TcpMatch, TcpRoute, TlsMatch, TlsRoute, VirtualService, WeightedDestination,
};
pub use service::{Resolution, Service, ServiceKey, ServicePort, TargetPort};
pub use service_entry::{Location, ServiceEntry, ServiceEntryEndpoint};
pub use sidecar::{EgressListener, HostSelector, IngressEndpoint, IngressListener, Sidecar};
pub use snapshot::{Change, Changes, Snapshot};
pub use telemetry::{AccessLogging, MetricName, Metrics, MetricsOverride, StandardMetric, TagValue, Telemetry, Tracing, TrafficDirection};
pub use workload::{Workload, WorkloadKey};
pub use workload_entry::WorkloadEntry;
pub use workload_group::{HealthCheck, WorkloadGroup, WorkloadProbe};
