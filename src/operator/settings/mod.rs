//! A MeshInstall's spec as settings that hold, or everything that is wrong with it.
//!
//! Profile, then `values`, then the spec's own fields: the later wins. The webhook and the reconciler read a spec by this one function,
//! so that what is admitted is also what is installed.

mod cni;
mod gateways;
mod injection;
mod layers;
mod mesh_config;
mod part;
mod pending;
mod problem;
mod profile;
mod rolling;
#[cfg(test)]
mod tests;
mod values;

pub(super) use cni::Cni;
pub(super) use gateways::{FIRST_UNPRIVILEGED, Gateway};
pub(super) use injection::Injection;
pub(super) use layers::overlay;
pub(super) use part::{Part, Replicas};
pub(super) use problem::{Problem, Problems};
pub use profile::profile;
pub(super) use rolling::Rolling;

use ferromesh_crds::install::{Component, Components, Gateways, ImagePullPolicy, MeshInstallSpec};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use self::gateways::Direction;
use crate::config::{self, kubernetes::is_dns_label};
use crate::model::{MeshConfig, SidecarDefaults};

/// The control plane's parts that an installation can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Citadel,
    Pilot,
    Galley,
    Injector,
    Cni,
}

/// Where pilot gets the mesh's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ConfigSource {
    /// From Kubernetes.
    #[default]
    Kubernetes,
    /// From galley, so that pilot has no right to read it in Kubernetes.
    Galley,
}

/// What the operator itself was told, for what the spec leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Registry and path, under which `ferromesh` and `ferromesh-proxy` are.
    pub hub: String,
    /// Tag of the images.
    pub tag: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
}

/// An installation, with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) namespace: String,
    pub(super) images: Images,
    pub(super) pull_secrets: Vec<String>,
    /// The name of this cluster.
    pub(super) cluster: String,
    pub(super) mesh: MeshConfig,
    /// Where pilot's configuration comes from.
    pub(super) config_source: ConfigSource,
    pub(super) parts: BTreeMap<Role, Part>,
    pub(super) gateways: Vec<Gateway>,
    /// What sidecars get whose pods say nothing.
    pub(super) sidecar: SidecarDefaults,
    /// The name of this cluster's network; empty if all pods of the mesh reach each other.
    pub(super) network: String,
    /// Who gets a sidecar.
    pub(super) injection: Injection,
    /// How the nodes' part works, where there is one.
    pub(super) cni: Cni,
    /// How workloads are restarted; none if their owners do it.
    pub(super) rolling: Option<Rolling>,
}

/// The cluster's name where nobody gave it one, as everywhere in Istio.
const CLUSTER: &str = "Kubernetes";

// === impl Role ===

impl Role {
    pub(super) const ALL: [Self; 5] = [Self::Citadel, Self::Pilot, Self::Galley, Self::Injector, Self::Cni];

    /// Its name in spec and status.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Citadel => "citadel",
            Self::Pilot => "pilot",
            Self::Galley => "galley",
            Self::Injector => "injector",
            Self::Cni => "cni",
        }
    }

    /// The name of its Deployment, Service and ServiceAccount; the nodes' part has a DaemonSet and no Service.
    pub(super) fn object(self) -> &'static str {
        match self {
            Self::Citadel => "istio-citadel",
            Self::Pilot => "istio-pilot",
            Self::Galley => "istio-galley",
            Self::Injector => "istio-sidecar-injector",
            Self::Cni => "istio-cni-node",
        }
    }

    fn of(self, components: &Components) -> Component {
        let component = match self {
            Self::Citadel => &components.citadel,
            Self::Pilot => &components.pilot,
            Self::Galley => &components.galley,
            Self::Injector => &components.injector,
            Self::Cni => &components.cni,
        };
        component.clone().unwrap_or_default()
    }
}

/// What is wrong with a spec, beyond what its schema tells and without a look at the cluster; for who has files alone.
pub fn spec_problems(spec: &MeshInstallSpec) -> Vec<config::Problem> {
    // Which images the operator would choose matters to no check.
    let images = Images { hub: "registry".to_owned(), tag: "tag".to_owned(), pull_policy: "IfNotPresent".to_owned() };
    let found = resolve(spec, &images).err().map(|problems| problems.0).unwrap_or_default();
    found.into_iter().map(config::Problem::from).collect()
}

