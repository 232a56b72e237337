//! EnvoyFilter: changes to the configuration that proxies are sent, in Envoy's own terms.

mod legacy;
mod matches;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::api_objects;
use crate::schema::{self, Required, Rules};
use crate::selector::{PolicyTargetReference, WorkloadSelector};
use crate::status::MeshStatus;

pub use legacy::{
    InsertIndex, InsertPosition, LegacyFilter, LegacyFilterType, LegacyListenerMatch, LegacyListenerProtocol, LegacyListenerType,
};
pub use matches::{
    ClusterMatch, FilterChainMatch, FilterMatch, ListenerMatch, ProxyMatch, RouteAction, RouteConfigurationMatch, RouteMatch,
    SubFilterMatch, VirtualHostMatch, WaypointMatch, WaypointRouteMatch,
};

api_objects! {
    /// Changes to the configuration of the selected proxies.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1alpha3", kind = "EnvoyFilter", namespaced,
        plural = "envoyfilters",
        category = "istio-io", category = "networking-istio-io",
        doc = "Changes the configuration of proxies in Envoy's own terms. What it changes is no stable interface: look after it with every upgrade.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority",
            description = "Its place among the EnvoyFilters of a proxy."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[(
        "!(has(self.workloadSelector) && has(self.targetRefs))",
        "only one of workloadSelector and targetRefs may be set",
    )]))]
    pub struct EnvoyFilterSpec {
        /// The workloads meant. Without it all of the namespace, and all of the mesh in the mesh's own namespace.
        pub workload_selector: Option<WorkloadSelector>,
        /// The objects meant, such as Gateways of the Gateway API, in place of `workloadSelector`.
        #[schemars(length(max = 16))]
        pub target_refs: Vec<PolicyTargetReference>,
        /// The changes, in the order in which they are made.
        #[schemars(length(max = 1024))]
        pub config_patches: Vec<EnvoyConfigObjectPatch>,
        /// The place among the EnvoyFilters of a proxy: lower ones come first; 0 without it. Equal ones come by age.
        #[schemars(range(min = -2147483648i32, max = 2147483647))]
        pub priority: Option<i32>,
        /// Deprecated: use `workloadSelector.labels`.
        #[schemars(extend("maxProperties" = 256))]
        pub workload_labels: BTreeMap<String, String>,
        /// Deprecated: use `configPatches`.
        #[schemars(length(max = 1024))]
        pub filters: Vec<LegacyFilter>,
    }

    /// A change to objects of the proxy's configuration.
    #[schemars(transform = Required(&["applyTo"]))]
    pub struct EnvoyConfigObjectPatch {
        /// Which objects are changed.
        pub apply_to: Option<ApplyTo>,
        /// Which of these objects, and on which proxies. Without it all.
        #[serde(rename = "match")]
        pub match_: Option<EnvoyConfigObjectMatch>,
        /// The change.
        pub patch: Option<Patch>,
    }

    /// Which objects of which proxies are changed: `listener`, `routeConfiguration`, `cluster` and `waypoint` exclude each other.
    #[schemars(transform = Rules(&[
        ("(has(self.listener) ? 1 : 0) + (has(self.routeConfiguration) ? 1 : 0) + (has(self.cluster) ? 1 : 0) + (has(self.waypoint) ? 1 : 0) <= 1",
         "only one of listener, routeConfiguration, cluster and waypoint may be set"),
        ("has(self.waypoint) == (has(self.context) && self.context == 'WAYPOINT')",
         "waypoint and the context WAYPOINT need each other"),
    ]))]
    pub struct EnvoyConfigObjectMatch {
        /// For whom the configuration is made. ANY (the default): sidecars and gateways. SIDECAR_INBOUND and
        /// SIDECAR_OUTBOUND: what sidecars do with traffic to and from their workload. GATEWAY: gateways. WAYPOINT: waypoints.
        pub context: Option<PatchContext>,
        /// Properties of the proxy.
        pub proxy: Option<ProxyMatch>,
        /// Properties of a listener.
        pub listener: Option<ListenerMatch>,
        /// Properties of a route configuration.
        pub route_configuration: Option<RouteConfigurationMatch>,
        /// Properties of a cluster.
        pub cluster: Option<ClusterMatch>,
        /// Properties of what a waypoint is sent; needs the context WAYPOINT.
        pub waypoint: Option<WaypointMatch>,
    }

    /// A change.
    pub struct Patch {
        /// What is done. MERGE: `value` is merged in. MERGE_AND_REPLACE_LIST: the same, but its lists replace those that are there.
        /// ADD: it is added. REMOVE: the object goes. INSERT_FIRST, INSERT_BEFORE, INSERT_AFTER: it is added at the
        /// front, or before or after the filter that is matched. REPLACE: it takes a filter's place.
        pub operation: Option<PatchOperation>,
        /// What is merged or added, as Envoy's API version 3 has it; every operation but REMOVE needs it.
        #[schemars(schema_with = "schema::any_object")]
        pub value: Option<Value>,
        /// For ADD of filters: after which of the mesh's own filters it comes. AUTHN: those of authentication. AUTHZ: those of
        /// authorization. STATS: before those of statistics. UNSPECIFIED: the mesh decides.
        pub filter_class: Option<FilterClass>,
    }
}

/// Which objects are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum ApplyTo {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum PatchContext {
    /// Sidecars and gateways.
    Any,
    /// Sidecars, of traffic to their workload.
    SidecarInbound,
    /// Sidecars, of traffic from their workload.
    SidecarOutbound,
    /// Gateways.
    Gateway,
    /// Waypoints.
    Waypoint,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum PatchOperation {
    /// The value is merged in.
    Merge,
    /// The value is added.
    Add,
    /// The object goes.
    Remove,
    /// The value is put before the filter that is matched.
    InsertBefore,
    /// The value is put after the filter that is matched.
    InsertAfter,
    /// The value is put at the front.
    InsertFirst,
    /// The value takes a filter's place.
    Replace,
    /// The value is merged in; its lists replace those that are there.
    MergeAndReplaceList,
}

/// Among which of the mesh's own filters a filter is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum FilterClass {
    /// The mesh decides.
    Unspecified,
    /// After those of authentication.
    Authn,
    /// After those of authorization.
    Authz,
    /// Before those of statistics.
    Stats,
}
