//! Puts the sidecar into a pod.
//!
//! The result depends on the pod and the template alone, and injecting an injected pod gives the same pod: what a previous injection
//! added is taken out first, as its status annotation lists it.

use serde_json::{Map, Value, json};

use super::{
    annotations::{AnnotationError, SidecarOptions},
    container::{Context, PROXY},
    overrides::{Overrides, overlaid},
    pod::{PodView, array_mut, list, object_mut},
    probes,
    surroundings::Surroundings,
    workload::{canonical, workload_name},
};
use crate::model::{InjectionValues, MeshConfig};

/// What a previous injection added, as JSON.
const STATUS: &str = "sidecar.istio.io/status";
/// The agent's environment variable with the application's own scrape annotations.
pub(super) const METRICS_ENV: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";
/// The control plane's revision, for tools that look for pods of an old one.
const REVISION: &str = "istio.io/rev";
/// Which container `kubectl exec` and `kubectl logs` mean when nobody says it: the application's rather than ours.
const DEFAULT_CONTAINER: [&str; 2] = ["kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"];
/// The annotations by which Prometheus finds what to scrape, as we write them; see [`scrape_key`] for how others do.
const SCRAPE: [(&str, &str); 3] = [("scrape", "prometheus.io/scrape"), ("path", "prometheus.io/path"), ("port", "prometheus.io/port")];
/// Ports of the sidecar: no application may ask to be scraped there.
const RESERVED_PORTS: [u16; 6] = [15000, 15001, 15006, 15020, 15021, 15090];

/// What every injection of this injector starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Images, addresses, defaults.
    pub values: InjectionValues,
    /// The mesh's settings.
    pub mesh: MeshConfig,
}

// === impl Template ===

impl Template {
    /// The mesh's settings where the values say nothing of their own. Proxies whose configuration names no pilot get this mesh's.
    pub fn new(values: InjectionValues, mut mesh: MeshConfig) -> Self {
        let address = &mut mesh.default_config.discovery_address;
        if address.is_empty() {
            *address = format!("istio-pilot.{}.svc:15012", values.istio_namespace);
        }
        Self { values, mesh }
    }
}

/// Why a pod cannot be injected. The user has to change the pod.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// Annotations that cannot be understood; all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Annotations(Vec<AnnotationError>),
    /// The application wants to be scraped where the sidecar listens.
    #[error("annotation prometheus.io/port: {0:?} is one of the sidecar's own ports; name the application's")]
    ReservedPort(String),
}

/// Returns the pod (its JSON) with a sidecar, whose settings are the mesh's, under those of the surroundings' ProxyConfigs for all of the mesh
/// and for the namespace, under the pod's annotation, under those of ProxyConfigs for the pod.
///
/// # Errors
/// If the pod asks for something that cannot be had; see [`InjectError`].
pub fn inject(pod: &Value, surroundings: &Surroundings<'_>, template: &Template) -> Result<Value, InjectError> {
    let Surroundings { namespace, proxy_configs, .. } = *surroundings;
    let defaults = proxy_configs.under(&template.mesh.default_config, &template.mesh.root_namespace, namespace);
    let mut options = SidecarOptions::of(&PodView::new(pod), &defaults).map_err(InjectError::Annotations)?;
    proxy_configs.over(&mut options.proxy_config, namespace, &PodView::new(pod));
    let mut pod = uninject(pod);
    let own = Overrides::take(&mut pod["spec"]);

    let plain = pod.clone();
    let view = PodView::new(&plain);
    let workload = workload_name(&view, namespace);
    let metrics = if options.merge_metrics { merge_metrics(&mut pod, options.proxy_config.status_port)? } else { None };
    let probers = if options.rewrite_probes { probes::rewrite(&mut pod["spec"], options.proxy_config.status_port) } else { Map::new() };
    let native = options.native_sidecar.unwrap_or(surroundings.native_nodes);
    let context = Context { template, options: &options, pod: view, workload: &workload, native, probers, metrics };

    place(&mut pod, &context, &own);
    own.save(&mut pod);
    mark(&mut pod, &view, &workload.name, &template.values.revision);
    Ok(pod)
}

/// Returns the pod without what a previous injection added, and with what that changed put back. A pod that was not injected stays as it is.
pub fn uninject(pod: &Value) -> Value {
    let mut pod = pod.clone();
    strip(&mut pod);
    pod
}

/// Adds the labels and annotations by which a pod of the mesh is known. What the pod says itself stays.
fn mark(pod: &mut Value, plain: &PodView<'_>, workload: &str, mesh_revision: &str) {
    let (name, revision) = canonical(plain, workload);
    let labels = object_mut(&mut pod["metadata"], "labels");
    labels.entry("security.istio.io/tlsMode").or_insert("istio".into());
    labels.entry("service.istio.io/canonical-name").or_insert(name.into());
    labels.entry("service.istio.io/canonical-revision").or_insert(revision.into());
    let annotations = object_mut(&mut pod["metadata"], "annotations");
    annotations.insert(REVISION.to_owned(), mesh_revision.into());
    if let Some(application) = plain.containers().first().and_then(|container| container["name"].as_str()) {
        for annotation in DEFAULT_CONTAINER {
            annotations.entry(annotation).or_insert(application.into());
        }
    }
}