/// Reads a spec.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn resolve(spec: &MeshInstallSpec, images: &Images) -> Result<Settings, Problems> {
    let mut problems = pending::problems(spec);
    let namespace = spec.namespace().to_owned();
    if !names_service(&namespace) || namespace.starts_with("kube-") || namespace == "default" {
        problems.push(Problem::new("spec.namespace", format!("{namespace:?} can't be the mesh's: choose one of its own, as istio-system")));
    }
    let own_config = Value::Object(spec.mesh_config.0.clone());
    problems.extend(mesh_config::problems(&own_config, "spec.meshConfig"));

    let base = profile(spec.profile());
    let values = overlay(&base["values"], &Value::Object(spec.values.0.clone()));
    let translated = values::translate(values.as_object().unwrap_or(&serde_json::Map::new()), &mut problems);
    let own = serde_json::to_value(spec).unwrap_or_default();
    let merged = overlay(&overlay(&base, &translated.spec), &own);
    let read = serde_json::from_value::<MeshInstallSpec>(merged).map_err(|error| Problem::new("spec", error.to_string()));
    let merged = match read {
        Ok(merged) => merged,
        Err(problem) => {
            problems.push(problem);
            return Err(Problems(problems));
        }
    };

    let parts = parts(merged.components.as_ref().unwrap_or(&Components::default()), &mut problems);
    if translated.config_source == ConfigSource::Galley && !parts.contains_key(&Role::Galley) {
        let reason = "pilot would wait for galley's configuration for ever: enable galley, or take this away";
        problems.push(Problem::new("spec.values.global.useMCP", reason));
    }
    let gateways = gateways(merged.gateways.as_ref().unwrap_or(&Gateways::default()), &mut problems);
    let injection = Injection::read(&merged.injection.clone().unwrap_or_default(), &mut problems);
    let rolling = Rolling::read(&merged.update_strategy.clone().unwrap_or_default(), &mut problems);
    let mut sidecar = injection::sidecar(&translated.sidecar, &mut problems);
    sidecar.resources = resources(translated.proxy_resources);
    if parts.contains_key(&Role::Cni) && !parts.contains_key(&Role::Injector) {
        problems.push(Problem::new("spec.components.cni.enabled", "serves injected pods: enable the injector, too, or leave this away"));
    }
    let cni = Cni::read(&translated.cni, &mut problems);
    let mesh = mesh_config(&merged, &namespace);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Ok(Settings {
        images: Images {
            hub: merged.hub.clone().unwrap_or_else(|| images.hub.clone()),
            tag: merged.tag.clone().unwrap_or_else(|| images.tag.clone()),
            pull_policy: merged.image_pull_policy.map_or_else(|| images.pull_policy.clone(), |policy| pull_policy(policy).to_owned()),
        },
        pull_secrets: merged.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
        cluster: translated.cluster.unwrap_or_else(|| CLUSTER.to_owned()),
        config_source: translated.config_source,
        network: translated.network.unwrap_or_default(),
        sidecar,
        injection,
        cni,
        rolling,
        namespace,
        mesh,
        parts,
        gateways,
    })
}

/// Whether a text can name a Service, and so all that is named after one.
fn names_service(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn parts(components: &Components, problems: &mut Vec<Problem>) -> BTreeMap<Role, Part> {
    let mut parts = BTreeMap::new();
    for role in Role::ALL {
        let component = role.of(components);
        let path = format!("spec.components.{}", role.name());
        // Only who wants it lets something into his nodes.
        if component.enabled.unwrap_or(role != Role::Cni) {
            if role == Role::Cni {
                problems.extend(cni::problems(&component, &path));
            }
            parts.insert(role, Part::read(&component, &path, 1, problems));
        } else if role == Role::Pilot {
            problems.push(Problem::new(format!("{path}.enabled"), "there is no mesh without pilot: delete the MeshInstall instead"));
        } else if role == Role::Citadel {
            problems.push(Problem::new(format!("{path}.enabled"), "pilot and proxies get their certificates from citadel: leave it on"));
        }
    }
    parts
}

fn gateways(gateways: &Gateways, problems: &mut Vec<Problem>) -> Vec<Gateway> {
    let mut read = Vec::new();
    for (direction, list) in [(Direction::Ingress, &gateways.ingress), (Direction::Egress, &gateways.egress)] {
        read.extend(list.iter().filter_map(|gateway| Gateway::read(direction, gateway, problems)));
    }
    let mut seen = BTreeSet::new();
    for gateway in &read {
        if !seen.insert(&gateway.name) {
            problems.push(Problem::new("spec.gateways", format!("{} is there twice: each gateway needs a name of its own", gateway.name)));
        }
    }
    read
}

/// The mesh's configuration, with the addresses that depend on where the mesh is.
fn mesh_config(spec: &MeshInstallSpec, namespace: &str) -> MeshConfig {
    let given = &spec.mesh_config.0;
    // Its problems have been reported by field.
    let mut mesh: MeshConfig = serde_json::from_value(Value::Object(given.clone())).unwrap_or_default();
    if !given.contains_key("rootNamespace") {
        namespace.clone_into(&mut mesh.root_namespace);
    }
    if mesh.default_config.discovery_address.is_empty() {
        mesh.default_config.discovery_address = format!("{}.{namespace}.svc:15012", Role::Pilot.object());
    }
    mesh
}

fn resources(resources: Option<Value>) -> BTreeMap<String, BTreeMap<String, Value>> {
    resources.and_then(|resources| serde_json::from_value(resources).ok()).unwrap_or_default()
}

fn pull_policy(policy: ImagePullPolicy) -> &'static str {
    match policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    }
}
