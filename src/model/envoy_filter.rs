//! An EnvoyFilter as it was parsed: changes to what proxies are sent.

use std::sync::Arc;

use serde_json::Value;

use super::{Labels, ObjectRef, TargetResource};

/// Changes to the configuration of the proxies that it selects.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvoyFilter {
    /// The object.
    pub origin: ObjectRef,
    /// Whose configuration.
    pub targets: PatchTargets,
    /// Its place among the EnvoyFilters of a proxy: lower ones come first.
    pub priority: i32,
    /// The changes, in order.
    pub patches: Vec<EnvoyPatch>,
    /// Seconds since the epoch at which the object was made: of equal priority the oldest comes first.
    pub created: i64,
}

/// Whose configuration is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchTargets {
    /// Workloads with these labels; empty for all of the namespace.
    Workloads(Labels),
    /// The proxies behind these objects.
    Objects(Vec<TargetResource>),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvoyPatch {
    /// Its path in the object, by which people find it: `spec.configPatches[0]`.
    pub path: Arc<str>,
    /// Which objects are changed.
    pub apply_to: PatchedObject,
    /// For whom these are made.
    pub context: PatchContext,
    /// A regular expression (RE2) for the proxy's version; `None` for any.
    pub proxy_version: Option<Arc<str>>,
    /// Metadata that the proxy's node must have.
    pub proxy_metadata: Labels,
    /// Which of the objects.
    pub object: ObjectMatch,
    /// What is done.
    pub operation: PatchOperation,
}

/// Which objects are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatchedObject {
    /// Listeners.
    Listener,
    /// Filter chains.
    FilterChain,
    /// Network filters.
    NetworkFilter,
    /// HTTP filters.
    HttpFilter,
    /// Route configurations.
    RouteConfiguration,
    /// Virtual hosts.
    VirtualHost,
    /// Routes.
    HttpRoute,
    /// Clusters.
    Cluster,
    /// Configurations of extensions that are sent on their own.
    ExtensionConfig,
    /// The configuration with which Envoy starts.
    Bootstrap,
    /// Listener filters.
    ListenerFilter,
}

/// For whom configuration is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchContext {
    /// Sidecars and gateways.
    Any,
    /// Sidecars, of traffic to their workload.
    SidecarInbound,
    /// Sidecars, of traffic from their workload.
    SidecarOutbound,
    /// Gateways.
    Gateway,
}

/// Which of the objects that a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectMatch {
    /// All of them.
    Any,
    /// Those of these listeners.
    Listener(ListenerMatch),
    /// Those of these route configurations.
    RouteConfiguration(RouteConfigurationMatch),
    /// These clusters.
    Cluster(ClusterMatch),
}

/// Properties of a listener; `None` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerMatch {
    /// The port.
    pub port: Option<u16>,
    /// The name.
    pub name: Option<Arc<str>>,
    /// The name of one of its listener filters.
    pub listener_filter: Option<Arc<str>>,
    /// One of its filter chains.
    pub filter_chain: Option<FilterChainMatch>,
}

/// Properties of a filter chain; `None` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterChainMatch {
    /// The name.
    pub name: Option<Arc<str>>,
    /// A server name that it is for.
    pub sni: Option<Arc<str>>,
    /// The transport protocol that it is for.
    pub transport_protocol: Option<Arc<str>>,
    /// Application protocols that it is for; empty for any.
    pub application_protocols: Vec<Arc<str>>,
    /// The port that it is for.
    pub destination_port: Option<u16>,
    /// The name of one of its filters, in its present spelling.
    pub filter: Option<Arc<str>>,
    /// The name of an HTTP filter inside that one, in its present spelling.
    pub sub_filter: Option<Arc<str>>,
}

/// Properties of a route configuration; `None` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConfigurationMatch {
    /// The port of the service or of the gateway's server.
    pub port: Option<u16>,
    /// The name of the port of the gateway's server.
    pub port_name: Option<Arc<str>>,
    /// The Gateway, as `namespace/name`.
    pub gateway: Option<Arc<str>>,
    /// The name.
    pub name: Option<Arc<str>>,
    /// The name of one of its virtual hosts.
    pub virtual_host: Option<Arc<str>>,
    /// A domain of one of its virtual hosts.
    pub domain: Option<Arc<str>>,
    /// The name of a route.
    pub route: Option<Arc<str>>,
    /// What the route does.
    pub action: Option<RouteAction>,
}

/// What a route does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// It passes them on.
    Route,
    /// It redirects the client.
    Redirect,
    /// It answers by itself.
    DirectResponse,
}

/// Properties of a cluster; `None` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMatch {
    /// The port of the service.
    pub port: Option<u16>,
    /// The host of the service.
    pub service: Option<Arc<str>>,
    /// The subset.
    pub subset: Option<Arc<str>>,
    /// The name.
    pub name: Option<Arc<str>>,
}

/// What is done. The values are Envoy's objects (version 3) as JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum PatchOperation {
    /// The value is merged in, its lists behind those that are there.
    Merge(Arc<Value>),
    /// The value is merged in, its lists in place of those that are there.
    MergeReplacingLists(Arc<Value>),
    /// The value is added.
    Add(Arc<Value>, FilterClass),
    /// The object goes.
    Remove,
    /// The value comes at the front.
    InsertFirst(Arc<Value>),
    /// The value comes before the filter that is matched.
    InsertBefore(Arc<Value>),
    /// The value comes after the filter that is matched.
    InsertAfter(Arc<Value>),
    /// The value takes the place of the filter that is matched.
    Replace(Arc<Value>),
}

impl PatchOperation {
    /// The value, if the operation has one.
    pub fn value(&self) -> Option<&Arc<Value>> {
        match self {
            Self::Remove => None,
            Self::Merge(value)
            | Self::MergeReplacingLists(value)
            | Self::Add(value, _)
            | Self::InsertFirst(value)
            | Self::InsertBefore(value)
            | Self::InsertAfter(value)
            | Self::Replace(value) => Some(value),
        }
    }
}

/// Among which of the mesh's own filters a filter is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterClass {
    /// The mesh decides.
    #[default]
    Unspecified,
    /// After those of authentication.
    Authn,
    /// After those of authorization.
    Authz,
    /// Before those of statistics.
    Stats,
}