/// Adds containers, volumes and pull Secrets, in the reference's order, and the annotation that lists them.
fn place(pod: &mut Value, context: &Context<'_>, own: &Overrides) {
    let proxy = overlaid(context.proxy(), own.proxy.as_ref());
    let init = context.init(&proxy).map(|init| overlaid(init, own.init.as_ref()));
    let volumes = context.volumes();
    let spec = &mut pod["spec"];
    let secrets = new_pull_secrets(spec, &context.template.values.image_pull_secrets);
    let named = |values: &[Value]| values.iter().map(|value| value["name"].clone()).collect::<Vec<_>>();
    let mut inits: Vec<Value> = init.into_iter().collect();
    let mut status = json!({
        "revision": context.template.values.revision,
        "volumes": named(&volumes),
        "imagePullSecrets": secrets,
    });
    if context.native {
        inits.push(proxy);
        status["initContainers"] = named(&inits).into();
        status["containers"] = json!([]);
        array_mut(spec, "initContainers").splice(0..0, inits);
    } else {
        status["initContainers"] = named(&inits).into();
        status["containers"] = json!([PROXY]);
        if !inits.is_empty() {
            array_mut(spec, "initContainers").extend(inits);
        }
        let containers = array_mut(spec, "containers");
        let hold = context.options.proxy_config.hold_application_until_proxy_starts;
        containers.insert(if hold { 0 } else { containers.len() }, proxy);
    }
    array_mut(spec, "volumes").extend(volumes);
    if !secrets.is_empty() {
        array_mut(spec, "imagePullSecrets").extend(secrets.iter().map(|name| json!({"name": name})));
    }
    object_mut(&mut pod["metadata"], "annotations").insert(STATUS.to_owned(), status.to_string().into());
}

/// Pull Secrets of the mesh that the pod does not name itself.
fn new_pull_secrets(spec: &Value, wanted: &[String]) -> Vec<String> {
    let present = list(&spec["imagePullSecrets"]);
    wanted.iter().filter(|name| present.iter().all(|secret| secret["name"] != name.as_str())).cloned().collect()
}

/// Takes out what a previous injection added and puts back what it changed.
fn strip(pod: &mut Value) {
    let view = PodView::new(pod);
    let Some(status) = view.annotation(STATUS).and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return };
    let env = |name: &str| -> Option<Map<String, Value>> {
        let variable = list(&view.container(PROXY)?["env"]).iter().find(|variable| variable["name"] == name)?;
        serde_json::from_str(variable["value"].as_str()?).ok()
    };
    let (probers, metrics) = (env(probes::PROBERS_ENV), env(METRICS_ENV));
    let merged = view.container(PROXY).is_some() && view.annotation("prometheus.io/path") == Some("/stats/prometheus");

    let spec = &mut pod["spec"];
    for field in ["initContainers", "containers", "volumes", "imagePullSecrets"] {
        let added = list(&status[field]);
        let Some(present) = spec.get_mut(field).and_then(Value::as_array_mut) else { continue };
        present.retain(|item| !added.contains(&item["name"]));
        if present.is_empty() {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
    }
    probes::restore(spec, &probers.unwrap_or_default());
    Overrides::restore(pod);
    let annotations = object_mut(&mut pod["metadata"], "annotations");
    annotations.remove(STATUS);
    if merged {
        let metrics = metrics.unwrap_or_default();
        for (short, annotation) in SCRAPE {
            match metrics.get(short) {
                Some(original) => annotations.insert(annotation.to_owned(), original.clone()),
                None => annotations.remove(annotation),
            };
        }
    }
}

/// Sends Prometheus to the agent, which merges the application's metrics with Envoy's and its own. Returns what the annotations said
/// before, if anything. A pod that says `scrape: false` is left alone.
fn merge_metrics(pod: &mut Value, status_port: u16) -> Result<Option<Value>, InjectError> {
    let annotations = object_mut(&mut pod["metadata"], "annotations");
    let before: Map<String, Value> =
        annotations.iter().filter_map(|(annotation, value)| Some((scrape_key(annotation)?.to_owned(), value.clone()))).collect();
    if before.get("scrape").is_some_and(|scrape| scrape == "false") {
        return Ok(None);
    }
    let own = |port: u16| port == status_port || RESERVED_PORTS.contains(&port);
    if let Some(port) = before.get("port").and_then(Value::as_str).filter(|port| port.trim().parse().is_ok_and(own)) {
        return Err(InjectError::ReservedPort(port.to_owned()));
    }
    annotations.retain(|annotation, _| scrape_key(annotation).is_none());
    for ((_, annotation), value) in SCRAPE.iter().zip(["true", "/stats/prometheus", &status_port.to_string()]) {
        annotations.insert((*annotation).to_owned(), value.into());
    }
    Ok((!before.is_empty()).then_some(Value::Object(before)))
}

/// `scrape`, `path` or `port` for an annotation that Prometheus' rules take for one of these: they see all punctuation as one.
fn scrape_key(annotation: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace(['.', '/', '_'], "-");
    SCRAPE.iter().find(|(_, ours)| plain(ours) == plain(annotation)).map(|(short, _)| *short)
}
