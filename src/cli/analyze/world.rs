//! From objects to the world that analysis looks at.

use ferromesh_crds::catalog;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Pod, Service},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;

use super::stock::{Key, Stock};
use crate::analysis::{Coverage, Facts, InjectorFacts, ObjectNotes, World};
use crate::config::{ParseContext, kubernetes::PodView, mesh_config, parse_object};
use crate::index::StillCluster;
use crate::model::{InjectionValues, MeshConfig, ObjectRef};

/// The ConfigMap with the mesh's settings, and its key.
const MESH: (&str, &str) = ("istio", "mesh");
/// The ConfigMap with the injector's settings, and its key.
const INJECTOR: (&str, &str) = ("istio-sidecar-injector", "values");

/// What is to be known before objects can be read.
pub(super) struct Setting<'a> {
    /// The namespace of the control plane.
    pub(super) mesh_namespace: &'a str,
    /// The mesh's settings, in place of those of the cluster.
    pub(super) mesh: Option<MeshConfig>,
    /// Kinds of a live cluster that could not be listed; `None` where there are only files.
    pub(super) unlisted: Option<BTreeSet<String>>,
}

/// A world, and what could not be taken into it.
pub(super) struct Made {
    pub(super) world: World,
    /// Why an object was left out, for people.
    pub(super) left_out: Vec<String>,
}

/// Makes the world of these objects.
pub(super) fn make(stock: &Stock<'_>, setting: Setting<'_>) -> Made {
    let mut left_out = Vec::new();
    let mesh = setting.mesh.clone().unwrap_or_else(|| mesh_of(stock, setting.mesh_namespace, &mut left_out));
    let mut making = Making {
        cluster: StillCluster::new(mesh),
        facts: Facts { coverage: setting.coverage(), ..Facts::default() },
        context: ParseContext::default(),
        left_out,
    };
    making.known(&setting);
    for (key, item) in stock.iter() {
        making.add(key, &item.value);
    }
    making.facts.injectors = injectors(stock, setting.mesh_namespace, setting.unlisted.is_some());
    let Making { cluster, facts, left_out, .. } = making;
    Made { world: World::new(cluster.snapshot(), facts), left_out }
}

/// A world in the making.
struct Making {
    cluster: StillCluster,
    facts: Facts,
    context: ParseContext,
    left_out: Vec<String>,
}

// === impl Setting ===

impl Setting<'_> {
    /// Of files, services and configuration count as all that there is, as in the reference; workloads are never in files.
    fn coverage(&self) -> Coverage {
        match &self.unlisted {
            None => Coverage { services: true, workloads: false, config: true },
            Some(unlisted) => Coverage {
                services: !unlisted.contains("Service") && !unlisted.contains("ServiceEntry"),
                workloads: !unlisted.contains("Pod"),
                config: catalog::kinds().iter().all(|kind| kind.name == "MeshInstall" || !unlisted.contains(kind.name)),
            },
        }
    }

    /// Whether all objects of a kind of Kubernetes are at hand, even if there is none.
    fn lists(&self, kind: &str) -> bool {
        self.unlisted.as_ref().is_some_and(|unlisted| !unlisted.contains(kind))
    }
}

// === impl Making ===

impl Making {
    /// Notes which kinds are known though there may be no object of them. The others become known by their first object.
    fn known(&mut self, setting: &Setting<'_>) {
        let facts = &mut self.facts;
        facts.namespaces = setting.lists("Namespace").then(Default::default);
        facts.services = setting.lists("Service").then(Default::default);
        facts.pods = setting.lists("Pod").then(Default::default);
        facts.deployments = setting.lists("Deployment").then(Default::default);
        facts.secrets = setting.lists("Secret").then(Default::default);
        facts.webhooks = setting.lists("MutatingWebhookConfiguration").then(Default::default);
    }

