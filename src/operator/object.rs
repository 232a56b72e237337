//! Which objects the operator makes: their kinds, and how one of them is named.

use ferromesh_crds::install::InventoryEntry;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
};
use std::fmt;

/// The kinds of what makes up a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Namespace,
    ServiceAccount,
    ClusterRoleBinding,
    Role,
    RoleBinding,
    ConfigMap,
    PeerAuthentication,
    Lease,
    Service,
    Deployment,
    DaemonSet,
    PodDisruptionBudget,
    HorizontalPodAutoscaler,
    MutatingWebhookConfiguration,
    ValidatingWebhookConfiguration,
}

/// What one watch shows: a kind, in the whole cluster or in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// None for kinds of the whole cluster.
    pub(super) namespace: Option<String>,
}

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// None for objects of the whole cluster.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

// === impl Kind ===

impl Kind {
    /// Those in the mesh's namespace.
    pub(super) const NAMESPACED: [Self; 11] = [
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ConfigMap,
        Self::PeerAuthentication,
        Self::Lease,
        Self::Service,
        Self::Deployment,
        Self::DaemonSet,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
    ];

    /// Those in the namespace of the nodes' part.
    pub(super) const ON_NODES: [Self; 3] = [Self::ServiceAccount, Self::RoleBinding, Self::DaemonSet];

    /// Those of the whole cluster.
    pub(super) const OF_CLUSTER: [Self; 4] =
        [Self::Namespace, Self::ClusterRoleBinding, Self::MutatingWebhookConfiguration, Self::ValidatingWebhookConfiguration];

    pub(super) fn is_namespaced(self) -> bool {
        Self::NAMESPACED.contains(&self)
    }

    pub(super) fn name(self) -> &'static str {
        self.coordinates().2
    }

    /// Group, version, kind, and the plural that stands in URLs.
    fn coordinates(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::HorizontalPodAutoscaler => ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            Self::PeerAuthentication => ("security.istio.io", "v1", "PeerAuthentication", "peerauthentications"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::ClusterRoleBinding => ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
            Self::MutatingWebhookConfiguration => {
                ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
            }
            Self::ValidatingWebhookConfiguration => {
                ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
            }
        }
    }

    pub(super) fn api_version(self) -> String {
        match self.coordinates() {
            ("", version, ..) => version.to_owned(),
            (group, version, ..) => format!("{group}/{version}"),
        }
    }

    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.coordinates();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// The API for this kind; `namespace` is ignored for kinds of the whole cluster.
    pub(super) fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        match self.is_namespaced() {
            true => Api::namespaced_with(client.clone(), namespace, &self.resource()),
            false => Api::all_with(client.clone(), &self.resource()),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// A kind of the whole cluster.
    pub(super) fn of_cluster(kind: Kind) -> Self {
        Self { kind, namespace: None }
    }

    /// A kind in a namespace.
    pub(super) fn within(kind: Kind, namespace: &str) -> Self {
        Self { kind, namespace: Some(namespace.to_owned()) }
    }

    pub(super) fn shows(&self, key: &Key) -> bool {
        self.kind == key.kind && self.namespace == key.namespace
    }
}

// === impl Key ===

impl Key {
    /// The key of an object of a mesh in `namespace`.
    pub(super) fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: kind.is_namespaced().then(|| namespace.to_owned()), name: name.to_owned() }
    }

    pub(super) fn api(&self, client: &Client) -> Api<DynamicObject> {
        self.kind.api(client, self.namespace.as_deref().unwrap_or_default())
    }

    /// The key of what an inventory lists; none if it is of a kind that the operator doesn't make.
    pub(super) fn of_entry(entry: &InventoryEntry) -> Option<Self> {
        let is_it = |kind: &Kind| kind.name() == entry.kind && kind.api_version() == entry.api_version;
        let kind = Kind::NAMESPACED.into_iter().chain(Kind::OF_CLUSTER).find(is_it)?;
        Some(Self { kind, namespace: entry.namespace.clone(), name: entry.name.clone() })
    }

    pub(super) fn inventory_entry(&self) -> InventoryEntry {
        InventoryEntry {
            api_version: self.kind.api_version(),
            kind: self.kind.name().to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// `Deployment istio-system/istio-galley`, as every message names it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.name(), self.name),
            None => write!(f, "{} {}", self.kind.name(), self.name),
        }
    }
}
