//! A MeshInstall's spec as settings that hold, or everything that is wrong with it.
//!
//! Profile, then `values`, then the spec's own fields: the later wins. The webhook and the reconciler read a spec by this one function,
//! so that what is admitted is also what is installed.

mod addons;
mod cni;
mod environment;
mod everywhere;
mod gateways;
mod image;
mod injection;
mod layers;
mod mesh_config;
mod part;
mod pending;
mod placement;
mod problem;
mod profile;
mod remote;
mod revision;
mod role;
mod rolling;
mod service;
mod tags;
#[cfg(test)]
mod tests;
mod typed;
mod upgrade;
mod values;
mod warnings;

pub(super) use addons::{Addon, Program};
pub(super) use cni::{Cni, NODES};
pub(super) use gateways::{FIRST_UNPRIVILEGED, Gateway};
pub(super) use injection::Injection;
pub use layers::overlay;
pub(super) use part::{Part, Replicas};
pub(super) use problem::{Problem, Problems};
pub use profile::profile;
pub(super) use remote::RemotePilot;
pub(super) use revision::Revision;
pub(super) use role::Role;
pub use rolling::Rolling;
pub(super) use tags::Tags;
#[cfg(test)]
pub(crate) use values::variables_of;
pub(super) use warnings::warnings;

use ferromesh_crds::install::{Components, Gateways, ImagePullPolicy, MeshInstallSpec, UpdateType};
use serde_json::Value;
use std::collections::BTreeMap;

use self::{problem::Field, values::Translated};
use crate::config::{self, kubernetes::is_dns_label};
use crate::model::{MeshConfig, SidecarDefaults};

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
    pub(super) revision: Revision,
    /// Names that stand for revisions.
    pub(super) tags: Tags,
    pub(super) namespace: String,
    pub(super) images: Images,
    pub(super) pull_secrets: Vec<String>,
    /// The name of this cluster.
    pub(super) cluster: String,
    pub(super) mesh: MeshConfig,
    /// Where pilot's configuration comes from.
    pub(super) config_source: ConfigSource,
    pub(super) parts: BTreeMap<Role, Part>,
    /// Where pilot is, if not among the parts.
    pub(super) remote_pilot: Option<RemotePilot>,
    /// Whether workloads take mutual TLS alone, unless a policy of theirs says otherwise.
    pub(super) strict: bool,
    pub(super) gateways: Vec<Gateway>,
    /// Programs of others beside the mesh.
    pub(super) addons: BTreeMap<Program, Addon>,
    /// What sidecars get whose pods say nothing.
    pub(super) sidecar: SidecarDefaults,
    /// The name of this cluster's network; empty if all pods of the mesh reach each other.
    pub(super) network: String,
    /// Who gets a sidecar.
    pub(super) injection: Injection,
    /// How the nodes' part works, where there is one.
    pub(super) cni: Cni,
    /// Whether the mesh has the nodes' part, whoever's it is.
    pub(super) by_cni: bool,
    /// How workloads are restarted; none if their owners do it.
    pub(super) rolling: Option<Rolling>,
    /// How a change of version comes about.
    pub(super) strategy: UpdateType,
    /// The version that is to stay; none for the operator's own.
    pub(super) pinned: Option<String>,
    /// The operator's own version.
    pub(super) operator: String,
}

/// The cluster's name where nobody gave it one, as everywhere in Istio.
const CLUSTER: &str = "Kubernetes";

/// What is wrong with a spec, beyond what its schema tells and without a look at the cluster; for who has files alone.
pub fn spec_problems(spec: &MeshInstallSpec) -> Vec<config::Problem> {
    // Which images the operator would choose matters to no check.
    let images = Images { hub: "registry".to_owned(), tag: "tag".to_owned(), pull_policy: "IfNotPresent".to_owned() };
    let found = resolve(spec, &images).err().map(|problems| problems.0).unwrap_or_default();
    found.into_iter().map(config::Problem::from).collect()
}

/// A spec, and all that lies under it.
struct Layers {
    /// What the user wrote himself, beside `values`.
    own: Value,
    /// The same with what his values and the profile say under it.
    merged: MeshInstallSpec,
    /// What values come to beside that.
    translated: Translated,
}

/// Reads a spec.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn resolve(spec: &MeshInstallSpec, images: &Images) -> Result<Settings, Problems> {
    let mut problems = unlayered(spec);
    let layers = match Layers::of(spec, &mut problems) {
        Ok(layers) => layers,
        Err(problem) => {
            problems.push(problem);
            return Err(Problems(problems));
        }
    };
    let settings = read(spec, &layers, images, &mut problems);
    // Which variables are the operator's the plan tells, and there is none of what is wrong.
    if problems.is_empty() {
        problems = environment::reserved(&settings, &layers.merged);
    }
    layers.translated.name_paths(&layers.own, &mut problems);
    if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
}

/// What is wrong with a spec whatever lies under it.
fn unlayered(spec: &MeshInstallSpec) -> Vec<Problem> {
    let mut problems = pending::problems(spec);
    let namespace = spec.namespace();
    if !names_service(namespace) || namespace.starts_with("kube-") || ["default", NODES].contains(&namespace) {
        problems.push(Problem::new("spec.namespace", format!("{namespace:?} can't be the mesh's: choose one of its own, as istio-system")));
    }
    let own_config = Value::Object(spec.mesh_config.0.clone());
    problems.extend(mesh_config::problems(&own_config, "spec.meshConfig"));
    problems
}

