//! Puts the sidecar into a pod.
//!
//! The result depends on the pod and the template alone, and injecting an injected pod gives the same pod: what a previous injection
//! added is taken out first, as its status annotation lists it.

use serde_json::{Map, Value, json};

use super::{
    annotations::{AnnotationError, SidecarOptions},
    container::{Context, PROXY},
    pod::{PodView, array_mut, list, object_mut},
    probes,
    workload::{canonical, workload_name},
};
use crate::model::{InjectionValues, MeshConfig};

/// What a previous injection added, as JSON.
const STATUS: &str = "sidecar.istio.io/status";
/// The agent's environment variable with the application's own scrape annotations.
pub(super) const METRICS_ENV: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";
/// The annotations by which Prometheus finds what to scrape.
const SCRAPE: [(&str, &str); 3] = [("scrape", "prometheus.io/scrape"), ("path", "prometheus.io/path"), ("port", "prometheus.io/port")];
/// Ports of the sidecar: no application may ask to be scraped there.
const RESERVED_PORTS: [&str; 6] = ["15000", "15001", "15006", "15020", "15021", "15090"];

/// What every injection of this injector starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Images, addresses, defaults.
    pub values: InjectionValues,
    /// The mesh's settings.
    pub mesh: MeshConfig,
}

/// Why a pod cannot be injected. The user has to change the pod.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// Annotations that cannot be understood; all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Annotations(Vec<AnnotationError>),
    /// A container is called like ours, but is not ours.
    #[error(
        "spec.containers: the name {PROXY} belongs to the sidecar; rename the container, or label the pod sidecar.istio.io/inject=false"
    )]
    NameTaken,
    /// The application wants to be scraped where the sidecar listens.
    #[error("annotation prometheus.io/port: {0:?} is one of the sidecar's own ports; name the application's")]
    ReservedPort(String),
}

/// Returns the pod (its JSON, in `namespace`) with a sidecar. `native_nodes` says whether every node can run native sidecar containers.
///
/// # Errors
/// If the pod asks for something that cannot be had; see [`InjectError`].
pub fn inject(pod: &Value, namespace: &str, template: &Template, native_nodes: bool) -> Result<Value, InjectError> {
    let options = SidecarOptions::of(&PodView::new(pod), &template.mesh.default_config).map_err(InjectError::Annotations)?;
    let mut pod = pod.clone();
    strip(&mut pod);
    if PodView::new(&pod).container(PROXY).is_some() {
        return Err(InjectError::NameTaken);
    }

    let plain = pod.clone();
    let view = PodView::new(&plain);
    let workload = workload_name(&view, namespace);
    let metrics = if options.merge_metrics { merge_metrics(&mut pod, options.proxy_config.status_port)? } else { None };
    let probers = if options.rewrite_probes { probes::rewrite(&mut pod["spec"], options.proxy_config.status_port) } else { Map::new() };
    let native = options.native_sidecar.unwrap_or(native_nodes);
    let context = Context { template, options: &options, pod: view, workload: &workload, native, probers, metrics };

    place(&mut pod, &context);
    let (name, revision) = canonical(&view, &workload.name);
    let labels = object_mut(&mut pod["metadata"], "labels");
    labels.insert("security.istio.io/tlsMode".to_owned(), "istio".into());
    labels.entry("service.istio.io/canonical-name").or_insert(name.into());
    labels.entry("service.istio.io/canonical-revision").or_insert(revision.into());
    Ok(pod)
}

/// Adds containers, volumes and pull Secrets, in the reference's order, and the annotation that lists them.
fn place(pod: &mut Value, context: &Context<'_>) {
    let (init, proxy, volumes) = (context.init(), context.proxy(), context.volumes());
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
        if let Some(present) = spec[field].as_array_mut() {
            present.retain(|item| !added.contains(&item["name"]));
        }
        if list(&spec[field]).is_empty() {
            spec.as_object_mut().map(|spec| spec.remove(field));
        }
    }
    probes::restore(spec, &probers.unwrap_or_default());
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
    if annotations.get(SCRAPE[0].1).is_some_and(|scrape| scrape == "false") {
        return Ok(None);
    }
    let before: Map<String, Value> =
        SCRAPE.iter().filter_map(|(short, annotation)| Some(((*short).to_owned(), annotations.get(*annotation)?.clone()))).collect();
    if let Some(port) = before.get("port").and_then(Value::as_str).filter(|port| RESERVED_PORTS.contains(port)) {
        return Err(InjectError::ReservedPort(port.to_owned()));
    }
    for ((_, annotation), value) in SCRAPE.iter().zip(["true", "/stats/prometheus", &status_port.to_string()]) {
        annotations.insert((*annotation).to_owned(), value.into());
    }
    Ok((!before.is_empty()).then_some(Value::Object(before)))
}
