//! MeshInstall (`install.ferromesh.dev`): one object describes the installation of the mesh.

mod addons;
mod components;
mod gateways;
mod injection;
mod status;

pub use addons::{Addon, Addons};
pub use components::{Autoscaling, Component, Components, EnvVariable};
pub use gateways::{GatewayInstall, GatewayService, GatewayServicePort, Gateways, ServiceType, TrafficPolicy};
pub use injection::{FailurePolicy, Injection, InjectionPolicy, Rolling};
pub use status::{
    ChangeAction, ComponentStatus, FieldChange, InventoryEntry, MeshInstallStatus, Plan, PlannedChange, ProxyCounts, RevisionStatus, State,
};

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::LocalObjectReference;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::object::{Absent, api_objects};
use crate::schema::{self, Rules};

/// The namespace of the mesh when the object names none.
pub const DEFAULT_NAMESPACE: &str = "istio-system";

api_objects! {
    /// What the installation should be.
    #[derive(CustomResource)]
    #[kube(
        group = "install.ferromesh.dev", version = "v1alpha1", kind = "MeshInstall",
        plural = "meshinstalls", shortname = "mi", category = "ferromesh",
        doc = "Describes an installation of the mesh; the operator brings it about and keeps it so.",
        status = "MeshInstallStatus", derive = "PartialEq",
        printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profile",
            description = "The set of defaults."),
        printcolumn(name = "Version", type_ = "string", json_path = ".status.version",
            description = "The version that is installed."),
        printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status",
            description = "Whether the mesh is up."),
        printcolumn(name = "Proxies", type_ = "string", json_path = ".status.proxies.summary",
            description = "How many proxies there are; in brackets pods with an old one, or with none."),
        printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message",
            description = "What is missing, or that nothing is."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct MeshInstallSpec {
        /// The set of defaults. default: the control plane and an ingress gateway. demo: the same with an
        /// egress gateway, access logs and small requests. minimal: pilot, and citadel, which it gets its
        /// certificate from. sds: default with mutual TLS required. remote: what a cluster needs whose pilot runs
        /// elsewhere.
        #[schemars(extend("default" = "default"))]
        pub profile: Option<Profile>,
        /// The namespace of the control plane. It can't be changed.
        #[schemars(extend("default" = "istio-system", "maxLength" = 63), transform = Rules(&[
            ("self == oldSelf", "namespace can't be changed: delete the MeshInstall and create another"),
            ("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')", "namespace must be a DNS label: lower-case letters, digits and -"),
        ]))]
        pub namespace: Option<String>,
        /// Names a control plane beside the first; namespaces choose it by the label `istio.io/rev`. Empty
        /// for the default one. It can't be changed.
        #[schemars(extend("default" = "", "maxLength" = 40), transform = Rules(&[
            ("self == oldSelf", "revision can't be changed: leave it as it is"),
            ("self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')", "revision must be empty or a DNS label: lower-case letters, digits and -"),
            ("self != 'default'", "leave revision empty for the default one"),
        ]))]
        pub revision: Option<String>,
        /// Names that stand for revisions, each with its revision (`default` for the one without a name): namespaces
        /// that choose `istio.io/rev: prod` move when the tag `prod` does. The tag `default` decides for namespaces
        /// with `istio-injection: enabled`. Only in the MeshInstall of the default revision.
        #[schemars(extend("maxProperties" = 32))]
        pub tags: BTreeMap<String, String>,
        /// Where images come from: a registry and repository. Without it: where the operator's own came from.
        pub hub: Option<String>,
        /// The images' tag. Without it: the version.
        pub tag: Option<String>,
        /// When a node fetches an image: Always, IfNotPresent or Never.
        pub image_pull_policy: Option<ImagePullPolicy>,
        /// Secrets with passwords of the registry.
        #[schemars(schema_with = "pull_secrets")]
        pub image_pull_secrets: Vec<LocalObjectReference>,
        /// Settings of the control plane's parts, over the profile's.
        pub components: Option<Components>,
        /// Gateways, over the profile's.
        pub gateways: Option<Gateways>,
        /// Who gets a sidecar, and which.
        pub injection: Option<Injection>,
        /// Prometheus and what draws its pictures.
        pub addons: Option<Addons>,
        /// Settings of the whole mesh, by the names of Istio's MeshConfig. One that is unknown or has no
        /// effect is refused.
        #[schemars(schema_with = "schema::any_object")]
        pub mesh_config: Values,
        /// Settings by the paths of Istio 1.4's `--set`, for scripts that have them. One that is unknown or
        /// has no effect is refused.
        #[schemars(schema_with = "schema::any_object")]
        pub values: Values,
        /// How a change of version comes about.
        pub update_strategy: Option<UpdateStrategy>,
        /// The version to install; empty for the operator's own. A version named here stays when the
        /// operator is upgraded.
        pub version: Option<String>,
        /// Apply: changes are made. Plan: they are only listed, in `status.plan`.
        #[schemars(extend("default" = "Apply"))]
        pub mode: Option<Mode>,
    }

    /// How a change of version comes about.
    pub struct UpdateStrategy {
        /// InPlace (the default): the control plane is replaced. Revision: the new one runs beside the
        /// old until no workload uses the old.
        #[serde(rename = "type")]
        pub type_: Option<UpdateType>,
        /// Manual (the default): workloads get the new proxy when they are restarted. Rolling: the
        /// operator restarts them, a few at a time.
        pub workloads: Option<WorkloadUpdate>,
        /// How many at a time; only with Rolling.
        pub rolling: Option<Rolling>,
    }
}

/// Settings whose names the schema does not know; the operator checks them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Values(pub Map<String, Value>);

/// A set of defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
pub enum Profile {
    /// The control plane and an ingress gateway.
    #[default]
    Default,
    /// Everything, small.
    Demo,
    /// Pilot, and citadel for its certificate.
    Minimal,
    /// Default with mutual TLS required.
    Sds,
    /// What a cluster needs whose pilot runs elsewhere.
    Remote,
}

/// When a node fetches an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node has none.
    IfNotPresent,
    /// Never.
    Never,
}

/// How a new version takes the old one's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum UpdateType {
    /// It replaces the old one.
    #[default]
    InPlace,
    /// It runs beside the old one.
    Revision,
}

/// Who restarts workloads after a change of version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum WorkloadUpdate {
    /// Their owners.
    #[default]
    Manual,
    /// The operator.
    Rolling,
}

/// Whether changes are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum Mode {
    /// They are made.
    #[default]
    Apply,
    /// They are listed.
    Plan,
}

// === impl MeshInstallSpec ===

impl MeshInstallSpec {
    /// The control plane's namespace, `istio-system` when the object names none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
    }

    /// The revision, empty for the default one.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or_default()
    }

    /// The profile, `default` when the object names none.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile.unwrap_or_default()
    }

    /// Whether changes are made; they are when the object says nothing.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or_default()
    }
}

// === impl Profile ===

impl Profile {
    /// Every profile, in the order in which people are shown them.
    pub const ALL: [Self; 5] = [Self::Default, Self::Demo, Self::Minimal, Self::Sds, Self::Remote];

    /// The name as it stands in the object.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Demo => "demo",
            Self::Minimal => "minimal",
            Self::Sds => "sds",
            Self::Remote => "remote",
        }
    }
}

impl Absent for Values {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

fn pull_secrets(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "description": "The Secret's name."}},
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}