/// What a spec comes to; it holds if no problem was found.
fn read(spec: &MeshInstallSpec, layers: &Layers, images: &Images, problems: &mut Vec<Problem>) -> Settings {
    let Layers { merged, translated, .. } = layers;
    let namespace = spec.namespace().to_owned();
    let revision = Revision::of(spec);
    image::check(merged, Field::new("spec", problems));
    let parts = role::parts(merged.components.as_ref().unwrap_or(&Components::default()), problems);
    let gateways = gateways::read(merged.gateways.as_ref().unwrap_or(&Gateways::default()), problems);
    let addons = addons::read(&merged.addons.clone().unwrap_or_default(), &translated.everywhere, problems);
    let injection = Injection::read(&merged.injection.clone().unwrap_or_default(), problems);
    let strategy = merged.update_strategy.clone().unwrap_or_default();
    let rolling = Rolling::read(&strategy, problems);
    let tags = tags::read(&spec.tags, problems);
    let sidecar = injection::sidecar(&translated.sidecar, translated.proxy_resources.as_ref(), problems);
    let cni = Cni::read(&translated.cni, problems);
    let mut mesh = mesh_config::read(&merged.mesh_config.0, &namespace);
    let (here, configured) = (parts.contains_key(&Role::Pilot), !mesh.default_config.discovery_address.is_empty());
    let remote_pilot = remote::pilot(here, translated.remote_pilot.as_deref(), configured, &namespace, problems);
    mesh_config::point_to_pilot(&mut mesh, remote_pilot.as_ref(), &revision, &namespace);
    if !revision.is_default() {
        problems.extend(revision::problems(spec, translated).into_iter().chain(revision::without_pilot(&parts)));
    }
    problems.extend(together(translated, &parts, &mesh, &namespace));
    Settings {
        images: Images {
            hub: merged.hub.clone().unwrap_or_else(|| images.hub.clone()),
            tag: merged.tag.clone().unwrap_or_else(|| images.tag.clone()),
            pull_policy: merged.image_pull_policy.map_or_else(|| images.pull_policy.clone(), |policy| pull_policy(policy).to_owned()),
        },
        pull_secrets: merged.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
        cluster: translated.cluster.clone().unwrap_or_else(|| CLUSTER.to_owned()),
        config_source: translated.config_source,
        network: translated.network.clone().unwrap_or_default(),
        strict: translated.strict,
        strategy: upgrade::read(&strategy, &revision, &parts, problems),
        by_cni: parts.contains_key(&Role::Cni),
        pinned: spec.version.clone().filter(|version| !version.is_empty() && *version != images.tag),
        operator: images.tag.clone(),
        remote_pilot,
        tags,
        revision,
        sidecar,
        injection,
        cni,
        rolling,
        namespace,
        mesh,
        parts,
        gateways,
        addons,
    }
}

// === impl Layers ===

impl Layers {
    fn of(spec: &MeshInstallSpec, problems: &mut Vec<Problem>) -> Result<Self, Problem> {
        let base = profile(spec.profile());
        let own = serde_json::to_value(spec).unwrap_or_default();
        let values = &overlay(&base, &own)["values"];
        let translated = values::translate(values.as_object().unwrap_or(&serde_json::Map::new()), problems);
        let base = overlay(&base, &everywhere::small_parts(&translated.everywhere));
        let mut merged = overlay(&overlay(&base, &translated.spec), &own);
        if !Revision::of(spec).is_default() {
            revision::leave_out_shared(&mut merged);
        }
        everywhere::fill(&mut merged, &translated.everywhere);
        let merged = serde_json::from_value(merged).map_err(|error| Problem::new("spec", error.to_string()))?;
        Ok(Self { own, merged, translated })
    }
}

/// What can't be together.
fn together(translated: &Translated, parts: &BTreeMap<Role, Part>, mesh: &MeshConfig, namespace: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut wrong = |path: &str, reason: &str| found.push(Problem::new(format!("spec.values.global.{path}"), reason));
    if translated.config_source == ConfigSource::Galley && !parts.contains_key(&Role::Galley) {
        wrong("useMCP", "pilot would wait for galley's configuration for ever: enable galley, or take this away");
    }
    if translated.strict && !parts.contains_key(&Role::Pilot) {
        wrong("mtls.enabled", "is for the cluster to say in which pilot runs and reads the mesh's configuration: take it away here");
    }
    if translated.strict && mesh.root_namespace != namespace {
        let reason = "makes a PeerAuthentication in the mesh's namespace, which is not meshConfig.rootNamespace: write one there yourself";
        wrong("mtls.enabled", reason);
    }
    for (path, _) in translated.namespaces.iter().filter(|(_, said)| said != namespace) {
        wrong(path, &format!("all that the mesh has is in its own namespace, {namespace}: take it away, or set spec.namespace"));
    }
    found
}

/// Whether a text can name a Service, and so all that is named after one.
fn names_service(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn pull_policy(policy: ImagePullPolicy) -> &'static str {
    match policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    }
}