    fn add(&mut self, key: &Key, value: &Value) {
        match (key.group.as_str(), key.kind.as_str()) {
            ("", "Namespace") => self.learn_well_formed::<Namespace>(key, value),
            ("", "Service") => {
                if let Some(service) = self.read::<Service>(key, value) {
                    self.cluster.add_service(&service, &self.context.cluster_domain);
                    self.facts.learn(value, &key.namespace);
                }
            }
            ("", "Pod") => {
                if let Some(view) = self.read::<PodView>(key, value) {
                    self.cluster.add_pod(&view);
                }
                self.learn_well_formed::<Pod>(key, value);
            }
            ("apps", "Deployment") => self.learn_well_formed::<Deployment>(key, value),
            ("", "Secret") => _ = self.facts.learn(value, &key.namespace),
            ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => {
                self.learn_well_formed::<MutatingWebhookConfiguration>(key, value);
            }
            (group, kind) => {
                if let Some(known) = catalog::find(group, kind).filter(|known| known.name != "MeshInstall") {
                    self.add_config(known, ObjectRef::new(known.name, &key.namespace, &key.name), value);
                }
            }
        }
    }

    /// Learns from an object that Kubernetes would take.
    fn learn_well_formed<T: DeserializeOwned>(&mut self, key: &Key, value: &Value) {
        if self.read::<T>(key, value).is_some() {
            self.facts.learn(value, &key.namespace);
        }
    }

    /// Adds an object of the mesh, with what its reader says of it.
    fn add_config(&mut self, kind: &'static catalog::Kind, object: ObjectRef, value: &Value) {
        let annotations = value["metadata"]["annotations"].as_object().into_iter().flatten();
        let annotations = annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        let mut notes = ObjectNotes { annotations, ..ObjectNotes::default() };
        match parse_object(kind.group, kind.name, value, &self.context) {
            Ok(parsed) => {
                notes.warnings = parsed.warnings;
                self.cluster.add_config(parsed.value);
            }
            Err(invalid) => notes.errors = invalid.errors,
        }
        self.facts.notes.insert(object, notes);
    }

    /// An object, or a part of one, in its type.
    fn read<T: DeserializeOwned>(&mut self, key: &Key, value: &Value) -> Option<T> {
        match serde_json::from_value(value.clone()) {
            Ok(typed) => Some(typed),
            Err(error) => {
                let told = format!("{} {}/{} is left out: {error}", key.kind, key.namespace, key.name);
                // A pod is read in two ways; one word about it is enough.
                if self.left_out.last() != Some(&told) {
                    self.left_out.push(told);
                }
                None
            }
        }
    }
}

/// A key of a ConfigMap of the mesh.
fn config_map(stock: &Stock<'_>, namespace: &str, (name, key): (&str, &str)) -> Option<String> {
    let item = stock.find("ConfigMap", namespace, name)?;
    let map: ConfigMap = serde_json::from_value(item.value.clone()).ok()?;
    map.data?.remove(key)
}

/// The mesh's settings, as its ConfigMap has them; the defaults where there is none.
pub(in crate::cli) fn mesh_of(stock: &Stock<'_>, namespace: &str, left_out: &mut Vec<String>) -> MeshConfig {
    let Some(text) = config_map(stock, namespace, MESH) else { return MeshConfig::default() };
    mesh_config(&text).unwrap_or_else(|invalid| {
        left_out.push(format!("ConfigMap {namespace}/{} is left out, the defaults hold: {invalid}", MESH.0));
        MeshConfig::default()
    })
}

/// What is known of the injectors. The image that they write is the one that their settings name.
fn injectors(stock: &Stock<'_>, namespace: &str, live: bool) -> Option<std::collections::BTreeMap<String, InjectorFacts>> {
    let text = match config_map(stock, namespace, INJECTOR) {
        Some(text) => text,
        None => return live.then(Default::default),
    };
    let values: InjectionValues = serde_saphyr::from_str(&text).ok()?;
    let proxy_image = Some(format!("{}/ferromesh-proxy:{}", values.hub, values.tag));
    Some([(values.revision, InjectorFacts { proxy_image, enabled_by_default: false })].into())
}
