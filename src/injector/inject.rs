//! Puts the sidecar into a pod.
//!
//! The result depends on the pod, its surroundings and the template alone, and injecting an injected pod gives the same pod: what a
//! previous injection did is taken out first, as its status annotation lists it.

use serde_json::{Value, json};

use super::{
    annotations::{AnnotationError, Defaults, SidecarOptions},
    container::{Context, PROXY, run_transparently},
    limits::{Denial, Place},
    merge::merge_pod,
    order::arrange,
    overrides::{CONTAINER_LISTS, Overrides, bring},
    pod::{PodView, array_mut, list},
    probes,
    scrape::{METRICS_ENV, merge_metrics},
    strip::{plain, record},
    surroundings::Surroundings,
    templates::{TemplateError, Templates},
    workload::workload_name,
};
use crate::model::{InjectionValues, InterceptionMode, MeshConfig};

/// The label that names a pod's network.
pub(super) const NETWORK: &str = "topology.istio.io/network";
/// The same in the metadata of a proxy, by the environment of its container.
const NETWORK_ENV: &str = "ISTIO_META_NETWORK";

/// The metadata in which a proxy learns how traffic comes to it, likewise.
const INTERCEPTION_ENV: &str = "ISTIO_META_INTERCEPTION_MODE";

/// What every injection of this injector starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Images, addresses, defaults.
    pub values: InjectionValues,
    /// The mesh's settings.
    pub mesh: MeshConfig,
    templates: Templates,
}

// === impl Template ===

impl Template {
    /// The mesh's settings where the values say nothing of their own. Proxies whose configuration names no pilot get this mesh's.
    pub fn new(values: InjectionValues, mut mesh: MeshConfig) -> Self {
        let proxy = &mut mesh.default_config;
        if proxy.discovery_address.is_empty() {
            proxy.discovery_address = format!("istio-pilot.{}.svc:15012", values.istio_namespace);
        }
        proxy.hold_application_until_proxy_starts |= values.proxy.hold_application;
        let templates = Templates::new(&values);
        Self { values, mesh, templates }
    }
}

/// Why a pod cannot be injected. The user has to change the pod.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// Annotations that cannot be understood; all of them.
    #[error("{}", joined(.0))]
    Annotations(Vec<AnnotationError>),
    /// It asks for more than its namespace allows; all of it.
    #[error("{}", joined(.0))]
    Limits(Vec<Denial>),
    /// The application wants to be scraped where the sidecar listens.
    #[error("annotation prometheus.io/port: {0:?} is one of the sidecar's own ports; name the application's")]
    ReservedPort(String),
    /// A template that is not there, or makes no sense for this pod.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

fn joined(problems: &[impl ToString]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Returns the pod (its JSON) with a sidecar, whose settings are the mesh's, under those of the surroundings' ProxyConfigs for all of the mesh
/// and for the namespace, under the pod's annotation, under those of ProxyConfigs for the pod.
///
/// # Errors
/// If the pod asks for something that cannot be had; see [`InjectError`].
pub fn inject(pod: &Value, surroundings: &Surroundings<'_>, template: &Template) -> Result<Value, InjectError> {
    let Surroundings { namespace, proxy_configs, .. } = *surroundings;
    let before = plain(pod);
    let view = PodView::new(&before);
    let proxy_config = proxy_configs.under(&template.mesh.default_config, &template.mesh.root_namespace, namespace);
    let merge_metrics = template.mesh.enable_prometheus_merge;
    let defaults = Defaults { proxy_config: &proxy_config, sidecar: &template.values.proxy, merge_metrics };
    let mut options = SidecarOptions::of(&view, &defaults).map_err(InjectError::Annotations)?;
    proxy_configs.over(&mut options.proxy_config, namespace, &view);

    let workload = workload_name(&view, namespace, surroundings.owner);
    let metadata = &options.proxy_config.proxy_metadata;
    let network = view.label(NETWORK).or(surroundings.network).or(metadata.get(NETWORK_ENV).map(String::as_str));
    let context = Context {
        template,
        options: &options,
        pod: view,
        namespace,
        workload: &workload,
        native: options.native_sidecar.unwrap_or(surroundings.native_nodes),
        cluster: surroundings.cluster.unwrap_or(&template.values.cluster_id),
        network: network.unwrap_or(&template.values.network),
    };
    let patches = template.templates.patches(options.templates.as_deref(), &context)?;

    let mut pod = before.clone().into_owned();
    let own = Overrides::take(&mut pod["spec"], &patches);
    let denials = Place::new(namespace, surroundings.namespace_labels).denials(&options, own.containers(), &template.values);
    if !denials.is_empty() {
        return Err(InjectError::Limits(denials));
    }
    let agent = bring(&patches, &PROXY.into());
    for mut patch in patches {
        mean_native(&mut patch, &pod);
        mean_native(&mut pod, &patch);
        merge_pod(&mut pod, patch);
    }
    own.lay_over(&mut pod["spec"]);
    if options.interception == InterceptionMode::Tproxy {
        // Whatever the pod says of its proxy's user: another one could not do it.
        proxies(&mut pod["spec"]).filter(|proxy| is_transparent(proxy)).for_each(run_transparently);
    }
    if agent {
        take_over(&mut pod, &options)?;
    }
    arrange(&mut pod["spec"], &before["spec"], options.proxy_config.hold_application_until_proxy_starts);
    record(&mut pod, &before, &own, &template.values.revision);
    Ok(pod)
}

/// A template need not know whether the proxy is a native sidecar: what one of them says of it among `containers` is meant for it all the
/// same if another has it among `initContainers`.
fn mean_native(one: &mut Value, other: &Value) {
    let is_proxy = |container: &Value| container["name"] == PROXY;
    if !list(&other["spec"]["initContainers"]).iter().any(is_proxy) {
        return;
    }
    let Some(containers) = one.get_mut("spec").and_then(|spec| spec.get_mut("containers")).and_then(Value::as_array_mut) else { return };
    if let Some(at) = containers.iter().position(is_proxy) {
        let proxy = containers.remove(at);
        array_mut(&mut one["spec"], "initContainers").push(proxy);
    }
}

/// Lets the agent answer in the application's place, for its metrics and its probes, and tells it what the application said.
fn take_over(pod: &mut Value, options: &SidecarOptions) -> Result<(), InjectError> {
    let status_port = options.proxy_config.status_port;
    // What a template says of it has come over what the pod said.
    if options.rewrite_probes && PodView::new(pod).annotation(probes::REWRITE) != Some("false") {
        let probers = probes::rewrite(&mut pod["spec"], status_port);
        if !probers.is_empty() {
            tell_agent(&mut pod["spec"], probes::PROBERS_ENV, &Value::Object(probers));
        }
    }
    if options.merge_metrics
        && let Some(metrics) = merge_metrics(pod, status_port)?
    {
        tell_agent(&mut pod["spec"], METRICS_ENV, &metrics);
    }
    Ok(())
}

/// Sets a variable of the proxy's container to a JSON text.
fn tell_agent(spec: &mut Value, name: &str, value: &Value) {
    for proxy in proxies(spec) {
        let variables = array_mut(proxy, "env");
        variables.retain(|variable| variable["name"] != name);
        variables.push(json!({"name": name, "value": value.to_string()}));
    }
}

/// The proxy's container, wherever it stands.
fn proxies(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let fields = spec.as_object_mut().into_iter().flatten().filter(|(field, _)| CONTAINER_LISTS.contains(&field.as_str()));
    fields.filter_map(|(_, list)| list.as_array_mut()).flatten().filter(|container| container["name"] == PROXY)
}

/// Whether the template gave it inbound connections with their addresses: a gateway gets none.
fn is_transparent(proxy: &Value) -> bool {
    let tells = |variable: &Value| variable["name"] == INTERCEPTION_ENV && variable["value"] == InterceptionMode::Tproxy.as_str();
    list(&proxy["env"]).iter().any(tells)
}
